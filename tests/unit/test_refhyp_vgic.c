/* SPDX-License-Identifier: Apache-2.0 */
/* The virtual GICv3: edges and levels, priorities, too many interrupts at once, hardware interrupts, register frames. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "arch/fake.h"
#include "core/vgic.h"
#include "tests/unit/hyp_help.h"

#define NOTHING	   1023u
#define CTLR	   0x0000u
#define ISENABLER  0x0100u
#define ICENABLER  0x0180u
#define ISPENDR	   0x0200u
#define ICPENDR	   0x0280u
#define ISACTIVER  0x0300u
#define ICACTIVER  0x0380u
#define IPRIORITYR 0x0400u
#define ICFGR	   0x0c00u
#define IROUTER	   0x6000u
#define RD	   (FAKE_GICR)
#define SGI	   (FAKE_GICR + 0x10000)
#define VIRTUAL	   1000u /* an INTID without hardware behind it */
#define DEVICE	   40u

/* What one access does; the value, or ~0 with an abort. */
static uint64_t access_gic(bool write, ipa_t at, unsigned int size, uint64_t value)
{
	struct vcpu *v = arch_cpu()->current;
	unsigned int faults = fake_machine.faults;

	v->regs.x[HELP_REG] = 0x5555;
	help_access(write, at, size, value);
	return fake_machine.faults != faults ? ~0ull : v->regs.x[HELP_REG];
}

static void wr(ipa_t at, uint32_t value)
{
	assert_int_not_equal(access_gic(true, at, 4, value), ~0ull);
}

static uint32_t rd(ipa_t at)
{
	return (uint32_t)access_gic(false, at, 4, 0);
}

static ipa_t bits(uint32_t file, uint32_t intid)
{
	return FAKE_GICD + file + intid / 32 * 4;
}

static uint32_t bit(uint32_t intid)
{
	return 1u << intid % 32;
}

static void enable(uint32_t intid, uint8_t priority, bool edge)
{
	uint32_t config = rd(FAKE_GICD + ICFGR + intid / 16 * 4) & ~(3u << intid % 16 * 2);

	access_gic(true, FAKE_GICD + IPRIORITYR + intid, 1, priority);
	wr(FAKE_GICD + ICFGR + intid / 16 * 4, config | (edge ? 2u << intid % 16 * 2 : 0));
	wr(bits(ISENABLER, intid), bit(intid));
}

static void raise(uint32_t intid)
{
	vgic_raise(hyp_primary(), intid);
	trap_return();
}

static int boot(void **state)
{
	(void)state;
	fake_boot(2);
	wr(FAKE_GICD + CTLR, 3);
	return 0;
}

/* CPU n of the primary is up; it is CPU 0's turn. */
static void start(unsigned int n)
{
	arch_cpu()->current->regs.x[0] = 0xc4000003;
	arch_cpu()->current->regs.x[1] = n;
	arch_cpu()->current->regs.x[2] = 0x1000;
	trap_smc(0);
	trap_return();
	assert_int_equal(arch_cpu()->current->regs.x[0], 0);
	fake_settle();
	assert_true(hyp_primary()->vcpu[n].loaded);
}

static void edge_is_delivered_once(void **state)
{
	(void)state;
	enable(VIRTUAL, 0x80, true);
	assert_int_equal(fake_ack(), NOTHING);
	raise(VIRTUAL);
	assert_int_equal(fake_ack(), VIRTUAL);
	fake_eoi(VIRTUAL);
	assert_int_equal(fake_ack(), NOTHING);
}

static void edge_while_active_comes_again(void **state)
{
	(void)state;
	enable(VIRTUAL, 0x80, true);
	raise(VIRTUAL);
	assert_int_equal(fake_ack(), VIRTUAL);
	raise(VIRTUAL);
	raise(VIRTUAL);
	fake_eoi(VIRTUAL);
	trap_return();
	/* The list register held both states: its pending one stays. */
	assert_int_equal(fake_ack(), VIRTUAL);
	fake_eoi(VIRTUAL);
	assert_int_equal(fake_ack(), NOTHING);
}

static bool level;

static bool is_level(const void *object)
{
	(void)object;
	return level;
}

static void level_comes_while_it_is_asserted(void **state)
{
	static const struct virq_source source = { .asserted = is_level };

	(void)state;
	vgic_bind(hyp_primary(), VIRTUAL, &source);
	enable(VIRTUAL, 0x80, false);
	level = true;
	raise(VIRTUAL);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(fake_ack(), VIRTUAL);
		fake_eoi(VIRTUAL);
	}
	level = false;
	assert_int_equal(fake_ack(), VIRTUAL);
	fake_eoi(VIRTUAL);
	assert_int_equal(fake_ack(), NOTHING);
	/* What falls before it is taken is withdrawn; a pulse is nothing to a level. */
	raise(VIRTUAL);
	vgic_lower(hyp_primary(), VIRTUAL);
	trap_return();
	assert_int_equal(fake_ack(), NOTHING);
	vgic_pulse(hyp_primary(), VIRTUAL);
	trap_return();
	assert_int_equal(fake_ack(), NOTHING);
}

static void disabled_waits(void **state)
{
	(void)state;
	enable(VIRTUAL, 0x80, true);
	wr(bits(ICENABLER, VIRTUAL), bit(VIRTUAL));
	raise(VIRTUAL);
	assert_int_equal(fake_ack(), NOTHING);
	assert_int_equal(rd(bits(ISPENDR, VIRTUAL)), bit(VIRTUAL));
	wr(bits(ISENABLER, VIRTUAL), bit(VIRTUAL));
	/* Withdrawn from the list register again when it is disabled before it is taken. */
	wr(bits(ICENABLER, VIRTUAL), bit(VIRTUAL));
	assert_int_equal(fake_ack(), NOTHING);
	wr(bits(ISENABLER, VIRTUAL), bit(VIRTUAL));
	assert_int_equal(fake_ack(), VIRTUAL);
	fake_eoi(VIRTUAL);
	/* Both groups can be off. */
	raise(VIRTUAL);
	wr(FAKE_GICD + CTLR, 0);
	assert_int_equal(fake_ack(), NOTHING);
	wr(FAKE_GICD + CTLR, 3);
	assert_int_equal(fake_ack(), VIRTUAL);
	fake_eoi(VIRTUAL);
}

static void more_than_list_registers(void **state)
{
	const unsigned int n = 12;

	(void)state;
	for (unsigned int i = 0; i < n; i++)
		enable(960 + i, (uint8_t)(0xf0 - 8 * i), true);
	for (unsigned int i = 0; i < n; i++)
		raise(960 + i);
	/* The later, the more urgent. */
	for (unsigned int i = n; i--;) {
		assert_int_equal(fake_ack(), 960 + i);
		fake_eoi(960 + i);
	}
	assert_int_equal(fake_ack(), NOTHING);
}

static void more_active_than_list_registers(void **state)
{
	const unsigned int n = 7;

	(void)state;
	for (unsigned int i = 0; i < n; i++)
		enable(960 + i, (uint8_t)(0xf0 - 8 * i), true);
	/* Each preempts the one before. */
	for (unsigned int i = 0; i < n; i++) {
		raise(960 + i);
		assert_int_equal(fake_ack(), 960 + i);
	}
	for (unsigned int i = n; i--;) {
		fake_eoi(960 + i);
		trap_return();
		assert_int_equal(rd(bits(ISACTIVER, 960)), (1u << i) - 1);
	}
}

/* All list registers are taken by active ones when two come that are more urgent: the second follows the first at once. */
static void urgent_over_active_ones(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < FAKE_LRS + 2; i++)
		enable(960 + i, (uint8_t)(0xf0 - 8 * i), true);
	for (unsigned int i = 0; i < FAKE_LRS; i++) {
		raise(960 + i);
		assert_int_equal(fake_ack(), 960 + i);
	}
	vgic_raise(hyp_primary(), 960 + FAKE_LRS);
	raise(960 + FAKE_LRS + 1);
	for (unsigned int i = FAKE_LRS + 1; i >= FAKE_LRS; i--) {
		assert_int_equal(fake_ack(), 960 + i);
		fake_eoi(960 + i);
	}
	for (unsigned int i = FAKE_LRS; i--;)
		fake_eoi(960 + i);
	trap_return();
	assert_int_equal(rd(bits(ISACTIVER, 960)), 0);
}

static void device_goes_through(void **state)
{
	(void)state;
	enable(DEVICE, 0x80, false);
	assert_true(fake_machine.irq_enabled[DEVICE]);
	fake_machine.irq_pending[DEVICE] = true;
	fake_settle();
	assert_true(fake_machine.irq_active[DEVICE]);
	assert_int_equal(fake_ack(), DEVICE);
	fake_eoi(DEVICE);
	assert_false(fake_machine.irq_active[DEVICE]);
	/* The same again, without any trap between end and next. */
	fake_machine.irq_pending[DEVICE] = true;
	fake_settle();
	assert_int_equal(fake_ack(), DEVICE);
	fake_eoi(DEVICE);
	trap_return();
	/* Taken away before the guest took it. */
	fake_machine.irq_pending[DEVICE] = true;
	fake_settle();
	wr(bits(ICPENDR, DEVICE), bit(DEVICE));
	assert_int_equal(fake_ack(), NOTHING);
	assert_false(fake_machine.irq_active[DEVICE]);
	/* Made by software, through the hardware. */
	wr(bits(ISPENDR, DEVICE), bit(DEVICE));
	fake_settle();
	assert_int_equal(fake_ack(), DEVICE);
	wr(bits(ICACTIVER, DEVICE), bit(DEVICE));
	assert_false(fake_machine.irq_active[DEVICE]);
	assert_int_equal(rd(bits(ISACTIVER, DEVICE)), 0);
}

static void device_moves_to_another_cpu(void **state)
{
	(void)state;
	start(1);
	enable(DEVICE, 0x80, false);
	access_gic(true, FAKE_GICD + IROUTER + DEVICE * 8, 8, 1);
	assert_int_equal(fake_machine.irq_route[DEVICE], 1);
	fake_machine.irq_pending[DEVICE] = true;
	fake_settle();
	assert_int_equal(fake_ack(), NOTHING);
	fake_turn(1);
	assert_int_equal(fake_ack(), DEVICE);
	/* The other CPU reads what is active here, though it is in a list register. */
	fake_turn(0);
	assert_int_equal(rd(bits(ISACTIVER, DEVICE)), bit(DEVICE));
	/* Moved back while it is active: it ends where it was taken, whatever its CPU does until then. */
	access_gic(true, FAKE_GICD + IROUTER + DEVICE * 8, 8, 0);
	fake_settle();
	fake_turn(1);
	assert_int_equal(rd(bits(ISACTIVER, DEVICE)), bit(DEVICE));
	fake_eoi(DEVICE);
	assert_false(fake_machine.irq_active[DEVICE]);
	assert_int_equal(rd(bits(ISACTIVER, DEVICE)), 0);
	fake_turn(0);
	fake_machine.irq_pending[DEVICE] = true;
	fake_settle();
	assert_int_equal(fake_ack(), DEVICE);
	fake_eoi(DEVICE);
}

/* A CPU reads what is active on another one, which ends its interrupt while its list registers are empty. */
static void end_while_another_looks(void **state)
{
	struct vcpu *other;

	(void)state;
	start(1);
	other = &hyp_primary()->vcpu[1];
	for (unsigned int n = 0; n < 2; n++) {
		const uint32_t intid = n ? VIRTUAL : DEVICE;

		enable(intid, 0x80, true);
		access_gic(true, FAKE_GICD + IROUTER + intid * 8, 8, 1);
		if (n)
			raise(intid);
		else
			fake_machine.irq_pending[intid] = true;
		fake_settle();
		fake_turn(1);
		assert_int_equal(fake_ack(), intid);
		fake_turn(0);
		vgic_begin(arch_cpu()->current);
		vgic_settle(arch_cpu()->current);
		hyp_unlock(&hyp_primary()->lock);
		fake_turn(1);
		assert_int_equal(other->lr_used, 0);
		fake_eoi(intid);
		fake_turn(0);
		hyp_lock(&hyp_primary()->lock);
		vgic_end(arch_cpu()->current);
		fake_settle();
		assert_int_equal(rd(bits(ISACTIVER, intid)), 0);
		assert_false(fake_machine.irq_active[DEVICE]);
	}
}

/* A vCPU with an active interrupt comes back to its CPU while the next one is waited for. */
static void comes_back(void)
{
	fake_turn(1);
	vgic_load(arch_cpu()->current);
}

static void loaded_while_another_looks(void **state)
{
	(void)state;
	fake_boot(3);
	wr(FAKE_GICD + CTLR, 3);
	start(1);
	start(2);
	for (unsigned int n = 1; n < 3; n++) {
		enable(VIRTUAL + n, 0x80, true);
		access_gic(true, FAKE_GICD + IROUTER + (VIRTUAL + n) * 8, 8, n);
		raise(VIRTUAL + n);
		fake_settle();
		fake_turn(n);
		assert_int_equal(fake_ack(), VIRTUAL + n);
		fake_turn(0);
	}
	fake_turn(1);
	vgic_unload(arch_cpu()->current);
	fake_turn(0);
	fake_machine.meanwhile = comes_back;
	assert_int_equal(rd(bits(ISACTIVER, VIRTUAL)), bit(VIRTUAL + 1) | bit(VIRTUAL + 2));
	assert_null(fake_machine.meanwhile);
	fake_settle();
	for (unsigned int n = 1; n < 3; n++) {
		fake_turn(n);
		fake_eoi(VIRTUAL + n);
	}
	fake_turn(0);
	assert_int_equal(rd(bits(ISACTIVER, VIRTUAL)), 0);
}

static void software_interrupts(void **state)
{
	(void)state;
	start(1);
	for (unsigned int n = 0; n < 2; n++) {
		fake_turn(n);
		wr(SGI + n * 0x20000 + 0x80, ~0u);
		wr(SGI + n * 0x20000 + ISENABLER, 0xffff);
	}
	fake_turn(0);
	trap_sgi(3ull << 24 | 3, true);
	trap_return();
	fake_settle();
	assert_int_equal(fake_ack(), 3);
	fake_eoi(3);
	fake_turn(1);
	assert_int_equal(fake_ack(), 3);
	fake_eoi(3);
	/* All but self. */
	trap_sgi(7ull << 24 | 1ull << 40, true);
	trap_return();
	fake_settle();
	assert_int_equal(fake_ack(), NOTHING);
	fake_turn(0);
	assert_int_equal(fake_ack(), 7);
	fake_eoi(7);
	/* The other group, another cluster: nobody. */
	trap_sgi(3ull << 24 | 3, false);
	trap_sgi(3ull << 24 | 3 | 1ull << 16, true);
	trap_sgi(3ull << 24 | 3 | 1ull << 44, true);
	trap_return();
	fake_settle();
	assert_int_equal(fake_ack(), NOTHING);
}

static void timer_line(void **state)
{
	(void)state;
	wr(SGI + ISENABLER, 1u << INTID_TIMER);
	fake_vtimer(1, 100);
	fake_settle();
	assert_int_equal(fake_ack(), NOTHING);
	fake_machine.counter = 100;
	fake_settle();
	assert_int_equal(fake_ack(), INTID_TIMER);
	fake_vtimer(1, 200);
	fake_eoi(INTID_TIMER);
	fake_settle();
	assert_int_equal(fake_ack(), NOTHING);
	/* Fires, and is set anew before the guest takes it: nothing to take. */
	fake_machine.counter = 200;
	fake_settle();
	fake_vtimer(1, 300);
	raise(VIRTUAL);
	trap_irq();
	vgic_refresh(arch_cpu()->current);
	assert_int_equal(fake_ack(), NOTHING);
	fake_machine.counter = 300;
	fake_settle();
	assert_int_equal(fake_ack(), INTID_TIMER);
}

static void physical_timer_is_emulated(void **state)
{
	(void)state;
	wr(SGI + ISENABLER, 1u << INTID_PTIMER);
	trap_ptimer_set((struct emulated_timer){ .ctl = 1, .cval = 50 });
	trap_return();
	fake_settle();
	assert_int_equal(fake_ack(), NOTHING);
	fake_machine.counter = 50;
	fake_settle();
	assert_int_equal(fake_ack(), INTID_PTIMER);
	/* A level: not over before the timer is set. */
	fake_eoi(INTID_PTIMER);
	fake_settle();
	assert_int_equal(fake_ack(), INTID_PTIMER);
	trap_ptimer_set((struct emulated_timer){ .ctl = 3, .cval = 50 });
	trap_return();
	fake_eoi(INTID_PTIMER);
	fake_settle();
	assert_int_equal(fake_ack(), NOTHING);
}

static void frames(void **state)
{
	(void)state;
	assert_int_equal(rd(FAKE_GICD + CTLR), 0x53);
	assert_int_equal(rd(FAKE_GICD + 4) & 31, 31);
	assert_int_equal(rd(FAKE_GICD + 0xffe8), 0x30);
	assert_int_equal(access_gic(false, RD + 8, 8, 0), 0);
	assert_int_equal(access_gic(false, RD + 0x20008, 8, 0), 1ull << 32 | 0x110);
	assert_int_equal(rd(RD + 0x20000 + 0x14), 0);
	/* Five bits of priority; bytes and words. */
	wr(FAKE_GICD + IPRIORITYR + 960, 0xffffffff);
	assert_int_equal(rd(FAKE_GICD + IPRIORITYR + 960), 0xf8f8f8f8);
	assert_int_equal(access_gic(false, FAKE_GICD + IPRIORITYR + 961, 1, 0), 0xf8);
	access_gic(true, FAKE_GICD + IROUTER + 960 * 8, 8, 0x8000000000ull);
	assert_int_equal(access_gic(false, FAKE_GICD + IROUTER + 960 * 8, 8, 0), 0x00ffffff);
	/* Message-based: a half-word is enough. */
	enable(VIRTUAL, 0x80, true);
	assert_int_not_equal(access_gic(true, FAKE_GICD + 0x40, 2, VIRTUAL), ~0ull);
	assert_int_equal(fake_ack(), VIRTUAL);
	fake_eoi(VIRTUAL);
	/* Private interrupts are not the distributor's; 1020 and above do not exist. */
	wr(FAKE_GICD + ISENABLER, ~0u);
	assert_int_equal(rd(FAKE_GICD + ISENABLER), 0);
	wr(FAKE_GICD + ISENABLER + 31 * 4, ~0u);
	assert_int_equal(rd(FAKE_GICD + ISENABLER + 31 * 4), 0x0fffffff);
}

static void refused_accesses(void **state)
{
	(void)state;
	assert_int_equal(access_gic(false, FAKE_GICD + CTLR, 8, 0), ~0ull);
	assert_int_equal(access_gic(false, FAKE_GICD + CTLR, 2, 0), ~0ull);
	assert_int_equal(access_gic(false, FAKE_GICD + ISENABLER + 1, 4, 0), ~0ull);
	assert_int_equal(access_gic(true, FAKE_GICD + 0x3000, 4, 1), ~0ull);
	assert_int_equal(access_gic(false, FAKE_GICD + 0x3000, 4, 1), 0);
	assert_int_equal(access_gic(true, RD + 0x4000, 4, 1), ~0ull);
	/* Beyond the last redistributor there is nothing. */
	assert_int_equal(access_gic(false, FAKE_GICR + 2 * 0x20000 + 8, 4, 0), ~0ull);
	assert_int_equal(access_gic(false, FAKE_GICD - 8, 8, 0), ~0ull);
}

/* Whatever is written where: no assertion of the machine fails, and an enabled interrupt still comes through. */
static void random_accesses(void **state)
{
	uint64_t seed = 1;

	(void)state;
	start(1);
	for (unsigned int i = 0; i < 60000; i++) {
		uint64_t at;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		at = seed >> 33;
		fake_turn(seed >> 32 & 1);
		access_gic(at & 1, (at & 2 ? FAKE_GICD : FAKE_GICR) + (at >> 3) % 0x40000 / 4 * 4,
			   at & 4 ? 4 : 8, seed * 0x9e3779b97f4a7c15ull);
		if (at % 7 == 0)
			raise(960 + (uint32_t)(at % 60));
		if (at % 11 == 0)
			fake_machine.irq_pending[32 + at % 256] = true;
		if (at % 5 == 0) {
			uint32_t intid = fake_ack();

			if (intid != NOTHING && at % 10)
				fake_eoi(intid);
		}
		fake_settle();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(edge_is_delivered_once, boot),
		cmocka_unit_test_setup(edge_while_active_comes_again, boot),
		cmocka_unit_test_setup(level_comes_while_it_is_asserted, boot),
		cmocka_unit_test_setup(disabled_waits, boot),
		cmocka_unit_test_setup(more_than_list_registers, boot),
		cmocka_unit_test_setup(more_active_than_list_registers, boot),
		cmocka_unit_test_setup(urgent_over_active_ones, boot),
		cmocka_unit_test_setup(device_goes_through, boot),
		cmocka_unit_test_setup(device_moves_to_another_cpu, boot),
		cmocka_unit_test_setup(end_while_another_looks, boot),
		cmocka_unit_test_setup(loaded_while_another_looks, boot),
		cmocka_unit_test_setup(software_interrupts, boot),
		cmocka_unit_test_setup(timer_line, boot),
		cmocka_unit_test_setup(physical_timer_is_emulated, boot),
		cmocka_unit_test_setup(frames, boot),
		cmocka_unit_test_setup(refused_accesses, boot),
		cmocka_unit_test_setup(random_accesses, boot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
