// SPDX-License-Identifier: Apache-2.0
/*
 * The driver's user interface a second time, typed from the fact sheet (sections 6 and 7), compared
 * with ioctl.h.
 */
#include "tests/unit/abi_help.h"

#include "api/gunyah/ioctl.h"

static void requests(void **state)
{
	static const struct abi_value values[] = {
		V(GH_CREATE_VM, 0x00004700),
		V(GH_VM_SET_USER_MEM_REGION, 0x40204701),
		V(GH_VM_SET_DTB_CONFIG, 0x40104702),
		V(GH_VM_START, 0x00004703),
		V(GH_VM_ADD_FUNCTION, 0x40104704),
		V(GH_VM_ADD_FUNCTION_V8, 0x44204704),
		V(GH_VCPU_RUN, 0x00004705),
		V(GH_VCPU_MMAP_SIZE, 0x00004706),
		V(GH_VM_REMOVE_FUNCTION, 0x40104707),
		V(GH_ANDROID_TENTATIVE_UAPI, 0x4110),
		V(GH_VM_ANDROID_LEND_USER_MEM, 0x40204111),
		V(GH_VM_CHECK_EXTENSION, 0x4117),
		V(GH_VM_ANDROID_SET_FW_CONFIG, 0x40104112),
		V(GH_VM_RECLAIM_REGION, 0x40104113),
		V(GH_VM_SET_BOOT_CONTEXT, 0x4010470A),
		V(GH_BOOT_REG(GH_BOOT_REG_SET_PC, 0), 0x100),
		V(GH_BOOT_REG(GH_BOOT_REG_SET_SP, 1), 0x201),
	};

	(void)state;
	COMPARE(values);
}

static void constants(void **state)
{
	static const struct abi_value values[] = {
		V(GH_MEM_ALLOW_READ, 1),    V(GH_MEM_ALLOW_WRITE, 2),
		V(GH_MEM_ALLOW_EXEC, 4),    V(GH_MEM_LENT, 8),
		V(GH_FN_VCPU, 1),	    V(GH_FN_IRQFD, 2),
		V(GH_FN_IOEVENTFD, 3),	    V(GH_FN_MAX_ARG_SIZE, 256),
		V(GH_IRQFD_FLAGS_LEVEL, 1), V(GH_IOEVENTFD_FLAGS_DATAMATCH, 1),
		V(GH_VCPU_EXIT_UNKNOWN, 0), V(GH_VCPU_EXIT_MMIO, 1),
		V(GH_VCPU_EXIT_STATUS, 2),  V(GH_VM_STATUS_LOAD_FAILED, 1),
		V(GH_VM_STATUS_EXITED, 2),  V(GH_VM_STATUS_CRASHED, 3),
	};

	(void)state;
	COMPARE(values);
}

static void layouts(void **state)
{
	static const struct abi_value values[] = {
		SIZE(struct gh_userspace_memory_region, 32),
		AT(struct gh_userspace_memory_region, label, 0),
		AT(struct gh_userspace_memory_region, flags, 4),
		AT(struct gh_userspace_memory_region, guest_phys_addr, 8),
		AT(struct gh_userspace_memory_region, memory_size, 16),
		AT(struct gh_userspace_memory_region, userspace_addr, 24),
		SIZE(struct gh_vm_dtb_config, 16),
		AT(struct gh_vm_dtb_config, size, 8),
		SIZE(struct gh_fn_desc, 16),
		AT(struct gh_fn_desc, arg_size, 4),
		AT(struct gh_fn_desc, arg, 8),
		SIZE(struct gh_fn_vcpu_arg, 4),
		SIZE(struct gh_fn_irqfd_arg, 16),
		AT(struct gh_fn_irqfd_arg, label, 4),
		AT(struct gh_fn_irqfd_arg, flags, 8),
		SIZE(struct gh_fn_ioeventfd_arg, 32),
		AT(struct gh_fn_ioeventfd_arg, addr, 8),
		AT(struct gh_fn_ioeventfd_arg, len, 16),
		AT(struct gh_fn_ioeventfd_arg, fd, 20),
		AT(struct gh_fn_ioeventfd_arg, flags, 24),
		SIZE(struct gh_vm_function, 1056),
		AT(struct gh_vm_function, vcpu, 32),
		AT(struct gh_vm_function, irqfd, 32),
		AT(struct gh_vm_function, ioeventfd, 32),
		AT(struct gh_vcpu_run, immediate_exit, 0),
		AT(struct gh_vcpu_run, exit_reason, 8),
		AT(struct gh_vcpu_run, mmio.phys_addr, 16),
		AT(struct gh_vcpu_run, mmio.data, 24),
		AT(struct gh_vcpu_run, mmio.len, 32),
		AT(struct gh_vcpu_run, mmio.is_write, 36),
		AT(struct gh_vcpu_run, status.status, 16),
		AT(struct gh_vcpu_run, status.exit_info.type, 20),
		AT(struct gh_vcpu_run, status.exit_info.reason_size, 24),
		AT(struct gh_vcpu_run, status.exit_info.reason, 28),
	};

	(void)state;
	COMPARE(values);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests),
		cmocka_unit_test(constants),
		cmocka_unit_test(layouts),
	};

	return cmocka_run_group_tests_name("abi_ioctl", tests, NULL, NULL);
}
