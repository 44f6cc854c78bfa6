// SPDX-License-Identifier: Apache-2.0
// What the agent's unit tests share: a scratch directory, a web server in memory, and a service with blocking calls.

#include "tests/unit/agent_help.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

/* --- Scratch --- */

char *help_mkdir(void)
{
	const char *tmp = getenv("TMPDIR");
	char *dir;

	assert_true(asprintf(&dir, "%s/croft-test-XXXXXX", tmp ? tmp : "/tmp") > 0);
	assert_non_null(mkdtemp(dir));
	return dir;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

void help_rmdir(char *dir)
{
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(dir);
}

void help_sha256(char hex[DIGEST_HEX], const void *bytes, size_t n)
{
	struct digest *d = digest_new();

	assert_non_null(d);
	digest_add(d, bytes, n);
	assert_int_equal(digest_finish(d, hex), 0);
	digest_free(d);
}

/* --- The web --- */

#define PAGES_MAX 32

struct help_web {
	struct MHD_Daemon *daemon;
	unsigned int port;
	pthread_mutex_t lock;
	struct help_page pages[PAGES_MAX];
	size_t count;
	char *manifest;
};

static ssize_t stall(void *data, uint64_t at, char *out, size_t max)
{
	const struct help_page *page = data;
	size_t half = page->size / 2;

	if (at >= half) {
		usleep(20000);
		return 0;
	}
	if (max > half - at)
		max = half - (size_t)at;
	memcpy(out, (const char *)page->body + at, max);
	return (ssize_t)max;
}

static struct MHD_Response *make_response(struct help_page *page, unsigned int *status)
{
	struct MHD_Response *r;

	*status = 200;
	if (page->location) {
		r = MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT);
		MHD_add_response_header(r, "Location", page->location);
		*status = 302;
		return r;
	}
	if (page->stalls)
		return MHD_create_response_from_callback(page->size, 4096, stall, page, NULL);
	return MHD_create_response_from_buffer(page->size, (void *)(uintptr_t)page->body,
					       MHD_RESPMEM_MUST_COPY);
}

static enum MHD_Result serve(void *data, struct MHD_Connection *connection, const char *url,
			     const char *method, const char *version, const char *upload,
			     size_t *upload_size, void **state)
{
	struct help_web *web = data;
	struct MHD_Response *response = NULL;
	unsigned int status = 404;
	enum MHD_Result result;

	(void)method;
	(void)version;
	(void)upload;
	(void)upload_size;
	(void)state;
	pthread_mutex_lock(&web->lock);
	for (size_t i = 0; i < web->count; i++)
		if (strcmp(web->pages[i].path, url) == 0)
			response = make_response(&web->pages[i], &status);
	pthread_mutex_unlock(&web->lock);
	if (!response)
		response = MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT);
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

struct help_web *help_web_start(void)
{
	struct help_web *web = calloc(1, sizeof(*web));
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	assert_non_null(web);
	pthread_mutex_init(&web->lock, NULL);
	web->daemon =
		MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD, 0,
				 NULL, NULL, serve, web, MHD_OPTION_SOCK_ADDR,
				 (struct sockaddr *)&addr, MHD_OPTION_END);
	assert_non_null(web->daemon);
	web->port = MHD_get_daemon_info(web->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
	return web;
}

void help_web_stop(struct help_web *web)
{
	MHD_stop_daemon(web->daemon);
	pthread_mutex_destroy(&web->lock);
	free(web->manifest);
	free(web);
}

void help_web_add(struct help_web *web, struct help_page page)
{
	size_t i = 0;

	pthread_mutex_lock(&web->lock);
	while (i < web->count && strcmp(web->pages[i].path, page.path) != 0)
		i++;
	assert_true(i < PAGES_MAX);
	web->pages[i] = page;
	if (i == web->count)
		web->count++;
	pthread_mutex_unlock(&web->lock);
}

const char *help_web_url(struct help_web *web, const char *path)
{
	static char url[256];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", web->port, path);
	return url;
}

/* --- An image --- */

static uint8_t kernel[65536], disk[65536];
static uint8_t initrd[256];

static size_t cpio_entry(uint8_t *out, const char *name, unsigned int mode)
{
	char header[111];
	size_t n = strlen(name) + 1, size = (110 + n + 3) / 4 * 4;

	snprintf(header, sizeof(header),
		 "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", 1u, mode, 0u, 0u, 1u,
		 0u, 0u, 0u, 0u, 0u, 0u, (unsigned int)n, 0u);
	memset(out, 0, size);
	memcpy(out, header, 110);
	memcpy(out + 110, name, n);
	return size;
}

void help_web_image(struct help_web *web)
{
	static const uint32_t branch = 0x14000010;
	static const uint64_t size = sizeof(kernel), flags = 0xa;
	char k[DIGEST_HEX], i[DIGEST_HEX], d[DIGEST_HEX];
	size_t n = cpio_entry(initrd, "init", 0100755);

	n += cpio_entry(initrd + n, "TRAILER!!!", 0);
	memcpy(kernel, &branch, sizeof(branch));
	memcpy(kernel + 16, &size, sizeof(size));
	memcpy(kernel + 24, &flags, sizeof(flags));
	memcpy(kernel + 56, "ARM\x64", 4);
	memset(disk + 20000, 7, 100);
	help_sha256(k, kernel, sizeof(kernel));
	help_sha256(i, initrd, n);
	help_sha256(d, disk, sizeof(disk));
	free(web->manifest);
	assert_true(
		asprintf(&web->manifest,
			 "{\"name\":\"tiny\",\"version\":\"1\","
			 "\"kernel\":{\"url\":\"Image\",\"sha256\":\"%s\",\"size\":%zu},"
			 "\"initrd\":{\"url\":\"/initrd\",\"sha256\":\"%s\",\"size\":%zu},"
			 "\"disks\":[{\"name\":\"root\",\"url\":\"disk\",\"sha256\":\"%s\",\"size\":%zu}],"
			 "\"cmdline\":\"console=ttyS0\"}",
			 k, sizeof(kernel), i, n, d, sizeof(disk)) > 0);
	help_web_add(web, (struct help_page){
				  .path = "/Image", .body = kernel, .size = sizeof(kernel) });
	help_web_add(web, (struct help_page){ .path = "/initrd", .body = initrd, .size = n });
	help_web_add(web,
		     (struct help_page){ .path = "/disk", .body = disk, .size = sizeof(disk) });
	help_web_add(web, (struct help_page){ .path = "/manifest.json",
					      .body = web->manifest,
					      .size = strlen(web->manifest) });
}

/* --- Calls --- */

struct config *help_config(const char *dir)
{
	char state[512];
	char *argv[] = { (char *)"croftd",
			 (char *)"--backend=fake",
			 (char *)"--listen-unix=/run/unused",
			 state,
			 (char *)"--config=/dev/null",
			 (char *)"--fetch-timeout=1",
			 NULL };
	enum config_action action;
	struct config *config;
	struct error error;

	snprintf(state, sizeof(state), "--state-dir=%s/state", dir);
	if (config_load(&config, &action, (int)ARRAY_SIZE(argv) - 1, argv, &error) < 0)
		fail_msg("%s", error.message);
	return config;
}

struct waiter {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
};

static void on_done(struct call *call)
{
	struct waiter *w = call->data;

	pthread_mutex_lock(&w->lock);
	w->done = true;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

static struct waiter *waiter_new(void)
{
	struct waiter *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->cond, NULL);
	return w;
}

static struct call *make_call(const char *method, void *request)
{
	struct call *call = calloc(1, sizeof(*call));

	assert_non_null(call);
	call->method = service_method_find(method);
	assert_non_null(call->method);
	call->request = request;
	snprintf(call->who.actor, sizeof(call->who.actor), "test");
	call->who.roles = ROLE_ADMIN;
	call->done = on_done;
	call->data = waiter_new();
	return call;
}

static struct call *post(struct service *service, const char *method, void *request,
			 uint64_t revision)
{
	struct call *call = make_call(method, request);

	call->if_match = revision;
	service_post(service, call);
	return call;
}

static void repost(struct service *service, struct call *call)
{
	call->data = waiter_new();
	service_post(service, call);
	help_wait(call);
}

void help_next(struct service *service, struct call *call)
{
	while (call->more) {
		repost(service, call);
		if (call->reply)
			return;
	}
}

struct call *help_post_session(struct service *service, const char *method, void *request,
			       uint64_t session)
{
	struct call *call = make_call(method, request);

	call->session = session;
	service_post(service, call);
	return call;
}

struct call *help_post(struct service *service, const char *method, void *request)
{
	return post(service, method, request, 0);
}

bool help_done(struct call *call)
{
	struct waiter *w = call->data;
	bool done;

	pthread_mutex_lock(&w->lock);
	done = w->done;
	pthread_mutex_unlock(&w->lock);
	return done;
}

void help_wait(struct call *call)
{
	struct waiter *w = call->data;

	pthread_mutex_lock(&w->lock);
	while (!w->done)
		pthread_cond_wait(&w->cond, &w->lock);
	pthread_mutex_unlock(&w->lock);
	pthread_cond_destroy(&w->cond);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

struct call *help_call(struct service *service, const char *method, void *request)
{
	return help_call_match(service, method, request, 0);
}

struct call *help_call_match(struct service *service, const char *method, void *request,
			     uint64_t revision)
{
	struct call *call = post(service, method, request, revision);

	help_wait(call);
	return call;
}
