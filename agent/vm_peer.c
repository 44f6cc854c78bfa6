// SPDX-License-Identifier: Apache-2.0
// The host's side of a run's devices: checks, makes and gives back.

#include "agent/vm_peer.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "agent/allow.h"
#include "agent/config.h"
#include "agent/state.h"
#include "agent/vm.h"
#include "agent/vm_run.h"

#define VHOST_VSOCK "/dev/vhost-vsock"
#define CID_MIN	    3u
#define PATIENCE_MS 5000 /* with a process whose socket is closed */

/* --- Checks, on the service thread --- */

static int set_field(struct error *err, const char *list, size_t i, const char *part)
{
	snprintf(err->field, sizeof(err->field), "/spec/%s/%zu%s%s", list, i, part[0] ? "/" : "",
		 part);
	return -EINVAL;
}

static int check_networks(const Croft__V1__VmSpec *spec, struct error *err)
{
	for (size_t i = 0; i < spec->n_networks; i++) {
		if (spec->networks[i]->kind == CROFT__V1__NETWORK_SPEC__KIND__tap ||
		    vm_net_has_passt())
			continue;
		error_raise(err, ERROR_UNAVAILABLE,
			    "network \"%s\": passt is not installed, which kind user needs",
			    spec->networks[i]->name);
		return set_field(err, "networks", i, "");
	}
	return 0;
}

/* The VM, other than `vm`, that runs with the device. */
static const struct vm_record *user_of(const struct service *service, const struct vm_record *vm,
				       dev_t device)
{
	for (size_t i = 0; i < service->vms.count; i++) {
		const struct vm_record *other = service->vms.entries[i].record;
		const struct vm_plan *plan = other->run ? &other->run->plan : NULL;

		for (unsigned int j = 0; plan && other != vm && j < plan->disk_count; j++)
			if (plan->disks[j].block && plan->disks[j].device == device)
				return other;
	}
	return NULL;
}

static int check_device(const struct service *service, const struct vm_record *vm, size_t index,
			struct error *err)
{
	const Croft__V1__VmSpec *spec = vm->msg->spec;
	const struct vm_record *other;
	dev_t device, earlier;
	int r = allow_find_device(service->config, spec->disks[index]->block_device, &device, err);

	if (r < 0) {
		if (err->code == ERROR_NOT_FOUND)
			err->code = ERROR_UNAVAILABLE;
		return r;
	}
	other = user_of(service, vm, device);
	if (other)
		return error_raise(err, ERROR_CONFLICT, "%.150s is used by VM \"%s\"",
				   spec->disks[index]->block_device, other->msg->name);
	for (size_t i = 0; i < index; i++)
		if (spec->disks[i]->block_device[0] &&
		    allow_find_device(service->config, spec->disks[i]->block_device, &earlier,
				      NULL) == 0 &&
		    earlier == device)
			return error_raise(err, ERROR_CONFLICT, "%.150s is disk \"%s\", too",
					   spec->disks[index]->block_device, spec->disks[i]->name);
	return 0;
}

static int check_devices(const struct service *service, const struct vm_record *vm,
			 struct error *err)
{
	const Croft__V1__VmSpec *spec = vm->msg->spec;

	for (size_t i = 0; i < spec->n_disks; i++)
		if (spec->disks[i]->block_device[0] && check_device(service, vm, i, err) < 0)
			return set_field(err, "disks", i, "block_device");
	return 0;
}

/* Another VM runs with that context id, or, when `wished` is set, wants to. */
static const struct vm_record *holder_of(const struct service *service, const struct vm_record *vm,
					 uint32_t cid, bool wished)
{
	for (size_t i = 0; i < service->vms.count; i++) {
		const struct vm_record *other = service->vms.entries[i].record;
		const Croft__V1__VsockSpec *vsock = other->msg->spec->vsock;

		if (other != vm && ((other->run && other->run->plan.cid == cid) ||
				    (wished && vsock && vsock->cid == cid)))
			return other;
	}
	return NULL;
}

bool vm_peers_by_kernel(const Croft__V1__VsockSpec *vsock)
{
	if (vsock->transport != CROFT__V1__VSOCK_SPEC__TRANSPORT__TRANSPORT_UNSPECIFIED)
		return vsock->transport == CROFT__V1__VSOCK_SPEC__TRANSPORT__kernel;
	return access(VHOST_VSOCK, R_OK | W_OK) == 0;
}

uint32_t vm_peers_choose_cid(struct service *service, const struct vm_record *vm)
{
	const Croft__V1__VsockSpec *vsock = vm->msg->spec->vsock;
	uint32_t cid = CID_MIN;

	if (!vsock)
		return 0;
	if (vsock->cid)
		return vsock->cid;
	while (holder_of(service, vm, cid, true))
		cid++;
	return cid;
}

static int check_vsock(const struct service *service, const struct vm_record *vm, struct error *err)
{
	const Croft__V1__VsockSpec *vsock = vm->msg->spec->vsock;
	const struct vm_record *other;

	if (!vsock)
		return 0;
	other = vsock->cid ? holder_of(service, vm, vsock->cid, false) : NULL;
	if (other) {
		error_raise(err, ERROR_CONFLICT, "context id %u is that of VM \"%s\", which runs",
			    vsock->cid, other->msg->name);
		snprintf(err->field, sizeof(err->field), "/spec/vsock/cid");
		return -EEXIST;
	}
	if (vm_peers_by_kernel(vsock) && access(VHOST_VSOCK, R_OK | W_OK) < 0) {
		error_raise_errno(err, ERROR_UNAVAILABLE, errno, "%s", VHOST_VSOCK);
		snprintf(err->field, sizeof(err->field), "/spec/vsock/transport");
		return -ENODEV;
	}
	return 0;
}

int vm_peers_check(struct service *service, const struct vm_record *vm, struct error *err)
{
	int r = check_networks(vm->msg->spec, err);

	if (r == 0)
		r = check_devices(service, vm, err);
	return r < 0 ? r : check_vsock(service, vm, err);
}

/* --- Processes --- */

/* Whether it has ended, or is none, without waiting. */
static bool reap(int *pid)
{
	if (!*pid || waitpid(*pid, NULL, WNOHANG) == 0)
		return false;
	*pid = 0;
	return true;
}

bool vm_peers_reap(struct vm_peers *peers)
{
	bool any = false;

	for (unsigned int i = 0; i < peers->net_count; i++) {
		if (!reap(&peers->nets[i].pid))
			continue;
		peers->nets[i].gone = true;
		any = true;
	}
	for (unsigned int i = 0; i < peers->share_count; i++)
		any = reap(&peers->shares[i].pid) || any;
	return any;
}

static void wait_for(int *pid)
{
	_cleanup_close_ int fd = -1;
	struct pollfd ended = { .events = POLLIN };

	if (!*pid)
		return;
	fd = pidfd_open(*pid, 0);
	ended.fd = fd;
	if (fd < 0 || poll(&ended, 1, PATIENCE_MS) <= 0)
		kill(*pid, SIGKILL);
	while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
		;
	*pid = 0;
}

/* --- The jobs --- */

static int open_networks(struct vm_peers *peers, const struct vm_plan *plan, struct error *err)
{
	for (size_t i = 0; i < plan->spec->n_networks; i++) {
		struct vm_net *net = &peers->nets[peers->net_count];

		if (vm_net_open(net, plan->spec->networks[i], err) < 0)
			return set_field(err, "networks", i, "");
		peers->net_count++;
	}
	return 0;
}

static int open_share(struct vm_share *share, const struct config *config,
		      const Croft__V1__ShareSpec *spec, struct error *err)
{
	_cleanup_close_ int directory = -1;
	int r;

	*share = (struct vm_share){ .fd = -1 };
	r = allow_open_share(config, spec->path, &directory, err);
	if (r < 0 && err->code == ERROR_NOT_FOUND)
		err->code = ERROR_CONFLICT;
	if (r == 0)
		r = vmm_fs_start(directory, spec->read_only, &share->fd, &share->pid, err);
	return r < 0 ? error_widen(err, "share \"%s\"", spec->name) : 0;
}

static int open_shares(struct vm_peers *peers, const struct vm_plan *plan, struct error *err)
{
	for (size_t i = 0; i < plan->spec->n_shares; i++) {
		if (open_share(&peers->shares[peers->share_count], plan->config,
			       plan->spec->shares[i], err) < 0)
			return set_field(err, "shares", i, "");
		peers->share_count++;
	}
	return 0;
}

/* The folder of the vsocks' sockets is the agent's alone. */
static int make_socket_dir(const struct vm_plan *plan, struct error *err)
{
	_cleanup_free_ char *dir = plan->vsock_path ? strdup(plan->vsock_path) : NULL;
	struct stat st;

	if (!plan->vsock_path)
		return 0;
	if (!dir)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	*strrchr(dir, '/') = '\0';
	if ((mkdir(plan->config->runtime_dir, 0755) < 0 && errno != EEXIST) ||
	    (mkdir(dir, 0700) < 0 && errno != EEXIST) || lstat(dir, &st) < 0)
		return error_raise_errno(err, ERROR_INTERNAL, errno, "make %s", dir);
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
		return error_raise(err, ERROR_CONFLICT,
				   "%s is no directory that is the agent's alone", dir);
	return 0;
}

int vm_peers_open(struct vm_peers *peers, const struct vm_plan *plan, struct error *err)
{
	int r = make_socket_dir(plan, err);

	if (r == 0)
		r = open_networks(peers, plan, err);
	return r < 0 ? r : open_shares(peers, plan, err);
}

void vm_peers_hand_over(struct vm_peers *peers)
{
	for (unsigned int i = 0; i < peers->net_count; i++)
		peers->nets[i].fd = base_close(peers->nets[i].fd);
	for (unsigned int i = 0; i < peers->share_count; i++)
		peers->shares[i].fd = base_close(peers->shares[i].fd);
}

void vm_peers_close(struct vm_peers *peers)
{
	vm_peers_hand_over(peers);
	for (unsigned int i = 0; i < peers->net_count; i++)
		wait_for(&peers->nets[i].pid);
	for (unsigned int i = 0; i < peers->share_count; i++)
		wait_for(&peers->shares[i].pid);
}
