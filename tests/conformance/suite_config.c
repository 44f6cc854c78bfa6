// SPDX-License-Identifier: GPL-2.0-only
/* Sections 5.2 to 5.4 and 9: images that cannot be, and trees that INIT or START refuses. */
#include "suite.h"
#include "vm.h"

/* The wanted result of a whole life: which step fails, with what. */
static void life_of(const char *what, const struct vm_spec *spec, u32 want_init, u32 want_start)
{
	struct vm vm;
	u32 error;

	if (!vm_up(&vm, spec, GH_RM_VM_STATE_INIT))
		goto out;
	error = rm_vm_call(GH_RM_VM_INIT, vm.vmid);
	expect_rm(say("%s: VM_INIT", what), want_init, error);
	if (error) {
		expect_vm_state(say("%s: the state", what), GH_RM_VM_STATE_INIT_FAILED,
				rm_state(vm.vmid));
		goto out;
	}
	if (want_start == RM_SILENT)
		goto out;
	error = rm_vm_call(GH_RM_VM_START, vm.vmid);
	expect_rm(say("%s: VM_START", what), want_start, error);
	expect_vm_state(say("%s: the state", what),
			want_start ? GH_RM_VM_STATE_INIT_FAILED : GH_RM_VM_STATE_RUNNING,
			rm_state(vm.vmid));
out:
	vm_down(&vm);
}

#define SPEC(...) (&(const struct vm_spec){ .tree = { __VA_ARGS__ } })
#define NEVER	  RM_SILENT /* INIT fails, so START is not tried */

static void refused_trees(void)
{
	life_of("no image-name", SPEC(.cpus = 1, .no_name = true), GH_RM_ERROR_MEM_INVALID, NEVER);
	life_of("a tree without magic", SPEC(.cpus = 1, .bad_magic = true), GH_RM_ERROR_MEM_INVALID,
		NEVER);
	life_of("a malformed vm-guid", SPEC(.cpus = 1, .guid = "not-a-guid"),
		GH_RM_ERROR_MEM_INVALID, NEVER);
	life_of("room of 1024 bytes for the tree",
		&(const struct vm_spec){ .tree = { .cpus = 1, .bells = 1 }, .tree_room = 1024 },
		GH_RM_ERROR_MEM_INVALID, NEVER);
	life_of("2 vCPUs and room for 1 redistributor before the distributor",
		SPEC(.cpus = 2, .gicr_size = GICR_SIZE), GH_RM_ERROR_NORESOURCE, NEVER);
	life_of("more vCPUs than any platform has CPUs", SPEC(.cpus = 17), GH_RM_ERROR_NORESOURCE,
		NEVER);
	life_of("64 doorbells without numbers", SPEC(.cpus = 1, .bells = 64, .no_spi = true),
		GH_RM_ERROR_NORESOURCE, NEVER);
	life_of("no /chosen", SPEC(.cpus = 1, .no_chosen = true), GH_RM_OK, GH_RM_ERROR_NORESOURCE);
	life_of("a /hypervisor node", SPEC(.cpus = 1, .hypervisor = true), GH_RM_OK,
		GH_RM_ERROR_NORESOURCE);
	life_of("reserved memory that no parcel matches", SPEC(.cpus = 1, .reserved = 0x90000000),
		GH_RM_OK, GH_RM_ERROR_NORESOURCE);
}

static void odd_trees(void)
{
	life_of("size-max below the image parcel", SPEC(.cpus = 1, .size_max = 0x100000), GH_RM_OK,
		GH_RM_OK);
	life_of("an address that is not a multiple of 2 MiB", SPEC(.cpus = 1, .base = 0x80100000),
		GH_RM_OK, GH_RM_OK);
	life_of("vCPUs without PSCI", SPEC(.cpus = 1, .no_psci = true), GH_RM_OK, GH_RM_OK);
	life_of("no doorbell", SPEC(.cpus = 1), GH_RM_OK, GH_RM_OK);
	life_of("8 doorbells", SPEC(.cpus = 1, .bells = 8), GH_RM_OK, GH_RM_OK);
	life_of("doorbells without numbers", SPEC(.cpus = 1, .bells = 4, .no_spi = true), GH_RM_OK,
		GH_RM_OK);
	life_of("a label on the image parcel that no vdevice has",
		&(const struct vm_spec){ .tree = { .cpus = 1 }, .label = 0x77 }, GH_RM_OK,
		GH_RM_OK);
}

/* vdevices that no VMM of today uses: refhyp has none of them, and says so. */
static void other_vdevices(void)
{
	static const char *const types[] = { "virtio-mmio", "shm-doorbell", "iomem", "vsmmu-v2" };
	struct vm_spec spec = { .tree = { .cpus = 1 } };
	unsigned int i;

	if (report_lenient) {
		skip("other kinds of vdevices",
		     "upstream has some, and passes over what it does not know");
		return;
	}
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		spec.tree.vdevice = types[i];
		life_of(say("a vdevice %s", types[i]), &spec, GH_RM_ERROR_NORESOURCE, NEVER);
	}
	spec.tree.vdevice = "time-machine";
	life_of("a vdevice of no known type", &spec, GH_RM_ERROR_MEM_INVALID, NEVER);
}

/* The guest itself tells where it was put. */
static void rounded_up(void)
{
	struct vm vm;

	if (vm_up(&vm, SPEC(.cpus = 1, .base = 0x80100000), GH_RM_VM_STATE_RUNNING) &&
	    expect_run("base 0x80100000: the servant starts", RUN_DONE, vcpu_next(&vm, 0).state)) {
		expect("base 0x80100000: rounded up to 2 MiB", 0x80200000, vm.cpu[0].entry_pc);
		expect("base 0x80100000: the tree moved with it", 0x80200000 + VM_TREE,
		       vm.cpu[0].entry_x0);
	}
	vm_down(&vm);
}

/* The image that CONFIG_IMAGE names; what is refused leaves a VM without configuration. */
static void images(void)
{
	struct gh_rm_vm_config_image request = { 0 };
	struct vm vm;

	if (!rm.survives) {
		skip("VM_CONFIG_IMAGE that is refused, then VM_RESET",
		     "upstream's resource manager resets a VM without configuration only to fail");
		return;
	}
	if (vm_up(&vm, &vm_plain, GH_RM_VM_STATE_LOAD)) {
		request.vmid = cpu_to_le16(vm.vmid);
		request.mem_handle = cpu_to_le32(0x12345678);
		expect_rm("VM_CONFIG_IMAGE, a handle of nothing", GH_RM_ERROR_MEM_INVALID,
			  rm_call(GH_RM_VM_CONFIG_IMAGE, &request, sizeof(request), NULL));
		expect_vm_state("the state", GH_RM_VM_STATE_INIT_FAILED, rm_state(vm.vmid));
	}
	vm_down(&vm);
	if (vm_up(&vm, &vm_plain, GH_RM_VM_STATE_LOAD) && need("memory", !vm_give(&vm))) {
		request.vmid = cpu_to_le16(vm.vmid);
		request.mem_handle = cpu_to_le32(vm.handle);
		request.dtb_offset = cpu_to_le64(VM_SIZE - 4096);
		request.dtb_size = cpu_to_le64(8192);
		expect_rm("VM_CONFIG_IMAGE, a tree beyond the parcel", GH_RM_ERROR_ARGUMENT_INVALID,
			  rm_call(GH_RM_VM_CONFIG_IMAGE, &request, sizeof(request), NULL));
		expect_vm_state("the state", GH_RM_VM_STATE_INIT_FAILED, rm_state(vm.vmid));
	}
	vm_down(&vm);
	if (vm_up(&vm, &vm_plain, GH_RM_VM_STATE_LOAD) && need("memory", !vm_give(&vm)))
		expect_rm("VM_CONFIG_IMAGE, an unknown kind of authentication",
			  GH_RM_ERROR_ARGUMENT_INVALID, vm_config(&vm, 7));
	vm_down(&vm);
}

static const u8 *id_entry(const struct reply *r, u8 type)
{
	const u8 *at = r->data + 4, *end = r->data + r->size;
	u32 count = get32(r->data);

	for (; count && at + 4 <= end; count--) {
		if (*at == type)
			return at;
		at += 4 + ALIGN(get16(at + 2), 4);
	}
	return NULL;
}

static void found(const char *what, u32 id, const void *data, size_t size, u16 vmid)
{
	const struct reply *r;

	if (!expect_rm(what, GH_RM_OK, rm_call(id, data, size, &r)))
		return;
	expect(say("%s: how many", what), 1, get32(r->data));
	expect(say("%s: who", what), vmid, r->size >= 8 ? get16(r->data + 4) : 0);
}

static void names(void)
{
	static const u8 guid[16] = { 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0,
				     0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88 };
	const struct vm_spec *spec = SPEC(.cpus = 1, .name = "alpha", .uri = "vmuid/a",
					  .guid = "12345678-9abc-def0-1122-334455667788");
	struct gh_rm_vmid request;
	const struct reply *r;
	const u8 *entry;
	struct vm vm;

	if (!vm_up(&vm, spec, GH_RM_VM_STATE_READY))
		goto out;
	request = (struct gh_rm_vmid){ .vmid = cpu_to_le16(vm.vmid) };
	if (expect_rm("VM_GET_ID in READY", GH_RM_OK,
		      rm_call(GH_RM_VM_GET_ID, &request, sizeof(request), &r))) {
		expect("VM_GET_ID: entries", 4, get32(r->data));
		entry = id_entry(r, GH_RM_ID_GUID);
		expect("VM_GET_ID: the GUID", 1, entry && !memcmp(entry + 4, guid, 16));
		entry = id_entry(r, GH_RM_ID_NAME);
		expect("VM_GET_ID: the name", 1, entry && !memcmp(entry + 4, "alpha\0\0", 8));
		entry = id_entry(r, GH_RM_ID_URI);
		expect("VM_GET_ID: the URI", 1, entry && !memcmp(entry + 4, "vmuid/a", 8));
		entry = id_entry(r, GH_RM_ID_SIGN_AUTH);
		expect("VM_GET_ID: the signing authority is last", 1,
		       entry && entry + 4 + ALIGN(get16(entry + 2), 4) == r->data + r->size);
	}
	found("VM_LOOKUP_NAME", GH_RM_VM_LOOKUP_NAME, "\5\0\0\0alpha\0\0", 12, vm.vmid);
	found("VM_LOOKUP_URI", GH_RM_VM_LOOKUP_URI, "\7\0\0\0vmuid/a", 12, vm.vmid);
	found("VM_LOOKUP_GUID", GH_RM_VM_LOOKUP_GUID, guid, 16, vm.vmid);
	found("VM_GET_PEERS with one", GH_RM_VM_GET_PEERS, NULL, 0, vm.vmid);
out:
	vm_down(&vm);
}

/* Order and content of the records, and a reply that needs more than one packet. */
static void resources(void)
{
	const struct vm_spec *spec = SPEC(.cpus = 2, .bells = 8);
	const struct gh_rm_hyp_resource *r;
	unsigned int i;
	struct vm vm;

	if (!vm_up(&vm, spec, GH_RM_VM_STATE_READY))
		goto out;
	expect("VM_GET_HYP_RESOURCES: records", 10, vm.resource_count);
	for (i = 0; i < 2; i++) {
		r = &vm.resource[i];
		expect(say("record %u is a vCPU", i), GH_RM_RES_VCPU, r->type);
		expect(say("record %u: label", i), i, le32_to_cpu(r->label));
		expect(say("record %u: partner", i), 0, le16_to_cpu(r->partner_vmid));
		expect(say("record %u: an interrupt of the pool", i), 1,
		       le32_to_cpu(r->virq) >= 960 && le32_to_cpu(r->virq) < 1020);
	}
	for (i = 0; i < 8; i++) {
		r = vm_resource(&vm, GH_RM_RES_DOORBELL_TX, BELL_SPI + i);
		if (need(say("a record for doorbell %u", i), r)) {
			expect(say("doorbell %u: partner", i), vm.vmid,
			       le16_to_cpu(r->partner_vmid));
			expect(say("doorbell %u: a capability", i), 1,
			       cap_of(r) && cap_of(r) != GH_CAPID_INVALID);
		}
	}
out:
	vm_down(&vm);
}

void suite_config(void)
{
	refused_trees();
	odd_trees();
	other_vdevices();
	rounded_up();
	images();
	names();
	resources();
}
