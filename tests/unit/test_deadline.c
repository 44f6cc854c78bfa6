// SPDX-License-Identifier: Apache-2.0
// What a client does not want any more is not begun: calls whose deadline has passed, or that are cancelled, in the inbox.

#include "tests/unit/agent_help.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "agent/message.h"
#include "agent/state.h"
#include "croft/v1/operation.pb-c.h"
#include "croft/v1/vm.pb-c.h"

struct fixture {
	char *dir;
	struct config *config;
	struct service *service;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error error;

	f->dir = help_mkdir();
	f->config = help_config(f->dir);
	if (service_new(&f->service, f->config, &error) < 0)
		fail_msg("%s", error.message);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	service_free(f->service);
	config_free(f->config);
	help_rmdir(f->dir);
	free(f);
	return 0;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static unsigned int done;

static void on_done(struct call *call)
{
	(void)call;
	pthread_mutex_lock(&lock);
	done++;
	pthread_cond_signal(&cond);
	pthread_mutex_unlock(&lock);
}

static void wait_for(unsigned int n)
{
	pthread_mutex_lock(&lock);
	while (done < n)
		pthread_cond_wait(&cond, &lock);
	done = 0;
	pthread_mutex_unlock(&lock);
}

static struct call *call_new(const char *method)
{
	struct call *call = calloc(1, sizeof(*call));

	call->method = service_method_find(method);
	call->request = message_new(call->method->request);
	call->who.roles = ROLE_ADMIN;
	call->done = on_done;
	return call;
}

static struct call *create_call(const char *name)
{
	struct call *call = call_new("croft.v1.Vms/CreateVm");
	Croft__V1__CreateVmRequest *request = (void *)call->request;

	request->vm = message_new(&croft__v1__vm__descriptor);
	message_set_string(&request->vm->name, name);
	request->vm->spec = message_new(&croft__v1__vm_spec__descriptor);
	request->vm->spec->vcpus = 1;
	request->vm->spec->memory_bytes = 64 << 20;
	message_set_string(&request->vm->spec->image, "tiny");
	return call;
}

static enum error_code run(struct fixture *f, struct call *call)
{
	enum error_code code;

	service_post(f->service, call);
	wait_for(1);
	code = call->error.code;
	call_free(call);
	return code;
}

static enum error_code get(struct fixture *f, const char *name)
{
	struct call *call = call_new("croft.v1.Vms/GetVm");

	message_set_string(&((Croft__V1__GetVmRequest *)(void *)call->request)->name, name);
	return run(f, call);
}

static void test_deadline(void **state)
{
	struct fixture *f = *state;
	struct call *call = create_call("late");

	call->expires_ns = clock_ns() - 1;
	assert_int_equal(run(f, call), ERROR_DEADLINE);
	assert_int_equal(get(f, "late"), ERROR_NOT_FOUND);
	call = create_call("early");
	call->expires_ns = clock_ns() + 60000000000ull;
	/* It gets as far as the image, which is not there. */
	assert_int_not_equal(run(f, call), ERROR_DEADLINE);
}

/* The service thread is kept busy by a call of its own while another is posted and cancelled. */
static void busy(struct service *service, struct call *call)
{
	struct call *other = call->data;
	struct error error;

	service_post(service, other);
	service_cancel(service, other);
	error_raise(&error, ERROR_CONFLICT, "done");
	call_fail(service, call, &error);
}

static void test_cancelled_in_the_inbox(void **state)
{
	static const struct method method = { .name = "test/Busy",
					      .request = &croft__v1__get_vm_request__descriptor,
					      .reply = &croft__v1__vm__descriptor,
					      .handle = busy };
	struct fixture *f = *state;
	struct call *other = create_call("gone"), *call = calloc(1, sizeof(*call));

	call->method = &method;
	call->request = message_new(method.request);
	call->done = on_done;
	call->data = other;
	service_post(f->service, call);
	wait_for(2);
	assert_int_equal(call->error.code, ERROR_CONFLICT);
	assert_int_equal(other->error.code, ERROR_CANCELLED);
	call_free(call);
	call_free(other);
	assert_int_equal(get(f, "gone"), ERROR_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_cancelled_in_the_inbox),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
