// SPDX-License-Identifier: Apache-2.0
// How the service comes up and goes down; going down is the reverse of coming up.

#include "agent/service_life.h"

#include <string.h>
#include <sys/stat.h>

#include "agent/audit.h"
#include "agent/config.h"
#include "agent/event.h"
#include "agent/image.h"
#include "agent/image_fetch.h"
#include "agent/log.h"
#include "agent/message.h"
#include "agent/node.h"
#include "agent/trash.h"
#include "agent/tuning.h"
#include "agent/vm.h"
#include "agent/vm_restart.h"

#define STORE_PATIENCE_NS 5000000000ull /* for what cannot be stored at the end */

/* --- The trash --- */

struct trash_job {
	struct job job;
	const char *dirs[2];
};

static void trash_work(struct job *job)
{
	const struct trash_job *t = CONTAINER_OF(job, struct trash_job, job);

	for (size_t i = 0; i < ARRAY_SIZE(t->dirs); i++)
		trash_empty(t->dirs[i]);
}

static void trash_finish(struct service *service, struct job *job)
{
	free(CONTAINER_OF(job, struct trash_job, job));
	service->emptying = false;
	if (service->empty_wanted)
		service_empty_trash(service);
}

void service_empty_trash(struct service *service)
{
	struct trash_job *t;
	struct error error;

	service->empty_wanted = service->emptying;
	if (service->emptying)
		return;
	t = calloc(1, sizeof(*t));
	if (!t)
		return;
	*t = (struct trash_job){ .job = { .work = trash_work, .finish = trash_finish },
				 .dirs = { service->blob_dir, service->vm_dir } };
	if (job_start(service, &t->job, "trash", &error) < 0) {
		log_warning("deleted files stay until the next deletion: %s", error.message);
		free(t);
		return;
	}
	service->emptying = true;
}

/* --- Coming up --- */

static int make_dir(char **out, const char *state_dir, const char *name, struct error *err)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s%s%s", state_dir, name[0] ? "/" : "", name) < 0) {
		path = NULL;
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	}
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_raise_errno(err, ERROR_UNAVAILABLE, errno, "make the directory %s",
					 path);
	if (out)
		*out = TAKE_PTR(path);
	return 0;
}

static void store_news(void *data)
{
	service_nudge(data);
}

static int load(struct service *service, struct error *err)
{
	int r = store_load_counter(service->store, "revision", &service->revision, err);

	if (r == 0)
		r = store_load_counter(service->store, "operation", &service->operation_number,
				       err);
	if (r == 0)
		r = events_load(service, err);
	if (r == 0)
		r = audit_load(service, err);
	if (r == 0)
		r = idempotency_load(service, err);
	if (r == 0)
		r = operations_load(service, err);
	if (r == 0)
		r = tuning_load(service, err);
	if (r == 0)
		r = node_load(service, err);
	if (r == 0)
		r = image_records_load(service, err);
	if (r == 0)
		r = vm_records_load(service, err);
	if (r == 0)
		r = vm_restarts_load(service, err);
	if (r == 0)
		r = desired_load(service, err);
	return r;
}

static int open_state(struct service *service, struct error *err)
{
	const char *state_dir = service->config->state_dir;
	_cleanup_free_ char *path = NULL;
	int r = make_dir(NULL, state_dir, "", err);

	if (r == 0)
		r = make_dir(&service->blob_dir, state_dir, "blobs", err);
	if (r == 0)
		r = make_dir(&service->vm_dir, state_dir, "vms", err);
	if (r == 0 && asprintf(&path, "%s/croft.db", state_dir) < 0) {
		path = NULL;
		r = error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	}
	if (r == 0)
		r = store_open(&service->store, path, err);
	if (r == 0)
		r = load(service, err);
	if (r == 0)
		r = store_start(service->store, store_news, service, err);
	return r;
}

static void report_host(const struct service *service)
{
	struct vmm_host host;
	struct error error;

	if (vmm_host_probe(service->config->backend, &host, &error) < 0)
		log_warning("no VM can run yet: %s", error.message);
	else
		log_info("hypervisor %s: up to %u vCPUs a VM, %llu MiB of memory left",
			 host.backend, host.vcpus_max,
			 (unsigned long long)(host.memory_available >> 20));
}

void service_begin(struct service *service)
{
	image_records_resume(service);
	operations_settle(service);
	if (service->desired.doc)
		desired_apply(service);
	node_begin(service);
	vm_restarts_begin(service);
	vm_records_sweep(service);
	image_sweep(service);
}

static void service_freep(struct service **service)
{
	service_free(*service);
}

int service_new(struct service **out, const struct config *config, struct error *err)
{
	_cleanup_(service_freep) struct service *service = calloc(1, sizeof(*service));
	int r;

	if (!service)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	service->config = config;
	clock_gettime(CLOCK_REALTIME, &service->metrics.start);
	service->last_call = &service->calls;
	service->last_message = &service->messages;
	service->last_answer = &service->answers;
	service->last_deferred = &service->deferred;
	pthread_mutex_init(&service->lock, NULL);
	pthread_cond_init(&service->news, NULL);
	r = image_fetch_init(err);
	if (r == 0)
		r = open_state(service, err);
	if (r < 0)
		return r;
	report_host(service);
	r = pthread_create(&service->thread, NULL, service_run, service);
	if (r != 0)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, r,
					 "start the service's thread");
	service->running = true;
	*out = TAKE_PTR(service);
	return 0;
}

/* --- Going down --- */

static void give_up_storing(struct service *service, struct timer *timer)
{
	(void)timer;
	service->given_up = true;
}

void service_begin_stop(struct service *service)
{
	service->stopping = true;
	image_records_stop(service);
	vm_records_stop(service);
}

bool service_may_end(struct service *service)
{
	if (!service->stopping || service->jobs || service->runs)
		return false;
	if (service->given_up || (!service->answers && !service->deferred && !service->dirty))
		return !service->waiting;
	if (!service->patience.armed) {
		service->patience.fire = give_up_storing;
		timer_arm(service, &service->patience, STORE_PATIENCE_NS);
	}
	return false;
}

static void tell_stopped(struct service *service, struct call *call)
{
	error_raise(&call->error, ERROR_UNAVAILABLE, "the agent has stopped");
	service_close_stream(service, call);
	call->done(call);
}

/* The thread has ended: what still waits for the disk is told that it will not get there. */
static void answer_rest(struct service *service)
{
	struct call *call;

	while ((call = service->answers)) {
		service->answers = call->next;
		call->reply = message_free(call->reply);
		call->more = false;
		tell_stopped(service, call);
	}
	while ((call = service->calls)) {
		service->calls = call->next;
		if (!call->abandoned) {
			tell_stopped(service, call);
			continue;
		}
		service_close_stream(service, call);
		call_free(call);
	}
}

struct service *service_free(struct service *service)
{
	if (!service)
		return NULL;
	if (service->running) {
		pthread_mutex_lock(&service->lock);
		service->stop = true;
		pthread_mutex_unlock(&service->lock);
		service_nudge(service);
		pthread_join(service->thread, NULL);
		answer_rest(service);
	}
	while (service->deferred) {
		struct deferred *d = service->deferred;

		/* Files that stay are found by the next start's sweep. */
		service->deferred = d->next;
		free(d);
	}
	desired_free(service);
	vm_records_free(service);
	image_records_free(service);
	node_free(service);
	tuning_free(service);
	operations_free(service);
	idempotency_free(service);
	audit_free(service);
	events_free(service);
	service->store = store_free(service->store);
	image_fetch_exit();
	pthread_cond_destroy(&service->news);
	pthread_mutex_destroy(&service->lock);
	free(service->blob_dir);
	free(service->vm_dir);
	free(service);
	return NULL;
}
