// SPDX-License-Identifier: Apache-2.0
// Text forms of times, durations and bytes.

#include "agent/transcode_text.h"

#include <string.h>

#define NANOS 1000000000

/* Decimal digits into *out, at least 1 and at most `max` of them; NULL when there are none or more. */
static const char *digits(const char *s, unsigned int max, int64_t *out)
{
	int64_t value = 0;
	unsigned int n = 0;

	for (; s[n] >= '0' && s[n] <= '9'; n++) {
		if (n == max)
			return NULL;
		value = value * 10 + (s[n] - '0');
	}
	if (!n)
		return NULL;
	*out = value;
	return s + n;
}

/* An optional ".5" up to nine digits, as nanoseconds. */
static const char *fraction(const char *s, int32_t *nanos)
{
	int64_t value;
	const char *end;

	*nanos = 0;
	if (*s != '.')
		return s;
	end = digits(s + 1, 9, &value);
	if (!end)
		return NULL;
	for (size_t n = (size_t)(end - s - 1); n < 9; n++)
		value *= 10;
	*nanos = (int32_t)value;
	return end;
}

bool text_parse_duration(Google__Protobuf__Duration *out, const char *text)
{
	bool negative = *text == '-';
	int64_t seconds;
	int32_t nanos;
	const char *s = digits(text + negative, 12, &seconds);

	if (s)
		s = fraction(s, &nanos);
	if (!s || strcmp(s, "s") != 0)
		return false;
	if (seconds > TEXT_DURATION_SECONDS_MAX || (seconds == TEXT_DURATION_SECONDS_MAX && nanos))
		return false;
	out->seconds = negative ? -seconds : seconds;
	out->nanos = negative ? -nanos : nanos;
	return true;
}

/* Writes ".5" of nanos, in steps of `step` digits, none for 0. */
static void print_fraction(char *out, size_t size, int32_t nanos, size_t step)
{
	size_t n = 9;

	snprintf(out, size, ".%09d", nanos);
	while (n > 0) {
		size_t keep = n - step;

		if (strspn(out + 1 + keep, "0") < n - keep)
			break;
		n = keep;
		out[1 + n] = '\0';
	}
	if (!n)
		out[0] = '\0';
}

bool text_print_duration(char out[TEXT_MAX], const Google__Protobuf__Duration *value)
{
	bool negative = value->seconds < 0 || value->nanos < 0;
	char part[16];

	if (value->seconds < -TEXT_DURATION_SECONDS_MAX ||
	    value->seconds > TEXT_DURATION_SECONDS_MAX)
		return false;
	if (value->nanos <= -NANOS || value->nanos >= NANOS)
		return false;
	if (negative && (value->seconds > 0 || value->nanos > 0))
		return false;
	print_fraction(part, sizeof(part), abs(value->nanos), 1);
	snprintf(out, TEXT_MAX, "%s%lld%ss", negative ? "-" : "", llabs((long long)value->seconds),
		 part);
	return true;
}

/* Days since 1970-01-01 of a date of the proleptic Gregorian calendar, counted in years that begin in March. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = y / 400; /* year is at least 1 here, so y is not negative */
	int64_t in_era = y - era * 400;
	int64_t in_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719468;
}

static int64_t month_days(int64_t year, int64_t month)
{
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

/* Exactly two digits (four with `n` 4) and then the character `next`, where next is not NUL. */
static const char *part(const char *s, int n, char next, int64_t *out)
{
	const char *end = digits(s, (unsigned int)n, out);

	if (!end || end - s != n)
		return NULL;
	if (!next)
		return end;
	return *end == next ? end + 1 : NULL;
}

/* "Z" or "+hh:mm"; seconds east of UTC. */
static bool parse_offset(const char *s, int64_t *offset)
{
	int64_t hours, minutes;
	bool west = *s == '-';

	*offset = 0;
	if (strcmp(s, "Z") == 0 || strcmp(s, "z") == 0)
		return true;
	if (*s != '+' && !west)
		return false;
	s = part(s + 1, 2, ':', &hours);
	if (s)
		s = part(s, 2, '\0', &minutes);
	if (!s || *s || hours > 23 || minutes > 59)
		return false;
	*offset = (hours * 60 + minutes) * (west ? -60 : 60);
	return true;
}

bool text_parse_time(Google__Protobuf__Timestamp *out, const char *text)
{
	int64_t year, month, day, hour, minute, second, offset, seconds;
	int32_t nanos;
	const char *s = part(text, 4, '-', &year);

	s = s ? part(s, 2, '-', &month) : NULL;
	s = s ? part(s, 2, '\0', &day) : NULL;
	s = s && (*s == 'T' || *s == 't') ? part(s + 1, 2, ':', &hour) : NULL;
	s = s ? part(s, 2, ':', &minute) : NULL;
	s = s ? part(s, 2, '\0', &second) : NULL;
	s = s ? fraction(s, &nanos) : NULL;
	if (!s || !parse_offset(s, &offset))
		return false;
	if (year < 1 || month < 1 || month > 12 || day < 1 || day > month_days(year, month))
		return false;
	if (hour > 23 || minute > 59 || second > 59)
		return false;
	seconds = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
	if (seconds < TEXT_TIME_SECONDS_MIN || seconds > TEXT_TIME_SECONDS_MAX)
		return false;
	out->seconds = seconds;
	out->nanos = nanos;
	return true;
}

/* The reverse of days_of(). */
static void date_of(int64_t days, int64_t *year, int64_t *month, int64_t *day)
{
	int64_t n = days + 719468;
	int64_t era = n / 146097; /* days is at least that of year 1, so n is not negative */
	int64_t in_era = n - era * 146097;
	int64_t y = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	int64_t in_year = in_era - (365 * y + y / 4 - y / 100);
	int64_t m = (5 * in_year + 2) / 153;

	*day = in_year - (153 * m + 2) / 5 + 1;
	*month = m < 10 ? m + 3 : m - 9;
	*year = y + era * 400 + (*month <= 2 ? 1 : 0);
}

bool text_print_time(char out[TEXT_MAX], const Google__Protobuf__Timestamp *value)
{
	int64_t days, in_day, year, month, day;
	char frac[16];

	if (value->seconds < TEXT_TIME_SECONDS_MIN || value->seconds > TEXT_TIME_SECONDS_MAX)
		return false;
	if (value->nanos < 0 || value->nanos >= NANOS)
		return false;
	in_day = ((value->seconds % 86400) + 86400) % 86400;
	days = (value->seconds - in_day) / 86400;
	date_of(days, &year, &month, &day);
	print_fraction(frac, sizeof(frac), value->nanos, 3);
	snprintf(out, TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d%sZ", (int)year, (int)month, (int)day,
		 (int)(in_day / 3600), (int)(in_day / 60 % 60), (int)(in_day % 60), frac);
	return true;
}

static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *text_print_base64(const uint8_t *data, size_t size)
{
	char *out = malloc((size + 2) / 3 * 4 + 1);
	char *p = out;

	if (!out)
		return NULL;
	for (size_t i = 0; i < size; i += 3) {
		uint32_t n = (uint32_t)data[i] << 16;

		if (i + 1 < size)
			n |= (uint32_t)data[i + 1] << 8;
		if (i + 2 < size)
			n |= data[i + 2];
		*p++ = base64_digits[n >> 18];
		*p++ = base64_digits[n >> 12 & 63];
		*p++ = i + 1 < size ? base64_digits[n >> 6 & 63] : '=';
		*p++ = i + 2 < size ? base64_digits[n & 63] : '=';
	}
	*p = '\0';
	return out;
}

/* Four characters, the last `pad` of which are '='; false for a wrong character or bits that would be lost. */
static bool base64_group(uint8_t *out, const char *s, unsigned int pad)
{
	uint32_t n = 0;

	for (unsigned int i = 0; i < 4; i++) {
		const char *p = i < 4 - pad && s[i] ? strchr(base64_digits, s[i]) : NULL;

		if (!p && i < 4 - pad)
			return false;
		n = n << 6 | (p ? (uint32_t)(p - base64_digits) : 0);
	}
	if (n & ((1U << (8 * pad)) - 1))
		return false;
	out[0] = (uint8_t)(n >> 16);
	if (pad < 2)
		out[1] = (uint8_t)(n >> 8);
	if (pad < 1)
		out[2] = (uint8_t)n;
	return true;
}

uint8_t *text_parse_base64(const char *text, size_t size, size_t *out_size)
{
	unsigned int pad = 0;
	_cleanup_free_ uint8_t *out = NULL;
	size_t n = size / 4 * 3;

	errno = EINVAL;
	if (size % 4 != 0)
		return NULL;
	while (size && pad < 2 && text[size - 1 - pad] == '=')
		pad++;
	out = malloc(n ? n : 1);
	if (!out)
		return NULL;
	for (size_t i = 0; i < size; i += 4)
		if (!base64_group(out + i / 4 * 3, text + i, i + 4 == size ? pad : 0))
			return NULL;
	*out_size = n - pad;
	return TAKE_PTR(out);
}
