/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slow work on a thread of its own, which the service starts and hears of again when it has ended.
 */
#ifndef CROFT_AGENT_JOB_H
#define CROFT_AGENT_JOB_H

#include <pthread.h>
#include <stdatomic.h>

#include "vmm/base.h"

struct service;

/* Something that another thread tells the service; `handle` runs on the service thread, and may free the message. */
struct message {
	struct message *next;
	void (*handle)(struct service *service, struct message *message);
};

/* Any thread; never fails. The message must not be posted already. */
void service_tell(struct service *service, struct message *message);

/*
 * Zeroed, then job_start(). `work` runs on the job's thread and may use what no one else uses meanwhile; it looks at
 * `cancel` wherever it can take long. `finish` runs on the service thread when work has returned and its thread is
 * joined, and may free the job.
 */
struct job {
	struct service *service;
	void (*work)(struct job *job);
	void (*finish)(struct service *service, struct job *job);
	pthread_t thread;
	atomic_bool cancel;			  /* any thread may set it */
	_Atomic uint64_t done_bytes, total_bytes; /* progress, for the operation */
	char step[96];				  /* under the service's lock: what it does now */
	struct message ended;
};

/* Service thread. On failure nothing has begun and finish is not called. */
int job_start(struct service *service, struct job *job, const char *thread_name, struct error *err);

/* Any thread. */
void job_step(struct job *job, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void job_step_read(struct job *job, char *out, size_t size);

/* ERROR_CANCELLED once `cancel` is set, else 0. */
int job_check(struct job *job, struct error *err);

#endif
