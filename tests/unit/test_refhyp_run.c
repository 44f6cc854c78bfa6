/* SPDX-License-Identifier: Apache-2.0 */
/* VCPU_RUN with a guest that the test plays: states, wake-ups, MMIO, PSCI, timers, kills, and migration between CPUs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "arch/fake.h"
#include "core/vcpu.h"
#include "core/vgic.h"
#include "tests/unit/hyp_help.h"

#define VMID	   0x80u
#define GUEST_RAM  0x80000000ull
#define MMIO	   0x09000000ull
#define GUEST_GICD 0x3fff0000ull
#define GUEST_GICR 0x3ffb0000ull
#define BELL	   36u
#define ENTRY	   0x80000000ull

static struct vm *vm;
static uint64_t cap[2], bell;
static struct hyp_object *bell_object;
static uint32_t virq[2];

static struct vcpu *current(void)
{
	return arch_cpu()->current;
}

static uint64_t *x(void)
{
	return current()->regs.x;
}

/* A call in the native form; the result of the call is in the host's registers when a guest's run ends. */
static uint64_t call(unsigned int n, uint64_t a, uint64_t b, uint64_t c)
{
	x()[0] = a;
	x()[1] = b;
	x()[2] = c;
	x()[3] = 0;
	x()[4] = 0;
	trap_hvc(GH_HVC_BASE + n);
	trap_return();
	return x()[0];
}

static uint64_t psci(uint32_t function, uint64_t a, uint64_t b, uint64_t c)
{
	x()[0] = function;
	x()[1] = a;
	x()[2] = b;
	x()[3] = c;
	trap_hvc(0);
	trap_return();
	return x()[0];
}

static void run(unsigned int i)
{
	call(GH_CALL_VCPU_RUN, cap[i], 0, 0);
}

static bool in_guest(unsigned int i)
{
	return current() == &vm->vcpu[i];
}

/* The host is back, and was told this. */
static void told(uint64_t state, uint64_t data0, uint64_t data1, uint64_t data2)
{
	assert_true(vcpu_is_primary(current()));
	assert_int_equal(x()[0], GH_ERROR_OK);
	assert_int_equal(x()[1], state);
	assert_int_equal(x()[2], data0);
	assert_int_equal(x()[3], data1);
	assert_int_equal(x()[4], data2);
}

static void enable_for_host(uint32_t intid)
{
	struct vcpu *v = current();

	assert_true(vcpu_is_primary(v));
	help_access(true, FAKE_GICD + 0x0c00 + intid / 16 * 4, 4, 0xaaaaaaaa);
	help_access(true, FAKE_GICD + 0x0100 + intid / 32 * 4, 4, 1u << intid % 32);
}

static bool host_gets(uint32_t intid)
{
	uint32_t got = fake_ack();

	if (got != 1023)
		fake_eoi(got);
	return got == intid;
}

static void make_vm(void)
{
	vm = hyp_vm_create(VMID);
	assert_non_null(vm);
	assert_int_equal(hyp_vm_set_gic(vm, GUEST_GICD, GUEST_GICR, 0x20000), GH_ERROR_OK);
	assert_int_equal(hyp_vm_add_vmmio(vm, 0, 0x40000000), GH_ERROR_OK);
	assert_int_equal(hyp_vm_map(vm, GUEST_RAM, FAKE_RAM + 0x800000, 0x100000, 7), GH_ERROR_OK);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(hyp_vm_add_vcpu(vm, i, true, &cap[i], &virq[i]), GH_ERROR_OK);
		assert_int_equal(virq[i], 962 + i);
		enable_for_host(virq[i]);
	}
	bell_object = help_add_doorbell(vm, BELL, true, &bell);
	assert_non_null(bell_object);
	assert_int_equal(hyp_vcpu_set_reg(vm, 0, 1, 0, ENTRY), GH_ERROR_OK);
	assert_int_equal(hyp_vcpu_set_reg(vm, 0, 0, 0, 0x1234), GH_ERROR_OK);
}

static int boot(void **state)
{
	(void)state;
	fake_boot(2);
	help_access(true, FAKE_GICD, 4, 3);
	make_vm();
	return 0;
}

static int end(void **state)
{
	(void)state;
	/* Only a CPU that runs the primary may kill. */
	for (unsigned int i = 0; i < 2; i++) {
		fake_turn(i);
		if (!vcpu_is_primary(current()))
			vcpu_exit(current(), RUN_READY,
				  (struct run_result){ GH_VCPU_READY, { 0 } });
	}
	hyp_vm_kill(vm);
	hyp_vm_destroy(vm);
	return 0;
}

static void start(void)
{
	hyp_vcpu_power_on(vm, 0);
	trap_return();
	assert_true(host_gets(virq[0]));
	run(0);
	assert_true(in_guest(0));
}

/* The guest's interrupt controller lets the bell and the timer through. */
static void open_gic(void)
{
	help_access(true, GUEST_GICD, 4, 3);
	help_access(true, GUEST_GICD + 0x0c00 + 8, 4, 0xaaaaaaaa);
	help_access(true, GUEST_GICD + 0x0104, 4, ~0u);
	help_access(true, GUEST_GICR + 0x10100, 4, ~0u);
}

static void off_then_on(void **state)
{
	(void)state;
	run(0);
	told(GH_VCPU_POWERED_OFF, 0, 0, 0);
	start();
	assert_int_equal(current()->regs.pc, ENTRY);
	assert_int_equal(current()->regs.x[0], 0x1234);
	/* Registers of a vCPU that is on are its own. */
	assert_int_equal(hyp_vcpu_set_reg(vm, 0, 1, 0, ENTRY), GH_ERROR_OBJECT_STATE);
}

static void mmio_write(void **state)
{
	(void)state;
	start();
	help_access(true, MMIO + 8, 4, 0x11223344);
	told(GH_VCPU_ADDRSPACE_VMMIO_WRITE, MMIO + 8, 4, 0x11223344);
	run(0);
	assert_true(in_guest(0));
	assert_int_equal(current()->regs.pc, ENTRY + 4);
}

static void mmio_read(void **state)
{
	static const struct {
		unsigned int size;
		bool sign, wide;
		uint64_t given, expected;
	} reads[] = {
		{ 1, false, true, 0xffffffffffffff81, 0x81 },
		{ 1, true, true, 0x81, 0xffffffffffffff81 },
		{ 2, true, false, 0x8001, 0xffff8001 },
		{ 4, false, true, 0x1ffffffff, 0xffffffff },
		{ 4, true, true, 0x80000000, 0xffffffff80000000 },
		{ 8, false, true, 0x8000000000000001, 0x8000000000000001 },
	};

	(void)state;
	start();
	for (unsigned int i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
		struct fault fault = {
			.ipa = MMIO,
			.ipa_valid = true,
			.translation = true,
			.decoded = true,
			.access = { .ipa = MMIO,
				    .size = (uint8_t)reads[i].size,
				    .reg = 9,
				    .wide = reads[i].wide,
				    .sign_extend = reads[i].sign,
				    .pc_step = 4 },
		};

		trap_fault(&fault);
		trap_return();
		told(GH_VCPU_ADDRSPACE_VMMIO_READ, MMIO, reads[i].size, 0);
		call(GH_CALL_VCPU_RUN, cap[0], reads[i].given, GH_RESUME_DEFAULT);
		assert_true(in_guest(0));
		assert_int_equal(current()->regs.x[9], reads[i].expected);
	}
}

static void mmio_answers(void **state)
{
	(void)state;
	start();
	help_access(false, MMIO, 4, 0);
	/* No such answer: nothing happens, and the right one still counts. */
	assert_int_equal(call(GH_CALL_VCPU_RUN, cap[0], 0, 3), GH_ERROR_ARG_INVALID);
	call(GH_CALL_VCPU_RUN, cap[0], 0, GH_RESUME_RETRY);
	assert_true(in_guest(0));
	assert_int_equal(current()->regs.pc, ENTRY);
	help_access(false, MMIO, 4, 0);
	call(GH_CALL_VCPU_RUN, cap[0], 0, GH_RESUME_FAULT);
	assert_true(in_guest(0));
	assert_int_equal(fake_machine.faults, 1);
}

static void other_faults_abort(void **state)
{
	struct fault fault = { .ipa = MMIO, .ipa_valid = true, .translation = true, .exec = true };

	(void)state;
	start();
	trap_fault(&fault); /* an instruction fetch */
	fault = (struct fault){ .ipa = MMIO, .ipa_valid = true, .translation = true };
	trap_fault(&fault); /* not a plain load or store */
	assert_int_equal(fake_machine.faults, 2);
	help_access(true, 0x50000000, 4, 0); /* outside of the windows */
	help_access(true, 0x3fffffff, 4, 0); /* across their end */
	help_access(true, 1ull << 36, 4, 0);
	help_access(true, ~0ull, 1, 0);
	assert_int_equal(fake_machine.faults, 6);
	help_access(false, GUEST_RAM, 4, 0); /* mapped by now: once more */
	assert_int_equal(fake_machine.faults, 6);
	assert_true(in_guest(0));
}

static void wfi_and_doorbell(void **state)
{
	(void)state;
	start();
	open_gic();
	trap_wfi();
	trap_return();
	told(GH_VCPU_EXPECTS_WAKEUP, 0, GH_VCPU_WAKEUP_WFI, 0);
	assert_false(host_gets(virq[0]));
	run(0);
	told(GH_VCPU_EXPECTS_WAKEUP, 0, GH_VCPU_WAKEUP_WFI, 0);
	assert_int_equal(call(GH_CALL_DOORBELL_SEND, bell, 1, 0), GH_ERROR_OK);
	assert_true(host_gets(virq[0]));
	run(0);
	assert_true(in_guest(0));
	/* With something pending nobody waits. */
	trap_wfi();
	trap_return();
	assert_true(in_guest(0));
	assert_int_equal(fake_ack(), BELL);
	fake_eoi(BELL);
	trap_wfi();
	trap_return();
	told(GH_VCPU_EXPECTS_WAKEUP, 0, GH_VCPU_WAKEUP_WFI, 0);
}

static void level_doorbell_as_irqfd_uses_it(void **state)
{
	(void)state;
	start();
	help_access(true, GUEST_GICD, 4, 3);
	help_access(true, GUEST_GICD + 0x0104, 4, ~0u);
	psci(0x84000001, 7, 0, 0);
	told(GH_VCPU_EXPECTS_WAKEUP, 7, GH_VCPU_WAKEUP_PSCI_CPU_SUSPEND, 0);
	assert_int_equal(call(GH_CALL_DOORBELL_MASK, bell, 1, 1), GH_ERROR_OK);
	for (unsigned int i = 0; i < 3; i++) {
		call(GH_CALL_DOORBELL_SEND, bell, 1, 0);
		assert_true(host_gets(virq[0]));
		run(0);
		assert_true(in_guest(0));
		assert_int_equal(fake_ack(), BELL);
		fake_eoi(BELL);
		/* The flag acknowledged itself, so the line is low again. */
		assert_int_equal(fake_ack(), 1023);
		trap_wfi();
		trap_return();
		told(GH_VCPU_EXPECTS_WAKEUP, 0, GH_VCPU_WAKEUP_WFI, 0);
	}
	/* With default masks and nobody who clears the flags a level never ends. */
	call(GH_CALL_DOORBELL_MASK, bell, ~0ull, 0);
	call(GH_CALL_DOORBELL_SEND, bell, 1, 0);
	assert_true(host_gets(virq[0]));
	run(0);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(fake_ack(), BELL);
		fake_eoi(BELL);
	}
}

static void timer_wakes(void **state)
{
	(void)state;
	help_access(true, FAKE_GICD + 0x0104, 4, 1u << (50 - 32));
	start();
	open_gic();
	fake_vtimer(1, 500);
	trap_wfi();
	trap_return();
	told(GH_VCPU_EXPECTS_WAKEUP, 0, GH_VCPU_WAKEUP_WFI, 0);
	fake_machine.counter = 499;
	fake_settle();
	assert_false(host_gets(virq[0]));
	fake_machine.counter = 500;
	fake_settle();
	assert_true(host_gets(virq[0]));
	run(0);
	fake_settle();
	assert_true(in_guest(0));
	assert_int_equal(fake_ack(), INTID_TIMER);
	/* In its handler it is interrupted and goes on elsewhere: the interrupt stays active, and does not fire twice. */
	fake_machine.irq_pending[50] = true;
	fake_settle();
	told(GH_VCPU_READY, 0, 0, 0);
	assert_int_equal(fake_ack(), 50);
	fake_eoi(50);
	run(0);
	fake_settle();
	assert_true(in_guest(0));
	assert_int_equal(fake_ack(), 1023);
	fake_vtimer(1, 1000);
	fake_eoi(INTID_TIMER);
	fake_settle();
	assert_int_equal(fake_ack(), 1023);
	fake_machine.counter = 1000;
	fake_settle();
	assert_int_equal(fake_ack(), INTID_TIMER);
}

static void host_interrupt_ends_the_run(void **state)
{
	(void)state;
	help_access(true, FAKE_GICD + 0x0104, 4, 1u << (50 - 32));
	start();
	fake_machine.irq_pending[50] = true;
	fake_settle();
	told(GH_VCPU_READY, 0, 0, 0);
	/* A host that does not take it gets nowhere. */
	run(0);
	told(GH_VCPU_READY, 0, 0, 0);
	assert_int_equal(fake_ack(), 50);
	fake_eoi(50);
	run(0);
	assert_true(in_guest(0));
}

static void host_timer_ends_the_run(void **state)
{
	(void)state;
	help_access(true, FAKE_GICR + 0x10100, 4, 1u << INTID_TIMER);
	fake_vtimer(1, 100);
	start();
	fake_settle();
	assert_true(in_guest(0));
	fake_machine.counter = 100;
	fake_settle();
	told(GH_VCPU_READY, 0, 0, 0);
	assert_int_equal(fake_ack(), INTID_TIMER);
}

static void busy_elsewhere_and_migration(void **state)
{
	(void)state;
	psci(0xc4000003, 1, 0x1000, 0);
	fake_settle();
	start();
	fake_turn(1);
	assert_int_equal(call(GH_CALL_VCPU_RUN, cap[0], 0, 0), GH_ERROR_BUSY);
	fake_turn(0);
	help_access(true, MMIO, 4, 1);
	fake_turn(1);
	run(0);
	assert_true(in_guest(0));
	assert_int_equal(vm->vcpu[0].cpu, 1);
	/* An interrupt from CPU 0 finds it. */
	fake_turn(1);
	open_gic();
	fake_turn(0);
	call(GH_CALL_DOORBELL_SEND, bell, 1, 0);
	fake_settle();
	fake_turn(1);
	assert_int_equal(fake_ack(), BELL);
}

static void psci_brings_up_a_sibling(void **state)
{
	(void)state;
	run(1);
	told(GH_VCPU_POWERED_OFF, 0, 0, 0);
	start();
	assert_int_equal(psci(0x84000000, 0, 0, 0), 0x10001);
	assert_int_equal(psci(0x8400000a, 0xc4000003, 0, 0), 0);
	assert_int_equal(psci(0x8400000a, 0xc400000e, 0, 0), (uint64_t)-1);
	assert_int_equal(psci(0xc4000004, 1, 0, 0), 1);
	assert_int_equal(psci(0xc4000003, 2, 0, 0), (uint64_t)-2);
	assert_int_equal(psci(0xc4000003, 0, 0, 0), (uint64_t)-4);
	/* The wake-up is an interrupt of the host, so it ends the run. */
	psci(0xc4000003, 1, ENTRY + 64, 77);
	told(GH_VCPU_READY, 0, 0, 0);
	assert_int_equal(vm->vcpu[0].regs.x[0], 0);
	assert_true(host_gets(virq[1]));
	run(0);
	assert_int_equal(psci(0xc4000003, 1, ENTRY + 64, 77), (uint64_t)-5);
	assert_int_equal(psci(0xc4000004, 1, 0, 0), 2);
	psci(0x84000001, 0, 0, 0);
	told(GH_VCPU_EXPECTS_WAKEUP, 0, GH_VCPU_WAKEUP_PSCI_CPU_SUSPEND, 0);
	run(1);
	assert_true(in_guest(1));
	assert_int_equal(current()->regs.pc, ENTRY + 64);
	assert_int_equal(current()->regs.x[0], 77);
	assert_int_equal(psci(0xc4000004, 0, 0, 0), 0);
	psci(0x84000002, 0, 0, 0);
	told(GH_VCPU_POWERED_OFF, 0, 0, 0);
	assert_int_equal(hyp_vcpu_set_reg(vm, 1, 2, 1, 5), GH_ERROR_OK);
}

static void powered_on_in_time(void)
{
	fake_turn(0);
	assert_int_equal(psci(0xc4000003, 1, ENTRY + 64, 6), 0);
}

/* Its registers are about to be saved: what is written there now would be lost. */
static void powered_on_too_early(void)
{
	fake_turn(0);
	assert_int_equal(psci(0xc4000003, 1, ENTRY, 5), (uint64_t)-4);
	fake_machine.meanwhile = powered_on_in_time;
}

static void off_while_another_powers_it_on(void **state)
{
	(void)state;
	psci(0xc4000003, 1, 0x1000, 0);
	fake_settle();
	fake_turn(1);
	fake_machine.meanwhile = powered_on_too_early;
	psci(0x84000002, 0, 0, 0);
	assert_null(fake_machine.meanwhile);
	assert_int_equal(current()->regs.pc, ENTRY + 64);
	assert_int_equal(x()[0], 6);
	assert_true(current()->loaded);
}

static void system_off(void **state)
{
	(void)state;
	start();
	psci(0x84000008, 0, 0, 0);
	told(GH_VCPU_POWERED_OFF, GH_VCPU_POWERED_OFF_EXITED, 0, 0);
	run(0);
	told(GH_VCPU_POWERED_OFF, GH_VCPU_POWERED_OFF_EXITED, 0, 0);
	run(1);
	told(GH_VCPU_POWERED_OFF, GH_VCPU_POWERED_OFF_EXITED, 0, 0);
}

static void system_reset(void **state)
{
	(void)state;
	start();
	psci(0x84000009, 0, 0, 0);
	told(GH_VCPU_PSCI_SYSTEM_RESET, GH_VCPU_RESET_IS_RESET, 0, 0);
	run(0);
	told(GH_VCPU_POWERED_OFF, GH_VCPU_POWERED_OFF_EXITED, 0, 0);
}

static void system_reset2(void **state)
{
	(void)state;
	start();
	assert_int_equal(psci(0xc4000012, 5, 0, 0), (uint64_t)-2);
	psci(0xc4000012, 0x80000001, 0xabcdef0123456789, 0);
	told(GH_VCPU_PSCI_SYSTEM_RESET, 0x80000001 | GH_VCPU_RESET2_SMC64, 0xabcdef0123456789, 0);
	run(0);
	told(GH_VCPU_POWERED_OFF, GH_VCPU_POWERED_OFF_EXITED, 0, 0);
}

/* The state without running it; no VM here has the right, so the resource manager's way is taken. */
static void checked(enum gh_error error, uint64_t state, uint64_t data0, uint64_t data1)
{
	uint64_t out[8] = { 0 };

	assert_int_equal(vcpu_run_check(&vm->vcpu[0], cap[0], out), error);
	if (error)
		return;
	assert_int_equal(out[1], state);
	assert_int_equal(out[2], data0);
	assert_int_equal(out[3], data1);
}

static void check_tells_what_a_run_would(void **state)
{
	(void)state;
	checked(GH_ERROR_OK, GH_VCPU_POWERED_OFF, 0, 0);
	start();
	checked(GH_ERROR_BUSY, 0, 0, 0);
	help_access(false, MMIO + 4, 2, 0);
	checked(GH_ERROR_OK, GH_VCPU_ADDRSPACE_VMMIO_READ, MMIO + 4, 2);
	run(0);
	help_access(true, MMIO, 8, 1);
	checked(GH_ERROR_OK, GH_VCPU_ADDRSPACE_VMMIO_WRITE, MMIO, 8);
	run(0);
	trap_wfi();
	trap_return();
	checked(GH_ERROR_OK, GH_VCPU_EXPECTS_WAKEUP, 0, GH_VCPU_WAKEUP_WFI);
	vcpu_wake(&vm->vcpu[0]);
	trap_return();
	/* Runnable, though nobody runs it. */
	checked(GH_ERROR_BUSY, 0, 0, 0);
	assert_true(host_gets(virq[0]));
	run(0);
	assert_true(in_guest(0));
	psci(0xc4000012, 0x80000001, 0x55, 0);
	checked(GH_ERROR_OK, GH_VCPU_PSCI_SYSTEM_RESET, 0x80000001 | GH_VCPU_RESET2_SMC64, 0x55);
	run(0);
	checked(GH_ERROR_OK, GH_VCPU_POWERED_OFF, GH_VCPU_POWERED_OFF_EXITED, 0);
	cap[0]++;
	checked(GH_ERROR_CSPACE_CAP_REVOKED, 0, 0, 0);
}

static void broken_guest(void **state)
{
	(void)state;
	start();
	trap_broken();
	checked(GH_ERROR_OK, GH_VCPU_FAULT, 0, 0);
	trap_return();
	told(GH_VCPU_FAULT, 0, 0, 0);
}

static void kill_from_another_cpu(void **state)
{
	(void)state;
	psci(0xc4000003, 1, 0x1000, 0);
	fake_settle();
	start();
	fake_turn(1);
	hyp_vm_kill(vm);
	fake_turn(0);
	told(GH_VCPU_POWERED_OFF, GH_VCPU_POWERED_OFF_EXITED, 0, 0);
	run(0);
	told(GH_VCPU_POWERED_OFF, GH_VCPU_POWERED_OFF_EXITED, 0, 0);
	hyp_vm_kill(vm);
}

static void destroyed_is_revoked(void **state)
{
	(void)state;
	start();
	help_access(true, MMIO, 4, 1);
	hyp_vm_kill(vm);
	help_remove(bell_object);
	hyp_vm_destroy(vm);
	assert_int_equal(call(GH_CALL_VCPU_RUN, cap[0], 0, 0), GH_ERROR_CSPACE_CAP_REVOKED);
	assert_int_equal(call(GH_CALL_DOORBELL_SEND, bell, 1, 0), GH_ERROR_CSPACE_CAP_REVOKED);
	/* The interrupts are free again, and the handles new. */
	for (unsigned int i = 0; i < 100; i++) {
		uint64_t old[2] = { cap[0], cap[1] };

		make_vm();
		assert_true(cap[0] != old[0] && cap[1] != old[1]);
		assert_int_equal(virq[0], 962);
		if (i < 99) {
			help_remove(bell_object);
			hyp_vm_destroy(vm);
		}
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, boot, end)
	const struct CMUnitTest tests[] = {
		TEST(off_then_on),
		TEST(mmio_write),
		TEST(mmio_read),
		TEST(mmio_answers),
		TEST(other_faults_abort),
		TEST(wfi_and_doorbell),
		TEST(level_doorbell_as_irqfd_uses_it),
		TEST(timer_wakes),
		TEST(host_interrupt_ends_the_run),
		TEST(host_timer_ends_the_run),
		TEST(busy_elsewhere_and_migration),
		TEST(psci_brings_up_a_sibling),
		TEST(off_while_another_powers_it_on),
		TEST(system_off),
		TEST(system_reset),
		TEST(system_reset2),
		TEST(check_tells_what_a_run_would),
		TEST(broken_guest),
		TEST(kill_from_another_cpu),
		TEST(destroyed_is_revoked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
