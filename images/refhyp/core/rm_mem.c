/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The memparcel messages of section 4.6, with every check in the order that the document gives.
 */
#include <string.h>

#include "core/rm.h"
#include "core/rm_rpc.h"

#define SGL_END (1ull << 44)

/* The lists of a message, in the message. */
struct list {
	const uint8_t *entries;
	unsigned int count;
	uint16_t second; /* half-word behind the count, which only ACCEPT looks at */
};

struct cursor {
	const uint8_t *data;
	size_t left;
};

/* Ranges of one message, neighbours joined; the lock of rm.c guards them. */
static struct sg runs[GH_RM_LIST_MAX];

/* A list that starts exactly at the end of the message is empty. */
static enum gh_rm_error next_list(struct cursor *c, size_t entry, struct list *list)
{
	struct gh_rm_list head;

	*list = (struct list){ .count = 0 };
	if (!c->left)
		return GH_RM_OK;
	if (c->left < sizeof(head))
		return GH_RM_ERROR_INVALID;
	memcpy(&head, c->data, sizeof(head));
	if (head.count > GH_RM_LIST_MAX)
		return GH_RM_ERROR_NORESOURCE;
	if (c->left - sizeof(head) < head.count * entry)
		return GH_RM_ERROR_INVALID;
	*list = (struct list){ c->data + sizeof(head), head.count, head.reserved };
	c->data += sizeof(head) + head.count * entry;
	c->left -= sizeof(head) + head.count * entry;
	return GH_RM_OK;
}

struct lists {
	struct list acl, sgl, attr;
};

static enum gh_rm_error read_lists(struct cursor c, struct lists *l)
{
	enum gh_rm_error err = next_list(&c, sizeof(struct gh_rm_acl), &l->acl);

	if (!err)
		err = next_list(&c, sizeof(struct gh_rm_sgl), &l->sgl);
	if (!err)
		err = next_list(&c, sizeof(struct gh_rm_mem_attr), &l->attr);
	return err || !c.left ? err : GH_RM_ERROR_INVALID;
}

static struct cursor after(const struct rm_call *call, size_t fixed)
{
	return (struct cursor){ call->data + fixed, call->size - fixed };
}

static struct gh_rm_acl acl_entry(const struct list *l, unsigned int i)
{
	struct gh_rm_acl e;

	memcpy(&e, l->entries + i * sizeof(e), sizeof(e));
	return e;
}

static struct gh_rm_sgl sgl_entry(const struct list *l, unsigned int i)
{
	struct gh_rm_sgl e;

	memcpy(&e, l->entries + i * sizeof(e), sizeof(e));
	return e;
}

/* --- Access lists and attributes --- */

static bool vmid_known(uint16_t vmid)
{
	/* 4 to 31 are the platform's; they need not exist yet. */
	return vmid == GH_VMID_PRIMARY || vmid == GH_VMID_RM ||
	       (vmid > GH_VMID_PRIMARY && vmid < 32) || rm_vm_find(vmid);
}

static bool rights_valid(uint8_t rights)
{
	return rights == GH_RM_ACL_R || rights == (GH_RM_ACL_R | GH_RM_ACL_X) ||
	       rights == (GH_RM_ACL_R | GH_RM_ACL_W) || rights == MEMPARCEL_RWX;
}

/* Fills the parcel's access list, which holds more than there are VMIDs. */
static enum gh_rm_error read_acl(const struct list *acl, struct memparcel *p)
{
	for (unsigned int i = 0; i < acl->count; i++) {
		struct gh_rm_acl e = acl_entry(acl, i);

		if (!vmid_known(e.vmid) || !rights_valid(e.rights) || memparcel_access(p, e.vmid) ||
		    p->access_count == MEMPARCEL_ACCESS_MAX)
			return GH_RM_ERROR_ARGUMENT_INVALID;
		p->access[p->access_count++] =
			(struct mem_access){ .vmid = e.vmid, .rights = e.rights };
	}
	return GH_RM_OK;
}

static enum gh_rm_error check_acl(struct memparcel *p, unsigned int mem_type)
{
	bool owner = memparcel_access(p, p->owner) != NULL;

	for (unsigned int i = 0; mem_type == GH_RM_MEM_IO && i < p->access_count; i++)
		if (p->access[i].rights & GH_RM_ACL_X)
			return GH_RM_ERROR_ARGUMENT_INVALID;
	if (p->trans == GH_RM_MEM_TRANS_DONATE &&
	    p->access[0].rights !=
		    (mem_type == GH_RM_MEM_IO ? GH_RM_ACL_R | GH_RM_ACL_W : MEMPARCEL_RWX))
		return GH_RM_ERROR_DENIED;
	return owner == (p->trans == GH_RM_MEM_TRANS_SHARE) ? GH_RM_OK
							    : GH_RM_ERROR_ARGUMENT_INVALID;
}

/*
 * Stage 2 maps normal memory write-back, so no parcel of it can be device or uncached for anyone.
 */
static enum gh_rm_error check_attrs(const struct list *attr, struct memparcel *p,
				    unsigned int mem_type)
{
	struct gh_rm_mem_attr e, other;

	for (unsigned int i = 0; i < attr->count; i++) {
		memcpy(&e, attr->entries + i * sizeof(e), sizeof(e));
		for (unsigned int j = 0; j < i; j++) {
			memcpy(&other, attr->entries + j * sizeof(other), sizeof(other));
			if (other.vmid == e.vmid)
				return GH_RM_ERROR_ARGUMENT_INVALID;
		}
		if (e.attr > GH_RM_MEM_ATTR_CACHED || e.attr == GH_RM_MEM_ATTR_UNCACHED ||
		    (e.attr == GH_RM_MEM_ATTR_DEVICE) != (mem_type == GH_RM_MEM_IO) ||
		    (e.attr != GH_RM_MEM_ATTR_NORMAL && p->trans == GH_RM_MEM_TRANS_DONATE))
			return GH_RM_ERROR_ARGUMENT_INVALID;
		if (!memparcel_access(p, e.vmid))
			return GH_RM_ERROR_VMID_INVALID;
	}
	return GH_RM_OK;
}

/* --- Ranges --- */

static enum gh_rm_error check_sgl(const struct list *sgl, unsigned int mem_type)
{
	for (unsigned int i = 0; i < sgl->count; i++) {
		struct gh_rm_sgl e = sgl_entry(sgl, i);

		if (!e.size || e.ipa % HYP_PAGE || e.size % HYP_PAGE || e.ipa >= SGL_END ||
		    e.size >= SGL_END)
			return GH_RM_ERROR_ARGUMENT_INVALID;
		/* The primary has no IO memory to give away. */
		if (mem_type == GH_RM_MEM_IO || !hyp_is_primary_ram(e.ipa, e.size))
			return GH_RM_ERROR_MEM_INVALID;
	}
	return GH_RM_OK;
}

/*
 * The primary's addresses are physical ones. Neighbours are joined, since each change of stage 2
 * has its price.
 */
static unsigned int join_sgl(const struct list *sgl)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < sgl->count; i++) {
		struct gh_rm_sgl e = sgl_entry(sgl, i);

		if (count && runs[count - 1].pa + runs[count - 1].size == e.ipa)
			runs[count - 1].size += e.size;
		else
			runs[count++] = (struct sg){ e.ipa, e.size };
	}
	return count;
}

static enum gh_rm_error add_sgl(struct memparcel *p, const struct list *sgl)
{
	return memparcel_add(p, runs, join_sgl(sgl));
}

/* --- DONATE, LEND, SHARE, APPEND --- */

static enum gh_rm_error new_parcel(struct rm_call *call, unsigned int trans)
{
	static struct memparcel model; /* the lock of rm.c guards it */
	struct gh_rm_mem_share request;
	struct memparcel *p;
	struct lists l;
	enum gh_rm_error err;

	memcpy(&request, call->data, sizeof(request));
	err = read_lists(after(call, sizeof(request)), &l);
	if (err)
		return err;
	if (!l.acl.count || !l.sgl.count || request.mem_type > GH_RM_MEM_IO ||
	    request.flags & ~(GH_RM_MEM_SHARE_SANITISE | GH_RM_MEM_SHARE_APPEND) ||
	    (trans == GH_RM_MEM_TRANS_DONATE && l.acl.count > 1))
		return GH_RM_ERROR_ARGUMENT_INVALID;
	if (memparcel_count(call->from) >= MEMPARCELS_MAX)
		return GH_RM_ERROR_DENIED;
	if (request.flags & GH_RM_MEM_SHARE_SANITISE && request.mem_type == GH_RM_MEM_IO)
		return GH_RM_ERROR_ARGUMENT_INVALID;

	memset(&model, 0, sizeof(model));
	model.state = request.flags & GH_RM_MEM_SHARE_APPEND ? MEMPARCEL_INIT : MEMPARCEL_COMPLETE;
	model.trans = (uint8_t)trans;
	model.owner = call->from;
	model.label = request.label;
	model.sanitise = request.flags & GH_RM_MEM_SHARE_SANITISE;
	err = read_acl(&l.acl, &model);
	if (!err)
		err = check_acl(&model, request.mem_type);
	if (!err)
		err = check_attrs(&l.attr, &model, request.mem_type);
	if (!err)
		err = check_sgl(&l.sgl, request.mem_type);
	/* No guest owns memory: what it has was lent, shared or donated by the primary's parcels. */
	if (!err && call->from != GH_VMID_PRIMARY)
		err = GH_RM_ERROR_MEM_INVALID;
	if (err)
		return err;

	p = memparcel_new(&model);
	if (!p)
		return GH_RM_ERROR_DENIED;
	err = add_sgl(p, &l.sgl);
	if (err)
		memparcel_reclaim(p, false); /* nothing in it: only its place is given back */
	else
		rm_put_u32(call, p->handle);
	return err;
}

enum gh_rm_error rm_mem_donate(struct rm_call *call)
{
	return new_parcel(call, GH_RM_MEM_TRANS_DONATE);
}

enum gh_rm_error rm_mem_lend(struct rm_call *call)
{
	return new_parcel(call, GH_RM_MEM_TRANS_LEND);
}

enum gh_rm_error rm_mem_share(struct rm_call *call)
{
	return new_parcel(call, GH_RM_MEM_TRANS_SHARE);
}

enum gh_rm_error rm_mem_append(struct rm_call *call)
{
	struct cursor c = after(call, sizeof(struct gh_rm_mem_append));
	struct gh_rm_mem_append request;
	struct memparcel *p;
	struct list sgl;
	enum gh_rm_error err = next_list(&c, sizeof(struct gh_rm_sgl), &sgl);

	memcpy(&request, call->data, sizeof(request));
	if (err || c.left)
		return err ? err : GH_RM_ERROR_INVALID;
	if (!sgl.count || request.flags & ~GH_RM_MEM_APPEND_DONE)
		return GH_RM_ERROR_ARGUMENT_INVALID;
	p = memparcel_find(request.handle);
	if (!p)
		return GH_RM_ERROR_HANDLE_INVALID;
	if (p->owner != call->from || p->state != MEMPARCEL_INIT)
		return GH_RM_ERROR_DENIED;
	err = check_sgl(&sgl, GH_RM_MEM_NORMAL);
	if (!err)
		err = add_sgl(p, &sgl);
	if (!err && request.flags & GH_RM_MEM_APPEND_DONE)
		p->state = MEMPARCEL_COMPLETE;
	return err;
}

/* --- ACCEPT, RELEASE, RECLAIM --- */

static bool same_acl(const struct list *acl, struct memparcel *p)
{
	for (unsigned int i = 0; i < acl->count; i++) {
		struct gh_rm_acl e = acl_entry(acl, i);
		const struct mem_access *a = memparcel_access(p, e.vmid);

		if (!a || a->rights != e.rights)
			return false;
	}
	return acl->count == p->access_count;
}

/* Ranges where the guest wants what follows of the parcel. */
static enum gh_rm_error place(struct memparcel *p, struct mem_access *a, const struct list *sgl)
{
	for (unsigned int i = 0; i < sgl->count; i++) {
		struct gh_rm_sgl e = sgl_entry(sgl, i);

		if (!e.size || e.ipa % HYP_PAGE || e.size % HYP_PAGE || e.ipa >= SGL_END ||
		    e.size > p->size - a->placed)
			return GH_RM_ERROR_ARGUMENT_INVALID;
		if (!memparcel_place(a, e.ipa, e.size))
			return GH_RM_ERROR_NORESOURCE;
	}
	return GH_RM_OK;
}

/* The guest leaves to us where the rest goes, and is told: one range, or none when there is no rest, and nothing follows. */
static enum gh_rm_error place_rest(struct rm_call *call, struct memparcel *p, struct mem_access *a)
{
	struct gh_rm_sgl rest = { .size = p->size - a->placed };

	rm_put_u32(call, rest.size > 0);
	if (!rest.size)
		return GH_RM_OK;
	rest.ipa = rm_vm_buffer_place(rm_vm_find(call->from), p, rest.size);
	rm_put(call, &rest, sizeof(rest));
	return memparcel_place(a, rest.ipa, rest.size) ? GH_RM_OK : GH_RM_ERROR_NORESOURCE;
}

/* Takes down where the guest wants the parcel; maps it when it says that this was all. */
static enum gh_rm_error accept(struct rm_call *call, struct memparcel *p, const struct list *sgl,
			       uint8_t flags)
{
	struct rm_vm *vm = rm_vm_find(call->from);
	struct mem_access *a = memparcel_access(p, call->from);
	enum gh_rm_error err;

	if (!vm || !vm->hyp || p->state != MEMPARCEL_COMPLETE || a->role != MEM_NOT_ACCEPTED)
		return GH_RM_ERROR_DENIED;
	err = sgl->count ? place(p, a, sgl) : place_rest(call, p, a);
	if (!err && a->places && flags & GH_RM_MEM_ACCEPT_CONTIGUOUS)
		err = GH_RM_ERROR_ARGUMENT_INVALID;
	if (!err && !(flags & GH_RM_MEM_ACCEPT_DONE))
		return GH_RM_OK;
	if (!err && a->placed != p->size)
		err = GH_RM_ERROR_ARGUMENT_INVALID;
	if (err)
		memparcel_unplace(a);
	else if (rm_vm_accept_placed(vm, p, MEM_BUFFER))
		err = sgl->count ? GH_RM_ERROR_MAP_FAILED : GH_RM_ERROR_NORESOURCE;
	else if (flags & GH_RM_MEM_ACCEPT_SANITISE)
		memparcel_clear(p);
	return err;
}

static enum gh_rm_error check_accept(const struct rm_call *call, struct memparcel *p,
				     const struct gh_rm_mem_accept *request, const struct lists *l)
{
	const struct mem_access *a = memparcel_access(p, call->from);

	if (request->mem_type != GH_RM_MEM_NORMAL || request->trans_type != p->trans)
		return GH_RM_ERROR_ARGUMENT_INVALID;
	if ((request->flags & GH_RM_MEM_ACCEPT_CHECK_SANITISED && !p->sanitise) ||
	    (request->flags & GH_RM_MEM_ACCEPT_CHECK_ACL && !same_acl(&l->acl, p)) ||
	    (request->flags & GH_RM_MEM_ACCEPT_CHECK_LABEL && request->label != p->label))
		return GH_RM_ERROR_VALIDATE_FAILED;
	if (request->flags & GH_RM_MEM_ACCEPT_MAP_OTHER)
		return GH_RM_ERROR_DENIED;
	/* For whom it is mapped: for the caller. */
	if (l->sgl.second)
		return GH_RM_ERROR_ARGUMENT_INVALID;
	if (!a)
		return GH_RM_ERROR_VMID_INVALID;
	if (p->owner == call->from)
		return GH_RM_ERROR_DENIED;
	if (request->flags & GH_RM_MEM_ACCEPT_SANITISE && !(a->rights & GH_RM_ACL_W))
		return GH_RM_ERROR_ARGUMENT_INVALID;
	return GH_RM_OK;
}

enum gh_rm_error rm_mem_accept(struct rm_call *call)
{
	struct gh_rm_mem_accept request;
	struct memparcel *p;
	struct lists l;
	enum gh_rm_error err = read_lists(after(call, sizeof(request)), &l);

	memcpy(&request, call->data, sizeof(request));
	if (err)
		return err;
	p = memparcel_find(request.handle);
	if (!p)
		return GH_RM_ERROR_HANDLE_INVALID;
	err = check_accept(call, p, &request, &l);
	return err ? err : accept(call, p, &l.sgl, request.flags);
}

enum gh_rm_error rm_mem_release(struct rm_call *call)
{
	struct gh_rm_mem_handle request;
	struct mem_access *a;
	struct memparcel *p;

	memcpy(&request, call->data, sizeof(request));
	p = memparcel_find(request.handle);
	if (!p)
		return GH_RM_ERROR_HANDLE_INVALID;
	a = memparcel_access(p, call->from);
	/* What the guest runs in stays. */
	if (p->owner == call->from || !a || a->role == MEM_PRIVATE)
		return GH_RM_ERROR_DENIED;
	if (a->role == MEM_NOT_ACCEPTED)
		return GH_RM_ERROR_MEM_RELEASED;
	if (request.flags & ~GH_RM_MEM_SANITISE ||
	    (request.flags & GH_RM_MEM_SANITISE && !(a->rights & GH_RM_ACL_W)))
		return GH_RM_ERROR_ARGUMENT_INVALID;
	memparcel_unmap(p, a, rm_vm_find(call->from)->hyp);
	/* When none of its vCPUs can write there any more. */
	if (request.flags & GH_RM_MEM_SANITISE)
		memparcel_clear(p);
	return GH_RM_OK;
}

enum gh_rm_error rm_mem_reclaim(struct rm_call *call)
{
	struct gh_rm_mem_handle request;
	struct memparcel *p;

	memcpy(&request, call->data, sizeof(request));
	p = memparcel_find(request.handle);
	if (!p)
		return GH_RM_ERROR_HANDLE_INVALID;
	if (p->owner != call->from)
		return GH_RM_ERROR_DENIED;
	if (request.flags & ~GH_RM_MEM_SANITISE)
		return GH_RM_ERROR_ARGUMENT_INVALID;
	if (memparcel_accepted(p))
		return GH_RM_ERROR_MEM_INUSE;
	return memparcel_reclaim(p, request.flags & GH_RM_MEM_SANITISE);
}

/* --- NOTIFY --- */

/*
 * We accept for a recipient that is READY and has a vdevice for the parcel; the owner hears how it
 * went.
 */
static void accept_for(struct rm_vm *vm, struct memparcel *p, uint32_t tag)
{
	const struct mem_access *a = memparcel_access(p, vm->vmid);
	bool ok = a->role != MEM_NOT_ACCEPTED;
	struct gh_rm_mem_event event = { .handle = p->handle, .vmid = vm->vmid, .tag = tag };

	for (unsigned int i = 0; !ok && i < vm->config.vdevs; i++)
		if (vm->config.vdev[i].type == RM_VDEV_SHM &&
		    vm->config.vdev[i].mem_label == p->label)
			ok = p->state == MEMPARCEL_COMPLETE &&
			     rm_vm_accept_buffer(vm, p) == GH_ERROR_OK;
	rm_notify(p->owner, ok ? GH_RM_NOTIFY_MEM_ACCEPTED : GH_RM_NOTIFY_MEM_RELEASED, &event,
		  sizeof(event));
}

/* MEM_SHARED: the parcel as its recipient needs to know it. */
static void tell_shared(const struct rm_vm *vm, const struct memparcel *p, uint32_t tag)
{
	struct {
		uint32_t handle;
		uint8_t mem_type, trans_type, flags, zero;
		uint16_t owner, reserved;
		uint32_t label, tag;
		uint16_t acls, reserved2;
	} __attribute__((packed)) head = {
		.handle = p->handle,
		.trans_type = p->trans,
		.flags = p->sanitise,
		.owner = p->owner,
		.label = p->label,
		.tag = tag,
		.acls = (uint16_t)p->access_count,
	};
	const uint32_t one = 1, none = 0;
	uint8_t payload[RM_NOTIFY_MAX];
	size_t at = sizeof(head);

	_Static_assert(sizeof(head) + MEMPARCEL_ACCESS_MAX * sizeof(struct gh_rm_acl) <=
			       RM_NOTIFY_MAX,
		       "the largest access list");
	memcpy(payload, &head, sizeof(head));
	for (unsigned int i = 0; i < p->access_count; i++) {
		struct gh_rm_acl e = { .vmid = p->access[i].vmid, .rights = p->access[i].rights };

		memcpy(payload + at, &e, sizeof(e));
		at += sizeof(e);
	}
	/* One size, and no attributes, unless the access list takes their place. */
	if (at + sizeof(one) + sizeof(p->size) + sizeof(none) <= sizeof(payload)) {
		memcpy(payload + at, &one, sizeof(one));
		memcpy(payload + at + sizeof(one), &p->size, sizeof(p->size));
		memcpy(payload + at + sizeof(one) + sizeof(p->size), &none, sizeof(none));
		at += sizeof(one) + sizeof(p->size) + sizeof(none);
	}
	rm_notify(vm->vmid, GH_RM_NOTIFY_MEM_SHARED, payload, at);
}

/* How one recipient hears of it: by us when it has no way to act yet, else by its link. */
static bool can_hear(const struct rm_vm *vm, bool shared)
{
	return vm && ((shared && vm->state == GH_RM_VM_STATE_READY) ||
		      (vm->state == GH_RM_VM_STATE_RUNNING && rm_rpc_has(vm->vmid)));
}

static void notify_one(struct rm_vm *vm, struct memparcel *p, bool shared, uint32_t tag)
{
	const uint32_t recall[2] = { p->handle, tag };

	if (vm->state == GH_RM_VM_STATE_READY)
		accept_for(vm, p, tag);
	else if (shared)
		tell_shared(vm, p, tag);
	else
		rm_notify(vm->vmid, GH_RM_NOTIFY_MEM_RECALL, recall, sizeof(recall));
}

static enum gh_rm_error notify_each(struct memparcel *p, const struct list *to, bool shared,
				    uint32_t tag)
{
	/* All recipients must be there and able to hear it before anything happens. */
	for (unsigned int i = 0; i < to->count; i++) {
		struct gh_rm_acl e = acl_entry(to, i);

		if (!memparcel_access(p, e.vmid))
			return GH_RM_ERROR_ARGUMENT_INVALID;
		if (!can_hear(rm_vm_find(e.vmid), shared))
			return GH_RM_ERROR_NORESOURCE;
	}
	for (unsigned int i = 0; i < to->count; i++)
		notify_one(rm_vm_find(acl_entry(to, i).vmid), p, shared, tag);
	return GH_RM_OK;
}

/* A recipient tells the owner. */
static enum gh_rm_error notify_owner(const struct rm_call *call, struct memparcel *p,
				     const struct gh_rm_mem_notify *request)
{
	struct gh_rm_mem_event event = { .handle = p->handle,
					 .vmid = call->from,
					 .tag = request->tag };

	if (!memparcel_access(p, call->from))
		return GH_RM_ERROR_DENIED;
	rm_notify(p->owner,
		  request->flags == GH_RM_MEM_NOTIFY_ACCEPTED ? GH_RM_NOTIFY_MEM_ACCEPTED
							      : GH_RM_NOTIFY_MEM_RELEASED,
		  &event, sizeof(event));
	return GH_RM_OK;
}

static bool one_flag(uint8_t flags)
{
	return flags && !(flags & (flags - 1)) && flags <= GH_RM_MEM_NOTIFY_RECALL;
}

enum gh_rm_error rm_mem_notify(struct rm_call *call)
{
	struct cursor c = after(call, sizeof(struct gh_rm_mem_notify));
	struct gh_rm_mem_notify request;
	struct memparcel *p;
	struct list to;
	enum gh_rm_error err = next_list(&c, sizeof(struct gh_rm_acl), &to);

	memcpy(&request, call->data, sizeof(request));
	if (err || c.left)
		return err ? err : GH_RM_ERROR_INVALID;
	p = memparcel_find(request.handle);
	if (!p)
		return GH_RM_ERROR_HANDLE_INVALID;
	if (!one_flag(request.flags))
		return GH_RM_ERROR_ARGUMENT_INVALID;
	/*
	 * SHARED and RECALL are the owner's; the others those of a recipient, which the owner never
	 * is.
	 */
	if ((p->owner == call->from) !=
	    !!(request.flags & (GH_RM_MEM_NOTIFY_SHARED | GH_RM_MEM_NOTIFY_RECALL)))
		return GH_RM_ERROR_DENIED;
	if (p->tagged && p->tag != request.tag)
		return GH_RM_ERROR_ARGUMENT_INVALID;
	if (p->owner != call->from)
		return notify_owner(call, p, &request);
	if (!to.count || to.count > p->access_count)
		return GH_RM_ERROR_ARGUMENT_INVALID;
	err = notify_each(p, &to, request.flags == GH_RM_MEM_NOTIFY_SHARED, request.tag);
	if (!err) {
		p->tagged = true;
		p->tag = request.tag;
	}
	return err;
}

/* --- LOOKUP_SGL --- */

enum gh_rm_error rm_mem_lookup(struct rm_call *call)
{
	struct gh_rm_mem_lookup request;
	struct memparcel *p = NULL;
	unsigned int count;
	struct lists l;
	enum gh_rm_error err = read_lists(after(call, sizeof(request)), &l);

	memcpy(&request, call->data, sizeof(request));
	if (err)
		return err;
	if (!l.acl.count || !l.sgl.count)
		return GH_RM_ERROR_ARGUMENT_INVALID;
	err = check_sgl(&l.sgl, request.mem_type);
	if (err)
		return err;
	count = join_sgl(&l.sgl);
	while ((p = memparcel_next(p))) {
		if (p->owner != call->from || p->state != MEMPARCEL_COMPLETE ||
		    memparcel_accepted(p) || p->label != request.label || !same_acl(&l.acl, p) ||
		    !memparcel_same(p, runs, count))
			continue;
		rm_put_u32(call, p->handle);
		return GH_RM_OK;
	}
	return GH_RM_ERROR_LOOKUP_FAILED;
}
