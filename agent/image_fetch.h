/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetches an image over HTTP: the manifest, then each file that is not in the blob store yet.
 */
#ifndef CROFT_AGENT_IMAGE_FETCH_H
#define CROFT_AGENT_IMAGE_FETCH_H

#include "agent/job.h"
#include "croft/v1/image.pb-c.h"
#include "vmm/base.h"

#define IMAGE_FETCH_REDIRECTS	    5  /* of one request */
#define IMAGE_FETCH_CONNECT_SECONDS 15 /* until a connection must stand */

/* Once in a process before other threads exist, and once at its end. */
int image_fetch_init(struct error *err);
void image_fetch_exit(void);

/* That it is an http or https URL with a host and without a password in it; names `field`. */
int image_fetch_check_url(const char *field, const char *url, struct error *err);

struct image_fetch {
	const char *manifest_url;
	const char *manifest_sha256; /* "" for any */
	const char *blob_dir;	     /* exists; files get their SHA-256 as a name */
	unsigned int timeout;	     /* seconds without a byte */
	uint64_t size_max;	     /* bytes of all files together */
	/* Set before the job is cancelled when the same fetch will come again: what has arrived is left for it. */
	const atomic_bool *suspend;
};

/*
 * Runs on a job's thread: reports its progress there and ends soon after the job is cancelled. On success every file is in
 * blob_dir with the right digest, and *out tells what the image is. On failure nothing half-done stays, unless
 * `suspend` says so. What an earlier fetch has left of a file is gone on with by an HTTP range, and fetched anew when the
 * server cannot do that or the digest does not fit. The servers are not trusted. Errors: UNAVAILABLE, NOT_FOUND,
 * PERMISSION_DENIED, DEADLINE, INVALID_ARGUMENT (the manifest), CONFLICT (a digest or size that does not match),
 * RESOURCE_EXHAUSTED (full disk), CANCELLED.
 */
int image_fetch(struct job *job, const struct image_fetch *fetch, Croft__V1__ImageStatus **out,
		struct error *err);

#endif
