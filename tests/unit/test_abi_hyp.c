// SPDX-License-Identifier: Apache-2.0
/*
 * The hypercall ABI a second time, typed from the fact sheet (sections 1.1 to 1.9), compared with
 * api/gunyah/abi.h.
 */
#include "tests/unit/abi_help.h"

#include "api/gunyah/abi.h"

static void conventions(void **state)
{
	static const struct abi_value values[] = {
		V(GH_HVC_BASE, 0x6000),
		V(GH_HVC_LAST, 0x61ff),
		V(GH_SMCCC_HYPERCALL(0), 0xC6008000u),
		V(GH_SMCCC_HYPERCALL(0x65), 0xC6008065u),
		V(GH_SMCCC_UID, 0x8600FF01u),
		V(GH_SMCCC_REVISION, 0x8600FF03u),
		V(GH_UID_0, 0xCD8FD5C1u),
		V(GH_UID_1, 0xDB5F53A4u),
		V(GH_UID_2, 0x36CE6592u),
		V(GH_UID_3, 0x145F3D67u),
		V(GH_UID_V8_0, 0x673D5F14u),
		V(GH_UID_V8_1, 0x9265CE36u),
		V(GH_UID_V8_2, 0xA4535FDBu),
		V(GH_UID_V8_3, 0xC1D58FCDu),
		V(GH_UID_V8_QCOM_0, 0x19BD54BDu),
		V(GH_UID_V8_QCOM_1, 0x0B37571Bu),
		V(GH_UID_V8_QCOM_2, 0x946F609Bu),
		V(GH_UID_V8_QCOM_3, 0x54539DE6u),
	};

	(void)state;
	COMPARE(values);
}

/* The vendor's UUID 19bd54bd-0b37-571b-946f-609b54539de6, its bytes read as little-endian words. */
static void vendor_uid(void **state)
{
	static const uint8_t uuid[16] = {
		0x19, 0xbd, 0x54, 0xbd, 0x0b, 0x37, 0x57, 0x1b,
		0x94, 0x6f, 0x60, 0x9b, 0x54, 0x53, 0x9d, 0xe6,
	};
	static const uint32_t words[4] = {
		GH_UID_QCOM_0,
		GH_UID_QCOM_1,
		GH_UID_QCOM_2,
		GH_UID_QCOM_3,
	};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		const uint8_t *b = uuid + 4 * i;
		uint32_t word = b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
				(uint32_t)b[3] << 24;

		assert_int_equal(words[i], word);
	}
}

/* The public build's UUID c1d58fcd-a453-5fdb-9265-ce36673d5f14 read the same way. */
static void public_uid(void **state)
{
	static const uint8_t uuid[16] = {
		0xc1, 0xd5, 0x8f, 0xcd, 0xa4, 0x53, 0x5f, 0xdb,
		0x92, 0x65, 0xce, 0x36, 0x67, 0x3d, 0x5f, 0x14,
	};
	static const uint32_t words[4] = { GH_UID_0, GH_UID_1, GH_UID_2, GH_UID_3 };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		const uint8_t *b = uuid + 4 * i;
		uint32_t word = b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
				(uint32_t)b[3] << 24;

		assert_int_equal(words[i], word);
	}
}

static void identify(void **state)
{
	static const struct abi_value values[] = {
		V(GH_API_VERSION_MASK, (1u << 14) - 1),
		V(GH_API_VERSION, 1),
		V(GH_API_BIG_ENDIAN, 0x4000),
		V(GH_API_64BIT, 0x8000),
		V(GH_API_VARIANT_SHIFT, 56),
		V(GH_API_VARIANT_GUNYAH, 0x48),
		V(GH_API_VARIANT_QCOM, 0x51),
		V(GH_FEATURE_PARTITION, 0x1),
		V(GH_FEATURE_DOORBELL, 0x2),
		V(GH_FEATURE_MSGQ, 0x4),
		V(GH_FEATURE_VIC, 0x8),
		V(GH_FEATURE_VPM, 0x10),
		V(GH_FEATURE_VCPU, 0x20),
		V(GH_FEATURE_MEMEXTENT, 0x40),
		V(GH_FEATURE_TRACE, 0x80),
		V(GH_FEATURE_WATCHDOG, 0x100),
		V(GH_FEATURE_VIRTIO_MMIO, 0x200),
		V(GH_FEATURE_PRNG, 0x400),
		V(GH_FEATURE_VCPU_RUN, 0x800),
	};

	(void)state;
	COMPARE(values);
}

static void calls(void **state)
{
	static const struct abi_value values[] = {
		V(GH_CALL_IDENTIFY, 0x00),
		V(GH_CALL_DOORBELL_BIND_VIRQ, 0x10),
		V(GH_CALL_DOORBELL_UNBIND_VIRQ, 0x11),
		V(GH_CALL_DOORBELL_SEND, 0x12),
		V(GH_CALL_DOORBELL_RECEIVE, 0x13),
		V(GH_CALL_DOORBELL_RESET, 0x14),
		V(GH_CALL_DOORBELL_MASK, 0x15),
		V(GH_CALL_MSGQ_BIND_SEND_VIRQ, 0x17),
		V(GH_CALL_MSGQ_BIND_RECV_VIRQ, 0x18),
		V(GH_CALL_MSGQ_UNBIND_SEND_VIRQ, 0x19),
		V(GH_CALL_MSGQ_UNBIND_RECV_VIRQ, 0x1A),
		V(GH_CALL_MSGQ_SEND, 0x1B),
		V(GH_CALL_MSGQ_RECV, 0x1C),
		V(GH_CALL_MSGQ_FLUSH, 0x1D),
		V(GH_CALL_MSGQ_CONFIGURE_SEND, 0x1F),
		V(GH_CALL_MSGQ_CONFIGURE_RECV, 0x20),
		V(GH_CALL_PRNG_GET_ENTROPY, 0x57),
		V(GH_CALL_VCPU_RUN, 0x65),
		V(GH_CALL_VCPU_RUN_CHECK, 0x68),
		V(GH_MSGQ_PUSH, 1),
		V(GH_CAPID_INVALID, UINT64_MAX),
	};

	(void)state;
	COMPARE(values);
}

static void errors(void **state)
{
	static const struct abi_value values[] = {
		V(GH_ERROR_OK, 0),
		V(GH_ERROR_UNIMPLEMENTED, -1),
		V(GH_ERROR_RETRY, -2),
		V(GH_ERROR_ARG_INVALID, 1),
		V(GH_ERROR_ARG_SIZE, 2),
		V(GH_ERROR_ARG_ALIGN, 3),
		V(GH_ERROR_NOMEM, 10),
		V(GH_ERROR_NORESOURCES, 11),
		V(GH_ERROR_ADDR_OVFL, 20),
		V(GH_ERROR_ADDR_UNFL, 21),
		V(GH_ERROR_ADDR_INVALID, 22),
		V(GH_ERROR_DENIED, 30),
		V(GH_ERROR_BUSY, 31),
		V(GH_ERROR_IDLE, 32),
		V(GH_ERROR_OBJECT_STATE, 33),
		V(GH_ERROR_OBJECT_CONFIG, 34),
		V(GH_ERROR_OBJECT_CONFIGURED, 35),
		V(GH_ERROR_FAILURE, 36),
		V(GH_ERROR_IRQ_BOUND, 40),
		V(GH_ERROR_IRQ_UNBOUND, 41),
		V(GH_ERROR_CSPACE_CAP_NULL, 50),
		V(GH_ERROR_CSPACE_CAP_REVOKED, 51),
		V(GH_ERROR_CSPACE_WRONG_OBJ_TYPE, 52),
		V(GH_ERROR_CSPACE_INSUF_RIGHTS, 53),
		V(GH_ERROR_CSPACE_FULL, 54),
		V(GH_ERROR_MSGQ_EMPTY, 60),
		V(GH_ERROR_MSGQ_FULL, 61),
		V(GH_ERROR_MEMDB_NOT_OWNER, 111),
		V(GH_ERROR_MEMEXTENT_MAPPINGS_FULL, 120),
		V(GH_ERROR_MEMEXTENT_TYPE, 121),
		V(GH_ERROR_EXISTING_MAPPING, 200),
	};

	(void)state;
	COMPARE(values);
}

/* Rights are given as bit numbers in the sheet. */
static void rights(void **state)
{
	static const struct abi_value values[] = {
		V(GH_RIGHT_VCPU_AFFINITY, 1 << 1),  V(GH_RIGHT_VCPU_YIELD_TO, 1 << 4),
		V(GH_RIGHT_VCPU_BIND_VIRQ, 1 << 5), V(GH_RIGHT_VCPU_STATE, 1 << 6),
		V(GH_RIGHT_DOORBELL_SEND, 1 << 0),  V(GH_RIGHT_DOORBELL_RECV, 1 << 1),
		V(GH_RIGHT_DOORBELL_BIND, 1 << 2),  V(GH_RIGHT_MSGQ_SEND, 1 << 0),
		V(GH_RIGHT_MSGQ_RECV, 1 << 1),	    V(GH_RIGHT_MSGQ_BIND_SEND, 1 << 2),
		V(GH_RIGHT_MSGQ_BIND_RECV, 1 << 3),
	};

	(void)state;
	COMPARE(values);
}

static void vcpu_run(void **state)
{
	static const struct abi_value values[] = {
		V(GH_VCPU_READY, 0),
		V(GH_VCPU_EXPECTS_WAKEUP, 1),
		V(GH_VCPU_POWERED_OFF, 2),
		V(GH_VCPU_BLOCKED, 3),
		V(GH_VCPU_ADDRSPACE_VMMIO_READ, 4),
		V(GH_VCPU_ADDRSPACE_VMMIO_WRITE, 5),
		V(GH_VCPU_FAULT, 6),
		V(GH_VCPU_ADDRSPACE_PAGE_FAULT, 7),
		V(GH_VCPU_PSCI_SYSTEM_RESET, 0x100),
		V(GH_VCPU_POWERED_OFF_EXITED, 1),
		V(GH_VCPU_WAKEUP_WFI, 1),
		V(GH_VCPU_WAKEUP_PSCI_CPU_SUSPEND, 2),
		V(GH_VCPU_RESET_IS_RESET, 0x8000000000000000u),
		V(GH_VCPU_RESET2_SMC64, 0x4000000000000000u),
		V(GH_RESUME_DEFAULT, 0),
		V(GH_RESUME_RETRY, 1),
		V(GH_RESUME_FAULT, 2),
	};

	(void)state;
	COMPARE(values);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(conventions), cmocka_unit_test(vendor_uid),
		cmocka_unit_test(public_uid),  cmocka_unit_test(identify),
		cmocka_unit_test(calls),       cmocka_unit_test(errors),
		cmocka_unit_test(rights),      cmocka_unit_test(vcpu_run),
	};

	return cmocka_run_group_tests_name("abi_hyp", tests, NULL, NULL);
}
