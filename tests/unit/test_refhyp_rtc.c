/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's PL031: its time base, its registers, and what is not one of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "arch/fake.h"
#include "tests/unit/hyp_help.h"

#define VMID	  0x80u
#define GUEST_RAM 0x80000000ull
#define RTC	  0x09030000ull
#define HOSTS	  0x09031000ull /* leaves vcpu_run */
#define GICD	  0x3fff0000ull
#define GICR	  0x3ffb0000ull
#define NS	  1000000000ull
#define EPOCH	  1700000000ull

#define DR  0x000u
#define MR  0x004u
#define LR  0x008u
#define CR  0x00cu
#define IDS 0xfe0u

static struct vm *vm;
static uint64_t cap;

static void run(void)
{
	uint64_t *x = arch_cpu()->current->regs.x;

	x[0] = cap;
	x[1] = x[2] = x[3] = x[4] = 0;
	trap_hvc(GH_HVC_BASE + GH_CALL_VCPU_RUN);
	trap_return();
	assert_ptr_equal(arch_cpu()->current, &vm->vcpu[0]);
}

static int boot(void **state)
{
	uint32_t virq;

	(void)state;
	fake_boot(1);
	fake_machine.counter = 1000 * arch_counter_hz();
	vm = hyp_vm_create(VMID);
	assert_non_null(vm);
	assert_int_equal(hyp_vm_add_vmmio(vm, 0, 0x40000000), GH_ERROR_OK);
	assert_int_equal(hyp_vm_set_gic(vm, GICD, GICR, 0x20000), GH_ERROR_OK);
	assert_int_equal(hyp_vm_add_vcpu(vm, 0, true, &cap, &virq), GH_ERROR_OK);
	assert_int_equal(hyp_vm_map(vm, GUEST_RAM, FAKE_RAM, 0x200000, 7), GH_ERROR_OK);
	return 0;
}

static int end(void **state)
{
	(void)state;
	if (!vcpu_is_primary(arch_cpu()->current))
		help_access(false, HOSTS, 4, 0);
	hyp_vm_kill(vm);
	hyp_vm_unmap(vm, GUEST_RAM, 0x200000);
	hyp_vm_destroy(vm);
	return 0;
}

static void power_on(void)
{
	hyp_vcpu_power_on(vm, 0);
	run();
}

/* What the guest reads; ~0: it took an abort instead. */
static uint64_t read_at(ipa_t at, unsigned int size)
{
	unsigned int faults = fake_machine.faults;
	struct vcpu *v = arch_cpu()->current;

	v->regs.x[HELP_REG] = 0;
	help_access(false, at, size, 0);
	return fake_machine.faults == faults ? v->regs.x[HELP_REG] : ~0ull;
}

static void places(void **state)
{
	(void)state;
	assert_int_equal(hyp_vm_set_time(vm, NS, 0), GH_ERROR_DENIED);
	assert_int_equal(hyp_vm_add_rtc(vm, RTC + 8), GH_ERROR_ARG_INVALID);
	assert_int_equal(hyp_vm_add_rtc(vm, 1ull << hyp_ipa_bits()), GH_ERROR_ARG_INVALID);
	assert_int_equal(hyp_vm_add_rtc(vm, GICD + 0x1000), GH_ERROR_EXISTING_MAPPING);
	assert_int_equal(hyp_vm_add_rtc(vm, GICR), GH_ERROR_EXISTING_MAPPING);
	assert_int_equal(hyp_vm_add_rtc(vm, RTC), GH_ERROR_OK);
	assert_int_equal(hyp_vm_add_rtc(vm, HOSTS), GH_ERROR_OBJECT_CONFIGURED);
	/* Nothing hides it. */
	assert_int_equal(hyp_vm_map(vm, RTC, FAKE_RAM + 0x200000, 0x1000, 7),
			 GH_ERROR_EXISTING_MAPPING);
	assert_int_equal(hyp_vm_map(vm, RTC - 0x1000, FAKE_RAM + 0x200000, 0x2000, 7),
			 GH_ERROR_EXISTING_MAPPING);
}

static void time_base(void **state)
{
	uint64_t hz = arch_counter_hz(), now = arch_counter();

	(void)state;
	assert_int_equal(hyp_vm_add_rtc(vm, RTC), GH_ERROR_OK);
	assert_int_equal(hyp_vm_set_time(vm, EPOCH * NS, now + 1), GH_ERROR_ARG_INVALID);
	/* Two seconds ago it was half a second past the epoch's second. */
	assert_int_equal(hyp_vm_set_time(vm, EPOCH * NS + NS / 2, now - 2 * hz), GH_ERROR_OK);
	assert_int_equal(hyp_vm_set_time(vm, EPOCH * NS, now), GH_ERROR_BUSY);
	power_on();
	assert_int_equal(read_at(RTC + DR, 4), EPOCH + 2);
	assert_int_equal(read_at(RTC + LR, 4), EPOCH);
	fake_machine.counter += hz / 2 - 1;
	assert_int_equal(read_at(RTC + DR, 4), EPOCH + 2);
	fake_machine.counter += 1;
	assert_int_equal(read_at(RTC + DR, 4), EPOCH + 3);
	/* Many years later: no product of the two may overflow. */
	fake_machine.counter += 100ull * 365 * 86400 * hz;
	assert_int_equal(read_at(RTC + DR, 4), (uint32_t)(EPOCH + 3 + 100ull * 365 * 86400));
}

static void without_base(void **state)
{
	(void)state;
	assert_int_equal(hyp_vm_add_rtc(vm, RTC), GH_ERROR_OK);
	power_on();
	assert_int_equal(read_at(RTC + DR, 4), 1000);
	assert_int_equal(read_at(RTC + LR, 4), 0);
	help_access(true, RTC + LR, 4, EPOCH);
	assert_int_equal(read_at(RTC + DR, 4), EPOCH);
	assert_int_equal(read_at(RTC + LR, 4), EPOCH);
	fake_machine.counter += 7 * arch_counter_hz();
	assert_int_equal(read_at(RTC + DR, 4), EPOCH + 7);
}

static void registers(void **state)
{
	static const uint8_t ids[] = { 0x31, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1 };

	(void)state;
	assert_int_equal(hyp_vm_add_rtc(vm, RTC), GH_ERROR_OK);
	power_on();
	assert_int_equal(read_at(RTC + CR, 4), 1);
	help_access(true, RTC + CR, 4, 0);
	assert_int_equal(read_at(RTC + CR, 4), 1);
	help_access(true, RTC + MR, 4, 0x1234);
	assert_int_equal(read_at(RTC + MR, 4), 0);
	for (unsigned int i = 0; i < sizeof(ids); i++)
		assert_int_equal(read_at(RTC + IDS + i * 4, 4), ids[i]);
	assert_int_equal(read_at(RTC + DR, 1), ~0ull);
	assert_int_equal(read_at(RTC + DR, 2), ~0ull);
	assert_int_equal(read_at(RTC + DR, 8), ~0ull);
	assert_int_equal(read_at(RTC + DR + 2, 4), ~0ull);
	/* Beyond it all is the host's. */
	help_access(false, HOSTS, 4, 0);
	assert_true(vcpu_is_primary(arch_cpu()->current));
	assert_int_equal(arch_cpu()->current->regs.x[1], GH_VCPU_ADDRSPACE_VMMIO_READ);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, boot, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(places),
		TEST(time_base),
		TEST(without_base),
		TEST(registers),
	};

	return cmocka_run_group_tests_name("refhyp_rtc", tests, NULL, NULL);
}
