/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VM_INIT and VM_START (sections 5.3 and 5.4), and their reverse: what a VM consists of and which
 * memory it gets.
 */
#include <string.h>

#include "core/rm.h"
#include "core/rm_fdt.h"

#define VMMIO_BASE   0ull
#define VMMIO_SIZE   0x40000000ull /* forwarded to the host */
#define GICD_SIZE    0x10000u
#define GICD_DEFAULT 0x3fff0000ull
#define BUFFER_ALIGN 0x200000ull

/* The parcel of CONFIG_IMAGE, unless its owner took it back. */
static struct memparcel *image_parcel(struct rm_vm *vm)
{
	struct memparcel *p = memparcel_find(vm->image);

	return p && memparcel_access(p, vm->vmid) ? p : NULL;
}

static ipa_t ipa_end(void)
{
	return 1ull << hyp_ipa_bits();
}

static bool in_space(ipa_t ipa, uint64_t size)
{
	return ipa <= ipa_end() && size <= ipa_end() - ipa;
}

static bool overlap(ipa_t a, uint64_t a_size, ipa_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

static uint64_t gicr_needed(const struct rm_config *c)
{
	return c->gicr_stride * c->cpus;
}

static bool meets_gic(const struct rm_config *c, ipa_t ipa, uint64_t size)
{
	return overlap(ipa, size, c->gicd, GICD_SIZE) ||
	       overlap(ipa, size, c->gicr, gicr_needed(c));
}

static bool meets_device(const struct rm_config *c, ipa_t ipa, uint64_t size)
{
	return meets_gic(c, ipa, size) || (c->has_rtc && overlap(ipa, size, c->rtc, HYP_PAGE));
}

/* --- INIT --- */

/* Others may write the tree while it is read, so only the private copy counts. */
static const char *init_tree(struct rm_vm *vm)
{
	struct memparcel *p = image_parcel(vm);
	uint8_t header[40];
	size_t size;

	if (!p || !memparcel_read(p, vm->dtb_offset, header, sizeof(header)))
		return "no device tree";
	size = rm_fdt_total_size(header);
	if (!size)
		return "no device tree where CONFIG_IMAGE says";
	if (size < sizeof(header) || size > vm->dtb_size || size > RM_DTB_MAX)
		return "the device tree is larger than its place, or than 64 KiB";
	if (!memparcel_read(p, vm->dtb_offset, vm->tree, size) || !rm_fdt_valid(vm->tree, size))
		return "the device tree is malformed";
	return rm_config_parse(vm->tree, &vm->config);
}

static const char *init_check(const struct rm_vm *vm, const struct memparcel *image)
{
	const struct rm_config *c = &vm->config;

	if (c->trusted_only)
		return c->trusted_only;
	if (!in_space(c->base, image->size))
		return "the image does not fit into the address space";
	return in_space(c->base, c->size_max) ? NULL : "size-max exceeds the address space";
}

static const char *init_gic(struct rm_vm *vm, const struct memparcel *image)
{
	struct rm_config *c = &vm->config;
	uint64_t private_size = c->size_max > image->size ? c->size_max : image->size;

	if (c->cpus > hyp_cpu_count() || c->cpus > HYP_CPUS_MAX)
		return "more vCPUs than the board has CPUs";
	if (!c->gic_has_reg) {
		c->gicd = GICD_DEFAULT;
		c->gicd_size = GICD_SIZE;
		c->gicr = GICD_DEFAULT - gicr_needed(c);
		c->gicr_size = gicr_needed(c);
	}
	if (c->gicd % GICD_SIZE || c->gicd_size != GICD_SIZE || c->gicr % 0x10000)
		return "GICD needs 64 KiB, and both 64 KiB alignment";
	if (c->gicr_size != gicr_needed(c))
		return "GICR needs exactly the stride for each vCPU";
	if (!in_space(c->gicd, GICD_SIZE) || !in_space(c->gicr, c->gicr_size) ||
	    overlap(c->gicd, GICD_SIZE, c->gicr, c->gicr_size) ||
	    meets_gic(c, c->base, private_size))
		return "the interrupt controller overlaps memory or leaves the address space";
	if (hyp_vm_set_gic(vm->hyp, c->gicd, c->gicr, c->gicr_stride))
		return "no interrupt controller";
	return NULL;
}

static const char *init_vcpus(struct rm_vm *vm)
{
	const struct rm_config *c = &vm->config;

	if (!c->proxy)
		return "vCPUs run only with affinity \"proxy\"";
	if (!c->psci && c->cpus > 1)
		return "several vCPUs need PSCI";
	for (unsigned int i = 0; i < c->cpus; i++, vm->vcpus++)
		if (hyp_vm_add_vcpu(vm->hyp, i, c->psci, &vm->vcpu[i].cap, &vm->vcpu[i].virq))
			return "no vCPU left, or no interrupt for its wake-up";
	return NULL;
}

static const char *init_objects(struct rm_vm *vm, const struct memparcel *image)
{
	const char *wrong;

	vm->hyp = hyp_vm_create(vm->vmid);
	if (!vm->hyp)
		return "too many VMs";
	if (hyp_vm_add_vmmio(vm->hyp, VMMIO_BASE, VMMIO_SIZE))
		return "no MMIO window left";
	wrong = init_gic(vm, image);
	if (!wrong)
		wrong = init_vcpus(vm);
	return wrong ? wrong : rm_vdev_init(vm);
}

enum gh_rm_error rm_vm_init(struct rm_call *call)
{
	struct rm_vm *vm = call->vm;
	enum gh_rm_error err = GH_RM_OK;
	struct gh_rm_vmid request;
	const char *wrong;

	memcpy(&request, call->data, sizeof(request));
	if (request.reserved)
		return GH_RM_ERROR_INVALID;
	if (vm->state != GH_RM_VM_STATE_INIT)
		return GH_RM_ERROR_VM_STATE;
	wrong = init_tree(vm);
	vm->configured = !wrong;
	if (wrong)
		err = GH_RM_ERROR_MEM_INVALID;
	else if ((wrong = init_check(vm, image_parcel(vm))))
		err = GH_RM_ERROR_ARGUMENT_INVALID;
	else if ((wrong = init_objects(vm, image_parcel(vm))))
		err = GH_RM_ERROR_NORESOURCE;
	if (wrong)
		hyp_log("rm: VM %x: %s\n", vm->vmid, wrong);
	rm_vm_enter(vm, err ? GH_RM_VM_STATE_INIT_FAILED : GH_RM_VM_STATE_READY);
	return err;
}

/* --- Memory of a VM --- */

enum gh_error rm_vm_accept_placed(struct rm_vm *vm, struct memparcel *p, enum mem_role role)
{
	struct mem_access *a = memparcel_access(p, vm->vmid);
	enum gh_error err = GH_ERROR_OK;
	struct sg range;

	for (unsigned int n = 0; memparcel_range(a, n, &range); n++)
		if (!in_space(range.pa, range.size) ||
		    meets_device(&vm->config, range.pa, range.size))
			err = GH_ERROR_ADDR_INVALID;
	if (!err)
		err = memparcel_map(p, a, vm->hyp);
	if (err)
		memparcel_unplace(a);
	else
		a->role = (uint8_t)role;
	return err;
}

enum gh_error rm_vm_accept(struct rm_vm *vm, struct memparcel *p, ipa_t ipa, enum mem_role role)
{
	struct mem_access *a = memparcel_access(p, vm->vmid);

	/* What the guest had begun to say by itself is void. */
	memparcel_unplace(a);
	(void)memparcel_place(a, ipa, p->size);
	return rm_vm_accept_placed(vm, p, role);
}

/* A parcel that names the VM, is complete, and that the VM has not accepted. */
static struct mem_access *offered(struct memparcel *p, const struct rm_vm *vm)
{
	struct mem_access *a = memparcel_access(p, vm->vmid);

	return p->state == MEMPARCEL_COMPLETE && a && a->role == MEM_NOT_ACCEPTED ? a : NULL;
}

static bool more_private(struct memparcel *p, const struct mem_access *a)
{
	return p->label == 0 && a->rights == MEMPARCEL_RWX;
}

/* Moves *ipa behind a range that it meets. */
static bool step_over(ipa_t *ipa, uint64_t size, ipa_t other, uint64_t other_size)
{
	if (!overlap(*ipa, size, other, other_size))
		return false;
	*ipa = (other + other_size + BUFFER_ALIGN - 1) & ~(BUFFER_ALIGN - 1);
	return true;
}

/*
 * A place in the upper half of the address space, behind the private memory. Each step passes one
 * range for good.
 */
static ipa_t buffer_place(struct rm_vm *vm, uint64_t size)
{
	ipa_t ipa = ipa_end() / 2;
	bool moved = true;

	if (ipa < vm->private_end)
		ipa = (vm->private_end + BUFFER_ALIGN - 1) & ~(BUFFER_ALIGN - 1);
	while (moved && ipa < ipa_end()) {
		struct memparcel *p = NULL;

		moved = step_over(&ipa, size, vm->config.gicd, GICD_SIZE) ||
			step_over(&ipa, size, vm->config.gicr, gicr_needed(&vm->config)) ||
			(vm->config.has_rtc && step_over(&ipa, size, vm->config.rtc, HYP_PAGE));
		while ((p = memparcel_next(p))) {
			const struct mem_access *a = memparcel_access(p, vm->vmid);
			struct sg range;

			for (unsigned int n = 0; a && memparcel_range(a, n, &range); n++)
				moved |= step_over(&ipa, size, range.pa, range.size);
		}
	}
	return ipa;
}

ipa_t rm_vm_buffer_place(struct rm_vm *vm, const struct memparcel *p, uint64_t size)
{
	const struct rm_config *c = &vm->config;

	for (unsigned int i = 0; i < c->vdevs; i++)
		if (c->vdev[i].type == RM_VDEV_SHM && c->vdev[i].mem_label == p->label &&
		    c->vdev[i].has_base)
			return c->vdev[i].base;
	return buffer_place(vm, size);
}

enum gh_error rm_vm_accept_buffer(struct rm_vm *vm, struct memparcel *p)
{
	return rm_vm_accept(vm, p, rm_vm_buffer_place(vm, p, p->size), MEM_BUFFER);
}

enum gh_error rm_vm_accept_rest(struct rm_vm *vm)
{
	struct memparcel *p = NULL;
	enum gh_error err = GH_ERROR_OK;

	while (!err && (p = memparcel_next(p))) {
		const struct mem_access *a = offered(p, vm);

		if (a && !more_private(p, a))
			err = rm_vm_accept_buffer(vm, p);
	}
	return err;
}

/* Rule 3 of section 5.4: the buffers that shm vdevices want. */
static const char *accept_shm(struct rm_vm *vm)
{
	for (unsigned int i = 0; i < vm->config.vdevs; i++) {
		const struct rm_vdev *v = &vm->config.vdev[i];
		struct memparcel *p = NULL;
		bool there = false;

		if (v->type != RM_VDEV_SHM)
			continue;
		while ((p = memparcel_next(p))) {
			const struct mem_access *a = memparcel_access(p, vm->vmid);

			if (!a || p->label != v->mem_label || a->role == MEM_PRIVATE)
				continue;
			if (offered(p, vm) && rm_vm_accept_buffer(vm, p))
				return "a shared buffer cannot be mapped where its vdevice wants it";
			there |= a->role == MEM_BUFFER;
		}
		if (!there && !v->optional)
			return "no parcel has the label of a shm vdevice";
	}
	return NULL;
}

/* The parcel for more private memory that was made first. */
static struct memparcel *oldest_private(struct rm_vm *vm, uint32_t after)
{
	struct memparcel *p = NULL, *best = NULL;

	while ((p = memparcel_next(p))) {
		const struct mem_access *a = offered(p, vm);

		if (a && more_private(p, a) && p->handle >= after &&
		    (!best || p->handle < best->handle))
			best = p;
	}
	return best;
}

/* Rule 4. */
static const char *accept_private(struct rm_vm *vm)
{
	const struct rm_config *c = &vm->config;
	struct memparcel *p;

	for (uint32_t after = 0; (p = oldest_private(vm, after)); after = p->handle + 1) {
		if (c->size_max && vm->private_end + p->size > c->base + c->size_max) {
			hyp_log("rm: VM %x: parcel %x exceeds size-max\n", vm->vmid, p->handle);
			continue;
		}
		if (rm_vm_accept(vm, p, vm->private_end, MEM_PRIVATE))
			return "more private memory cannot be mapped";
		vm->private_end += p->size;
	}
	if (vm->private_end - c->base < c->size_min)
		hyp_log("rm: VM %x has less memory than size-min\n", vm->vmid);
	return NULL;
}

/* --- START --- */

static const char *accept_image(struct rm_vm *vm, struct memparcel *image)
{
	if (!image || !offered(image, vm) || vm->dtb_offset + vm->dtb_size > image->size)
		return "the image's parcel is gone";
	if (rm_vm_accept(vm, image, vm->config.base, MEM_PRIVATE))
		return "the image cannot be mapped";
	vm->private_end = vm->config.base + image->size;
	return NULL;
}

static const char *set_registers(struct rm_vm *vm, unsigned int vcpu)
{
	const struct rm_context *c = &vm->context;
	uint64_t pc = c->pc_set ? c->pc : vm->config.base + vm->image_offset;
	uint64_t x0 = vm->config.base + vm->dtb_offset;
	enum gh_error err = hyp_vcpu_set_reg(vm->hyp, vcpu, GH_RM_CONTEXT_PC, 0, pc);

	if (!err)
		err = hyp_vcpu_set_reg(vm->hyp, vcpu, GH_RM_CONTEXT_X, 0, x0);
	for (unsigned int i = 0; !err && i < 31; i++)
		if (c->x_set >> i & 1)
			err = hyp_vcpu_set_reg(vm->hyp, vcpu, GH_RM_CONTEXT_X, i, c->x[i]);
	for (unsigned int i = 0; !err && i < 2; i++)
		if (c->sp_set >> i & 1)
			err = hyp_vcpu_set_reg(vm->hyp, vcpu, GH_RM_CONTEXT_SP, i, c->sp[i]);
	return err ? "a register of the boot vCPU cannot be set" : NULL;
}

static const char *start(struct rm_vm *vm)
{
	struct memparcel *image = image_parcel(vm);
	const char *wrong = accept_image(vm, image);

	if (!wrong)
		wrong = accept_shm(vm);
	if (!wrong)
		wrong = accept_private(vm);
	if (!wrong)
		wrong = rm_patch_tree(vm, image);
	for (unsigned int i = 0; !wrong && i < vm->vcpus; i++)
		if (vm->config.cpu_boot >> i & 1)
			wrong = set_registers(vm, i);
	if (!wrong)
		memparcel_clean(image);
	return wrong;
}

enum gh_rm_error rm_vm_start(struct rm_call *call)
{
	struct rm_vm *vm = call->vm;
	const char *wrong;

	if (!rm_vm_may_enter(vm, GH_RM_VM_STATE_RUNNING))
		return GH_RM_ERROR_VM_STATE;
	wrong = start(vm);
	if (wrong) {
		hyp_log("rm: VM %x: %s\n", vm->vmid, wrong);
		rm_vm_enter(vm, GH_RM_VM_STATE_INIT_FAILED);
		return GH_RM_ERROR_NORESOURCE;
	}
	rm_vm_enter(vm, GH_RM_VM_STATE_RUNNING);
	for (unsigned int i = 0; i < vm->vcpus; i++)
		if (vm->config.cpu_boot >> i & 1)
			hyp_vcpu_power_on(vm->hyp, i);
	return GH_RM_OK;
}

/* --- The reverse --- */

void rm_vm_release(struct rm_vm *vm)
{
	struct memparcel *p = NULL;

	if (vm->hyp) {
		hyp_vm_kill(vm->hyp);
		while ((p = memparcel_next(p))) {
			struct mem_access *a = memparcel_access(p, vm->vmid);

			if (a)
				memparcel_unmap(p, a, vm->hyp);
		}
		rm_vdev_release(vm);
		hyp_vm_destroy(vm->hyp);
	}
	vm->hyp = NULL;
	vm->vcpus = 0;
	vm->configured = false;
	vm->private_end = 0;
}
