/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hypervisor made of arrays, for tests of the resource manager.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/hyp_fake.h"

/* Weak, since every test program has this file, and tests of the hypervisor itself take the real ones. */
#pragma weak hyp_primary
#pragma weak hyp_cpu_count
#pragma weak hyp_vm_create
#pragma weak hyp_vm_destroy
#pragma weak hyp_vm_id
#pragma weak hyp_vm_map
#pragma weak hyp_vm_unmap
#pragma weak hyp_vm_translate
#pragma weak hyp_is_primary_ram
#pragma weak hyp_ptr
#pragma weak hyp_clean
#pragma weak hyp_ipa_bits
#pragma weak hyp_vm_add_vmmio
#pragma weak hyp_vm_set_gic
#pragma weak hyp_vm_add_rtc
#pragma weak hyp_vm_set_time
#pragma weak hyp_vm_add_vcpu
#pragma weak hyp_vcpu_set_reg
#pragma weak hyp_vcpu_power_on
#pragma weak hyp_vm_kill
#pragma weak hyp_doorbell_new
#pragma weak hyp_queue_new
#pragma weak hyp_attach
#pragma weak hyp_detach
#pragma weak hyp_vm_add_link
#pragma weak hyp_rm_take
#pragma weak hyp_vm_halted
#pragma weak hyp_rm_link
#pragma weak hyp_rm_send
#pragma weak hyp_alloc_page
#pragma weak hyp_free_page
#pragma weak hyp_random
#pragma weak hyp_log
#pragma weak hyp_lock
#pragma weak hyp_unlock

struct fake fake;

static void free_pages(void)
{
	for (unsigned int i = 0; i < FAKE_PAGES; i++) {
		free(fake.page[i]);
		fake.page[i] = NULL;
	}
	fake.pages = 0;
}

struct hyp_object {
	bool used, bell;
	struct vm *vm[2];
};

static struct hyp_object objects[FAKE_OBJECTS];

void fake_free(void)
{
	free_pages();
	free(fake.ram);
	fake.ram = NULL;
}

void fake_reset(void)
{
	uint8_t *ram = fake.ram ? fake.ram : malloc(FAKE_RAM_SIZE);

	assert(ram);
	free_pages();
	for (unsigned int i = 0; i < HYP_VMS_MAX; i++)
		fake.vms[i].used = false;
	memset(&fake.primary, 0, offsetof(struct vm, range));
	memset((uint8_t *)&fake + offsetof(struct fake, ram), 0,
	       sizeof(fake) - offsetof(struct fake, ram));
	fake.ram = ram;
	fake.cpus = 2;
	fake.bells_max = FAKE_OBJECTS;
	memset(objects, 0, sizeof(objects));
	fake.primary.used = true;
	fake.primary.vmid = GH_VMID_PRIMARY;
	fake.primary.ranges = 1;
	fake.primary.range[0] =
		(struct fake_range){ FAKE_RAM_BASE, FAKE_RAM_BASE, FAKE_RAM_SIZE, 7 };
}

struct vm *fake_vm(uint16_t vmid)
{
	for (unsigned int i = 0; i < HYP_VMS_MAX; i++)
		if (fake.vms[i].used && fake.vms[i].vmid == vmid)
			return &fake.vms[i];
	return NULL;
}

bool fake_primary_has(pa_t pa, unsigned int rights)
{
	unsigned int r;
	uint64_t left;
	pa_t to;

	return hyp_vm_translate(&fake.primary, pa, &to, &r, &left) && to == pa && r == rights;
}

bool fake_primary_whole(void)
{
	uint64_t left = 0;
	unsigned int r;
	pa_t to;

	for (pa_t pa = FAKE_RAM_BASE; pa < FAKE_RAM_BASE + FAKE_RAM_SIZE; pa += left)
		if (!hyp_vm_translate(&fake.primary, pa, &to, &r, &left) || to != pa || r != 7)
			return false;
	return true;
}

static bool countdown(unsigned int *n)
{
	return *n && --*n == 0;
}

/* --- VMs --- */

struct vm *hyp_primary(void)
{
	return &fake.primary;
}

unsigned int hyp_cpu_count(void)
{
	return fake.cpus;
}

struct vm *hyp_vm_create(uint16_t vmid)
{
	assert(!fake_vm(vmid));
	for (unsigned int i = 0; i < HYP_VMS_MAX; i++) {
		struct vm *vm = &fake.vms[i];

		if (vm->used)
			continue;
		memset(vm, 0, offsetof(struct vm, range));
		vm->windows = vm->vcpus = vm->bells = 0;
		vm->halted = vm->killed = vm->link = false;
		vm->to_rm.count = vm->from_rm.count = 0;
		vm->gic = false;
		vm->gicd = vm->gicr = 0;
		vm->rtc = vm->rtc_ns = 0;
		memset(vm->vcpu, 0, sizeof(vm->vcpu));
		vm->used = true;
		vm->vmid = vmid;
		return vm;
	}
	return NULL;
}

void hyp_vm_destroy(struct vm *vm)
{
	if (!vm)
		return;
	assert(vm->used && vm->killed && vm->ranges == 0);
	vm->used = false;
}

uint16_t hyp_vm_id(const struct vm *vm)
{
	return vm->vmid;
}

/* --- Stage 2 --- */

static bool page_range(uint64_t at, uint64_t size)
{
	return size && at % HYP_PAGE == 0 && size % HYP_PAGE == 0 && at + size > at;
}

enum gh_error hyp_vm_map(struct vm *vm, ipa_t ipa, pa_t pa, uint64_t size, unsigned int rights)
{
	assert(vm->used && page_range(ipa, size) && hyp_is_primary_ram(pa, size));
	assert(ipa + size <= 1ull << hyp_ipa_bits());
	assert(rights & GH_RM_ACL_R && rights <= 7);
	fake.maps++;
	if (countdown(&fake.fail_map))
		return GH_ERROR_NOMEM;
	for (unsigned int i = 0; i < vm->ranges; i++)
		if (ipa < vm->range[i].ipa + vm->range[i].size && vm->range[i].ipa < ipa + size)
			return GH_ERROR_EXISTING_MAPPING;
	if (vm->ranges == FAKE_RANGES)
		return GH_ERROR_NOMEM;
	vm->range[vm->ranges++] = (struct fake_range){ ipa, pa, size, rights };
	return GH_ERROR_OK;
}

enum gh_error hyp_vm_unmap(struct vm *vm, ipa_t ipa, uint64_t size)
{
	unsigned int count = vm->ranges;

	assert(vm->used && page_range(ipa, size));
	fake.unmaps++;
	if (countdown(&fake.fail_unmap) || count * 2 > FAKE_RANGES)
		return GH_ERROR_NOMEM;
	for (unsigned int i = 0; i < count; i++) {
		struct fake_range r = vm->range[i];

		if (!(ipa < r.ipa + r.size && r.ipa < ipa + size))
			continue;
		vm->range[i].size = 0;
		if (r.ipa < ipa)
			vm->range[i].size = ipa - r.ipa;
		if (r.ipa + r.size > ipa + size) {
			uint64_t cut = ipa + size - r.ipa;

			vm->range[vm->ranges++] = (struct fake_range){ ipa + size, r.pa + cut,
								       r.size - cut, r.rights };
		}
	}
	count = 0;
	for (unsigned int i = 0; i < vm->ranges; i++)
		if (vm->range[i].size)
			vm->range[count++] = vm->range[i];
	vm->ranges = count;
	return GH_ERROR_OK;
}

bool hyp_vm_translate(struct vm *vm, ipa_t ipa, pa_t *pa, unsigned int *rights, uint64_t *left)
{
	for (unsigned int i = 0; i < vm->ranges; i++) {
		const struct fake_range *r = &vm->range[i];

		if (ipa < r->ipa || ipa >= r->ipa + r->size)
			continue;
		*pa = r->pa + (ipa - r->ipa);
		*rights = r->rights;
		*left = r->size - (ipa - r->ipa);
		return true;
	}
	return false;
}

bool hyp_is_primary_ram(pa_t pa, uint64_t size)
{
	return pa >= FAKE_RAM_BASE && size <= FAKE_RAM_SIZE &&
	       pa - FAKE_RAM_BASE <= FAKE_RAM_SIZE - size;
}

void *hyp_ptr(pa_t pa)
{
	assert(hyp_is_primary_ram(pa, 1));
	return fake.ram + (pa - FAKE_RAM_BASE);
}

void hyp_clean(const void *p, size_t size)
{
	assert(p && size);
}

unsigned int hyp_ipa_bits(void)
{
	return 36;
}

enum gh_error hyp_vm_add_vmmio(struct vm *vm, ipa_t base, uint64_t size)
{
	assert(page_range(base, size));
	vm->windows++;
	return vm->windows > 4 ? GH_ERROR_NORESOURCES : GH_ERROR_OK;
}

/* --- Objects --- */

enum gh_error hyp_vm_set_gic(struct vm *vm, ipa_t gicd, ipa_t gicr, uint64_t stride)
{
	assert(gicd % 0x10000 == 0 && gicr % 0x10000 == 0 && stride >= 0x20000);
	assert(!vm->gic);
	vm->gic = true;
	vm->gicd = gicd;
	vm->gicr = gicr;
	vm->stride = stride;
	return GH_ERROR_OK;
}

enum gh_error hyp_vm_add_rtc(struct vm *vm, ipa_t base)
{
	assert(page_range(base, HYP_PAGE) && vm->gic && !vm->rtc);
	vm->rtc = base;
	return GH_ERROR_OK;
}

enum gh_error hyp_vm_set_time(struct vm *vm, uint64_t ns, uint64_t counter)
{
	if (!vm->rtc)
		return GH_ERROR_DENIED;
	if (vm->rtc_ns)
		return GH_ERROR_BUSY;
	vm->rtc_ns = ns;
	vm->rtc_counter = counter;
	return GH_ERROR_OK;
}

enum gh_error hyp_vm_add_vcpu(struct vm *vm, unsigned int index, bool psci, uint64_t *cap,
			      uint32_t *virq)
{
	assert(index == vm->vcpus && vm->gic);
	if (index == HYP_CPUS_MAX)
		return GH_ERROR_NORESOURCES;
	*cap = 0x1200000000ull + vm->vmid * 0x100u + index;
	*virq = 962 + index;
	vm->vcpu[vm->vcpus++] = (struct fake_vcpu){ .psci = psci, .cap = *cap, .virq = *virq };
	return GH_ERROR_OK;
}

enum gh_error hyp_vcpu_set_reg(struct vm *vm, unsigned int index, unsigned int set,
			       unsigned int reg, uint64_t value)
{
	assert(index < vm->vcpus && !vm->vcpu[index].on);
	if (set == 1 && value % 4)
		return GH_ERROR_ARG_ALIGN;
	if (set == 0 && reg < 31)
		vm->vcpu[index].x[reg] = value;
	else if (set == 1 && reg == 0)
		vm->vcpu[index].pc = value;
	else if (set == 2 && reg < 2)
		vm->vcpu[index].sp[reg] = value;
	else
		return GH_ERROR_ARG_INVALID;
	return GH_ERROR_OK;
}

void hyp_vcpu_power_on(struct vm *vm, unsigned int index)
{
	assert(index < vm->vcpus && !vm->killed);
	vm->vcpu[index].on = true;
}

bool hyp_vm_halted(struct vm *vm, struct hyp_halt *halt)
{
	assert(vm && vm->used);
	*halt = vm->halt;
	return vm->halted;
}

void fake_halt(uint16_t vmid, const struct hyp_halt *halt)
{
	struct vm *vm = fake_vm(vmid);

	if (vm && !vm->killed) {
		vm->halted = true;
		vm->halt = *halt;
	}
	rm_vm_halted(vmid);
}

void hyp_vm_kill(struct vm *vm)
{
	assert(vm && vm->used);
	vm->killed = true;
}

/* --- Doorbells and queues --- */

static struct hyp_object *new_object(bool bell)
{
	for (unsigned int i = 0; i < FAKE_OBJECTS; i++) {
		if (objects[i].used)
			continue;
		if (fake.objects >= fake.bells_max)
			return NULL;
		fake.objects++;
		objects[i] = (struct hyp_object){ .used = true, .bell = bell };
		return &objects[i];
	}
	return NULL;
}

struct hyp_object *hyp_doorbell_new(void)
{
	return new_object(true);
}

struct hyp_object *hyp_queue_new(unsigned int depth, unsigned int size)
{
	assert(depth && depth <= 255 && size && size <= 1023);
	return new_object(false);
}

enum gh_error hyp_attach(struct hyp_object *o, enum hyp_side side, struct vm *vm,
			 struct hyp_end *end)
{
	bool wants = !o->bell || side == HYP_RECEIVER;

	assert(o->used && !o->vm[side] && vm);
	if (vm == hyp_primary()) {
		if (wants && !end->intid)
			end->intid = 1000;
		end->cap = 0x3400000000ull + (unsigned long)(o - objects) * 2 + side;
	} else {
		assert(!wants || (end->intid >= 32 && end->intid < 1020));
		if (vm->bells >= FAKE_BELLS)
			return GH_ERROR_CSPACE_FULL;
		end->cap = vm->bells;
		vm->bell[vm->bells++] = (struct fake_bell){ end->intid, end->can_clear, end->cap };
	}
	o->vm[side] = vm;
	return GH_ERROR_OK;
}

void hyp_detach(struct hyp_object *o, enum hyp_side side)
{
	assert(o->used);
	o->vm[side] = NULL;
	if (o->vm[!side])
		return;
	o->used = false;
	fake.objects--;
}

/* --- Queues of the resource manager --- */

void hyp_rm_link(struct hyp_rm_link *link)
{
	*link = (struct hyp_rm_link){ .tx_cap = 0, .rx_cap = 1, .tx_virq = 960, .rx_virq = 961 };
}

static struct fake_queue *to_vm(struct vm *vm)
{
	return vm == hyp_primary() ? &fake.queue : &vm->from_rm;
}

enum gh_error hyp_vm_add_link(struct vm *vm, struct hyp_rm_link *link)
{
	assert(vm->used && !vm->link && link->tx_virq && link->rx_virq);
	vm->link = true;
	link->tx_cap = 100;
	link->rx_cap = 101;
	return GH_ERROR_OK;
}

static bool put(struct fake_queue *q, const void *msg, size_t size)
{
	unsigned int last = (q->first + q->count) % GH_RM_QUEUE_DEPTH;

	assert(size && size <= GH_RM_MSG_SIZE);
	if (q->count == GH_RM_QUEUE_DEPTH)
		return false;
	memcpy(q->data[last], msg, size);
	q->size[last] = size;
	q->count++;
	return true;
}

static size_t take(struct fake_queue *q, void *msg)
{
	size_t size;

	if (!q->count)
		return 0;
	size = q->size[q->first];
	memcpy(msg, q->data[q->first], size);
	q->first = (q->first + 1) % GH_RM_QUEUE_DEPTH;
	q->count--;
	return size;
}

bool hyp_rm_send(struct vm *vm, const void *msg, size_t size)
{
	return put(to_vm(vm), msg, size);
}

uint32_t hyp_rm_take(struct vm *vm, void *msg)
{
	assert(vm->used && vm->link);
	return (uint32_t)take(&vm->to_rm, msg);
}

size_t fake_take(uint8_t msg[GH_RM_MSG_SIZE])
{
	size_t size = take(&fake.queue, msg);

	if (size)
		rm_room();
	return size;
}

bool fake_guest_send(uint16_t vmid, const void *msg, size_t size)
{
	struct vm *vm = fake_vm(vmid);
	bool room = vm && vm->link && put(&vm->to_rm, msg, size);

	rm_poll();
	return room;
}

size_t fake_guest_take(uint16_t vmid, uint8_t msg[GH_RM_MSG_SIZE])
{
	struct vm *vm = fake_vm(vmid);
	size_t size = vm && vm->link ? take(&vm->from_rm, msg) : 0;

	if (size)
		rm_poll();
	return size;
}

/* --- Plain services --- */

void *hyp_alloc_page(void)
{
	if (countdown(&fake.fail_alloc))
		return NULL;
	for (unsigned int i = 0; i < FAKE_PAGES; i++) {
		if (fake.page[i])
			continue;
		fake.page[i] = aligned_alloc(HYP_PAGE, HYP_PAGE);
		assert(fake.page[i]);
		fake.pages++;
		return memset(fake.page[i], 0, HYP_PAGE);
	}
	return NULL;
}

void hyp_free_page(void *page)
{
	unsigned int i = 0;

	while (i < FAKE_PAGES && fake.page[i] != page)
		i++;
	assert(page && i < FAKE_PAGES);
	fake.page[i] = NULL;
	fake.pages--;
	free(page);
}

uint64_t hyp_random(void)
{
	return 0x0123456789abcdefull;
}

void hyp_log(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(fake.log, sizeof(fake.log), fmt, ap);
	va_end(ap);
}

void hyp_lock(hyp_spinlock_t *lock)
{
	assert(!lock->value && !fake.locked);
	lock->value = 1;
	fake.locked = true;
}

void hyp_unlock(hyp_spinlock_t *lock)
{
	assert(lock->value);
	lock->value = 0;
	fake.locked = false;
}
