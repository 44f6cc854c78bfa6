// SPDX-License-Identifier: Apache-2.0
// Slow work on a thread of its own.

#include "agent/job.h"

#include <string.h>

#include "agent/state.h"

static void *run(void *arg)
{
	struct job *job = arg;

	job->work(job);
	service_tell(job->service, &job->ended);
	return NULL;
}

static void ended(struct service *service, struct message *message)
{
	struct job *job = CONTAINER_OF(message, struct job, ended);

	pthread_join(job->thread, NULL);
	service->jobs--;
	job->finish(service, job);
}

int job_start(struct service *service, struct job *job, const char *thread_name, struct error *err)
{
	char name[16];
	int r;

	job->service = service;
	job->ended = (struct message){ .handle = ended };
	r = pthread_create(&job->thread, NULL, run, job);
	if (r != 0)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, r, "start a thread");
	service->jobs++;
	snprintf(name, sizeof(name), "%.15s", thread_name);
	pthread_setname_np(job->thread, name);
	return 0;
}

void job_step(struct job *job, const char *fmt, ...)
{
	va_list ap;

	pthread_mutex_lock(&job->service->lock);
	va_start(ap, fmt);
	vsnprintf(job->step, sizeof(job->step), fmt, ap);
	va_end(ap);
	pthread_mutex_unlock(&job->service->lock);
}

void job_step_read(struct job *job, char *out, size_t size)
{
	pthread_mutex_lock(&job->service->lock);
	snprintf(out, size, "%s", job->step);
	pthread_mutex_unlock(&job->service->lock);
}

int job_check(struct job *job, struct error *err)
{
	if (atomic_load(&job->cancel))
		return error_raise(err, ERROR_CANCELLED, "cancelled");
	return 0;
}
