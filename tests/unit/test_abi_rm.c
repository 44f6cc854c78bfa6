// SPDX-License-Identifier: Apache-2.0
/*
 * The resource manager's protocol a second time, typed from the fact sheet (sections 3, 4 and
 * appendix B).
 */
#include "tests/unit/abi_help.h"

#include <string.h>

#include "api/gunyah/abi.h"

static void ids(void **state)
{
	static const struct abi_value values[] = {
		V(GH_RM_MEM_DONATE, 0x51000010),
		V(GH_RM_MEM_ACCEPT, 0x51000011),
		V(GH_RM_MEM_LEND, 0x51000012),
		V(GH_RM_MEM_SHARE, 0x51000013),
		V(GH_RM_MEM_RELEASE, 0x51000014),
		V(GH_RM_MEM_RECLAIM, 0x51000015),
		V(GH_RM_MEM_NOTIFY, 0x51000017),
		V(GH_RM_MEM_APPEND, 0x51000018),
		V(GH_RM_MEM_QCOM_LOOKUP_SGL, 0x5100001A),
		V(GH_RM_VM_ALLOCATE, 0x56000001),
		V(GH_RM_VM_DEALLOCATE, 0x56000002),
		V(GH_RM_VM_START, 0x56000004),
		V(GH_RM_VM_STOP, 0x56000005),
		V(GH_RM_VM_RESET, 0x56000006),
		V(GH_RM_VM_CONFIG_IMAGE, 0x56000009),
		V(GH_RM_VM_AUTH_IMAGE, 0x5600000A),
		V(GH_RM_VM_INIT, 0x5600000B),
		V(GH_RM_VM_GET_ID, 0x56000010),
		V(GH_RM_VM_GET_OWNER, 0x56000015),
		V(GH_RM_VM_GET_STATE, 0x56000017),
		V(GH_RM_VM_GET_CRASH_MSG, 0x56000019),
		V(GH_RM_VM_GET_HYP_RESOURCES, 0x56000020),
		V(GH_RM_VM_GET_VMID, 0x56000024),
		V(GH_RM_VM_GET_PEERS, 0x56000025),
		V(GH_RM_VM_SET_TIME_BASE, 0x56000030),
		V(GH_RM_VM_SET_CONTEXT, 0x56000031),
		V(GH_RM_VM_SET_FIRMWARE_MEM, 0x56000032),
		V(GH_RM_VM_HOST_GET_TYPE, 0x560000A0),
		V(GH_RM_NOTIFY_VM_EXITED, 0x56100001),
		V(GH_RM_NOTIFY_VM_SHUTDOWN, 0x56100002),
		V(GH_RM_NOTIFY_VM_STATUS, 0x56100008),
	};

	(void)state;
	COMPARE(values);
}

static void errors(void **state)
{
	static const struct abi_value values[] = {
		V(GH_RM_OK, 0),
		V((uint32_t)GH_RM_ERROR_UNIMPLEMENTED, 0xFFFFFFFF),
		V(GH_RM_ERROR_NOMEM, 1),
		V(GH_RM_ERROR_NORESOURCE, 2),
		V(GH_RM_ERROR_DENIED, 3),
		V(GH_RM_ERROR_INVALID, 4),
		V(GH_RM_ERROR_BUSY, 5),
		V(GH_RM_ERROR_ARGUMENT_INVALID, 6),
		V(GH_RM_ERROR_HANDLE_INVALID, 7),
		V(GH_RM_ERROR_VALIDATE_FAILED, 8),
		V(GH_RM_ERROR_MAP_FAILED, 9),
		V(GH_RM_ERROR_MEM_INVALID, 0xA),
		V(GH_RM_ERROR_MEM_INUSE, 0xB),
		V(GH_RM_ERROR_MEM_RELEASED, 0xC),
		V(GH_RM_ERROR_VMID_INVALID, 0xD),
		V(GH_RM_ERROR_LOOKUP_FAILED, 0xE),
		V(GH_RM_ERROR_IRQ_INVALID, 0xF),
		V(GH_RM_ERROR_IRQ_INUSE, 0x10),
		V(GH_RM_ERROR_IRQ_RELEASED, 0x11),
		V(GH_RM_ERROR_IN_USE, 0x12),
		V(GH_RM_ERROR_IRQ_NOT_MAPPED, 0x13),
		V(GH_RM_ERROR_VM_STATE, 0x14),
	};

	(void)state;
	COMPARE(values);
}

static void numbers(void **state)
{
	static const struct abi_value values[] = {
		V(GH_VMID_HYP, 0),
		V(GH_VMID_PRIMARY, 3),
		V(GH_VMID_RM, 255),
		V(GH_VMID_DYNAMIC_FIRST, 0x80),
		V(GH_VMID_DYNAMIC_END, 0xBF),
		V(GH_RM_MSG_SIZE, 240),
		V(GH_RM_QUEUE_DEPTH, 8),
		V(GH_RM_PAYLOAD, 232),
		V(GH_RM_FRAGMENTS_MAX, 62),
		V(GH_RM_API, 0x21),
		V(GH_RM_TYPE_CONTINUATION, 0),
		V(GH_RM_TYPE_REQUEST, 1),
		V(GH_RM_TYPE_REPLY, 2),
		V(GH_RM_TYPE_NOTIFICATION, 3),
		V(GH_RM_TYPE_MASK, 3),
		V(GH_RM_FRAGMENTS_SHIFT, 2),
		V(GH_RM_VM_STOP_FORCE, 1),
		V(GH_RM_VM_STOP_REASON, 3),
		V(GH_RM_AUTH_NONE, 0),
		V(GH_RM_AUTH_PLATFORM, 1),
		V(GH_RM_AUTH_ANDROID, 2),
		V(GH_RM_MEM_NORMAL, 0),
		V(GH_RM_MEM_IO, 1),
		V(GH_RM_MEM_SHARE_SANITISE, 1),
		V(GH_RM_MEM_SHARE_APPEND, 2),
		V(GH_RM_MEM_APPEND_DONE, 1),
		V(GH_RM_LIST_MAX, 512),
		V(GH_RM_ACL_X, 1),
		V(GH_RM_ACL_W, 2),
		V(GH_RM_ACL_R, 4),
		V(GH_RM_RES_DOORBELL_TX, 0),
		V(GH_RM_RES_DOORBELL_RX, 1),
		V(GH_RM_RES_MSGQ_TX, 2),
		V(GH_RM_RES_MSGQ_RX, 3),
		V(GH_RM_RES_VCPU, 4),
		V(GH_RM_RES_VPM, 5),
		V(GH_RM_RES_VIRTIO_MMIO, 6),
	};

	(void)state;
	COMPARE(values);
}

static void states(void **state)
{
	static const struct abi_value values[] = {
		V(GH_RM_VM_NONE, 0),
		V(GH_RM_VM_STATE_INIT, 1),
		V(GH_RM_VM_STATE_READY, 2),
		V(GH_RM_VM_STATE_RUNNING, 3),
		V(GH_RM_VM_STATE_PAUSED, 4),
		V(GH_RM_VM_STATE_LOAD, 5),
		V(GH_RM_VM_STATE_AUTH, 6),
		V(GH_RM_VM_STATE_INIT_FAILED, 8),
		V(GH_RM_VM_STATE_EXITED, 9),
		V(GH_RM_VM_STATE_RESETTING, 10),
		V(GH_RM_VM_STATE_RESET, 11),
		V(GH_RM_EXIT_VM_EXIT, 0),
		V(GH_RM_EXIT_PSCI_SYSTEM_OFF, 1),
		V(GH_RM_EXIT_PSCI_SYSTEM_RESET, 2),
		V(GH_RM_EXIT_PSCI_SYSTEM_RESET2, 3),
		V(GH_RM_EXIT_WATCHDOG, 4),
		V(GH_RM_EXIT_HYP_ERROR, 5),
		V(GH_RM_EXIT_ASYNC_EXT_ABORT, 6),
		V(GH_RM_EXIT_FORCE_STOPPED, 7),
	};

	(void)state;
	COMPARE(values);
}

static void layouts(void **state)
{
	static const struct abi_value values[] = {
		SIZE(struct gh_rm_header, 8),
		AT(struct gh_rm_header, type, 1),
		AT(struct gh_rm_header, seq, 2),
		AT(struct gh_rm_header, id, 4),
		SIZE(struct gh_rm_vmid, 4),
		SIZE(struct gh_rm_vm_stop, 8),
		AT(struct gh_rm_vm_stop, flags, 2),
		AT(struct gh_rm_vm_stop, reason, 4),
		SIZE(struct gh_rm_vm_config_image, 40),
		AT(struct gh_rm_vm_config_image, auth, 2),
		AT(struct gh_rm_vm_config_image, mem_handle, 4),
		AT(struct gh_rm_vm_config_image, image_offset, 8),
		AT(struct gh_rm_vm_config_image, image_size, 16),
		AT(struct gh_rm_vm_config_image, dtb_offset, 24),
		AT(struct gh_rm_vm_config_image, dtb_size, 32),
		SIZE(struct gh_rm_vm_set_context, 16),
		AT(struct gh_rm_vm_set_context, set, 2),
		AT(struct gh_rm_vm_set_context, index, 3),
		AT(struct gh_rm_vm_set_context, value, 8),
		SIZE(struct gh_rm_vm_status, 8),
		AT(struct gh_rm_vm_status, vm_state, 4),
		AT(struct gh_rm_vm_status, os_state, 5),
		AT(struct gh_rm_vm_status, app_status, 6),
		AT(struct gh_rm_vm_exited, exit_type, 2),
		AT(struct gh_rm_vm_exited, reason_size, 4),
		AT(struct gh_rm_vm_exited, reason, 8),
		SIZE(struct gh_rm_mem_share, 8),
		AT(struct gh_rm_mem_share, flags, 2),
		AT(struct gh_rm_mem_share, label, 4),
		SIZE(struct gh_rm_list, 4),
		SIZE(struct gh_rm_acl, 4),
		AT(struct gh_rm_acl, rights, 2),
		SIZE(struct gh_rm_sgl, 16),
		AT(struct gh_rm_sgl, size, 8),
		SIZE(struct gh_rm_mem_append, 8),
		AT(struct gh_rm_mem_append, flags, 4),
		SIZE(struct gh_rm_mem_handle, 8),
		AT(struct gh_rm_mem_handle, flags, 4),
		SIZE(struct gh_rm_hyp_resource, 44),
		AT(struct gh_rm_hyp_resource, partner_vmid, 2),
		AT(struct gh_rm_hyp_resource, handle, 4),
		AT(struct gh_rm_hyp_resource, label, 8),
		AT(struct gh_rm_hyp_resource, capid_low, 12),
		AT(struct gh_rm_hyp_resource, capid_high, 16),
		AT(struct gh_rm_hyp_resource, virq_handle, 20),
		AT(struct gh_rm_hyp_resource, virq, 24),
		AT(struct gh_rm_hyp_resource, base, 28),
		AT(struct gh_rm_hyp_resource, size, 36),
	};

	(void)state;
	COMPARE(values);
}

/* The worked examples of appendix B, byte for byte. */
static void header_bytes(void **state)
{
	static const uint8_t first[] = { 0x21, 0x09, 0x07, 0x00, 0x0B, 0x00, 0x00, 0x56 };
	static const uint8_t next[] = { 0x21, 0x08, 0x07, 0x00, 0x0B, 0x00, 0x00, 0x56 };
	struct gh_rm_header header = {
		.api = GH_RM_API,
		.type = GH_RM_TYPE_REQUEST | 2 << GH_RM_FRAGMENTS_SHIFT,
		.seq = 7,
		.id = GH_RM_VM_INIT,
	};

	(void)state;
	assert_memory_equal(&header, first, sizeof(first));
	header.type = GH_RM_TYPE_CONTINUATION | 2 << GH_RM_FRAGMENTS_SHIFT;
	assert_memory_equal(&header, next, sizeof(next));
}

static void lend_bytes(void **state)
{
	static const uint8_t sheet[40] = {
		0, 0, 0, 0,    0, 0, 0, 0, 1, 0, 0, 0, 0x80, 0, 7, 0, 1, 0, 0, 0,
		0, 0, 0, 0x90, 0, 0, 0, 0, 0, 0, 1, 0, 0,    0, 0, 0, 0, 0, 0, 0,
	};
	struct {
		struct gh_rm_mem_share fixed;
		struct gh_rm_list acls;
		struct gh_rm_acl acl;
		struct gh_rm_list sgls;
		struct gh_rm_sgl sgl;
		struct gh_rm_list attributes;
	} __attribute__((packed)) message = {
		.acls.count = 1,
		.acl = { .vmid = 0x80, .rights = GH_RM_ACL_R | GH_RM_ACL_W | GH_RM_ACL_X },
		.sgls.count = 1,
		.sgl = { .ipa = 0x90000000, .size = 0x10000 },
	};

	(void)state;
	assert_int_equal(sizeof(message), sizeof(sheet));
	assert_memory_equal(&message, sheet, sizeof(sheet));
}

static void configure_and_stop_bytes(void **state)
{
	static const uint8_t configure_sheet[40] = {
		0x80, 0, 0, 0, 5, 0, 0, 0, [24] = 0, 0, 0x5F, 4, [33] = 0x20,
	};
	static const uint8_t stop_sheet[8] = { 0x80, 0, 1, 0, 3, 0, 0, 0 };
	struct gh_rm_vm_config_image configure = {
		.vmid = 0x80,
		.auth = GH_RM_AUTH_NONE,
		.mem_handle = 5,
		.dtb_offset = 0x45F0000,
		.dtb_size = 0x2000,
	};
	struct gh_rm_vm_stop stop = {
		.vmid = 0x80,
		.flags = GH_RM_VM_STOP_FORCE,
		.reason = GH_RM_VM_STOP_REASON,
	};

	(void)state;
	assert_memory_equal(&configure, configure_sheet, sizeof(configure_sheet));
	assert_memory_equal(&stop, stop_sheet, sizeof(stop_sheet));
}

static void resource_bytes(void **state)
{
	static const uint8_t sheet[44] = {
		4, [12] = 0x90, 0x78, 0x56, 0x34, 0x12, [24] = 0xCA, 0x03,
	};
	struct gh_rm_hyp_resource record = {
		.type = GH_RM_RES_VCPU,
		.capid_low = 0x34567890,
		.capid_high = 0x12,
		.virq = 970,
	};

	(void)state;
	assert_memory_equal(&record, sheet, sizeof(sheet));
}

static void notification_bytes(void **state)
{
	static const uint8_t status_sheet[8] = { 0x80, 0, 0, 0, 3, 0, 0, 0 };
	static const uint8_t exited_sheet[8] = { 0x80, 0, 1, 0, 4, 0, 0, 0 };
	struct gh_rm_vm_status status = { .vmid = 0x80, .vm_state = GH_RM_VM_STATE_RUNNING };
	struct gh_rm_vm_exited exited = {
		.vmid = 0x80,
		.exit_type = GH_RM_EXIT_PSCI_SYSTEM_OFF,
		.reason_size = 4,
	};

	(void)state;
	assert_memory_equal(&status, status_sheet, sizeof(status_sheet));
	assert_memory_equal(&exited, exited_sheet, sizeof(exited_sheet));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids),
		cmocka_unit_test(errors),
		cmocka_unit_test(numbers),
		cmocka_unit_test(states),
		cmocka_unit_test(layouts),
		cmocka_unit_test(header_bytes),
		cmocka_unit_test(lend_bytes),
		cmocka_unit_test(configure_and_stop_bytes),
		cmocka_unit_test(resource_bytes),
		cmocka_unit_test(notification_bytes),
	};

	return cmocka_run_group_tests_name("abi_rm", tests, NULL, NULL);
}
