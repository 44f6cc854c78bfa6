/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of VMs through the resource manager: every state, every refusal, the notifications, and
 * nothing lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/rm_client.h"

static const struct tree_options plain;

static int boot(void **state)
{
	(void)state;
	rm_client_boot();
	return 0;
}

/* After each test all memory must be the primary's, and no page may be missing. */
static int whole(void **state)
{
	(void)state;
	assert_true(fake_primary_whole());
	assert_int_equal(fake.pages, 0);
	return 0;
}

static int end(void **state)
{
	(void)state;
	fake_free();
	return 0;
}

static struct rm_test_vm make(uint32_t how, const struct tree_options *o)
{
	struct rm_test_vm vm = { .pa = FAKE_RAM_BASE + 0x200000, .size = 0x400000 };

	assert_int_equal(rm_make(&vm, how, o), GH_RM_OK);
	return vm;
}

static void expect_states(uint16_t vmid, const uint8_t *wanted, unsigned int count)
{
	uint8_t states[32];

	assert_int_equal(rm_states(vmid, states, sizeof(states)), count);
	assert_memory_equal(states, wanted, count);
}

/* The last VM_EXITED that came. */
static struct {
	uint32_t reason[4];
	bool before_reply;
	struct gh_rm_vm_exited head;
} exited;

static void find_exited(void)
{
	for (unsigned int i = 0; i < client.notes; i++) {
		if (client.note[i].id != GH_RM_NOTIFY_VM_EXITED)
			continue;
		memcpy(&exited.head, client.note[i].payload, sizeof(exited.head));
		memcpy(exited.reason, client.note[i].payload + 8, client.note[i].size - 8);
		assert_int_equal(client.note[i].size, 8 + exited.head.reason_size);
		exited.before_reply = client.note[i].before_reply;
		return;
	}
	fail_msg("no VM_EXITED");
}

static void life(uint32_t how)
{
	static const uint8_t until_running[] = { GH_RM_VM_STATE_INIT, GH_RM_VM_STATE_READY,
						 GH_RM_VM_STATE_RUNNING };
	static const uint8_t until_reset[] = { GH_RM_VM_STATE_EXITED, GH_RM_VM_STATE_RESETTING,
					       GH_RM_VM_STATE_RESET };
	const struct hyp_halt off = { .type = GH_RM_EXIT_PSCI_SYSTEM_OFF };
	struct rm_test_vm vm = make(how, &plain);
	struct vm *hyp = fake_vm(vm.vmid);
	unsigned int rights;
	uint64_t left;
	pa_t pa;

	assert_int_equal(rm_ask_vmid(GH_RM_VM_START, vm.vmid), GH_RM_OK);
	expect_states(vm.vmid, until_running, 3);
	assert_true(hyp->vcpu[0].on);
	assert_false(hyp->vcpu[1].on);
	assert_int_equal(hyp->vcpu[0].pc, 0x80000000);
	assert_int_equal(hyp->vcpu[0].x[0], 0x80000000 + TREE_OFFSET);
	assert_true(hyp_vm_translate(hyp, 0x80000000, &pa, &rights, &left));
	assert_int_equal(pa, vm.pa);
	assert_int_equal(rights, 7);
	assert_int_equal(left, vm.size);
	assert_int_equal(fake_primary_has(vm.pa, 7), how == GH_RM_MEM_SHARE);
	assert_int_equal(rm_reclaim(vm.handle), GH_RM_ERROR_MEM_INUSE);

	rm_client_forget();
	fake_halt(vm.vmid, &off);
	rm_client_drain();
	find_exited();
	assert_int_equal(exited.head.exit_type, GH_RM_EXIT_PSCI_SYSTEM_OFF);
	assert_int_equal(exited.head.reason_size, 4);
	assert_int_equal(exited.reason[0], 0);
	assert_true(hyp->killed);
	assert_int_equal(rm_reclaim(vm.handle), GH_RM_ERROR_MEM_INUSE);
	assert_int_equal(rm_unmake(&vm), GH_RM_OK);
	expect_states(vm.vmid, until_reset, 3);
	assert_null(fake_vm(vm.vmid));
}

static void lent_life(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		rm_client_forget();
		life(GH_RM_MEM_LEND);
	}
}

static void shared_life(void **state)
{
	(void)state;
	life(GH_RM_MEM_SHARE);
}

/* The document's bytes, from ALLOCATE to the notification. */
static void life_in_bytes(void **state)
{
	static const uint8_t lend[] = {
		0x00, 0, 0, 0,	  0, 0, 0, 0, 1, 0, 0,	  0, 0x80, 0, 7, 0, 1, 0, 0, 0,
		0,    0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0x20, 0, 0,	   0, 0, 0, 0, 0, 0, 0,
	};
	static const uint8_t config[] = {
		0x80, 0, 0, 0, 0, 0, 0,	   0, 0, 0, 0, 0, 0, 0,	   0, 0, 0, 0, 0, 0,
		0,    0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0,
	};
	static const uint8_t vmid[] = { 0x80, 0, 0, 0 };
	static const uint8_t stop[] = { 0x80, 0, 1, 0, 3, 0, 0, 0 };
	static const uint8_t running[] = { 0x80, 0, 0, 0, 3, 0, 0, 0 };
	static const uint8_t forced[] = { 0x80, 0, 7, 0, 4, 0, 0, 0, 0, 0, 0, 0 };
	static const uint8_t handle[] = { 0, 0, 0, 0, 0, 0, 0, 0 };
	unsigned int last;

	(void)state;
	assert_int_equal(rm_new_vm(), 0x80);
	rm_write_tree(FAKE_RAM_BASE + 0x100000, &plain);
	assert_int_equal(rm_ask(GH_RM_MEM_LEND, lend, sizeof(lend)), GH_RM_OK);
	assert_int_equal(rm_reply_u32(0), 0);
	assert_int_equal(rm_ask(GH_RM_VM_CONFIG_IMAGE, config, sizeof(config)), GH_RM_OK);
	assert_int_equal(rm_ask(GH_RM_VM_INIT, vmid, sizeof(vmid)), GH_RM_OK);
	rm_client_forget();
	assert_int_equal(rm_ask(GH_RM_VM_START, vmid, sizeof(vmid)), GH_RM_OK);
	last = client.notes - 1;
	assert_int_equal(client.note[last].id, GH_RM_NOTIFY_VM_STATUS);
	assert_true(client.note[last].before_reply);
	assert_int_equal(client.note[last].size, sizeof(running));
	assert_memory_equal(client.note[last].payload, running, sizeof(running));
	assert_int_equal(rm_ask(GH_RM_VM_STOP, stop, sizeof(stop)), GH_RM_OK);
	last = client.notes - 1;
	assert_int_equal(client.note[last].id, GH_RM_NOTIFY_VM_EXITED);
	assert_true(client.note[last].before_reply);
	assert_int_equal(client.note[last].size, sizeof(forced));
	assert_memory_equal(client.note[last].payload, forced, sizeof(forced));
	assert_int_equal(rm_ask(GH_RM_VM_RESET, vmid, sizeof(vmid)), GH_RM_OK);
	assert_int_equal(rm_ask(GH_RM_MEM_RECLAIM, handle, sizeof(handle)), GH_RM_OK);
	assert_int_equal(rm_ask(GH_RM_VM_DEALLOCATE, vmid, sizeof(vmid)), GH_RM_OK);
}

static void resources_of_a_vm(void **state)
{
	const struct tree_options o = { .bells = 3 };
	struct rm_test_vm vm = make(GH_RM_MEM_LEND, &o);
	struct gh_rm_hyp_resource r[5];

	(void)state;
	assert_int_equal(rm_ask_vmid(GH_RM_VM_GET_HYP_RESOURCES, vm.vmid), GH_RM_OK);
	assert_int_equal(client.size, 4 + 5 * 44);
	assert_int_equal(rm_reply_u32(0), 5);
	memcpy(r, client.reply + 4, sizeof(r));
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(r[i].type, GH_RM_RES_VCPU);
		assert_int_equal(r[i].label, i);
		assert_int_equal(r[i].virq, 962 + i);
		assert_int_equal(r[i].partner_vmid, 0);
		assert_int_equal(r[i].capid_high, 0x12);
		assert_int_equal(r[i].capid_low, 0x8000 + i);
	}
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(r[2 + i].type, GH_RM_RES_DOORBELL_TX);
		assert_int_equal(r[2 + i].label, 100 + i);
		assert_int_equal(r[2 + i].partner_vmid, vm.vmid);
		assert_int_equal(r[2 + i].virq, 0);
	}
	/* Bell 2 named no interrupt. */
	assert_int_equal(fake_vm(vm.vmid)->bell[0].intid, 36);
	assert_int_equal(fake_vm(vm.vmid)->bell[2].intid, 960);
	assert_int_equal(rm_unmake(&vm), GH_RM_OK);
}

static void allocation_limits(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < HYP_VMS_MAX; i++)
		assert_int_equal(rm_new_vm(), 0x80 + i);
	assert_int_equal(rm_new_vm(), 0);
	assert_int_equal(client.error, GH_RM_ERROR_NORESOURCE);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_DEALLOCATE, 0x85), GH_RM_OK);
	assert_int_equal(rm_new_vm(), 0x85);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_DEALLOCATE, 0x85), GH_RM_OK);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_ALLOCATE, 5), GH_RM_OK);
	assert_int_equal(client.size, 0);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_ALLOCATE, 5), GH_RM_ERROR_NORESOURCE);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_DEALLOCATE, 5), GH_RM_OK);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_ALLOCATE, 3), GH_RM_ERROR_NORESOURCE);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_ALLOCATE, 64), GH_RM_ERROR_NORESOURCE);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_ALLOCATE, 0x80), GH_RM_ERROR_NORESOURCE);
}

static void unknown_vms(void **state)
{
	static const uint32_t ids[] = {
		GH_RM_VM_DEALLOCATE,
		GH_RM_VM_INIT,
		GH_RM_VM_START,
		GH_RM_VM_RESET,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		assert_int_equal(rm_ask_vmid(ids[i], 0x99), GH_RM_ERROR_VMID_INVALID);
		assert_int_equal(rm_ask_vmid(ids[i], GH_VMID_PRIMARY),
				 ids[i] == GH_RM_VM_RESET ? GH_RM_ERROR_VMID_INVALID
							  : GH_RM_ERROR_DENIED);
	}
	assert_int_equal(rm_ask_vmid(GH_RM_VM_GET_HYP_RESOURCES, 0x99),
			 GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_GET_HYP_RESOURCES, GH_VMID_PRIMARY), GH_RM_OK);
	assert_int_equal(rm_reply_u32(0), 0);
	assert_int_equal(rm_stop(0x99, 1), GH_RM_ERROR_VMID_INVALID);
	assert_int_equal(rm_config(0x99, 0, 0, 0), GH_RM_ERROR_VMID_INVALID);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_GET_STATE, 0x99), GH_RM_ERROR_NORESOURCE);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_GET_STATE, GH_VMID_RM), GH_RM_ERROR_DENIED);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_GET_STATE, 0), GH_RM_OK);
	assert_int_equal(rm_reply_u32(0), GH_RM_VM_STATE_RUNNING);
}

/* What each call answers in a state; OK is tried elsewhere. */
static void expect_refused(uint16_t vmid, const char *allowed)
{
	static const struct {
		char letter;
		uint32_t id;
	} calls[] = {
		{ 'D', GH_RM_VM_DEALLOCATE },
		{ 'I', GH_RM_VM_INIT },
		{ 'S', GH_RM_VM_START },
		{ 'R', GH_RM_VM_RESET },
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (!strchr(allowed, calls[i].letter))
			assert_int_equal(rm_ask_vmid(calls[i].id, vmid), GH_RM_ERROR_VM_STATE);
	if (!strchr(allowed, 'C'))
		assert_int_equal(rm_config(vmid, 0, 0, 0), GH_RM_ERROR_VM_STATE);
	if (!strchr(allowed, 'P'))
		assert_int_equal(rm_stop(vmid, 1), GH_RM_ERROR_VM_STATE);
}

static void states_refuse(void **state)
{
	struct rm_test_vm vm = { .pa = FAKE_RAM_BASE, .size = 0x200000 };

	(void)state;
	vm.vmid = rm_new_vm();
	expect_refused(vm.vmid, "CD"); /* LOAD */
	assert_int_equal(rm_give(GH_RM_MEM_LEND, vm.vmid, vm.pa, vm.size, &vm.handle), GH_RM_OK);
	rm_write_tree(vm.pa + TREE_OFFSET, &plain);
	assert_int_equal(rm_config(vm.vmid, vm.handle, TREE_OFFSET, TREE_MAX), GH_RM_OK);
	expect_refused(vm.vmid, "I"); /* INIT */
	assert_int_equal(rm_ask_vmid(GH_RM_VM_INIT, vm.vmid), GH_RM_OK);
	expect_refused(vm.vmid, "SR"); /* READY */
	assert_int_equal(rm_ask_vmid(GH_RM_VM_START, vm.vmid), GH_RM_OK);
	expect_refused(vm.vmid, "P"); /* RUNNING */
	assert_int_equal(rm_stop(vm.vmid, 0),
			 GH_RM_ERROR_NORESOURCE); /* nobody in it could be asked */
	assert_int_equal(rm_ask_vmid(GH_RM_VM_GET_STATE, vm.vmid), GH_RM_OK);
	assert_int_equal(rm_reply_u32(0), GH_RM_VM_STATE_RUNNING);
	assert_int_equal(rm_stop(vm.vmid, 1), GH_RM_OK);
	expect_refused(vm.vmid, "R"); /* EXITED */
	assert_int_equal(rm_ask_vmid(GH_RM_VM_RESET, vm.vmid), GH_RM_OK);
	expect_refused(vm.vmid, "CD"); /* RESET */
	/* The same VMID serves again. */
	assert_int_equal(rm_config(vm.vmid, vm.handle, 0, 0), GH_RM_OK);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_INIT, vm.vmid), GH_RM_ERROR_MEM_INVALID);
	expect_refused(vm.vmid, "R"); /* INIT_FAILED */
	assert_int_equal(rm_unmake(&vm), GH_RM_OK);
}

static void failed_config_resets(void **state)
{
	uint16_t vmid = rm_new_vm();
	uint32_t handle;

	(void)state;
	assert_int_equal(rm_config(vmid, 7, 0, 0), GH_RM_ERROR_MEM_INVALID);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_RESET, vmid), GH_RM_OK);
	assert_int_equal(rm_give(GH_RM_MEM_LEND, vmid, FAKE_RAM_BASE, 0x1000, &handle), GH_RM_OK);
	assert_int_equal(rm_config(vmid, handle, 0x800, 0x801), GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_RESET, vmid), GH_RM_OK);
	assert_int_equal(rm_config(vmid, handle, 0x1000, UINT64_MAX), GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_RESET, vmid), GH_RM_OK);
	assert_int_equal(rm_config(vmid, handle, UINT64_MAX, 2), GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_RESET, vmid), GH_RM_OK);
	assert_int_equal(rm_reclaim(handle), GH_RM_OK);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_DEALLOCATE, vmid), GH_RM_OK);
}

static void no_image_is_authentic(void **state)
{
	struct gh_rm_vm_config_image config = { .auth = GH_RM_AUTH_PLATFORM };
	struct gh_rm_vm_auth_image auth = { .count = 0 };
	uint16_t vmid = rm_new_vm();

	(void)state;
	auth.vmid = config.vmid = vmid;
	assert_int_equal(rm_give(GH_RM_MEM_LEND, vmid, FAKE_RAM_BASE, 0x1000, NULL), GH_RM_OK);
	assert_int_equal(rm_ask(GH_RM_VM_AUTH_IMAGE, &auth, sizeof(auth)), GH_RM_ERROR_VM_STATE);
	assert_int_equal(rm_ask(GH_RM_VM_CONFIG_IMAGE, &config, sizeof(config)), GH_RM_OK);
	auth.count = 1;
	assert_int_equal(rm_ask(GH_RM_VM_AUTH_IMAGE, &auth, sizeof(auth)), GH_RM_ERROR_INVALID);
	auth.count = 0;
	assert_int_equal(rm_ask(GH_RM_VM_AUTH_IMAGE, &auth, sizeof(auth)), GH_RM_ERROR_DENIED);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_RESET, vmid), GH_RM_OK);
	config.auth = GH_RM_AUTH_ANDROID;
	assert_int_equal(rm_ask(GH_RM_VM_CONFIG_IMAGE, &config, sizeof(config)),
			 GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_RESET, vmid), GH_RM_OK);
	assert_int_equal(rm_reclaim(0), GH_RM_OK);
}

static void exits_name_their_reason(void **state)
{
	static const struct hyp_halt halts[] = {
		{ .type = GH_RM_EXIT_PSCI_SYSTEM_RESET },
		{ .type = GH_RM_EXIT_PSCI_SYSTEM_RESET2,
		  .reset_type = 0x80000001,
		  .reset_cookie = 0x1122334455667788ull,
		  .smc64 = true },
		{ .type = GH_RM_EXIT_HYP_ERROR },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(halts) / sizeof(halts[0]); i++) {
		struct rm_test_vm vm = make(GH_RM_MEM_LEND, &plain);

		assert_int_equal(rm_ask_vmid(GH_RM_VM_START, vm.vmid), GH_RM_OK);
		rm_client_forget();
		fake_halt(vm.vmid, &halts[i]);
		fake_halt(vm.vmid, &halts[i]);
		rm_client_drain();
		assert_int_equal(client.notes, 2);
		find_exited();
		assert_int_equal(exited.head.exit_type, halts[i].type);
		if (halts[i].type == GH_RM_EXIT_PSCI_SYSTEM_RESET2) {
			assert_int_equal(exited.head.reason_size, 16);
			assert_int_equal(exited.reason[0], 1u << 15);
			assert_int_equal(exited.reason[1], 0x80000001);
			assert_int_equal(exited.reason[2], 0x55667788);
			assert_int_equal(exited.reason[3], 0x11223344);
		}
		assert_int_equal(rm_unmake(&vm), GH_RM_OK);
	}
	rm_client_forget();
	fake_halt(0x80, &halts[0]);
	rm_client_drain();
	assert_int_equal(client.notes, 0);
}

/* The note of a VM that is gone comes when its VMID already is another VM's: nothing happens to that. */
static void late_note_of_another_vm(void **state)
{
	const struct hyp_halt off = { .type = GH_RM_EXIT_PSCI_SYSTEM_OFF };
	struct rm_test_vm vm = make(GH_RM_MEM_LEND, &plain);
	uint16_t vmid = vm.vmid;

	(void)state;
	assert_int_equal(rm_ask_vmid(GH_RM_VM_START, vmid), GH_RM_OK);
	fake_halt(vmid, &off);
	assert_int_equal(rm_unmake(&vm), GH_RM_OK);
	vm = make(GH_RM_MEM_LEND, &plain);
	assert_int_equal(vm.vmid, vmid);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_START, vmid), GH_RM_OK);
	rm_client_forget();
	rm_vm_halted(vmid);
	rm_client_drain();
	assert_int_equal(client.notes, 0);
	assert_false(fake_vm(vmid)->killed);
	assert_int_equal(rm_stop(vmid, 1), GH_RM_OK);
	assert_int_equal(rm_unmake(&vm), GH_RM_OK);
}

static uint32_t set_context(uint16_t vmid, uint8_t set, uint8_t index, uint64_t value)
{
	struct gh_rm_vm_set_context c = { .vmid = vmid, .set = set, .index = index, .value = value };

	return rm_ask(GH_RM_VM_SET_CONTEXT, &c, sizeof(c));
}

static void context_replaces_defaults(void **state)
{
	struct rm_test_vm vm = make(GH_RM_MEM_LEND, &plain);
	const struct fake_vcpu *vcpu = &fake_vm(vm.vmid)->vcpu[0];

	(void)state;
	assert_int_equal(set_context(vm.vmid, 0, 0, 0x1111), GH_RM_OK);
	assert_int_equal(set_context(vm.vmid, 0, 30, 0x3030), GH_RM_OK);
	assert_int_equal(set_context(vm.vmid, 1, 0, 0x80001000), GH_RM_OK);
	assert_int_equal(set_context(vm.vmid, 2, 1, 0x80002000), GH_RM_OK);
	assert_int_equal(set_context(vm.vmid, 0, 31, 0), GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(set_context(vm.vmid, 1, 1, 0), GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(set_context(vm.vmid, 1, 0, 2), GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(set_context(vm.vmid, 2, 2, 0), GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(set_context(vm.vmid, 3, 0, 0), GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_START, vm.vmid), GH_RM_OK);
	assert_int_equal(vcpu->x[0], 0x1111);
	assert_int_equal(vcpu->x[30], 0x3030);
	assert_int_equal(vcpu->pc, 0x80001000);
	assert_int_equal(vcpu->sp[1], 0x80002000);
	assert_int_equal(set_context(vm.vmid, 0, 0, 0), GH_RM_ERROR_VM_STATE);
	assert_int_equal(rm_stop(vm.vmid, 1), GH_RM_OK);
	assert_int_equal(rm_unmake(&vm), GH_RM_OK);
}

static void identity(void **state)
{
	struct rm_test_vm vm = make(GH_RM_MEM_LEND, &plain);
	uint8_t name[] = { 7, 0, 0, 0, 'd', 'e', 'm', 'o', '-', 'v', 'm', 0 };

	(void)state;
	assert_int_equal(rm_ask(GH_RM_VM_LOOKUP_NAME, name, sizeof(name)), GH_RM_OK);
	assert_int_equal(rm_reply_u32(0), 1);
	assert_int_equal(rm_reply_u32(4), vm.vmid);
	name[4] = 'x';
	assert_int_equal(rm_ask(GH_RM_VM_LOOKUP_NAME, name, sizeof(name)), GH_RM_OK);
	assert_int_equal(rm_reply_u32(0), 0);
	name[0] = 20;
	assert_int_equal(rm_ask(GH_RM_VM_LOOKUP_NAME, name, sizeof(name)), GH_RM_ERROR_INVALID);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_GET_ID, vm.vmid), GH_RM_OK);
	assert_int_equal(rm_reply_u32(0), 3);
	/* GUID of 16, NAME of 7 padded to 8, SIGN_AUTH of 4 */
	assert_int_equal(client.size, 4 + 20 + 12 + 8);
	assert_int_equal(client.reply[24], GH_RM_ID_NAME);
	assert_memory_equal(client.reply + 28, "demo-vm", 8);
	assert_int_equal(client.reply[36], GH_RM_ID_SIGN_AUTH);
	assert_int_equal(rm_ask(GH_RM_VM_GET_PEERS, NULL, 0), GH_RM_OK);
	assert_int_equal(rm_reply_u32(4), vm.vmid);
	assert_int_equal(rm_unmake(&vm), GH_RM_OK);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_GET_ID, vm.vmid), GH_RM_ERROR_NORESOURCE);
	assert_int_equal(rm_ask(GH_RM_VM_GET_OWNER, NULL, 0), GH_RM_OK);
	assert_int_equal(rm_reply_u32(0), GH_VMID_RM);
	assert_int_equal(rm_ask(GH_RM_VM_HOST_GET_TYPE, NULL, 0), GH_RM_OK);
	assert_int_equal(rm_reply_u32(0), 0x01000164);
}

static void attributes_forbid(void **state)
{
	const struct tree_options o = { .attrs = "no-shutdown" };
	const struct hyp_halt off = { .type = GH_RM_EXIT_PSCI_SYSTEM_OFF };
	struct rm_test_vm vm = make(GH_RM_MEM_LEND, &o);

	(void)state;
	assert_int_equal(rm_ask_vmid(GH_RM_VM_START, vm.vmid), GH_RM_OK);
	assert_int_equal(rm_stop(vm.vmid, 1), GH_RM_ERROR_VM_STATE);
	fake_halt(vm.vmid, &off);
	assert_int_equal(rm_unmake(&vm), GH_RM_OK);
}

static void sixteen_at_once(void **state)
{
	static struct rm_test_vm vms[HYP_VMS_MAX];

	(void)state;
	for (unsigned int i = 0; i < HYP_VMS_MAX; i++) {
		vms[i] = (struct rm_test_vm){ .pa = FAKE_RAM_BASE + i * 0x200000ull,
					      .size = 0x200000 };
		assert_int_equal(rm_make(&vms[i], GH_RM_MEM_LEND, &plain), GH_RM_OK);
		assert_int_equal(rm_ask_vmid(GH_RM_VM_START, vms[i].vmid), GH_RM_OK);
		rm_client_forget();
	}
	for (unsigned int i = 0; i < HYP_VMS_MAX; i++) {
		assert_int_equal(rm_stop(vms[i].vmid, 1), GH_RM_OK);
		assert_int_equal(rm_unmake(&vms[i]), GH_RM_OK);
	}
}

static void time_base_needs_a_clock(void **state)
{
	struct gh_rm_vm_set_time_base t = { .vmid = rm_new_vm() };

	(void)state;
	assert_int_equal(rm_ask(GH_RM_VM_SET_TIME_BASE, &t, sizeof(t)), GH_RM_ERROR_VM_STATE);
	assert_int_equal(client.size, 4);
}

static uint32_t set_time(struct gh_rm_vm_set_time_base *t)
{
	rm_client_forget();
	return rm_ask(GH_RM_VM_SET_TIME_BASE, t, sizeof(*t));
}

static void time_base_of_a_clock(void **state)
{
	static const struct tree_options o = { .clocks = 1 };
	struct rm_test_vm vm = { .pa = FAKE_RAM_BASE + 0x400000, .size = 0x400000 };
	struct gh_rm_vm_set_time_base t = { .time_base = 5, .timer = 7 };

	(void)state;
	assert_int_equal(rm_make(&vm, GH_RM_MEM_LEND, &o), GH_RM_OK);
	t.vmid = 0x99;
	assert_int_equal(set_time(&t), GH_RM_ERROR_NORESOURCE);
	assert_int_equal(rm_reply_u32(0), GH_ERROR_ARG_INVALID);
	t.vmid = vm.vmid;
	assert_int_equal(set_time(&t), GH_RM_OK);
	assert_int_equal(client.size, 0);
	assert_int_equal(fake_vm(vm.vmid)->rtc_ns, 5);
	assert_int_equal(fake_vm(vm.vmid)->rtc_counter, 7);
	assert_int_equal(set_time(&t), GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(rm_reply_u32(0), GH_ERROR_BUSY);
	assert_int_equal(rm_unmake(&vm), GH_RM_OK);
	/* And of a VM that has none. */
	assert_int_equal(rm_make(&vm, GH_RM_MEM_LEND, &(struct tree_options){ 0 }), GH_RM_OK);
	t.vmid = vm.vmid;
	assert_int_equal(set_time(&t), GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(rm_reply_u32(0), GH_ERROR_DENIED);
	assert_int_equal(rm_unmake(&vm), GH_RM_OK);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, boot, whole)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(lent_life),
		TEST(shared_life),
		TEST(life_in_bytes),
		TEST(resources_of_a_vm),
		TEST(allocation_limits),
		TEST(unknown_vms),
		TEST(states_refuse),
		TEST(failed_config_resets),
		TEST(no_image_is_authentic),
		TEST(exits_name_their_reason),
		TEST(late_note_of_another_vm),
		TEST(context_replaces_defaults),
		TEST(identity),
		TEST(attributes_forbid),
		TEST(sixteen_at_once),
		TEST(time_base_of_a_clock),
		TEST(time_base_needs_a_clock),
	};

	return cmocka_run_group_tests_name("rm_vm", tests, NULL, end);
}
