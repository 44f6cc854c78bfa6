// SPDX-License-Identifier: Apache-2.0
// What the node is and how it does.

#include "agent/health.h"

#include <sys/statvfs.h>
#include <time.h>

#include "agent/config.h"
#include "agent/message.h"
#include "agent/state.h"
#include "agent/vm.h"
#include "vmm/vmm.h"

uint64_t health_memory_total(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

	return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
}

static int64_t boot_seconds(void)
{
	struct timespec now, up;

	clock_gettime(CLOCK_REALTIME, &now);
	clock_gettime(CLOCK_BOOTTIME, &up);
	return now.tv_sec - up.tv_sec;
}

static unsigned int vms_running(const struct service *service)
{
	unsigned int n = 0;

	for (size_t i = 0; i < service->vms.count; i++)
		n += vm_record_vmm(service->vms.entries[i].record) != NULL;
	return n;
}

Croft__V1__Node *health_node(struct service *service)
{
	Croft__V1__Node *node = message_new(&croft__v1__node__descriptor);
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct vmm_host host = { .memory_available = 0 };
	char name[256] = "";

	if (node)
		node->status = message_new(&croft__v1__node_status__descriptor);
	if (!node || !node->status)
		return message_free(node);
	gethostname(name, sizeof(name) - 1);
	message_set_string(&node->name, name);
	message_set_time(&node->boot_time, boot_seconds(), 0);
	message_set_string(&node->status->hypervisor,
			   service->config->backend == VMM_BACKEND_FAKE ? "fake" : "gunyah");
	node->status->cpus = cpus > 0 ? (uint32_t)cpus : 0;
	node->status->memory_total_bytes = health_memory_total();
	node->status->vms_running = vms_running(service);
	/* Without a hypervisor no VM can be given anything: both stay 0, and /readyz says why. */
	if (vmm_host_probe(service->config->backend, &host, NULL) == 0) {
		node->status->vcpus_max = host.vcpus_max;
		node->status->memory_available_bytes = host.memory_available;
	}
	return node;
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
