/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The resource manager's door: the lock, the table of messages with their lengths and targets, and
 * the boot.
 */
#include <string.h>

#include "core/inject.h"
#include "core/rm.h"
#include "core/rm_rpc.h"

static hyp_spinlock_t rm_lock;

/* Which VM a request names in its first half-word, and what the caller must be to it. */
enum target {
	NO_VM,		/* names none, or the handler looks itself */
	OWN_VM,		/* unknown: VMID_INVALID; not the caller's: DENIED */
	OWN_OR_UNKNOWN, /* unknown or not the caller's: VMID_INVALID */
};

enum length {
	EXACTLY,
	AT_LEAST,
};

struct rule {
	uint32_t id;
	uint8_t length; /* enum length */
	uint16_t size;
	uint8_t target; /* enum target */
	rm_handler *handler;
};

static rm_handler denied, irq_invalid, handle_invalid, argument_invalid, milestone;

#define VMID sizeof(struct gh_rm_vmid)

static const struct rule rules[] = {
	/* Memory: section 4.6 */
	{ GH_RM_MEM_DONATE, AT_LEAST, 20, NO_VM, rm_mem_donate },
	{ GH_RM_MEM_LEND, AT_LEAST, 20, NO_VM, rm_mem_lend },
	{ GH_RM_MEM_SHARE, AT_LEAST, 20, NO_VM, rm_mem_share },
	{ GH_RM_MEM_APPEND, AT_LEAST, sizeof(struct gh_rm_mem_append), NO_VM, rm_mem_append },
	{ GH_RM_MEM_ACCEPT, AT_LEAST, sizeof(struct gh_rm_mem_accept), NO_VM, rm_mem_accept },
	{ GH_RM_MEM_RELEASE, EXACTLY, sizeof(struct gh_rm_mem_handle), NO_VM, rm_mem_release },
	{ GH_RM_MEM_RECLAIM, EXACTLY, sizeof(struct gh_rm_mem_handle), NO_VM, rm_mem_reclaim },
	{ GH_RM_MEM_NOTIFY, AT_LEAST, sizeof(struct gh_rm_mem_notify), NO_VM, rm_mem_notify },
	{ GH_RM_MEM_QCOM_LOOKUP_SGL, AT_LEAST, sizeof(struct gh_rm_mem_lookup), NO_VM,
	  rm_mem_lookup },
	/* Life of a VM: section 4.5 */
	{ GH_RM_VM_ALLOCATE, EXACTLY, VMID, NO_VM, rm_vm_allocate },
	{ GH_RM_VM_DEALLOCATE, EXACTLY, VMID, OWN_VM, rm_vm_deallocate },
	{ GH_RM_VM_CONFIG_IMAGE, EXACTLY, sizeof(struct gh_rm_vm_config_image), OWN_VM,
	  rm_vm_config_image },
	{ GH_RM_VM_AUTH_IMAGE, AT_LEAST, sizeof(struct gh_rm_vm_auth_image), OWN_VM,
	  rm_vm_auth_image },
	{ GH_RM_VM_INIT, EXACTLY, VMID, OWN_VM, rm_vm_init },
	{ GH_RM_VM_START, EXACTLY, VMID, OWN_VM, rm_vm_start },
	{ GH_RM_VM_STOP, EXACTLY, sizeof(struct gh_rm_vm_stop), OWN_OR_UNKNOWN, rm_vm_stop },
	{ GH_RM_VM_RESET, EXACTLY, VMID, OWN_OR_UNKNOWN, rm_vm_reset },
	{ GH_RM_VM_GET_STATE, EXACTLY, VMID, NO_VM, rm_vm_get_state },
	{ GH_RM_VM_GET_HYP_RESOURCES, EXACTLY, VMID, NO_VM, rm_vm_get_hyp_resources },
	{ GH_RM_VM_GET_CRASH_MSG, EXACTLY, VMID, OWN_OR_UNKNOWN, rm_vm_get_crash_msg },
	{ GH_RM_VM_SET_CONTEXT, EXACTLY, sizeof(struct gh_rm_vm_set_context), OWN_VM,
	  rm_vm_set_context },
	{ GH_RM_VM_SET_TIME_BASE, EXACTLY, sizeof(struct gh_rm_vm_set_time_base), NO_VM,
	  rm_vm_set_time_base },
	{ GH_RM_VM_SET_FIRMWARE_MEM, EXACTLY, sizeof(struct gh_rm_vm_set_firmware_mem), NO_VM,
	  rm_vm_set_firmware_mem },
	/* Who is who */
	{ GH_RM_VM_GET_ID, EXACTLY, VMID, NO_VM, rm_get_id },
	{ GH_RM_VM_LOOKUP_URI, AT_LEAST, 4, NO_VM, rm_lookup_uri },
	{ GH_RM_VM_LOOKUP_GUID, EXACTLY, 16, NO_VM, rm_lookup_guid },
	{ GH_RM_VM_LOOKUP_NAME, AT_LEAST, 4, NO_VM, rm_lookup_name },
	{ GH_RM_VM_GET_OWNER, EXACTLY, 0, NO_VM, rm_get_owner },
	{ GH_RM_VM_GET_VMID, EXACTLY, 0, NO_VM, rm_get_vmid },
	{ GH_RM_VM_GET_PEERS, EXACTLY, 0, NO_VM, rm_get_peers },
	{ GH_RM_VM_HOST_GET_TYPE, EXACTLY, 0, NO_VM, rm_host_get_type },
	/*
	 * Hardware interrupts are not lent: none belongs to the primary in RM's books, so no handle
	 * exists (4.8)
	 */
	{ GH_RM_VM_IRQ_ACCEPT, EXACTLY, 8, NO_VM, handle_invalid },
	{ GH_RM_VM_IRQ_LEND, EXACTLY, 12, NO_VM, irq_invalid },
	{ GH_RM_VM_IRQ_RELEASE, EXACTLY, 4, NO_VM, handle_invalid },
	{ GH_RM_VM_IRQ_RECLAIM, EXACTLY, 4, NO_VM, handle_invalid },
	{ GH_RM_VM_IRQ_NOTIFY, AT_LEAST, 8, NO_VM, handle_invalid },
	/* Calls of a guest about itself */
	{ GH_RM_VM_SET_STATUS, EXACTLY, 4, NO_VM, denied },
	{ GH_RM_VM_EXIT, EXACTLY, 4, NO_VM, rm_vm_exit },
	{ GH_RM_VM_SET_CRASH_MSG, AT_LEAST, 4, NO_VM, rm_vm_set_crash_msg },
	/* No VM has a console with us, no address space can be divided, no firmware is known (4.8) */
	{ GH_RM_VM_CONSOLE_OPEN, EXACTLY, VMID, NO_VM, argument_invalid },
	{ GH_RM_VM_CONSOLE_CLOSE, EXACTLY, VMID, NO_VM, argument_invalid },
	{ GH_RM_VM_CONSOLE_WRITE, AT_LEAST, 4, NO_VM, argument_invalid },
	{ GH_RM_VM_CONSOLE_FLUSH, EXACTLY, VMID, NO_VM, argument_invalid },
	{ GH_RM_IPA_RESERVE, AT_LEAST, 16, NO_VM, denied },
	{ GH_RM_FW_MILESTONE, EXACTLY, 0, NO_VM, milestone },
	{ GH_RM_FW_SET_VM_FIRMWARE, EXACTLY, 24, NO_VM, argument_invalid },
};

static bool milestone_passed;

static enum gh_rm_error denied(struct rm_call *call)
{
	(void)call;
	return GH_RM_ERROR_DENIED;
}

static enum gh_rm_error irq_invalid(struct rm_call *call)
{
	(void)call;
	return GH_RM_ERROR_IRQ_INVALID;
}

static enum gh_rm_error handle_invalid(struct rm_call *call)
{
	(void)call;
	return GH_RM_ERROR_HANDLE_INVALID;
}

static enum gh_rm_error argument_invalid(struct rm_call *call)
{
	(void)call;
	return GH_RM_ERROR_ARGUMENT_INVALID;
}

/* The end of the time in which firmware may be set: once. */
static enum gh_rm_error milestone(struct rm_call *call)
{
	(void)call;
	if (milestone_passed)
		return GH_RM_ERROR_DENIED;
	milestone_passed = true;
	return GH_RM_OK;
}

bool rm_put(struct rm_call *call, const void *data, size_t size)
{
	if (size > RM_REPLY_MAX - call->reply_size)
		return false;
	memcpy(call->reply + call->reply_size, data, size);
	call->reply_size += size;
	return true;
}

bool rm_put_u32(struct rm_call *call, uint32_t value)
{
	return rm_put(call, &value, sizeof(value));
}

static enum gh_rm_error find_target(struct rm_call *call, enum target target)
{
	uint16_t vmid;

	if (target == NO_VM)
		return GH_RM_OK;
	memcpy(&vmid, call->data, sizeof(vmid));
	call->vm = rm_vm_find(vmid);
	if (call->vm && call->vm->owner == call->from)
		return GH_RM_OK;
	if (target == OWN_VM && (call->vm || vmid == GH_VMID_PRIMARY || vmid == GH_VMID_RM))
		return GH_RM_ERROR_DENIED;
	return GH_RM_ERROR_VMID_INVALID;
}

static enum gh_rm_error dispatch(struct rm_call *call)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		const struct rule *rule = &rules[i];
		enum gh_rm_error err;

		if (rule->id != call->id)
			continue;
		if (call->size < rule->size ||
		    (rule->length == EXACTLY && call->size != rule->size))
			return GH_RM_ERROR_INVALID;
		err = find_target(call, rule->target);
		return err ? err : rule->handler(call);
	}
	return GH_RM_ERROR_UNIMPLEMENTED;
}

static enum gh_rm_error answer(struct rm_call *call)
{
	enum gh_rm_error err;

	/* Tests break what the driver asks. */
	if (call->from != GH_VMID_PRIMARY)
		return dispatch(call);
	if (!inject_request(call->id, &err)) {
		err = dispatch(call);
		inject_answer(call->id, &err);
	}
	return err;
}

static void handle(const struct rm_request *request)
{
	static struct rm_call call; /* too large for the stack; the lock guards it */
	enum gh_rm_error err;

	call.id = request->id;
	call.from = request->from;
	call.data = request->data;
	call.size = request->size;
	call.vm = NULL;
	call.long_error = false;
	call.reply_size = 0;
	call.after = NULL;
	err = answer(&call);
	if (err && !call.long_error)
		call.reply_size = 0;
	rm_rpc_reply(request, err, call.reply, call.reply_size);
	if (call.after)
		call.after(call.vm);
}

void rm_receive(const void *msg, size_t size)
{
	struct rm_request request;

	hyp_lock(&rm_lock);
	if (rm_rpc_feed(GH_VMID_PRIMARY, msg, size, &request))
		handle(&request);
	hyp_unlock(&rm_lock);
}

void rm_poll(void)
{
	struct rm_request request;
	bool complete;

	hyp_lock(&rm_lock);
	/* Guests that run on other CPUs may go on sending; what comes later has its own call of this. */
	for (unsigned int i = 0; i < HYP_VMS_MAX * GH_RM_QUEUE_DEPTH; i++) {
		if (!rm_rpc_take(&request, &complete))
			break;
		if (complete)
			handle(&request);
	}
	rm_rpc_send_guests();
	hyp_unlock(&rm_lock);
}

void rm_room(void)
{
	hyp_lock(&rm_lock);
	rm_rpc_send();
	hyp_unlock(&rm_lock);
}

void rm_vm_halted(uint16_t vmid)
{
	hyp_lock(&rm_lock);
	rm_vm_died(vmid);
	hyp_unlock(&rm_lock);
}

bool rm_init(void *dtb, size_t capacity)
{
	milestone_passed = false;
	rm_rpc_reset();
	rm_vm_reset_all();
	memparcel_reset();
	return rm_patch_primary(dtb, capacity);
}
