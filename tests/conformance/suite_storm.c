// SPDX-License-Identifier: GPL-2.0-only
/*
 * The storm: at least a million hostile operations, from the primary on every CPU and from a guest on two vCPUs, at once.
 * After each thousand the isolation is looked at. Only when asked for by name.
 */
#include <linux/console.h>
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/io.h>
#include <linux/moduleparam.h>
#include <linux/random.h>
#include <linux/sched.h>

#include "probe.h"
#include "storm_host.h"
#include "suite.h"

#define SECRETS	     4u
#define LIFE	     40000u /* operations of a hostile guest before it is ended from outside */
#define STUCK_MS     50u    /* and */
#define STUCK_RUNS   200u   /* without an operation */
#define SECONDS_MOST 780u   /* the board has 900 */

struct storm storm;
char *storm_seed = "";
module_param_named(seed, storm_seed, charp, 0444);
MODULE_PARM_DESC(seed, "of the storm; none: a new one");
unsigned int storm_ops = 1000000;
module_param_named(ops, storm_ops, uint, 0444);
MODULE_PARM_DESC(ops, "operations of the storm");

extern const char storm_guest_start[], storm_guest_end[];

static const struct vm_spec victim_spec = { .tree = { .cpus = 1, .bells = 1 } };
static struct vm_spec hostile_spec = {
	.tree = { .cpus = 2, .bells = 1, .link = true, .bell_source = true, .msgq = true },
	.share = true,
};
static u64 secret, mask;

static struct {
	u64 looks, lives, lent_read, secret_lost, guest_read, pages, silent, hyp_read;
	u64 exceptions;
} tally;

/* What the guest that lives now has done. */
static u64 guest_ops(void)
{
	const struct storm_control *c = READ_ONCE(storm.hostile.memory) ? storm_control() : NULL;
	u64 ops = 0;
	unsigned int i;

	for (i = 0; c && i < STORM_CPUS; i++)
		ops += READ_ONCE(c->ops[i]);
	return ops;
}

u64 storm_total(void)
{
	return atomic64_read(&storm.calls) + atomic64_read(&storm.messages) + storm.done +
	       guest_ops();
}

bool storm_guest_behind(void)
{
	return (storm.done + guest_ops()) * STORM_SHARE < storm_total();
}

/* --- The two guests --- */

/* The secret lies all over the victim's memory, which is lent: from then on nobody else may see it. */
static bool victim_up(void)
{
	struct vm *vm = &storm.victim;
	u64 *at;

	if (!vm_up(vm, &victim_spec, GH_RM_VM_STATE_LOAD))
		return false;
	for (at = (u64 *)(vm->memory + VM_SCRATCH); (u8 *)at < vm->memory + VM_SIZE; at++)
		*at = secret;
	return need("the victim's memory", !vm_give(vm)) &&
	       need("the victim's CONFIG", !vm_config(vm, GH_RM_AUTH_NONE)) &&
	       need("the victim's INIT", !rm_vm_call(GH_RM_VM_INIT, vm->vmid)) &&
	       need("the victim's resources", !vm_resources(vm)) &&
	       need("the victim's START", !rm_vm_call(GH_RM_VM_START, vm->vmid)) &&
	       need("the victim's servant", vcpu_next(vm, 0).state == RUN_DONE);
}

static bool hostile_up(u64 *random)
{
	struct storm_control *c;
	unsigned int i;

	if (!vm_up(&storm.hostile, &hostile_spec, GH_RM_VM_STATE_RUNNING))
		return false;
	c = storm_control();
	c->seed = storm_random(random);
	c->mask = mask;
	c->secret_masked = secret ^ mask;
	for (i = 0; i < STORM_HINTS; i++)
		c->hints[i] = storm_page_address(random) & ~0xfffull;
	c->hints[0] = page_to_phys(storm.victim.page) + VM_SCRATCH;
	c->hints[1] = page_to_phys(storm.victim.page) + VM_SIZE - 4096;
	c->hints[2] = 0x80000000;
	c->hints[3] = 0x40f00000;
	for (i = 0; i < STORM_CPUS; i++)
		WRITE_ONCE(storm.caps[i], storm.hostile.cpu[i].cap);
	tally.lives++;
	return true;
}

/* From whatever state, and while other CPUs still run it. */
static void hostile_down(void)
{
	struct storm_control *c;
	unsigned int i;

	if (!storm.hostile.vmid)
		return;
	if (rm_state(storm.hostile.vmid) == GH_RM_VM_STATE_RUNNING) {
		rm_vm_call(GH_RM_VM_RESET, storm.hostile.vmid); /* not from RUNNING */
		need("VM_STOP in the storm", !vm_stop(&storm.hostile));
	}
	storm_calls_pause(true);
	c = storm_control();
	for (i = 0; i < STORM_CPUS; i++) {
		storm.done += c->ops[i];
		c->ops[i] = 0;
		tally.exceptions += c->exceptions[i];
		WRITE_ONCE(storm.caps[i], 0);
	}
	tally.guest_read += c->breaches;
	if (c->breaches)
		pr_info("conformance: storm: the guest read the secret at %#llx\n", c->breach_at);
	storm_calls_pause(false);
	vm_down(&storm.hostile);
}

/* --- The looks --- */

static bool victim_knows(u64 *random)
{
	u64 at = VM_BASE + VM_SCRATCH + storm_below(random, (VM_SIZE - VM_SCRATCH) / 8) * 8;

	return vcpu_do(&storm.victim, 0, INSN(ldr_x), 0, at, 0) == RUN_DONE &&
	       !storm.victim.cpu[0].event && storm.victim.cpu[0].out[0] == secret;
}

static void look(u64 *random, void *hypervisor)
{
	u64 lent = storm_below(random, VM_SIZE) & ~7ull, esr;

	tally.looks++;
	tally.silent += rm_call(GH_RM_VM_GET_VMID, NULL, 0, NULL) != GH_RM_OK;
	tally.lent_read += probe(PROBE_LOAD, storm.victim.memory + lent, &esr);
	tally.hyp_read += hypervisor && probe(PROBE_LOAD, hypervisor, &esr);
	tally.pages += storm_pages_wrong(random);
	tally.secret_lost += !victim_knows(random);
	WRITE_ONCE(storm.looked, storm_total());
}

/* What it may do until the next look. */
static void guest_part(void)
{
	struct storm_control *c = storm_control();
	unsigned int i;

	for (i = 0; i < STORM_CPUS; i++)
		WRITE_ONCE(c->most[i], READ_ONCE(c->ops[i]) + STORM_PART);
}

/* One of its vCPUs waits for the next look. */
static bool guest_waits(void)
{
	const struct storm_control *c = storm_control();
	unsigned int i;

	for (i = 0; i < STORM_CPUS; i++)
		if (READ_ONCE(c->ops[i]) >= READ_ONCE(c->most[i]))
			return true;
	return false;
}

/* When the guest last did something. */
static struct {
	u64 ops, runs;
	unsigned long when;
} active;

static void is_active(void)
{
	active.ops = guest_ops();
	active.runs = atomic64_read(&storm.runs);
	active.when = jiffies;
}

/* Whether the hostile guest should be replaced: it ended, got stuck, or lived long enough. */
static bool is_over(u64 born)
{
	if (guest_ops() != active.ops || guest_waits())
		is_active();
	/* Time alone says nothing: whoever should run it may be waiting for a processor. */
	return storm_total() - born > LIFE ||
	       (time_after(jiffies, active.when + msecs_to_jiffies(STUCK_MS)) &&
		atomic64_read(&storm.runs) > active.runs + STUCK_RUNS) ||
	       rm_state(storm.hostile.vmid) != GH_RM_VM_STATE_RUNNING;
}

/*
 * Everybody has had his part since the last look. While the guest is behind nobody else goes on, so then it is only what the
 * guest may do until the next look that counts.
 */
static bool is_time_to_look(void)
{
	return storm_guest_behind() ? guest_waits() : storm_total() >= storm.looked + STORM_BATCH;
}

static void rage(u64 *random, void *hypervisor)
{
	unsigned long end = jiffies + SECONDS_MOST * HZ;
	unsigned int turn;
	u64 born = 0;

	while ((storm_total() < storm_ops || storm_guest_behind()) && !rm.dead &&
	       time_before(jiffies, end)) {
		if (!storm.hostile.vmid) {
			born = storm_total();
			if (!hostile_up(random))
				return;
			guest_part();
			is_active();
		}
		for (turn = 0; turn < STORM_MESSAGES; turn++) {
			if (storm_rarely(random, 2))
				storm_pages_turn(random);
			else
				storm_message_turn(random);
		}
		while (!is_time_to_look() && !is_over(born) && time_before(jiffies, end))
			usleep_range(100, 200);
		look(random, hypervisor);
		if (is_over(born))
			hostile_down();
		else
			guest_part();
	}
}

/* Neither none of all nor all of them. */
static bool is_between(const atomic64_t *some, const atomic64_t *all)
{
	return atomic64_read(some) > 0 && atomic64_read(some) < atomic64_read(all);
}

static void account(unsigned long ms)
{
	pr_info("conformance: storm: %llu calls, among them %llu registers (%llu written) and %llu accesses (%llu done), %llu runs, %llu messages, %llu turns of the guest with %llu exceptions in %llu lives, %llu looks, %lu ms\n",
		(u64)atomic64_read(&storm.calls), (u64)atomic64_read(&storm.registers),
		(u64)atomic64_read(&storm.registers_done), (u64)atomic64_read(&storm.accesses),
		(u64)atomic64_read(&storm.accesses_done), (u64)atomic64_read(&storm.runs),
		(u64)atomic64_read(&storm.messages), storm.done, tally.exceptions, tally.lives,
		tally.looks, ms);
	pr_info("conformance: storm: exits: %llu ready, %llu waiting, %llu off, %llu blocked, %llu reads, %llu writes, %llu faults, %llu resets and errors\n",
		(u64)atomic64_read(&storm.exits[0]), (u64)atomic64_read(&storm.exits[1]),
		(u64)atomic64_read(&storm.exits[2]), (u64)atomic64_read(&storm.exits[3]),
		(u64)atomic64_read(&storm.exits[4]), (u64)atomic64_read(&storm.exits[5]),
		(u64)atomic64_read(&storm.exits[6]), (u64)atomic64_read(&storm.exits[8]));
	expect(say("%u operations, seed %llu", storm_ops, storm.seed), 1,
	       storm_total() >= storm_ops);
	expect("a look after each thousand", 1, tally.looks >= storm_total() / 1000);
	expect("the resource manager did not answer", 0, tally.silent);
	expect("the primary read what it had lent", 0, tally.lent_read);
	expect("the primary read the hypervisor's memory", 0, tally.hyp_read);
	expect("accesses of the primary that reached what it had lent, or the hypervisor", 0,
	       atomic64_read(&storm.leaks));
	expect("some were written, some were refused", 1,
	       is_between(&storm.registers_done, &storm.registers) &&
		       is_between(&storm.accesses_done, &storm.accesses));
	expect("pages that were not as the answers said", 0, tally.pages);
	expect("the victim's secret was not as it left it", 0, tally.secret_lost);
	expect("the hostile guest read the secret", 0, tally.guest_read);
	expect("the guest has had its share", 1, storm.done >= storm_ops / STORM_SHARE);
}

void suite_storm(void)
{
	int level = console_loglevel;
	unsigned long start = jiffies;
	void *hypervisor;
	u64 random;

	if (kstrtoull(storm_seed, 0, &storm.seed))
		storm.seed = get_random_u32();
	pr_info("conformance: storm: seed %llu, %u operations\n", storm.seed, storm_ops);
	random = storm.seed * 2 + 1;
	secret = storm_random(&random);
	mask = storm_random(&random);
	hostile_spec.payload = storm_guest_start;
	hostile_spec.payload_size = storm_guest_end - storm_guest_start;
	hypervisor = memremap(0x80000000, 4096, MEMREMAP_WB);
	/* Each load that is refused would be a line of the kernel's about it. */
	console_loglevel = 0;
	sched_set_fifo_low(current); /* a look is not to wait for the storm */
	if (storm_pages_open() && storm_wild_open() && victim_up() &&
	    need("threads", !storm_calls_begin()))
		rage(&random, hypervisor);
	hostile_down();
	storm_calls_end();
	console_loglevel = level;
	sched_set_normal(current, 0);
	account(jiffies_to_msecs(jiffies - start));
	storm.victim.notice_from = notices(); /* so many came that the old ones are forgotten */
	vm_down(&storm.victim);
	storm_pages_close();
	storm_wild_close();
	if (hypervisor)
		memunmap(hypervisor);
}
