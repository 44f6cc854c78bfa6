/* SPDX-License-Identifier: GPL-2.0-only */
/* A processor for tests on any host: registers are fields, interrupts are flags, stage 2 is a list of ranges. */
#include "arch/fake.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/platform.h"
#include "core/vcpu.h"

#define RANGES_MAX 2048u
#define WAITS_MAX  1000u

const struct platform platform = {
	.primary_ram = { FAKE_RAM, FAKE_RAM_BYTES },
	.hyp_ram = { 0x80000000, FAKE_POOL *HYP_PAGE },
	.devices = { { 0x09000000, 0x1000 } },
	.gicd = FAKE_GICD,
	.gicr = FAKE_GICR,
	.dtb = FAKE_RAM + 0x1000,
	.dtb_capacity = 0x4000,
	.kernel = FAKE_RAM + 0x100000,
};

struct fake_machine fake_machine;
alignas(HYP_PAGE) uint8_t fake_ram[FAKE_RAM_BYTES];
static alignas(HYP_PAGE) uint8_t pool[FAKE_POOL * HYP_PAGE];

struct range {
	ipa_t ipa;
	pa_t pa;
	uint64_t size;
	unsigned int kind;
};

struct ranges {
	unsigned int n;
	struct range at[RANGES_MAX];
};

struct fake_vcpu {
	uint32_t vtimer_ctl;
	uint64_t vtimer_cval;
	uint64_t sp[2];
};

static struct fake_vcpu *fake_vcpu(struct vcpu *v)
{
	return (struct fake_vcpu *)(void *)v->arch.opaque;
}

static struct fake_cpu *me(void)
{
	return &fake_machine.cpus_state[fake_machine.cpu];
}

/* --- The test's side --- */

void fake_turn(unsigned int n)
{
	assert(n < fake_machine.cpus);
	fake_machine.cpu = n;
}

static bool vtimer_line(void)
{
	return arch_cpu()->current->loaded && arch_vtimer_fires();
}

static bool has_work(unsigned int n)
{
	const struct fake_cpu *c = &fake_machine.cpus_state[n];
	unsigned int old = fake_machine.cpu;
	bool spi = false, line;

	for (uint32_t i = INTID_SPI_FIRST; i < FAKE_IRQS; i++)
		spi |= fake_machine.irq_pending[i] && fake_machine.irq_enabled[i] &&
		       !fake_machine.irq_active[i] && fake_machine.irq_route[i] == n;
	fake_machine.cpu = n;
	line = vtimer_line() && !(c->ppi_active >> INTID_TIMER & 1);
	fake_machine.cpu = old;
	return c->kicked || spi || line || fake_machine.counter >= c->timer;
}

/* CPU n takes what is pending. A vCPU that is off stays in its idle loop, which looks whether it was powered on. */
static void work(unsigned int n)
{
	unsigned int old = fake_machine.cpu;
	struct cpu *c = &hyp_cpus[n];

	if (fake_machine.cpus_state[n].in_kick)
		return;
	fake_machine.cpus_state[n].in_kick = true;
	fake_machine.cpu = n;
	if (c->current == c->host && c->host->run == RUN_READY)
		vcpu_idle(c);
	trap_irq();
	if (c->current->loaded)
		trap_return();
	fake_machine.cpu = old;
	fake_machine.cpus_state[n].in_kick = false;
}

static void meanwhile(void)
{
	void (*what)(void) = fake_machine.meanwhile;
	unsigned int old = fake_machine.cpu;

	fake_machine.meanwhile = NULL;
	if (what)
		what();
	fake_machine.cpu = old;
}

void fake_settle(void)
{
	for (unsigned int round = 0; round < 100; round++) {
		bool busy = false;

		for (unsigned int n = 0; n < fake_machine.cpus; n++) {
			if (has_work(n)) {
				busy = true;
				work(n);
			}
		}
		if (!busy)
			return;
	}
	arch_panic("a CPU never comes to rest");
}

/* A tree with nothing but a root, for the resource manager to add its node to. */
static void put_tree(void)
{
	static const uint32_t words[] = {
		0xd00dfeed, 72, 56, 72, 40, 17, 16, 0, 0, 16, /* header */
		0,	    0,	0,  0,			      /* no reservations */
		1,	    0,	2,  9, /* the root begins, has no name, ends; the end */
	};

	for (unsigned int i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		uint32_t big = __builtin_bswap32(words[i]);

		memcpy(arch_ptr(platform.dtb + i * 4), &big, 4);
	}
}

void fake_boot(unsigned int cpus)
{
	for (unsigned int i = 0; i <= HYP_VMS_MAX; i++)
		free(hyp_vms[i].space.root);
	memset(hyp_vms, 0, sizeof(hyp_vms));
	memset(hyp_cpus, 0, sizeof(hyp_cpus));
	memset(&fake_machine, 0, sizeof(fake_machine));
	fake_machine.cpus = cpus;
	for (unsigned int i = 0; i < HYP_CPUS_MAX; i++)
		hyp_cpus[i].id = i;
	for (unsigned int i = 0; i < FAKE_CPUS; i++)
		fake_machine.cpus_state[i].timer = TIME_NEVER;
	put_tree();
	trap_boot();
	trap_return();
}

void fake_vtimer(uint32_t ctl, uint64_t cval)
{
	struct fake_vcpu *f = fake_vcpu(arch_cpu()->current);

	f->vtimer_ctl = ctl;
	f->vtimer_cval = cval;
}

static bool in_use(const struct lr *lr)
{
	return lr->pending || lr->active;
}

/* Hardware forbids one interrupt in two list registers while a guest runs. */
static void check_lrs(void)
{
	for (unsigned int i = 0; i < FAKE_LRS; i++)
		for (unsigned int j = 0; j < i; j++)
			assert(!in_use(&me()->lr[i]) || !in_use(&me()->lr[j]) ||
			       me()->lr[i].intid != me()->lr[j].intid);
}

static void maintenance(void)
{
	__atomic_store_n(&arch_cpu()->current->refresh, 1, __ATOMIC_RELEASE);
	trap_return();
}

static bool nothing_pending(void)
{
	for (unsigned int i = 0; i < FAKE_LRS; i++)
		if (me()->lr[i].pending)
			return false;
	return true;
}

uint32_t fake_ack(void)
{
	struct lr *best = NULL;
	uint32_t intid;

	check_lrs();
	for (unsigned int i = 0; i < FAKE_LRS; i++) {
		struct lr *lr = &me()->lr[i];

		if (lr->pending && !lr->active && (!best || lr->priority < best->priority))
			best = lr;
	}
	if (!best)
		return 1023;
	best->pending = false;
	best->active = true;
	intid = best->intid;
	if (me()->more && nothing_pending())
		maintenance();
	return intid;
}

void fake_eoi(uint32_t intid)
{
	for (unsigned int i = 0; i < FAKE_LRS; i++) {
		struct lr *lr = &me()->lr[i];

		if (!lr->active || lr->intid != intid)
			continue;
		lr->active = false;
		if (lr->hw && intid >= INTID_SPI_FIRST)
			fake_machine.irq_active[intid] = false;
		else if (lr->hw)
			me()->ppi_active &= ~(1u << intid);
		if (lr->tell_eoi)
			maintenance();
		return;
	}
	me()->eoi_count++;
	if (me()->evicted)
		maintenance();
}

/* --- CPUs --- */

struct cpu *arch_cpu(void)
{
	return &hyp_cpus[fake_machine.cpu];
}

void arch_kick(unsigned int cpu)
{
	assert(cpu < fake_machine.cpus);
	fake_machine.cpus_state[cpu].kicked = true;
}

void arch_relax(void)
{
	unsigned int busy = 0;

	meanwhile();
	for (unsigned int n = 0; n < fake_machine.cpus; n++) {
		if (n != fake_machine.cpu && has_work(n)) {
			busy++;
			work(n);
		}
	}
	fake_machine.waits = busy ? 0 : fake_machine.waits + 1;
	assert(fake_machine.waits < WAITS_MAX);
}

void arch_wait(void)
{
	fake_machine.waits = 0;
	meanwhile();
}

unsigned int arch_start_cpus(void)
{
	return fake_machine.cpus;
}

/* Where the real ones never return, tests look at the flag; nothing may come after. */
_Noreturn void arch_system_off(void)
{
	fake_machine.off = true;
	fprintf(stderr, "the board is off\n");
	exit(0);
}

_Noreturn void arch_system_reset(void)
{
	fake_machine.reset = true;
	fprintf(stderr, "the board resets\n");
	exit(0);
}

_Noreturn void arch_panic(const char *why)
{
	fprintf(stderr, "panic: %s\n", why);
	abort();
}

/* --- vCPUs --- */

void arch_vcpu_reset(struct vcpu *v, uint64_t pc, uint64_t x0)
{
	assert(!v->loaded);
	v->regs = (struct regs){ .x[0] = x0, .pc = pc, .pstate = 0x3c5 };
	*fake_vcpu(v) = (struct fake_vcpu){ 0 };
}

void arch_vcpu_load(struct vcpu *v)
{
	assert(!v->loaded);
}

void arch_vcpu_save(struct vcpu *v)
{
	assert(!v->loaded);
	meanwhile();
}

void arch_set_sp(struct vcpu *v, unsigned int el, uint64_t value)
{
	fake_vcpu(v)->sp[el] = value;
}

uint64_t arch_vtimer_deadline(const struct vcpu *v)
{
	const struct fake_vcpu *f = (const struct fake_vcpu *)(const void *)v->arch.opaque;

	return (f->vtimer_ctl & 3) == 1 ? f->vtimer_cval : TIME_NEVER;
}

bool arch_vtimer_fires(void)
{
	return arch_vtimer_deadline(arch_cpu()->current) <= fake_machine.counter;
}

void arch_inject_abort(struct vcpu *v, const struct fault *fault)
{
	(void)fault;
	v->regs.pc = 0xab047;
	fake_machine.faults++;
}

void arch_inject_undefined(struct vcpu *v)
{
	v->regs.pc = 0x0de;
	fake_machine.faults++;
}

/* --- Stage 2 --- */

static struct ranges *ranges(struct arch_space *space)
{
	return (struct ranges *)(void *)space->root;
}

bool arch_space_init(struct arch_space *space, uint16_t vmid)
{
	*space = (struct arch_space){ .root = calloc(1, sizeof(struct ranges)), .vmid = vmid };
	return space->root;
}

void arch_space_free(struct arch_space *space)
{
	free(space->root);
	space->root = NULL;
}

enum gh_error arch_space_map(struct arch_space *space, ipa_t ipa, pa_t pa, uint64_t size,
			     unsigned int kind)
{
	struct ranges *r = ranges(space);

	for (unsigned int i = 0; i < r->n; i++)
		if (ipa < r->at[i].ipa + r->at[i].size && r->at[i].ipa < ipa + size)
			return GH_ERROR_EXISTING_MAPPING;
	if (r->n == RANGES_MAX)
		return GH_ERROR_NOMEM;
	r->at[r->n++] = (struct range){ ipa, pa, size, kind };
	return GH_ERROR_OK;
}

/* Cuts every range at the address. */
static bool cut(struct ranges *r, ipa_t at)
{
	for (unsigned int i = 0; i < r->n; i++) {
		struct range *a = &r->at[i];
		uint64_t head = at - a->ipa;

		if (at <= a->ipa || head >= a->size)
			continue;
		if (r->n == RANGES_MAX)
			return false;
		r->at[r->n++] = (struct range){ at, a->pa + head, a->size - head, a->kind };
		a->size = head;
	}
	return true;
}

enum gh_error arch_space_unmap(struct arch_space *space, ipa_t ipa, uint64_t size)
{
	struct ranges *r = ranges(space);

	if (!cut(r, ipa) || !cut(r, ipa + size))
		return GH_ERROR_NOMEM;
	for (unsigned int i = 0; i < r->n;) {
		if (r->at[i].ipa >= ipa && r->at[i].ipa < ipa + size)
			r->at[i] = r->at[--r->n];
		else
			i++;
	}
	return GH_ERROR_OK;
}

bool arch_space_translate(struct arch_space *space, ipa_t ipa, pa_t *pa, unsigned int *kind,
			  uint64_t *left)
{
	const struct ranges *r = ranges(space);

	for (unsigned int i = 0; i < r->n; i++) {
		uint64_t head = ipa - r->at[i].ipa;

		if (head >= r->at[i].size)
			continue;
		*pa = r->at[i].pa + head;
		*kind = r->at[i].kind;
		*left = r->at[i].size - head;
		return true;
	}
	return false;
}

/* The guest's MMU is off: its addresses are intermediate ones. */
bool arch_guest_va(uint64_t va, bool write, pa_t *pa)
{
	unsigned int kind;
	uint64_t left;

	return arch_space_translate(&arch_cpu()->current->vm->space, va, pa, &kind, &left) &&
	       kind & (write ? GH_RM_ACL_W : GH_RM_ACL_R);
}

/* --- Memory --- */

void *arch_ptr(pa_t pa)
{
	if (pa >= platform.hyp_ram.base && pa - platform.hyp_ram.base < sizeof(pool))
		return pool + (pa - platform.hyp_ram.base);
	assert(hyp_is_primary_ram(pa, 1));
	return fake_ram + (pa - FAKE_RAM);
}

void arch_pool(pa_t *start, pa_t *end)
{
	*start = platform.hyp_ram.base;
	*end = platform.hyp_ram.base + platform.hyp_ram.size;
}

void arch_clean(const void *p, size_t size)
{
	(void)p;
	(void)size;
}

void arch_zero_page(void *page)
{
	memset(page, 0, HYP_PAGE);
}

/* --- List registers --- */

unsigned int arch_lr_count(void)
{
	return FAKE_LRS;
}

void arch_lr_write(unsigned int i, const struct lr *lr)
{
	assert(i < FAKE_LRS);
	/* Hardware forbids it. */
	assert(!lr || !(lr->hw && lr->pending && lr->active));
	me()->lr[i] = lr ? *lr : (struct lr){ 0 };
}

void arch_lr_read(unsigned int i, struct lr *lr)
{
	*lr = me()->lr[i];
}

void arch_lr_overflow(bool more, bool evicted)
{
	me()->more = more;
	me()->evicted = evicted;
}

unsigned int arch_eoi_count(void)
{
	unsigned int n = me()->eoi_count;

	me()->eoi_count = 0;
	return n;
}

/* --- Physical interrupts --- */

#define SGI_KICK      0u
#define PPI_HYP_TIMER 26u

unsigned int arch_irq_end(void)
{
	return FAKE_IRQS;
}

enum arch_irq arch_irq_kind(uint32_t intid)
{
	switch (intid) {
	case SGI_KICK:
		return ARCH_IRQ_KICK;
	case PPI_HYP_TIMER:
		return ARCH_IRQ_HYP_TIMER;
	case INTID_TIMER:
		return ARCH_IRQ_VTIMER;
	default:
		return intid >= INTID_SPI_FIRST && intid < FAKE_IRQS ? ARCH_IRQ_SPI : ARCH_IRQ_NONE;
	}
}

uint32_t arch_irq_take(void)
{
	struct fake_cpu *c = me();

	if (c->kicked) {
		c->kicked = false;
		return SGI_KICK;
	}
	if (fake_machine.counter >= c->timer && !(c->ppi_active >> PPI_HYP_TIMER & 1)) {
		c->ppi_active |= 1u << PPI_HYP_TIMER;
		return PPI_HYP_TIMER;
	}
	if (vtimer_line() && !(c->ppi_active >> INTID_TIMER & 1)) {
		c->ppi_active |= 1u << INTID_TIMER;
		return INTID_TIMER;
	}
	for (uint32_t i = INTID_SPI_FIRST; i < FAKE_IRQS; i++) {
		if (fake_machine.irq_pending[i] && fake_machine.irq_enabled[i] &&
		    !fake_machine.irq_active[i] && fake_machine.irq_route[i] == fake_machine.cpu) {
			fake_machine.irq_pending[i] = false;
			fake_machine.irq_active[i] = true;
			return i;
		}
	}
	return 1023;
}

void arch_irq_deactivate(uint32_t intid)
{
	if (intid < INTID_SPI_FIRST)
		me()->ppi_active &= ~(1u << intid);
	else
		fake_machine.irq_active[intid] = false;
}

void arch_irq_enable(uint32_t intid, bool on)
{
	fake_machine.irq_enabled[intid] = on;
}

void arch_irq_set_edge(uint32_t intid, bool edge)
{
	fake_machine.irq_edge[intid] = edge;
}

void arch_irq_route(uint32_t intid, unsigned int cpu)
{
	fake_machine.irq_route[intid] = (uint8_t)cpu;
}

void arch_irq_set_pending(uint32_t intid, bool on)
{
	fake_machine.irq_pending[intid] = on;
}

void arch_irq_set_active(uint32_t intid)
{
	if (intid < INTID_SPI_FIRST)
		me()->ppi_active |= 1u << intid;
	else
		fake_machine.irq_active[intid] = true;
}

bool arch_irq_pending(uint32_t intid)
{
	return fake_machine.irq_pending[intid];
}

/* --- Time, entropy, console --- */

uint64_t arch_counter(void)
{
	return fake_machine.counter;
}

uint64_t arch_counter_hz(void)
{
	return 1000000;
}

void arch_timer_set(uint64_t deadline)
{
	me()->timer = deadline;
}

bool arch_entropy(uint32_t *word)
{
	*word = (uint32_t)(fake_machine.counter * 2654435761u + 1);
	return !fake_machine.no_entropy;
}

void arch_putc(char c)
{
	if (fake_machine.log_size + 1 >= sizeof(fake_machine.log))
		fake_machine.log_size = 0;
	fake_machine.log[fake_machine.log_size++] = c;
	fake_machine.log[fake_machine.log_size] = '\0';
}
