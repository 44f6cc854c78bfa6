/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the agent's unit tests share: a scratch directory, a web server in memory, and a service with blocking calls.
 */
#ifndef CROFT_TESTS_UNIT_AGENT_HELP_H
#define CROFT_TESTS_UNIT_AGENT_HELP_H

#include "agent/config.h"
#include "agent/digest.h"
#include "agent/service.h"
#include "vmm/base.h"

/* A new directory below TMPDIR; removed with what is in it by help_rmdir(), which frees the name. */
char *help_mkdir(void);
void help_rmdir(char *dir);

/* Files of a web server on a free port of 127.0.0.1. */
struct help_page {
	const char *path; /* "/a" */
	const void *body;
	size_t size;
	const char *location; /* a redirect, when not NULL */
	bool stalls;	      /* half of the body comes, and then nothing */
};
struct help_web;
struct help_web *help_web_start(void);
void help_web_stop(struct help_web *web);
void help_web_add(struct help_web *web,
		  struct help_page page); /* replaces one of the same path; keeps pointers */
/* The URL of a path; a static buffer, good until the next call. */
const char *help_web_url(struct help_web *web, const char *path);

void help_sha256(char hex[DIGEST_HEX], const void *bytes, size_t n);

/* A configuration for the fake backend with state below dir; config_free() it. */
struct config *help_config(const char *dir);

/* Posts a call and waits for its answer; the caller frees it with call_free(). Takes the request. */
struct call *help_call(struct service *service, const char *method, void *request);
/* The same with If-Match. */
struct call *help_call_match(struct service *service, const char *method, void *request,
			     uint64_t revision);
/* The same without waiting. help_wait() waits for it. */
struct call *help_post(struct service *service, const char *method, void *request);
void help_wait(struct call *call);
bool help_done(struct call *call);
/* A stream's next message, past signs of life; without `reply` it has ended. */
void help_next(struct service *service, struct call *call);
/* A call that belongs to an attachment, posted without waiting. */
struct call *help_post_session(struct service *service, const char *method, void *request,
			       uint64_t session);

/* A small image that the fake backend takes, at /manifest.json of the web: kernel, initrd, disk "root". */
void help_web_image(struct help_web *web);

#endif
