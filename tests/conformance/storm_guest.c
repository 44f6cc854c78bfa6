// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hostile guest: each turn it does something that a well-behaved one never would, and looks at everything that it can
 * read for the secret of another VM. A freestanding program at the start of the guest's memory.
 */
#include "storm.h"

#define GICD	     0x3fff0000ull
#define GICR	     (GICD - STORM_CPUS * 0x20000ull)
#define GICR_SGI     0x10000ull
#define HYPERCALL(n) (0xc6008000ull + (n))
#define PSCI(n)	     (0x84000000ull + (n))
#define PSCI64(n)    (0xc4000000ull + (n))
#define RET	     0xd65f03c0u
#define MSR_BPR0     0xd518c860u /* from x0 */
#define MSR_BPR1     0xd518cc60u
#define SYSTEM	     0xd5000000u
#define SYS	     0xd5080000u
#define NOP	     0xd503201fu
#define CALLS	     0x70u
#define HVC	     0xd4000002u
#define SMC	     0xd4000003u
#define SLOTS	     512u /* each an instruction and a return */
#define EC_IABT	     0x21
#define EC_PC	     0x22
#define EC_ILLEGAL   0x0e
#define ENDS	     20000 /* one turn in so many ends the VM */

extern char _start[];
extern const char storm_hvc[], storm_smc[];
extern const storm_u64 storm_accesses;
void storm_jump(storm_u64 where, storm_u64 *back);
storm_u64 storm_access(storm_u64 how, storm_u64 address, storm_u64 value);

static struct state {
	storm_u64 random, back, cpu;
	unsigned int slot; /* the next of the made-up instructions */
} states[STORM_CPUS];

#define control ((volatile struct storm_control *)(STORM_BASE + STORM_CONTROL))

static storm_u64 this_cpu(void)
{
	storm_u64 mpidr;

	asm volatile("mrs %0, mpidr_el1" : "=r"(mpidr));
	return mpidr & (STORM_CPUS - 1);
}

static void check(storm_u64 value, storm_u64 address)
{
	if ((value ^ control->mask) == control->secret_masked) {
		control->breaches++;
		control->breach_at = address;
	}
}

/* Its own code and books are the one thing that it spares. */
static int is_mine(storm_u64 address)
{
	return address + 0x1000 > STORM_BASE && address < STORM_BASE + STORM_PLAYGROUND;
}

storm_u64 storm_exception(storm_u64 vector, storm_u64 esr, storm_u64 elr, storm_u64 far)
{
	struct state *s = &states[this_cpu()];
	storm_u64 ec = esr >> 26 & 0x3f, intid;

	(void)far;
	control->exceptions[this_cpu()]++;
	if ((vector & 3) == 1 || (vector & 3) == 2) {
		asm volatile("mrs %0, s3_0_c12_c12_0" : "=r"(intid));
		/* Now and then it stays active. */
		if (!storm_rarely(&s->random, 64))
			asm volatile("msr s3_0_c12_c12_1, %0" ::"r"(intid));
		/* Whatever it is, it shall not come back at once: a level may be there for ever. */
		asm volatile("msr cntv_ctl_el0, xzr\n\tmsr cntp_ctl_el0, xzr\n\tisb");
		return elr;
	}
	if (ec == EC_IABT || ec == EC_PC || ec == EC_ILLEGAL || !is_mine(elr))
		return s->back;
	return elr + 4;
}

/* --- What it does --- */

static storm_u64 any_address(struct state *s)
{
	storm_u64 page = storm_value(&s->random) & ~0xfffull, low = storm_below(&s->random, 0x1000);

	if (!storm_rarely(&s->random, 3))
		low &= ~7ull;
	switch (storm_below(&s->random, 8)) {
	case 0:
		return GICD + storm_below(&s->random, 0x10000 / 4) * 4;
	case 1:
		return GICR + storm_below(&s->random, STORM_CPUS * 0x20000 / 4) * 4;
	case 2:
		return control->hints[storm_below(&s->random, STORM_HINTS)] + low;
	case 3:
		return storm_below(&s->random, 0x40000000) & ~7ull; /* the host's to answer */
	case 4:
		return STORM_BASE + 0x200000 + (page & 0x3fffffff) + low;
	case 5:
		return (page & 0xfffffffffull) + low;
	case 6:
		return STORM_BASE + STORM_PLAYGROUND +
		       (storm_random(&s->random) & (STORM_PLAYGROUND_SIZE - 1) & ~15ull);
	default:
		return page + low;
	}
}

static void touch(struct state *s)
{
	storm_u64 address = any_address(s);

	if (is_mine(address))
		return;
	check(storm_access(storm_below(&s->random, storm_accesses), address,
			   storm_value(&s->random)),
	      address);
}

static void random_registers(struct state *s, storm_u64 *x)
{
	for (int i = 0; i < 8; i++)
		x[i] = storm_value(&s->random);
}

/* Calls the code with eight registers; the first four come back. */
static void call(const void *code, storm_u64 *x)
{
	register storm_u64 x0 asm("x0") = x[0];
	register storm_u64 x1 asm("x1") = x[1];
	register storm_u64 x2 asm("x2") = x[2];
	register storm_u64 x3 asm("x3") = x[3];
	register storm_u64 x4 asm("x4") = x[4];
	register storm_u64 x5 asm("x5") = x[5];
	register storm_u64 x6 asm("x6") = x[6];
	register storm_u64 x7 asm("x7") = x[7];

	asm volatile("blr %8"
		     : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3), "+r"(x4), "+r"(x5), "+r"(x6),
		       "+r"(x7)
		     : "r"(code)
		     : "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17", "x18",
		       "x30", "memory", "cc");
	x[0] = x0;
	x[1] = x1;
	x[2] = x2;
	x[3] = x3;
	asm volatile("msr daifset, #15");
}

/* A capability that could be one, and an address that is. */
static void call_registers(struct state *s, storm_u64 *x, int native)
{
	random_registers(s, x);
	if (!native)
		x[0] = storm_rarely(&s->random, 8) ? x[0]
						   : HYPERCALL(storm_below(&s->random, CALLS));
	if (!storm_rarely(&s->random, 3))
		x[native ? 0 : 1] = storm_below(&s->random, 40);
	if (storm_rarely(&s->random, 2))
		x[native ? 2 : 3] = any_address(s);
}

static void hypercall(struct state *s)
{
	storm_u64 x[8];

	call_registers(s, x, 0);
	call(storm_rarely(&s->random, 4) ? storm_smc : storm_hvc, x);
	for (int i = 0; i < 4; i++)
		check(x[i], ~0ull);
}

static void psci(struct state *s)
{
	storm_u64 x[8], n = storm_rarely(&s->random, 8) ? 3 : storm_below(&s->random, 0x16);

	random_registers(s, x);
	x[0] = storm_rarely(&s->random, 2) ? PSCI(n) : PSCI64(n);
	switch (n) {
	case 8: /* the system's end */
	case 9:
	case 0x12:
		if (!storm_rarely(&s->random, ENDS / 64))
			return;
		break;
	case 1: /* suspend: there must be a way back */
	case 0xc:
		return;
	case 2:
		if (!s->cpu || !storm_rarely(&s->random, 16))
			return;
		break;
	case 3:
		x[1] = storm_below(&s->random, STORM_CPUS + 1);
		x[2] = storm_rarely(&s->random, 8) ? x[2] : (storm_u64)_start;
		break;
	case 4:
		x[1] = storm_below(&s->random, STORM_CPUS + 1);
		break;
	default:
		break;
	}
	call(storm_hvc, x);
}

/* --- Instructions that are made up: system registers, maintenance, calls with a number --- */

/* What would end the storm rather than the hypervisor: the MMU, the vectors, the choice of stack pointer. */
static int spared(unsigned int op1, unsigned int crn, unsigned int crm, unsigned int op2)
{
	return !op1 && ((crn == 1 && crm == 0 && op2 == 0) || (crn == 12 && crm == 0 && op2 == 0) ||
			(crn == 4 && crm == 2));
}

static unsigned int system_instruction(struct state *s)
{
	storm_u64 r = storm_random(&s->random);
	unsigned int op0 = r >> 40 & 3 ? 2 + (r >> 42 & 1) : 1, read = r >> 43 & 1, op1 = r & 7;
	unsigned int crn = r >> 3 & 15, crm = r >> 7 & 15, op2 = r >> 11 & 7;

	/* Those that exist, mostly. */
	if (r >> 44 & 1)
		op1 = r >> 45 & 1 ? 3 : 0;
	if (r >> 46 & 1) {
		crn = 12;
		crm |= 8;
	}
	/* Not what touch() does with addresses of its choice. */
	if ((op0 == 3 && spared(op1, crn, crm, op2)) || (op0 == 1 && crn == 7 && crm == 4))
		return NOP;
	if (op0 == 1)
		read = 0;
	return SYSTEM | read << 21 | op0 << 19 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5;
}

static unsigned int make(struct state *s)
{
	unsigned int imm = 0x6000 + (unsigned int)storm_below(&s->random, CALLS);

	if (!storm_rarely(&s->random, 4))
		return system_instruction(s);
	if (storm_rarely(&s->random, 16))
		imm = (unsigned int)storm_below(&s->random, 0x10000);
	return (storm_rarely(&s->random, 4) ? SMC : HVC) | imm << 5;
}

/* Many at once: a processor that is emulated translates them anew. */
static void make_all(struct state *s, volatile unsigned int *code)
{
	for (unsigned int i = 0; i < SLOTS; i++) {
		code[2 * i] = make(s);
		code[2 * i + 1] = RET;
	}
	asm volatile("dsb sy\n\tic iallu\n\tdsb sy\n\tisb" ::: "memory");
}

static void made_up(struct state *s)
{
	unsigned int *code = (unsigned int *)(STORM_BASE + STORM_CODE + s->cpu * STORM_CODE_SIZE);
	storm_u64 x[8];

	if (s->slot == 0)
		make_all(s, code);
	code += 2 * s->slot;
	s->slot = (s->slot + 1) % SLOTS;
	call_registers(s, x, 1);
	/* ICC_BPR0_EL1, ICC_BPR1_EL1: any higher bit ends QEMU 7.2 by an assertion of its own. */
	if (*code == MSR_BPR0 || *code == MSR_BPR1)
		x[0] &= 7;
	if (*code >> 19 == SYS >> 19)
		x[0] = STORM_BASE + STORM_PLAYGROUND + (x[0] & 0x3fff0);
	call(code, x);
	for (int i = 0; i < 4; i++)
		check(x[i], ~1ull);
}

static void jump(struct state *s)
{
	storm_u64 where = any_address(s);

	if (is_mine(where))
		return;
	storm_jump(where & ~0xfffffffff0000003ull, &s->back);
}

static void write32(storm_u64 address, unsigned int value)
{
	storm_access(14, address, value);
}

/* Sleeps for a moment, with all that should wake it as it should be. */
static void sleep(struct state *s)
{
	storm_u64 sgi = GICR + s->cpu * 0x20000ull + GICR_SGI;

	write32(GICD, 2);
	write32(GICR + s->cpu * 0x20000ull + 0x14, 0);
	write32(sgi + 0x80, ~0u);
	write32(sgi + 0x100, 1u << 27 | 1u << 30 | 0xffff);
	/* An interrupt that was never ended would keep all others away. */
	asm volatile("msr s3_0_c12_c9_0, xzr\n\tmsr s3_0_c12_c8_4, xzr");
	asm volatile("msr s3_0_c4_c6_0, %0\n\tmsr s3_0_c12_c12_7, %1\n\t"
		     "msr cntv_tval_el0, %2\n\tmsr cntv_ctl_el0, %1\n\tisb\n\t"
		     "msr daifclr, #2\n\twfi\n\tisb\n\tmsr daifset, #2" ::"r"(0xffull),
		     "r"(1ull), "r"(storm_below(&s->random, 20000)));
}

static void interrupt(struct state *s)
{
	storm_u64 value = storm_random(&s->random);

	switch (storm_below(&s->random, 4)) {
	case 0: /* software interrupts to everybody */
		asm volatile("msr s3_0_c12_c11_5, %0" ::"r"(value & 0x10f00ffffull));
		break;
	case 1: /* many at once: more than there are list registers */
		if (!storm_rarely(&s->random, 16))
			return;
		for (unsigned int i = 1; i < 32; i++) {
			write32(GICD + 0x80 + i * 4, ~0u);
			write32(GICD + 0x100 + i * 4, ~0u);
			write32(GICD + 0x200 + i * 4, (unsigned int)value);
		}
		break;
	case 2:
		asm volatile("msr cntv_tval_el0, %0\n\tmsr cntv_ctl_el0, %1" ::"r"(value & 0xffff),
			     "r"(value >> 60));
		asm volatile("msr cntp_tval_el0, %0\n\tmsr cntp_ctl_el0, %1" ::"r"(value >> 20 &
										   0xffff),
			     "r"(value >> 61));
		break;
	default:
		asm volatile("msr daifclr, #3\n\tnop\n\tnop\n\tmsr daifset, #3");
	}
}

static void (*const turns[])(struct state *s) = {
	touch, touch,	touch,	 hypercall, hypercall, hypercall,
	psci,  made_up, made_up, jump,	    interrupt, interrupt,
};

void storm_main(storm_u64 cpu)
{
	struct state *s = &states[cpu & (STORM_CPUS - 1)];

	s->cpu = cpu & (STORM_CPUS - 1);
	if (!s->random)
		s->random = control->seed * 2 + s->cpu + 1;
	for (;;) {
		storm_u64 turn;

		/* Nobody is to be far ahead of the next look at what it could break. */
		while (control->ops[s->cpu] >= control->most[s->cpu])
			storm_access(2, STORM_WAIT, 0);
		turn = storm_below(&s->random, sizeof(turns) / sizeof(turns[0]) * 16);

		if (turn == 0)
			sleep(s);
		else
			turns[turn / 16](s);
		control->ops[s->cpu]++;
	}
}
