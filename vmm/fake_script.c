// SPDX-License-Identifier: Apache-2.0
/* Parses the fake backend's scripts. */
#include "vmm/fake_script.h"

#include <ctype.h>
#include <string.h>

#define SCRIPT_MAX (1u << 20)
#define OPS_MAX	   65536u
#define LINE_SIZE  1024u

/* What follows the word. */
enum form { FORM_NONE, FORM_TEXT, FORM_ADDR_VALUE, FORM_ADDR_MAYBE_VALUE, FORM_VALUE, FORM_STEP };

static const struct word {
	const char *name;
	enum fake_op_kind kind;
	enum form form;
	enum vmm_exit_reason reason;
} words[] = {
	{ "print", FAKE_PRINT, FORM_TEXT, 0 },
	{ "write", FAKE_WRITE, FORM_ADDR_VALUE, 0 },
	{ "read", FAKE_READ, FORM_ADDR_MAYBE_VALUE, 0 },
	{ "store", FAKE_STORE, FORM_ADDR_VALUE, 0 },
	{ "load", FAKE_CHECK, FORM_ADDR_VALUE, 0 },
	{ "await", FAKE_AWAIT, FORM_ADDR_VALUE, 0 },
	{ "wait", FAKE_WAIT, FORM_VALUE, 0 },
	{ "sleep", FAKE_SLEEP, FORM_VALUE, 0 },
	{ "idle", FAKE_IDLE, FORM_NONE, 0 },
	{ "spin", FAKE_SPIN, FORM_NONE, 0 },
	{ "key", FAKE_KEY, FORM_NONE, 0 },
	{ "echo", FAKE_ECHO, FORM_NONE, 0 },
	{ "repeat", FAKE_REPEAT, FORM_NONE, 0 },
	{ "break", FAKE_BREAK, FORM_NONE, 0 },
	{ "poweroff", FAKE_END, FORM_NONE, VMM_EXIT_GUEST_POWEROFF },
	{ "reset", FAKE_END, FORM_NONE, VMM_EXIT_GUEST_RESET },
	{ "watchdog", FAKE_END, FORM_NONE, VMM_EXIT_WATCHDOG },
	{ "fault", FAKE_END, FORM_NONE, VMM_EXIT_HYPERVISOR_ERROR },
	{ "abort", FAKE_END, FORM_NONE, VMM_EXIT_EXTERNAL_ABORT },
	{ "stopped", FAKE_END, FORM_NONE, VMM_EXIT_FORCE_STOPPED },
	{ "unloadable", FAKE_END, FORM_NONE, VMM_EXIT_LOAD_FAILED },
	{ "fail", FAKE_IDLE, FORM_STEP, 0 },
};

static const char *const steps[FAKE_STEPS] = {
	[FAKE_OPEN] = "open",	[FAKE_LOAD] = "load",		[FAKE_VCPU] = "vcpu",
	[FAKE_IRQFD] = "irqfd", [FAKE_IOEVENTFD] = "ioeventfd", [FAKE_START] = "start",
};

static void skip_space(const char **p)
{
	while (isspace((unsigned char)**p))
		(*p)++;
}

/* The rest of the line is nothing but a comment. */
static bool at_end(const char **p)
{
	skip_space(p);
	return **p == '\0' || **p == '#';
}

static bool take_word(const char **p, char *word, size_t size)
{
	size_t n = 0;

	skip_space(p);
	while (isalpha((unsigned char)**p) && n + 1 < size)
		word[n++] = *(*p)++;
	word[n] = '\0';
	return n > 0;
}

static bool take_number(const char **p, uint64_t *value)
{
	char *end;

	skip_space(p);
	if (!isdigit((unsigned char)**p))
		return false;
	errno = 0;
	*value = strtoull(*p, &end, 0);
	*p = end;
	return errno == 0;
}

/* One character of a text, with its escape. */
static bool take_char(const char **p, char *to)
{
	static const char from[] = "nrt\"\\", meant[] = "\n\r\t\"\\";
	char c = *(*p)++;
	const char *at;

	if (c != '\\') {
		*to = c;
		return true;
	}
	c = *(*p)++;
	if (c == 'x' && isxdigit((unsigned char)(*p)[0]) && isxdigit((unsigned char)(*p)[1])) {
		char hex[3] = { (*p)[0], (*p)[1], '\0' };

		*to = (char)strtoul(hex, NULL, 16);
		*p += 2;
		return true;
	}
	at = c ? strchr(from, c) : NULL;
	if (!at)
		return false;
	*to = meant[at - from];
	return true;
}

static bool take_text(const char **p, struct fake_op *op)
{
	skip_space(p);
	if (**p != '"')
		return false;
	(*p)++;
	op->text = malloc(strlen(*p) + 1);
	if (!op->text)
		return false;
	while (**p != '"') {
		if (**p == '\0' || !take_char(p, &op->text[op->text_size]))
			return false;
		op->text_size++;
	}
	(*p)++;
	return true;
}

static bool take_address(const char **p, struct fake_op *op, bool value_needed)
{
	uint64_t len;

	if (!take_number(p, &op->addr) || !take_number(p, &len))
		return false;
	if (len != 1 && len != 2 && len != 4 && len != 8)
		return false;
	op->len = (unsigned int)len;
	op->has_value = take_number(p, &op->value);
	return op->has_value || !value_needed;
}

static bool take_operands(const char **p, enum form form, struct fake_op *op)
{
	switch (form) {
	case FORM_NONE:
		return true;
	case FORM_TEXT:
		return take_text(p, op);
	case FORM_ADDR_VALUE:
		return take_address(p, op, true);
	case FORM_ADDR_MAYBE_VALUE:
		return take_address(p, op, false);
	case FORM_VALUE:
		return take_number(p, &op->value);
	case FORM_STEP:
		break;
	}
	return false;
}

static bool take_step(const char **p, struct fake_script *script)
{
	char name[16];

	if (!take_word(p, name, sizeof(name)))
		return false;
	for (unsigned int i = 0; i < FAKE_STEPS; i++)
		if (strcmp(name, steps[i]) == 0) {
			script->fail[i] = true;
			return true;
		}
	return false;
}

static bool take_vcpu(const char **p, struct fake_op *op)
{
	uint64_t n;

	skip_space(p);
	if (**p != '@')
		return true;
	(*p)++;
	if (!take_number(p, &n) || n >= VMM_VCPUS_MAX)
		return false;
	op->vcpu = (unsigned int)n;
	return true;
}

static const struct word *find_word(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcmp(name, words[i].name) == 0)
			return &words[i];
	return NULL;
}

/*
 * Adds at most one statement. False when the line makes no sense; what it took is in the script
 * then.
 */
static bool parse_line(struct fake_script *script, const char *p, unsigned int line)
{
	struct fake_op *op = &script->ops[script->count];
	const struct word *word;
	char name[16];

	if (at_end(&p))
		return true;
	*op = (struct fake_op){ .line = line };
	if (!take_vcpu(&p, op) || !take_word(&p, name, sizeof(name)))
		return false;
	word = find_word(name);
	if (!word)
		return false;
	if (word->form == FORM_STEP)
		return take_step(&p, script) && at_end(&p);
	script->count++;
	op->kind = word->kind;
	op->reason = word->reason;
	return take_operands(&p, word->form, op) && at_end(&p);
}

static bool grow(struct fake_script *script, size_t *room)
{
	size_t more = *room ? 2 * *room : 16;
	struct fake_op *ops;

	if (script->count < *room)
		return true;
	if (script->count >= OPS_MAX)
		return false;
	ops = realloc(script->ops, more * sizeof(*ops));
	if (!ops)
		return false;
	script->ops = ops;
	*room = more;
	return true;
}

static int parse(struct fake_script *script, const char *text, struct error *err)
{
	char line[LINE_SIZE];
	size_t room = 0;

	for (unsigned int number = 1; *text; number++) {
		size_t n = strcspn(text, "\n");

		if (!grow(script, &room))
			return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "too many statements");
		if (n >= sizeof(line))
			return error_raise(err, ERROR_INVALID_ARGUMENT,
					   "line %u has %zu bytes, %zu is the limit", number, n,
					   sizeof(line) - 1);
		memcpy(line, text, n);
		line[n] = '\0';
		if (!parse_line(script, line, number))
			return error_raise(err, ERROR_INVALID_ARGUMENT, "line %u: %s", number,
					   line);
		text += n + (text[n] == '\n');
	}
	return 0;
}

int fake_script_parse(struct fake_script *script, const char *text, struct error *err)
{
	int r;

	*script = (struct fake_script){ 0 };
	if (strnlen(text, SCRIPT_MAX + 1) > SCRIPT_MAX)
		return error_raise(err, ERROR_INVALID_ARGUMENT, "script: larger than %u bytes",
				   SCRIPT_MAX);
	r = parse(script, text, err);
	if (r < 0) {
		fake_script_free(script);
		return error_widen(err, "script");
	}
	return 0;
}

void fake_script_free(struct fake_script *script)
{
	for (size_t i = 0; i < script->count; i++)
		free(script->ops[i].text);
	free(script->ops);
	*script = (struct fake_script){ 0 };
}
