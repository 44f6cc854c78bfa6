// SPDX-License-Identifier: GPL-2.0-only
/* As many VMs as there can be, each with as many vCPUs as the board has CPUs: all run, and each is itself. */
#include <linux/cpumask.h>

#include "suite.h"
#include "vm.h"

#define VMS	   16u
#define CPUS_MOST  8u
#define CPU_ON	   0xc4000003u
#define INFO	   0xc4000004u
#define CONTEXT(v) (0xc0de0000ull + (v))

static struct vm vms[VMS];
static u64 caps[VMS][CPUS_MOST];

/* What a vCPU does until it first leaves for something that is not an interrupt of the host. */
static struct run_exit first_exit(u64 cap)
{
	const u64 resume[3] = { 0 };
	struct run_exit e;
	unsigned int tries = 1000;

	do {
		vcpu_run(cap, resume, 0, &e);
	} while (!e.error && (e.state == GH_VCPU_READY || e.state == GH_VCPU_BLOCKED) && tries--);
	return e;
}

static bool one_up(unsigned int v, const struct vm_spec *spec)
{
	struct vm *vm = &vms[v];
	unsigned int i;

	if (!vm_up(vm, spec, GH_RM_VM_STATE_READY))
		return false;
	for (i = 0; i < spec->tree.cpus; i++)
		caps[v][i] = vm_cap(vm, GH_RM_RES_VCPU, i);
	return need("START of one of many", !rm_vm_call(GH_RM_VM_START, vm->vmid)) &&
	       need("the servant of one of many", vcpu_next(vm, 0).state == RUN_DONE);
}

/* Each sibling starts where it was told to, with the argument that was meant for it. */
static unsigned int siblings(unsigned int v, unsigned int cpus)
{
	struct vm *vm = &vms[v];
	unsigned int i, well = 0;

	for (i = 1; i < cpus; i++) {
		struct run_exit e = first_exit(caps[v][i]);
		bool off = e.state == GH_VCPU_POWERED_OFF;

		GUEST_CALL(vm, 0, INSN(hvc), CPU_ON, i, VM_BASE, CONTEXT(v * CPUS_MOST + i));
		if (vm->cpu[0].out[0])
			continue;
		e = first_exit(caps[v][i]);
		GUEST_CALL(vm, 0, INSN(hvc), INFO, i, 0);
		well += off && e.state == GH_VCPU_ADDRSPACE_VMMIO_WRITE &&
			e.data[0] == SERVANT_PAGE + SERVANT_ENTRY_X0 &&
			e.data[2] == CONTEXT(v * CPUS_MOST + i) && !vm->cpu[0].out[0];
	}
	return well;
}

void suite_many(void)
{
	unsigned int cpus = min(num_online_cpus(), CPUS_MOST), v, up = 0, well = 0;
	struct vm_spec spec = { .tree = { .cpus = cpus, .bells = 1 } };
	struct gh_rm_vmid any = { 0 };

	if (!rm.survives) {
		skip("16 VMs", "upstream has 60 interrupts for all of them");
		return;
	}
	for (v = 0; v < VMS; v++)
		up += one_up(v, &spec);
	expect(say("VMs of %u vCPUs that run at once", cpus), VMS, up);
	expect_rm("one more", GH_RM_ERROR_NORESOURCE,
		  rm_call(GH_RM_VM_ALLOCATE, &any, sizeof(any), NULL));
	for (v = 0; v < VMS; v++)
		well += siblings(v, cpus);
	expect("vCPUs that their siblings brought up", VMS * (cpus - 1), well);
	for (v = 0; v < VMS; v++) {
		vms[v].notice_from = notices();
		vm_down(&vms[v]);
	}
	expect_rm("and then again one more", GH_RM_OK,
		  rm_call(GH_RM_VM_ALLOCATE, &any, sizeof(any), NULL));
	rm_vm_call(GH_RM_VM_DEALLOCATE, 0x80);
}
