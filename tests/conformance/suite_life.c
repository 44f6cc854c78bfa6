// SPDX-License-Identifier: GPL-2.0-only
/* Section 5.1: every message in every state, what the state is then, and what the owner hears. */
#include "suite.h"
#include "vm.h"

enum message {
	CONFIG,
	AUTH,
	INIT,
	START,
	STOP,
	RESET,
	DEALLOCATE,
	TIME_BASE,
	FIRMWARE,
	GET_ID,
	MESSAGES,
};

static const char *const names[] = {
	[CONFIG] = "VM_CONFIG_IMAGE",
	[AUTH] = "VM_AUTH_IMAGE",
	[INIT] = "VM_INIT",
	[START] = "VM_START",
	[STOP] = "VM_STOP, forced",
	[RESET] = "VM_RESET",
	[DEALLOCATE] = "VM_DEALLOCATE",
	[TIME_BASE] = "VM_SET_TIME_BASE",
	[FIRMWARE] = "VM_SET_FIRMWARE_MEM",
	[GET_ID] = "VM_GET_ID",
};

static u32 send_message(struct vm *vm, enum message message)
{
	u8 request[24] = { vm->vmid, vm->vmid >> 8 };

	switch (message) {
	case CONFIG:
		return vm_config(vm, GH_RM_AUTH_NONE);
	case AUTH:
		return rm_call(GH_RM_VM_AUTH_IMAGE, request, 4, NULL);
	case INIT:
		return rm_vm_call(GH_RM_VM_INIT, vm->vmid);
	case START:
		return rm_vm_call(GH_RM_VM_START, vm->vmid);
	case STOP:
		return vm_stop(vm);
	case RESET:
		return rm_vm_call(GH_RM_VM_RESET, vm->vmid);
	case DEALLOCATE:
		return rm_vm_call(GH_RM_VM_DEALLOCATE, vm->vmid);
	case TIME_BASE:
		return rm_call(GH_RM_VM_SET_TIME_BASE, request, 20, NULL);
	case FIRMWARE:
		return rm_call(GH_RM_VM_SET_FIRMWARE_MEM, request, 24, NULL);
	default:
		return rm_vm_call(GH_RM_VM_GET_ID, vm->vmid);
	}
}

/* The messages of the mask are refused with VM_STATE, and the state stays. */
static void refused(struct vm *vm, const char *state_name, u32 state, u32 mask)
{
	unsigned int i;

	expect_vm_state(say("the state is %s", state_name), state, rm_state(vm->vmid));
	for (i = 0; i < MESSAGES; i++)
		if (mask >> i & 1)
			expect_rm(say("%s in %s", names[i], state_name), GH_RM_ERROR_VM_STATE,
				  send_message(vm, i));
	expect_vm_state(say("the state is still %s", state_name), state, rm_state(vm->vmid));
}

static void heard(struct vm *vm, const char *state_name, u8 state)
{
	expect(say("VM_STATUS %s", state_name), 1,
	       await_state(vm->notice_from, vm->vmid, state, WAIT_MS));
}

#define ALL	     ((1u << MESSAGES) - 1)
#define BUT(message) (1u << (message))

static void in_load(struct vm *vm)
{
	expect_rm("VM_ALLOCATE", GH_RM_OK, vm_allocate(vm, &vm_plain));
	refused(vm, "LOAD", GH_RM_VM_STATE_LOAD,
		ALL & ~(BUT(CONFIG) | BUT(RESET) | BUT(DEALLOCATE)));
	expect_rm("VM_GET_HYP_RESOURCES in LOAD", GH_RM_ERROR_NORESOURCE,
		  rm_vm_call(GH_RM_VM_GET_HYP_RESOURCES, vm->vmid));
	expect_rm("VM_GET_CRASH_MSG in LOAD", GH_RM_OK,
		  rm_vm_call(GH_RM_VM_GET_CRASH_MSG, vm->vmid));
}

static void to_running(struct vm *vm)
{
	u8 reserved[4] = { vm->vmid, 0, 1, 0 };

	expect_rm("MEM_LEND", GH_RM_OK, vm_give(vm));
	expect_rm("VM_CONFIG_IMAGE in LOAD", GH_RM_OK, vm_config(vm, GH_RM_AUTH_NONE));
	heard(vm, "INIT", GH_RM_VM_STATE_INIT);
	refused(vm, "INIT", GH_RM_VM_STATE_INIT,
		ALL & ~(BUT(INIT) | BUT(TIME_BASE) | BUT(FIRMWARE)));
	expect_rm("VM_INIT whose reserved half is not 0", GH_RM_ERROR_INVALID,
		  rm_call(GH_RM_VM_INIT, reserved, 4, NULL));
	expect_rm("VM_INIT in INIT", GH_RM_OK, send_message(vm, INIT));
	heard(vm, "READY", GH_RM_VM_STATE_READY);
	refused(vm, "READY", GH_RM_VM_STATE_READY,
		BUT(CONFIG) | BUT(AUTH) | BUT(INIT) | BUT(STOP) | BUT(DEALLOCATE) | BUT(FIRMWARE));
}

static void ended(struct vm *vm, const char *how, u32 type)
{
	const struct notice *n =
		await_notice(vm->notice_from, GH_RM_NOTIFY_VM_EXITED, vm->vmid, WAIT_MS);

	if (!need(say("VM_EXITED after %s", how), n))
		return;
	expect(say("VM_EXITED after %s: type", how), type, get16(n->data + 2));
	expect(say("VM_EXITED after %s: bytes of the reason", how), 4, get32(n->data + 4));
	expect(say("VM_EXITED after %s: size", how), 12, n->size);
}

/* A VM in READY whose image was reclaimed cannot start. */
static void without_image(struct vm *vm)
{
	expect_rm("VM_START without its image parcel", GH_RM_ERROR_NORESOURCE,
		  send_message(vm, START));
	heard(vm, "INIT_FAILED", GH_RM_VM_STATE_INIT_FAILED);
	refused(vm, "INIT_FAILED", GH_RM_VM_STATE_INIT_FAILED, ALL & ~(BUT(RESET)));
	expect_rm("VM_RESET in INIT_FAILED", GH_RM_OK, send_message(vm, RESET));
	heard(vm, "RESETTING", GH_RM_VM_STATE_RESETTING);
	heard(vm, "RESET", GH_RM_VM_STATE_RESET);
}

static void running(struct vm *vm)
{
	expect_rm("VM_START in READY", GH_RM_OK, send_message(vm, START));
	heard(vm, "RUNNING", GH_RM_VM_STATE_RUNNING);
	refused(vm, "RUNNING", GH_RM_VM_STATE_RUNNING, ALL & ~(BUT(STOP) | BUT(GET_ID)));
	expect_rm("VM_GET_ID in RUNNING", GH_RM_OK, send_message(vm, GET_ID));
	expect_rm("MEM_RECLAIM of the image in RUNNING", GH_RM_ERROR_MEM_INUSE, vm_reclaim(vm));
	expect_rm("VM_STOP, forced, in RUNNING", GH_RM_OK, send_message(vm, STOP));
	heard(vm, "EXITED", GH_RM_VM_STATE_EXITED);
	ended(vm, "a forced stop", GH_RM_EXIT_FORCE_STOPPED);
	refused(vm, "EXITED", GH_RM_VM_STATE_EXITED, ALL & ~BUT(RESET));
	expect_rm("MEM_RECLAIM of the image in EXITED", GH_RM_ERROR_MEM_INUSE, vm_reclaim(vm));
	expect_rm("VM_RESET in EXITED", GH_RM_OK, send_message(vm, RESET));
	heard(vm, "RESETTING", GH_RM_VM_STATE_RESETTING);
	heard(vm, "RESET", GH_RM_VM_STATE_RESET);
	/* RESET once more ends upstream's resource manager. */
	refused(vm, "RESET", GH_RM_VM_STATE_RESET,
		ALL & ~(BUT(CONFIG) | BUT(DEALLOCATE) | (rm.survives ? 0 : BUT(RESET))));
	expect_rm("MEM_RECLAIM of the image in RESET", GH_RM_OK, vm_reclaim(vm));
}

static void deallocate(struct vm *vm)
{
	u16 vmid = vm->vmid;

	expect_rm("VM_DEALLOCATE in RESET", GH_RM_OK, send_message(vm, DEALLOCATE));
	vm->vmid = 0;
	expect_rm("VM_START of what is gone", GH_RM_ERROR_VMID_INVALID,
		  rm_vm_call(GH_RM_VM_START, vmid));
	vm_down(vm);
}

static void one_life(void)
{
	struct vm vm;

	in_load(&vm);
	to_running(&vm);
	running(&vm);
	deallocate(&vm);
}

static void failed_start(void)
{
	struct vm vm;

	if (vm_up(&vm, &vm_plain, GH_RM_VM_STATE_READY)) {
		expect_rm("MEM_RECLAIM of the image", GH_RM_OK, vm_reclaim(&vm));
		without_image(&vm);
	}
	vm_down(&vm);
}

static void reset_of_ready(void)
{
	struct vm vm;

	if (!rm.survives) {
		skip("a VMID that is used again after RESET",
		     "upstream's resource manager never tears such a VM down");
		return;
	}
	if (vm_up(&vm, &vm_plain, GH_RM_VM_STATE_READY)) {
		expect_rm("VM_RESET in READY", GH_RM_OK, send_message(&vm, RESET));
		heard(&vm, "RESET", GH_RM_VM_STATE_RESET);
		expect_rm("VM_CONFIG_IMAGE in RESET", GH_RM_OK, vm_config(&vm, GH_RM_AUTH_NONE));
		expect_vm_state("and the VM is in INIT", GH_RM_VM_STATE_INIT, rm_state(vm.vmid));
		expect_rm("VM_INIT of the same VMID", GH_RM_OK, send_message(&vm, INIT));
	}
	vm_down(&vm);
}

/* Authentication: what the platform says of the image is not ours to expect. */
static void authentication(void)
{
	struct vm vm;
	u8 request[12] = { 0 };
	u32 error, state;

	if (vm_up(&vm, &vm_plain, GH_RM_VM_STATE_LOAD) && need("memory", !vm_give(&vm))) {
		expect_rm("VM_CONFIG_IMAGE with authentication", GH_RM_OK,
			  vm_config(&vm, GH_RM_AUTH_PLATFORM));
		heard(&vm, "AUTH", GH_RM_VM_STATE_AUTH);
		refused(&vm, "AUTH", GH_RM_VM_STATE_AUTH, ALL & ~BUT(AUTH));
		request[0] = vm.vmid;
		request[2] = 2;
		expect_rm("VM_AUTH_IMAGE, fewer entries than it says", GH_RM_ERROR_INVALID,
			  rm_call(GH_RM_VM_AUTH_IMAGE, request, 12, NULL));
		error = send_message(&vm, AUTH);
		state = rm_state(vm.vmid);
		expect_vm_state(say("VM_AUTH_IMAGE in AUTH: %s", rm_name(error)),
				error ? GH_RM_VM_STATE_INIT_FAILED : GH_RM_VM_STATE_INIT, state);
	}
	vm_down(&vm);
}

void suite_life(void)
{
	one_life();
	failed_start();
	reset_of_ready();
	authentication();
}
