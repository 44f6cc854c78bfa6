/* SPDX-License-Identifier: GPL-2.0-only */
/* The storm: what its parts in the primary and the hostile guest share. Both compile this. */
#ifndef CONFORMANCE_STORM_H
#define CONFORMANCE_STORM_H

typedef unsigned long long storm_u64;

#define STORM_CPUS	      2
#define STORM_BASE	      0x80000000ul /* where the guest's memory begins */
#define STORM_STACKS	      0x40000ul	   /* offsets in it */
#define STORM_STACK	      0x4000ul
#define STORM_CONTROL	      0x180000ul
#define STORM_CODE	      0x190000ul /* a page a vCPU: instructions that it makes */
#define STORM_CODE_SIZE	      0x1000ul
#define STORM_PLAYGROUND      0x1a0000ul
#define STORM_PLAYGROUND_SIZE 0x40000ul
#define STORM_HINTS	      8
#define STORM_WAIT \
	0x0a000000ul /* a read leaves vcpu_run: the guest has had its part until the next look */

/* In the guest's shared memory. */
struct storm_control {
	storm_u64 seed;
	storm_u64 mask, secret_masked; /* the secret never lies there itself */
	storm_u64 hints[STORM_HINTS];  /* physical addresses that it must not reach */
	storm_u64 breaches, breach_at;
	storm_u64 ops[STORM_CPUS], most[STORM_CPUS];
	storm_u64 exceptions[STORM_CPUS];
};

/* xorshift64*: the same numbers on both sides. */
static inline storm_u64 storm_random(storm_u64 *state)
{
	storm_u64 x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1dull;
}

static inline storm_u64 storm_below(storm_u64 *state, storm_u64 n)
{
	return (storm_random(state) >> 16) % n;
}

/* One time in n. */
static inline int storm_rarely(storm_u64 *state, storm_u64 n)
{
	return storm_below(state, n) == 0;
}

/* A number that some check might just let pass. */
static inline storm_u64 storm_value(storm_u64 *state)
{
	storm_u64 bit = 1ull << storm_below(state, 64);

	switch (storm_below(state, 8)) {
	case 0:
		return 0;
	case 1:
		return storm_below(state, 8);
	case 2:
		return bit;
	case 3:
		return bit - 1;
	case 4:
		return -bit;
	case 5:
		return storm_below(state, 0x100);
	case 6:
		return storm_random(state) & ~0xfffull;
	default:
		return storm_random(state);
	}
}

#endif
