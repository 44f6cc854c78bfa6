/* SPDX-License-Identifier: GPL-2.0-only */
/* The hypercalls: a table of what may be called, and how it is checked before it is done. */
#include "core/object.h"

#include "core/arch.h"
#include "core/inject.h"
#include "core/vcpu.h"

#define ENTROPY_READS	   4u
#define ENTROPY_WINDOW_MS  33u
#define ENTROPY_BYTES_MAX  16u
#define IDENTITY	   (GH_API_VERSION | GH_API_64BIT | GH_API_VARIANT_QCOM << GH_API_VARIANT_SHIFT)
#define SCHEDULER_PRIORITY (1ull << 28)
#define FEATURES                                                                         \
	(GH_FEATURE_PARTITION | GH_FEATURE_DOORBELL | GH_FEATURE_MSGQ | GH_FEATURE_VIC | \
	 GH_FEATURE_VPM | GH_FEATURE_VCPU | GH_FEATURE_MEMEXTENT | GH_FEATURE_PRNG |     \
	 GH_FEATURE_VCPU_RUN | SCHEDULER_PRIORITY)

#define ARGS 8u

/* What one call is about: its arguments, the object that the first one names, and its results. out[0] is the error. */
struct call {
	struct vcpu *caller;
	uint64_t arg[ARGS];
	void *object;
	uint64_t out[5];
};

struct entry {
	enum gh_error (*run)(struct call *c);
	uint8_t type;	 /* of the object that arg[0] names; 0: none */
	uint8_t zero;	 /* one bit for each argument that must be 0 */
	uint8_t results; /* registers beside the error */
	uint32_t rights;
};

static enum gh_error identify(struct call *c)
{
	c->out[1] = FEATURES;
	c->out[2] = 0;
	c->out[3] = 0;
	return GH_ERROR_OK;
}

static enum gh_error bell_send(struct call *c)
{
	return doorbell_send(c->object, c->caller->vm, c->arg, &c->out[1]);
}

static enum gh_error bell_receive(struct call *c)
{
	return doorbell_receive(c->object, c->caller->vm, c->arg, &c->out[1]);
}

static enum gh_error bell_reset(struct call *c)
{
	return doorbell_reset(c->object, c->caller->vm, c->arg);
}

static enum gh_error bell_mask(struct call *c)
{
	return doorbell_mask(c->object, c->caller->vm, c->arg);
}

static enum gh_error queue_send(struct call *c)
{
	return msgq_send(c->object, c->caller, c->arg, &c->out[1]);
}

static enum gh_error queue_receive(struct call *c)
{
	return msgq_receive(c->object, c->caller, c->arg, c->out);
}

static enum gh_error queue_configure_send(struct call *c)
{
	return c->arg[3] == ~0ull ? msgq_configure(c->object, c->caller, HYP_SENDER, c->arg)
				  : GH_ERROR_ARG_INVALID;
}

static enum gh_error queue_configure_receive(struct call *c)
{
	return c->arg[3] == ~0ull ? msgq_configure(c->object, c->caller, HYP_RECEIVER, c->arg)
				  : GH_ERROR_ARG_INVALID;
}

static enum gh_error queue_flush(struct call *c)
{
	return msgq_flush(c->object, c->caller, c->arg[0]);
}

/* Interrupts of the objects that exist are bound for good, by the resource manager; nobody has the right to do it here. */
static enum gh_error bind_refused(struct call *c)
{
	(void)c;
	return GH_ERROR_DENIED;
}

static enum gh_error entropy(struct call *c)
{
	struct vcpu *v = c->caller;
	uint64_t now = arch_counter(), bytes = c->arg[0];

	if (!bytes || bytes > ENTROPY_BYTES_MAX || bytes & 3)
		return GH_ERROR_ARG_SIZE;
	if (!v->entropy_reads ||
	    now - v->entropy_since > arch_counter_hz() * ENTROPY_WINDOW_MS / 1000) {
		v->entropy_since = now;
		v->entropy_reads = 0;
	}
	if (v->entropy_reads == ENTROPY_READS)
		return GH_ERROR_BUSY;
	for (unsigned int i = 0; i < 4; i++) {
		uint32_t word = 0;

		if (i < bytes / 4 && !arch_entropy(&word))
			return GH_ERROR_BUSY;
		c->out[1 + i] = word;
	}
	v->entropy_reads++;
	return GH_ERROR_OK;
}

static enum gh_error run(struct call *c)
{
	/* Only who may have its own place taken by another can run one: a guest runs no guests. */
	if (!vcpu_is_primary(c->caller))
		return GH_ERROR_DENIED;
	return vcpu_run(c->object, c->arg[0], &c->arg[1], c->out);
}

static enum gh_error run_check(struct call *c)
{
	return vcpu_run_check(c->object, c->arg[0], c->out);
}

/*
 * Calls on objects of which no VM here holds one, and on vCPUs for which none has the right: the
 * capability is looked at as for any other call, and never found.
 */
static enum gh_error never_held(struct call *c)
{
	(void)c;
	return GH_ERROR_DENIED;
}

#define FOREIGN                                     \
	{                                           \
		never_held, OBJECT_FOREIGN, 0, 0, 0 \
	}
#define VCPU_CALL(right)                                     \
	{                                                    \
		never_held, OBJECT_VCPU, 0, 0, 1u << (right) \
	}

#define ZERO(n) (1u << (n))

static const struct entry calls[] = {
	[GH_CALL_IDENTIFY] = { identify, 0, 0, 3, 0 },
	/* Objects of each kind are made; then activated, reset */
	[0x02 ... 0x07] = FOREIGN,
	[0x09 ... 0x0e] = FOREIGN,
	[GH_CALL_DOORBELL_BIND_VIRQ] = { bind_refused, OBJECT_DOORBELL, ZERO(3), 0,
					 GH_RIGHT_DOORBELL_BIND },
	[GH_CALL_DOORBELL_UNBIND_VIRQ] = { bind_refused, OBJECT_DOORBELL, ZERO(1), 0,
					   GH_RIGHT_DOORBELL_BIND },
	[GH_CALL_DOORBELL_SEND] = { bell_send, OBJECT_DOORBELL, ZERO(2), 1,
				    GH_RIGHT_DOORBELL_SEND },
	[GH_CALL_DOORBELL_RECEIVE] = { bell_receive, OBJECT_DOORBELL, ZERO(2), 1,
				       GH_RIGHT_DOORBELL_RECV },
	[GH_CALL_DOORBELL_RESET] = { bell_reset, OBJECT_DOORBELL, ZERO(1), 0,
				     GH_RIGHT_DOORBELL_RECV },
	[GH_CALL_DOORBELL_MASK] = { bell_mask, OBJECT_DOORBELL, ZERO(3), 0,
				    GH_RIGHT_DOORBELL_RECV },
	[GH_CALL_MSGQ_BIND_SEND_VIRQ] = { bind_refused, OBJECT_MSGQ, ZERO(3), 0,
					  GH_RIGHT_MSGQ_BIND_SEND },
	[GH_CALL_MSGQ_BIND_RECV_VIRQ] = { bind_refused, OBJECT_MSGQ, ZERO(3), 0,
					  GH_RIGHT_MSGQ_BIND_RECV },
	[GH_CALL_MSGQ_UNBIND_SEND_VIRQ] = { bind_refused, OBJECT_MSGQ, ZERO(1), 0,
					    GH_RIGHT_MSGQ_BIND_SEND },
	[GH_CALL_MSGQ_UNBIND_RECV_VIRQ] = { bind_refused, OBJECT_MSGQ, ZERO(1), 0,
					    GH_RIGHT_MSGQ_BIND_RECV },
	[GH_CALL_MSGQ_SEND] = { queue_send, OBJECT_MSGQ, ZERO(4), 1, GH_RIGHT_MSGQ_SEND },
	[GH_CALL_MSGQ_RECV] = { queue_receive, OBJECT_MSGQ, ZERO(3), 2, GH_RIGHT_MSGQ_RECV },
	[GH_CALL_MSGQ_CONFIGURE_SEND] = { queue_configure_send, OBJECT_MSGQ, 0, 0,
					  GH_RIGHT_MSGQ_SEND },
	[GH_CALL_MSGQ_CONFIGURE_RECV] = { queue_configure_receive, OBJECT_MSGQ, 0, 0,
					  GH_RIGHT_MSGQ_RECV },
	[GH_CALL_MSGQ_FLUSH] = { queue_flush, OBJECT_MSGQ, ZERO(1), 0, GH_RIGHT_MSGQ_RECV },
	/* Queues configured; capability spaces; hardware interrupts, VICs; address spaces, extents */
	[0x21 ... 0x23] = FOREIGN,
	[0x25 ... 0x32] = FOREIGN,
	/* vCPUs: configure (activate), power on and off, kill, affinity, priority, time slice */
	[0x34] = VCPU_CALL(31),
	[0x38 ... 0x39] = VCPU_CALL(0),
	[0x3a] = VCPU_CALL(7),
	[0x3c] = FOREIGN,
	[0x3d] = VCPU_CALL(1),
	[0x3e] = FOREIGN,
	[0x40 ... 0x45] = FOREIGN,
	[0x46] = VCPU_CALL(2),
	[0x47] = VCPU_CALL(3),
	[0x48 ... 0x56] = FOREIGN,
	[GH_CALL_PRNG_GET_ENTROPY] = { entropy, 0, ZERO(1), 4, 0 },
	[0x58 ... 0x5b] = FOREIGN,
	[0x5c ... 0x5d] = VCPU_CALL(5),
	[0x5e ... 0x60] = FOREIGN,
	[0x62 ... 0x63] = FOREIGN,
	[0x64] = VCPU_CALL(8),
	[GH_CALL_VCPU_RUN] = { run, OBJECT_VCPU, ZERO(4), 4,
			       GH_RIGHT_VCPU_AFFINITY | GH_RIGHT_VCPU_YIELD_TO },
	[0x66 ... 0x67] = FOREIGN,
	[GH_CALL_VCPU_RUN_CHECK] = { run_check, OBJECT_VCPU, 0, 4,
				     GH_RIGHT_VCPU_BIND_VIRQ | GH_RIGHT_VCPU_STATE },
};

static enum gh_error perform(const struct entry *entry, struct call *c)
{
	enum gh_error error;

	for (unsigned int i = 0; i < ARGS; i++)
		if (entry->zero >> i & 1 && c->arg[i])
			return GH_ERROR_ARG_INVALID;
	if (entry->type) {
		error = cap_find(&c->caller->vm->cspace, c->arg[0], entry->type, entry->rights,
				 &c->object);
		if (error)
			return error;
	}
	return entry->run(c);
}

void hypercall(struct vcpu *v, unsigned int n, unsigned int first)
{
	const struct entry *entry = n < sizeof(calls) / sizeof(calls[0]) ? &calls[n] : NULL;
	struct call c = { .caller = v };
	enum gh_error error;

	if (inject_call(v, n, first))
		return;
	if (!entry || !entry->run) {
		v->regs.x[0] = (uint64_t)GH_ERROR_UNIMPLEMENTED;
		return;
	}
	for (unsigned int i = 0; i < ARGS && first + i < ARGS; i++)
		c.arg[i] = v->regs.x[first + i];
	error = perform(entry, &c);
	/* When a guest runs now, the call is not over: the end of the run writes its results. */
	if (arch_cpu()->current != v)
		return;
	v->regs.x[0] = (uint64_t)error;
	if (n == GH_CALL_IDENTIFY)
		v->regs.x[0] = IDENTITY;
	for (unsigned int i = 1; i <= entry->results; i++)
		v->regs.x[i] = c.out[i];
	if (vcpu_is_primary(v))
		inject_result(n, v->regs.x);
}
