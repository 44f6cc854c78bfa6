// SPDX-License-Identifier: Apache-2.0
// Fetches an image over HTTP with libcurl; what arrives is hashed on its way to a partial file, which is renamed at the end.

#include "agent/image_fetch.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <string.h>

#include "agent/blob.h"
#include "agent/digest.h"
#include "agent/manifest.h"
#include "agent/message.h"
#include "agent/validate.h"
#include "agent/version.h"

#define READ_BACK (256u << 10) /* bytes that are hashed in one go */

/* Where a transfer's bytes go: to memory (buffer) or to a file (fd). */
struct sink {
	struct job *job;
	const char *what; /* "kernel", "disk \"root\"": for messages */
	int fd;		  /* -1: into buffer */
	char *buffer;
	uint64_t size, limit; /* bytes so far, and at most */
	uint64_t from;	      /* of these, what was there before the transfer */
	struct digest *digest;
	bool counts;	    /* its bytes are the job's progress */
	struct error error; /* why the sink ended the transfer */
};

/* One fetch: the handle keeps its connections from one file to the next. */
struct session {
	CURL *curl;
	struct job *job;
	const struct image_fetch *fetch;
};

static void curl_freep(CURL **curl)
{
	curl_easy_cleanup(*curl);
}

static void curl_url_freep(CURLU **url)
{
	curl_url_cleanup(*url);
}

static void curl_text_freep(char **text)
{
	curl_free(*text);
}

static void digest_freep(struct digest **digest)
{
	digest_free(*digest);
}

static void status_freep(Croft__V1__ImageStatus **status)
{
	message_free(*status);
}

int image_fetch_init(struct error *err)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return error_raise(err, ERROR_INTERNAL, "libcurl does not start");
	return 0;
}

void image_fetch_exit(void)
{
	curl_global_cleanup();
}

/* --- URLs --- */

/* Why it will not do, or NULL. */
static const char *url_fault(CURLU *u)
{
	_cleanup_(curl_text_freep) char *scheme = NULL;
	_cleanup_(curl_text_freep) char *host = NULL;
	_cleanup_(curl_text_freep) char *user = NULL;
	_cleanup_(curl_text_freep) char *password = NULL;

	if (curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
		return "the scheme must be http or https";
	if (curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK || !host[0])
		return "it has no host";
	if (curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_OK ||
	    curl_url_get(u, CURLUPART_PASSWORD, &password, 0) == CURLUE_OK)
		return "a user or password must not be in it, because records show it";
	return NULL;
}

int image_fetch_check_url(const char *field, const char *url, struct error *err)
{
	_cleanup_(curl_url_freep) CURLU *u = curl_url();
	const char *fault;
	CURLUcode r;

	if (!u)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	if (!text_printable(url) || strchr(url, ' '))
		return error_raise_field(
			err, field, "not a URL: only printable ASCII without spaces may be in it");
	/* libcurl takes more, such as one slash. */
	if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
		return error_raise_field(err, field, "must begin with http:// or https://");
	r = curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME);
	if (r != CURLUE_OK)
		return error_raise_field(err, field, "not a URL: %s", curl_url_strerror(r));
	fault = url_fault(u);
	if (fault)
		return error_raise_field(err, field, "%s", fault);
	return 0;
}

/* A file's URL by the manifest's; free it with curl_free(). */
static int resolve(char **out, const char *base, const char *url, struct error *err)
{
	_cleanup_(curl_url_freep) CURLU *u = curl_url();
	const char *fault;
	CURLUcode r;

	if (!u)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	r = curl_url_set(u, CURLUPART_URL, base, 0);
	if (r == CURLUE_OK)
		r = curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME);
	if (r != CURLUE_OK)
		return error_raise(err, ERROR_INVALID_ARGUMENT, "URL \"%.200s\": %s", url,
				   curl_url_strerror(r));
	fault = url_fault(u);
	if (fault)
		return error_raise(err, ERROR_INVALID_ARGUMENT, "URL \"%.200s\": %s", url, fault);
	if (curl_url_get(u, CURLUPART_URL, out, 0) != CURLUE_OK)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	return 0;
}

/* --- One transfer --- */

static int sink_put(struct sink *s, const char *bytes, size_t n)
{
	if (n > s->limit - s->size)
		return error_raise(&s->error, s->fd < 0 ? ERROR_INVALID_ARGUMENT : ERROR_DATA_LOSS,
				   "more than %" PRIu64 " bytes arrive", s->limit);
	if (s->fd < 0) {
		memcpy(s->buffer + s->size, bytes, n);
	} else {
		int r = pwrite_all(s->fd, bytes, n, s->size);

		if (r < 0)
			return error_raise_errno(&s->error,
						 r == -ENOSPC || r == -EDQUOT
							 ? ERROR_RESOURCE_EXHAUSTED
							 : ERROR_INTERNAL,
						 -r, "write");
	}
	digest_add(s->digest, bytes, n);
	s->size += n;
	if (s->counts)
		atomic_fetch_add(&s->job->done_bytes, n);
	return 0;
}

static size_t on_bytes(char *bytes, size_t size, size_t count, void *data)
{
	size_t n = size * count;

	return sink_put(data, bytes, n) == 0 ? n : 0;
}

static int on_progress(void *data, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
		       curl_off_t up)
{
	struct sink *s = data;

	(void)down_total;
	(void)down;
	(void)up_total;
	(void)up;
	return atomic_load(&s->job->cancel) ? 1 : 0;
}

static CURLcode set_options(const struct session *ss, const char *url, struct sink *s)
{
	char agent[128];
	CURL *curl = ss->curl;
	CURLcode r = CURLE_OK;

	snprintf(agent, sizeof(agent), "croftd/%s", version_string());
#define SET(option, value) (r = r == CURLE_OK ? curl_easy_setopt(curl, option, value) : r)
	SET(CURLOPT_URL, url);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 1L);
	SET(CURLOPT_MAXREDIRS, (long)IMAGE_FETCH_REDIRECTS);
	SET(CURLOPT_FAILONERROR, 1L);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_USERAGENT, agent);
	SET(CURLOPT_CONNECTTIMEOUT, (long)IMAGE_FETCH_CONNECT_SECONDS);
	SET(CURLOPT_RESUME_FROM_LARGE, (curl_off_t)s->from);
	SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
	SET(CURLOPT_LOW_SPEED_TIME, (long)ss->fetch->timeout);
	SET(CURLOPT_WRITEFUNCTION, on_bytes);
	SET(CURLOPT_WRITEDATA, s);
	SET(CURLOPT_NOPROGRESS, 0L);
	SET(CURLOPT_XFERINFOFUNCTION, on_progress);
	SET(CURLOPT_XFERINFODATA, s);
#undef SET
	return r;
}

static enum error_code code_of_http(long status)
{
	switch (status) {
	case 401:
	case 403:
		return ERROR_PERMISSION_DENIED;
	case 404:
	case 410:
		return ERROR_NOT_FOUND;
	default:
		return ERROR_UNAVAILABLE;
	}
}

static int raise_transfer(CURL *curl, CURLcode result, const char *why, struct sink *s,
			  struct error *err)
{
	long status = 0;

	if (job_check(s->job, err) < 0)
		return -ECANCELED;
	if (s->error.code != ERROR_NONE) {
		*err = s->error;
		return error_widen(err, "%s", s->what);
	}
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (s->from && (result == CURLE_RANGE_ERROR || status == 416))
		return error_raise(err, ERROR_DATA_LOSS,
				   "%s: the server cannot go on at byte %" PRIu64, s->what,
				   s->from);
	if (result == CURLE_HTTP_RETURNED_ERROR)
		return error_raise(err, code_of_http(status), "%s: the server answered %ld",
				   s->what, status);
	return error_raise(err,
			   result == CURLE_OPERATION_TIMEDOUT ? ERROR_DEADLINE : ERROR_UNAVAILABLE,
			   "%s: %s", s->what, why[0] ? why : curl_easy_strerror(result));
}

static int transfer(const struct session *ss, const char *url, struct sink *s, struct error *err)
{
	char why[CURL_ERROR_SIZE] = "";
	CURL *curl = ss->curl;
	CURLcode result = set_options(ss, url, s);
	int r = 0;

	if (result == CURLE_OK)
		result = curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
	if (result == CURLE_OK)
		result = curl_easy_perform(curl);
	if (result != CURLE_OK)
		r = raise_transfer(curl, result, why, s, err);
	/* The buffer ends with this function, the handle goes on. */
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
	return r;
}

static int check_digest(struct sink *s, const char *wanted, struct error *err)
{
	char hex[DIGEST_HEX];

	if (digest_finish(s->digest, hex) < 0)
		return error_raise(err, ERROR_INTERNAL, "%s: SHA-256 cannot be computed", s->what);
	if (wanted[0] && strcmp(hex, wanted) != 0)
		return error_raise(err, ERROR_DATA_LOSS, "%s: SHA-256 is %s, not %s", s->what, hex,
				   wanted);
	return 0;
}

/* --- The parts of an image --- */

/* Takes over what an earlier try has left in the draft. */
static int read_back(struct sink *s, uint64_t size, struct error *err)
{
	_cleanup_free_ char *buffer = malloc(READ_BACK);

	if (!buffer)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	while (s->size < size) {
		size_t n = size - s->size < READ_BACK ? (size_t)(size - s->size) : READ_BACK;
		int r = job_check(s->job, err);

		if (r < 0)
			return r;
		r = pread_all(s->fd, buffer, n, s->size);
		if (r < 0)
			return error_raise_errno(err, ERROR_INTERNAL, -r, "%s: read", s->what);
		digest_add(s->digest, buffer, n);
		s->size += n;
		atomic_fetch_add(&s->job->done_bytes, n);
	}
	s->from = s->size;
	return 0;
}

/* Brings what the draft lacks. DATA_LOSS: that is not the file. */
static int fill_draft(const struct session *ss, const char *url, const struct image_part *part,
		      struct blob_draft *draft, struct error *err)
{
	_cleanup_(digest_freep) struct digest *digest = digest_new();
	struct sink s = { .job = ss->job,
			  .what = part->what,
			  .fd = draft->fd,
			  .limit = part->file->size,
			  .digest = digest,
			  .counts = true };
	int r;

	if (!digest)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	r = read_back(&s, draft->size, err);
	if (r == 0 && (!s.size || s.size < s.limit))
		r = transfer(ss, url, &s, err);
	if (r < 0)
		return r;
	if (s.size != s.limit)
		return error_raise(err, ERROR_DATA_LOSS,
				   "%s: %" PRIu64 " bytes arrived, not %" PRIu64, part->what,
				   s.size, s.limit);
	return check_digest(&s, part->file->sha256, err);
}

static int fetch_file(const struct session *ss, const char *url, const struct image_part *part,
		      struct error *err)
{
	_cleanup_(blob_draft_drop) struct blob_draft draft = BLOB_DRAFT_NONE;
	uint64_t before = atomic_load(&ss->job->done_bytes);
	struct error error;
	bool resumed;
	int r = blob_draft_open(&draft, ss->fetch->blob_dir, part->file->sha256, err);

	if (r == 0 && draft.size > part->file->size)
		r = blob_draft_clear(&draft, err);
	if (r < 0)
		return error_widen(err, "%s", part->what);
	resumed = draft.size > 0;
	r = fill_draft(ss, url, part, &draft, &error);
	if (r < 0 && resumed && error.code == ERROR_DATA_LOSS) {
		atomic_store(&ss->job->done_bytes, before);
		r = blob_draft_clear(&draft, &error);
		if (r == 0)
			r = fill_draft(ss, url, part, &draft, &error);
	}
	if (r < 0)
		*err = error;
	if (r == 0 && blob_draft_keep(&draft, part->file->sha256, err) < 0)
		r = error_widen(err, "%s", part->what);
	if (r < 0 && ss->fetch->suspend && atomic_load(ss->fetch->suspend))
		blob_draft_leave(&draft);
	return r;
}

static int fetch_manifest(const struct session *ss, Croft__V1__ImageStatus **out, struct error *err)
{
	_cleanup_(digest_freep) struct digest *digest = digest_new();
	_cleanup_free_ char *text = malloc(MANIFEST_SIZE_MAX);
	struct sink s = { .job = ss->job,
			  .what = "manifest",
			  .fd = -1,
			  .buffer = text,
			  .limit = MANIFEST_SIZE_MAX,
			  .digest = digest };
	int r;

	if (!digest || !text)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	job_step(ss->job, "downloading manifest");
	r = transfer(ss, ss->fetch->manifest_url, &s, err);
	if (r == 0)
		r = check_digest(&s, ss->fetch->manifest_sha256, err);
	if (r == 0)
		r = manifest_parse(out, text, (size_t)s.size, ss->fetch->size_max, err);
	return r;
}

/* What is not here yet is the progress that people see; the base of relative URLs is where the manifest came from. */
static int fetch_parts(const struct session *ss, const Croft__V1__ImageStatus *status,
		       struct error *err)
{
	const char *dir = ss->fetch->blob_dir;
	_cleanup_free_ char *base = NULL;
	struct image_part parts[IMAGE_PARTS_MAX];
	size_t n = image_parts(status, parts);
	char *effective = NULL;
	uint64_t total = 0;

	curl_easy_getinfo(ss->curl, CURLINFO_EFFECTIVE_URL, &effective);
	base = strdup(effective ? effective : ss->fetch->manifest_url);
	if (!base)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	for (size_t i = 0; i < n; i++)
		if (!blob_exists(dir, parts[i].file->sha256, parts[i].file->size))
			total += parts[i].file->size;
	atomic_store(&ss->job->total_bytes, total);

	for (size_t i = 0; i < n; i++) {
		_cleanup_(curl_text_freep) char *url = NULL;
		int r = job_check(ss->job, err);

		if (r == 0)
			r = resolve(&url, base, parts[i].file->url, err);
		if (r < 0)
			return error_widen(err, "%s", parts[i].what);
		/* Also true for the second of two parts that are the same file. */
		if (blob_exists(dir, parts[i].file->sha256, parts[i].file->size))
			continue;
		job_step(ss->job, "downloading %s", parts[i].what);
		r = fetch_file(ss, url, &parts[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

int image_fetch(struct job *job, const struct image_fetch *fetch, Croft__V1__ImageStatus **out,
		struct error *err)
{
	_cleanup_(curl_freep) CURL *curl = curl_easy_init();
	_cleanup_(status_freep) Croft__V1__ImageStatus *status = NULL;
	const struct session session = { .curl = curl, .job = job, .fetch = fetch };
	int r;

	if (!curl)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	r = fetch_manifest(&session, &status, err);
	if (r == 0)
		r = fetch_parts(&session, status, err);
	/* No data of this node is lost: what the server has is not what the manifest says. */
	if (r < 0 && err->code == ERROR_DATA_LOSS)
		err->code = ERROR_CONFLICT;
	if (r < 0)
		return r;
	*out = TAKE_PTR(status);
	return 0;
}
