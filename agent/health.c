// SPDX-License-Identifier: Apache-2.0
// What the node is and how it does.

#include "agent/health.h"

#include <sys/statvfs.h>

#include "agent/config.h"
#include "agent/message.h"
#include "agent/state.h"
#include "vmm/vmm.h"

uint64_t health_memory_total(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

	return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
}

/* --- Checks --- */

static void check_store(struct service *service, struct error *err)
{
	store_committed(service->store, err);
}

static void check_hypervisor(struct service *service, struct error *err)
{
	struct vmm_host host;

	vmm_host_probe(service->config->backend, &host, err);
}

static void check_images(struct service *service, struct error *err)
{
	struct statvfs st;

	if (access(service->blob_dir, W_OK | X_OK) < 0 || statvfs(service->blob_dir, &st) < 0)
		error_raise_errno(err, ERROR_UNAVAILABLE, errno, "%s", service->blob_dir);
	else if (st.f_blocks > 0 && st.f_bavail == 0)
		error_raise(err, ERROR_UNAVAILABLE, "%s: the file system is full",
			    service->blob_dir);
}

/* That this runs at all is what "live" asks for. */
static void check_service(struct service *service, struct error *err)
{
	(void)service;
	(void)err;
}

static const struct {
	const char *name;
	bool live, ready;
	void (*check)(struct service *service, struct error *err);
} checks[] = {
	{ "service", true, false, check_service },
	{ "store", false, true, check_store },
	{ "hypervisor", false, true, check_hypervisor },
	{ "images", false, true, check_images },
};

Croft__V1__Health *health_check(struct service *service, bool ready)
{
	Croft__V1__Health *health = message_new(&croft__v1__health__descriptor);

	if (!health)
		return NULL;
	health->ok = true;
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		struct error error = { .code = ERROR_NONE };
		Croft__V1__HealthCheck *check;

		if (!(ready ? checks[i].ready : checks[i].live))
			continue;
		check = message_new(&croft__v1__health_check__descriptor);
		if (!check || message_append(&health->checks, &health->n_checks, check) < 0) {
			message_free(check);
			return message_free(health);
		}
		checks[i].check(service, &error);
		message_set_string(&check->name, checks[i].name);
		check->ok = error.code == ERROR_NONE;
		message_set_string(&check->message, error.message);
		health->ok = health->ok && check->ok;
	}
	return health;
}
