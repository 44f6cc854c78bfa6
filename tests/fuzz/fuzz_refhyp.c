/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile software on two CPUs: the input is a program of hypercalls, messages, register accesses, interrupts and traps,
 * carried out by the primary VM or by the guest that a CPU runs. Whatever it does, nothing may break beneath it, and in
 * the end the hypervisor still answers, and no VM has memory that is not the primary's.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "arch/fake.h"
#include "core/rm_rpc.h"
#include "core/vcpu.h"
#include "core/vgic.h"
#include "tests/unit/hyp_help.h"

#define CPUS		2u
#define STEPS_MAX	400u
#define BUFFER		(FAKE_RAM + 0x200000)
#define GUEST_BUFFER	0x80001000ull
#define GUEST_BUFFER_PA (FAKE_RAM + 0x801000)
#define GUEST_GICD	0x3fff0000ull
#define GUEST_GICR	0x3ffb0000ull
#define GUEST_RTC	0x09000000ull /* beyond its page the host answers */
#define CHECK(x)	((x) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	const uint8_t *at;
	size_t left;
} input;

static uint64_t caps[16]; /* the primary's, then the guest's */

static uint64_t take(unsigned int bytes)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < bytes && input.left; i++, input.left--)
		value |= (uint64_t)*input.at++ << 8 * i;
	return value;
}

/* A number that somebody may have use for, or any. */
static uint64_t number(void)
{
	static const uint64_t some[] = {
		0,
		1,
		2,
		4,
		8,
		240,
		4096,
		~0ull,
		~1ull,
		BUFFER,
		BUFFER + 4090,
		FAKE_RAM,
		FAKE_RAM - 8,
		FAKE_RAM + FAKE_RAM_BYTES - 8,
		0x09000000,
		0x80000000,
		FAKE_GICD,
		FAKE_GICR,
		GUEST_GICD,
		1ull << 36,
		1ull << 48,
		0x80,
		0x81,
		0x40000000,
	};
	uint8_t kind = (uint8_t)take(1);

	if (kind < 16)
		return caps[kind];
	if (kind < 16 + sizeof(some) / sizeof(some[0]))
		return some[kind - 16];
	return kind < 128 ? take(1) : kind < 192 ? take(4) : take(8);
}

static struct vcpu *current(void)
{
	return arch_cpu()->current;
}

static void arguments(unsigned int first)
{
	for (unsigned int i = first; i < 5; i++)
		current()->regs.x[i] = number();
}

/* Calls that would end the board, or a CPU of the primary, are no finding. */
static bool ends_the_board(uint64_t function)
{
	switch (function & ~(1ull << 16 | 1ull << 30)) {
	case 0x84000002:
	case 0x84000008:
	case 0x84000009:
	case 0x84000012:
		return vcpu_is_primary(current());
	default:
		return false;
	}
}

static void call(void)
{
	static const uint32_t functions[] = {
		0x84000000, 0x84000001, 0xc4000001, 0x84000002, 0xc4000003,
		0xc4000004, 0x84000008, 0x84000009, 0x8400000a, 0xc400000c,
		0x8400000f, 0xc4000012, 0x80000000, 0x8600ff01, 0x8600ff03,
	};
	uint8_t kind = (uint8_t)take(1);
	uint64_t function = kind < 15	 ? functions[kind]
			    : kind < 128 ? GH_SMCCC_HYPERCALL(kind - 15u)
					 : number();

	arguments(1);
	current()->regs.x[0] = function;
	if (!ends_the_board((uint32_t)function))
		kind & 1 ? trap_hvc(0) : trap_smc(0);
}

static void native_call(void)
{
	unsigned int n = (unsigned int)take(1);

	arguments(0);
	trap_hvc(GH_HVC_BASE + n);
}

/* Now and then what is no single-register load or store, or fails for another reason than a missing page. */
static void make_odd(struct fault *fault)
{
	uint8_t odd = (uint8_t)take(1);

	if ((odd & 0xe0) != 0xe0)
		return;
	fault->decoded = odd & 1;
	fault->translation = odd & 2;
	fault->ipa_valid = odd & 4;
	fault->from_user = odd & 8;
	fault->exec = !fault->decoded && odd & 16;
}

static void access_memory(void)
{
	static const ipa_t bases[] = {
		FAKE_GICD,  FAKE_GICR,	FAKE_GICR + 0x10000,
		GUEST_GICD, GUEST_GICR, GUEST_GICR + 0x10000,
		GUEST_RTC,  0,
	};
	uint8_t how = (uint8_t)take(1);
	ipa_t ipa = bases[how & 7] + take(2);
	struct fault fault = {
		.va = ipa,
		.ipa = ipa,
		.ipa_valid = true,
		.translation = true,
		.decoded = true,
		.write = how & 8,
		.access = { .ipa = ipa,
			    .size = (uint8_t)(1u << (how >> 4 & 3)),
			    .reg = how >> 3 & 31,
			    .write = how & 8,
			    .sign_extend = how & 64,
			    .wide = how & 128,
			    .pc_step = 4 },
	};

	if (how & 8)
		fault.access.value = number();
	make_odd(&fault);
	trap_fault(&fault);
}

/* A message to the resource manager, with a header that it takes. */
static void message(void)
{
	uint8_t text[GH_RM_MSG_SIZE] = { GH_RM_API, GH_RM_TYPE_REQUEST };
	size_t size = 8 + take(1) % (sizeof(text) - 8);
	uint32_t id = (take(1) & 1 ? 0x51000010u : 0x56000000u) + (uint32_t)take(1);

	memcpy(text + 4, &id, sizeof(id));
	for (size_t i = 8; i < size; i++)
		text[i] = (uint8_t)take(1);
	memcpy(arch_ptr(vcpu_is_primary(current()) ? BUFFER : GUEST_BUFFER_PA), text, size);
	current()->regs.x[0] = vcpu_is_primary(current()) ? caps[0] : caps[8];
	current()->regs.x[1] = size;
	current()->regs.x[2] = vcpu_is_primary(current()) ? BUFFER : GUEST_BUFFER;
	current()->regs.x[3] = 1;
	current()->regs.x[4] = 0;
	trap_hvc(GH_HVC_BASE + GH_CALL_MSGQ_SEND);
}

static void interrupt(void)
{
	uint32_t intid = fake_ack();

	if (intid < 1020 && take(1) & 3)
		fake_eoi(intid);
}

static void timer(void)
{
	uint8_t how = (uint8_t)take(1);

	if (how & 8)
		trap_ptimer_set((struct emulated_timer){ .ctl = how & 3,
							 .cval = fake_machine.counter + take(1) });
	else
		fake_vtimer(how & 3, fake_machine.counter + take(1));
}

static void step(void)
{
	switch (take(1) % 14) {
	case 0:
		native_call();
		break;
	case 1:
		call();
		break;
	case 2:
	case 3:
		access_memory();
		break;
	case 4:
		message();
		break;
	case 5:
		interrupt();
		break;
	case 6:
		timer();
		break;
	case 7:
		trap_wfi();
		break;
	case 8:
		trap_sgi(number(), take(1) & 1);
		break;
	case 9:
		trap_dir((uint32_t)number() & 0xffffff);
		break;
	case 10:
		fake_machine.irq_pending[INTID_SPI_FIRST + take(1)] = true;
		break;
	case 11:
		fake_machine.counter += take(2);
		break;
	case 12:
		fake_turn(take(1) % CPUS);
		break;
	default:
		if (!vcpu_is_primary(current()))
			trap_broken();
	}
	trap_return();
	fake_settle();
}

/* A doorbell that the guest rings, a queue each way, and its link. */
static struct vm *guest;

static void make_objects(struct vm *vm)
{
	struct hyp_rm_link link = { .tx_virq = 60, .rx_virq = 61 };
	struct hyp_end own = { .intid = 62 }, other = { .intid = 0 };
	struct hyp_object *o = hyp_doorbell_new();

	CHECK(o && !hyp_attach(o, HYP_SENDER, vm, &own) &&
	      !hyp_attach(o, HYP_RECEIVER, hyp_primary(), &other));
	caps[10] = own.cap;
	caps[6] = other.cap;
	for (unsigned int side = 0; side < 2; side++) {
		o = hyp_queue_new(3, 1000);
		own = (struct hyp_end){ .intid = 63 + side };
		other = (struct hyp_end){ .intid = 0 };
		CHECK(o && !hyp_attach(o, side, vm, &own) &&
		      !hyp_attach(o, !side, hyp_primary(), &other));
		caps[11 + side] = own.cap;
		caps[7] = other.cap;
	}
	CHECK(!hyp_vm_add_link(vm, &link) && rm_rpc_open(vm->vmid, vm));
	caps[8] = link.tx_cap;
	caps[9] = link.rx_cap;
}

static void make_guest(void)
{
	struct vm *vm = hyp_vm_create(0xa0);
	uint32_t virq;

	guest = vm;
	CHECK(vm && !hyp_vm_set_gic(vm, GUEST_GICD, GUEST_GICR, 0x20000));
	CHECK(!hyp_vm_add_vmmio(vm, 0, 0x40000000));
	CHECK(!hyp_vm_add_rtc(vm, GUEST_RTC) && !hyp_vm_set_time(vm, 1ull << 60, 0));
	CHECK(!hyp_vm_map(vm, 0x80000000, FAKE_RAM + 0x800000, 0x100000, 7));
	for (unsigned int i = 0; i < 2; i++)
		CHECK(!hyp_vm_add_vcpu(vm, i, true, &caps[2 + i], &virq));
	CHECK(help_add_doorbell(vm, 40, true, &caps[4]));
	CHECK(help_add_doorbell(vm, 41, false, &caps[5]));
	make_objects(vm);
	hyp_vcpu_power_on(vm, 0);
}

static void boot(void)
{
	struct hyp_rm_link link;

	fake_boot(CPUS);
	hyp_rm_link(&link);
	caps[0] = link.tx_cap;
	caps[1] = link.rx_cap;
	current()->regs.x[0] = 0xc4000003;
	current()->regs.x[1] = 1;
	trap_smc(0);
	trap_return();
	fake_settle();
	make_guest();
}

/* Everything that is mapped anywhere is the primary's RAM, or one of its devices in itself. */
static void check_isolation(void)
{
	for (unsigned int i = 1; i <= HYP_VMS_MAX; i++) {
		struct vm *vm = &hyp_vms[i];
		unsigned int rights;
		uint64_t left;
		pa_t pa;

		for (ipa_t ipa = 0x80000000; vm->exists && ipa < 0x81000000; ipa += HYP_PAGE)
			if (hyp_vm_translate(vm, ipa, &pa, &rights, &left))
				CHECK(hyp_is_primary_ram(pa, HYP_PAGE));
	}
}

/* Nobody but the resource manager changes what the guest has, and that knows nothing of this one. */
static void check_guest(void)
{
	ipa_t ipa = 0x80000000 + (ipa_t)(fake_machine.counter % 0x200) * HYP_PAGE;
	unsigned int rights;
	uint64_t left;
	pa_t pa;

	CHECK(hyp_vm_translate(guest, ipa, &pa, &rights, &left) == (ipa < 0x80100000));
	CHECK(ipa >= 0x80100000 || (pa == FAKE_RAM + 0x800000 + (ipa - 0x80000000) && rights == 7));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	input.at = data;
	input.left = size;
	boot();
	for (unsigned int n = 0; input.left && n < STEPS_MAX; n++) {
		step();
		check_guest();
	}
	check_isolation();
	trap_hvc(GH_HVC_BASE + GH_CALL_IDENTIFY);
	CHECK(current()->regs.x[0] == 0x5100000000008001);
	return 0;
}
