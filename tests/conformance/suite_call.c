// SPDX-License-Identifier: GPL-2.0-only
/* Sections 1.1 to 1.6: conventions, identity, which calls exist. */
#include <linux/delay.h>

#include "probe.h"
#include "rpc.h"
#include "suite.h"

#define UNKNOWN (~0ull)

static struct regs by_hvc(u32 function)
{
	struct regs r = { { function } };

	hvc(&r);
	return r;
}

static struct regs by_smc(u32 function)
{
	struct regs r = { { function } };

	smc(&r);
	return r;
}

static void uid(const char *what, struct regs r)
{
	static const u32 words[] = { GH_UID_0, GH_UID_1, GH_UID_2, GH_UID_3 };
	unsigned int i;

	for (i = 0; i < 4; i++)
		expect(say("%s, word %u", what, i), words[i], lower_32_bits(r.x[i]));
}

static void services(void)
{
	struct regs r;

	uid("UID 0x8600ff01 by HVC", by_hvc(GH_SMCCC_UID));
	uid("UID 0x8600ff01 by SMC", by_smc(GH_SMCCC_UID));
	uid("UID of owner 5, 0x8500ff01", by_hvc(0x8500ff01));
	r = by_hvc(0x8500ff03);
	expect("revision of owner 5: major", 1, lower_32_bits(r.x[0]));
	expect("revision of owner 5: minor", 0, lower_32_bits(r.x[1]));
	expect("call count 0x8600ff00", UNKNOWN, by_hvc(0x8600ff00).x[0]);
	expect("SMCCC_VERSION by HVC", 0x10003, by_hvc(0x80000000).x[0]);
	expect("PSCI_VERSION by HVC", 0x10001, by_hvc(0x84000000).x[0]);
	expect("PSCI_VERSION by SMC", 0x10001, by_smc(0x84000000).x[0]);
}

static void identity(void)
{
	static const struct {
		u64 bit;
		const char *name;
	} features[] = {
		{ GH_FEATURE_PARTITION, "partition" },
		{ GH_FEATURE_DOORBELL, "doorbell" },
		{ GH_FEATURE_MSGQ, "message queue" },
		{ GH_FEATURE_VIC, "VIC" },
		{ GH_FEATURE_VPM, "VPM" },
		{ GH_FEATURE_VCPU, "vCPU" },
		{ GH_FEATURE_MEMEXTENT, "memextent" },
		{ GH_FEATURE_PRNG, "PRNG" },
		{ GH_FEATURE_VCPU_RUN, "vcpu_run" },
	};
	struct regs r = by_hvc(GH_SMCCC_HYPERCALL(GH_CALL_IDENTIFY)), other;
	u64 variant = r.x[0] >> GH_API_VARIANT_SHIFT;
	unsigned int i;

	expect("identify: API version", GH_API_VERSION, r.x[0] & GH_API_VERSION_MASK);
	expect("identify: big-endian bit", 0, r.x[0] & GH_API_BIG_ENDIAN);
	expect("identify: 64-bit bit", GH_API_64BIT, r.x[0] & GH_API_64BIT);
	expect("identify: reserved bits 55:16", 0, r.x[0] >> 16 & 0xffffffffffull);
	expect_either("identify: variant", GH_API_VARIANT_QCOM, GH_API_VARIANT_GUNYAH, variant);
	for (i = 0; i < ARRAY_SIZE(features); i++)
		expect(say("identify: feature %s", features[i].name), features[i].bit,
		       r.x[1] & features[i].bit);
	expect("identify: scheduler type", 1, r.x[1] >> 28 & 0xf);
	expect("identify: reserved features 27:12 and 63:32", 0, r.x[1] & 0xffffffff0ffff000ull);
	expect("identify: flags 1", 0, r.x[2]);
	expect("identify: flags 2", 0, r.x[3]);

	expect("revision 0x8600ff03 is api_info", r.x[0], by_hvc(GH_SMCCC_REVISION).x[0]);
	other = by_smc(GH_SMCCC_HYPERCALL(GH_CALL_IDENTIFY));
	expect("identify by SMC: api_info", r.x[0], other.x[0]);
	expect("identify by SMC: flags 0", r.x[1], other.x[1]);
	other = (struct regs){ { 1, 2, 3, 4 } };
	CALL_EL2(&other, "hvc #0x6000");
	expect("identify by HVC #0x6000: api_info", r.x[0], other.x[0]);
	expect("identify by HVC #0x6000: flags 0", r.x[1], other.x[1]);
}

static void unknown(void)
{
	static const struct {
		u32 function;
		const char *why;
	} functions[] = {
		{ 0xc6008069, "a hypercall number behind the last" },
		{ 0xc60081ff, "the last hypercall number" },
		{ 0xc600bfff, "a hypercall number beyond 0x1ff" },
		{ 0xc6028000, "reserved bits 23:17 set" },
		{ 0xc6004000, "class 1" },
		{ 0x8600ff02, "service 0xff02" },
		{ 0x8600ff04, "service 0xff04" },
		{ 0x86008000, "a hypercall by the 32-bit convention" },
		{ 0xc600ff01, "a service by the 64-bit convention" },
		{ 0xc7000000, "owner 7" },
		{ 0x8400001f, "a PSCI function that does not exist" },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(functions); i++)
		expect(say("%#x by HVC: %s", functions[i].function, functions[i].why), UNKNOWN,
		       functions[i].function >> 24 == 0x84
			       ? (u64)(s32)by_hvc(functions[i].function).x[0]
			       : by_hvc(functions[i].function).x[0]);
	expect("0xc60081ff by SMC", UNKNOWN, by_smc(0xc60081ff).x[0]);
}

/* Numbers of HVC beside the hypercalls', and of SMC beside 0; PSCI_VERSION would be known. */
static void foreign_numbers(void)
{
	const u64 function = 0x84000000;

	expect("HVC #1", UNKNOWN, probe_hvc_1(function));
	expect("HVC #0x5fff", UNKNOWN, probe_hvc_5fff(function));
	expect("HVC #0x6069", UNKNOWN, probe_hvc_6069(function));
	expect("HVC #0x61ff", UNKNOWN, probe_hvc_61ff(function));
	expect("HVC #0x6200", UNKNOWN, probe_hvc_6200(function));
	expect("HVC #0xffff", UNKNOWN, probe_hvc_ffff(function));
	expect("SMC #1", UNKNOWN, probe_smc_1(function));
}

/* Calls that take a capability first, and are made without one. */
static void without_capability(void)
{
	static const struct {
		u8 n;
		const char *name;
	} calls[] = {
		{ 0x02, "create cspace" },
		{ 0x03, "create address space" },
		{ 0x04, "create memory extent" },
		{ 0x05, "create thread" },
		{ 0x06, "create doorbell" },
		{ 0x07, "create message queue" },
		{ 0x0a, "create VIC" },
		{ 0x0b, "create VPM group" },
		{ 0x0c, "object activate" },
		{ 0x0d, "object activate from" },
		{ 0x10, "doorbell bind" },
		{ 0x12, "doorbell send" },
		{ 0x15, "doorbell mask" },
		{ 0x17, "msgq bind send" },
		{ 0x18, "msgq bind receive" },
		{ 0x1b, "msgq send" },
		{ 0x1c, "msgq receive" },
		{ 0x21, "msgq configure" },
		{ 0x22, "cspace delete cap" },
		{ 0x23, "cspace copy cap" },
		{ 0x25, "cspace configure" },
		{ 0x28, "VIC configure" },
		{ 0x29, "VIC attach vCPU" },
		{ 0x2a, "address space attach thread" },
		{ 0x2b, "address space map" },
		{ 0x2c, "address space unmap" },
		{ 0x2d, "address space update access" },
		{ 0x2e, "address space configure" },
		{ 0x30, "memextent modify" },
		{ 0x31, "memextent configure" },
		{ 0x32, "memextent configure derive" },
		{ 0x34, "vCPU configure" },
		{ 0x38, "vCPU power on" },
		{ 0x39, "vCPU power off" },
		{ 0x3a, "vCPU kill" },
		{ 0x3c, "VPM attach vCPU" },
		{ 0x3d, "vCPU set affinity" },
		{ 0x3e, "cspace attach thread" },
		{ 0x43, "VPM bind" },
		{ 0x45, "VPM get state" },
		{ 0x46, "vCPU set priority" },
		{ 0x47, "vCPU set timeslice" },
		{ 0x5a, "address space lookup" },
		{ 0x5c, "vCPU bind" },
		{ 0x60, "address space configure VMMIO" },
		{ 0x62, "address space attach vdevice" },
		{ 0x64, "vCPU register write" },
		{ 0x65, "vcpu_run" },
		{ 0x66, "VPM configure" },
		{ 0x68, "vcpu_run_check" },
	};
	struct regs r;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		/* A number of a CPU that does not exist ends upstream's debug build. */
		expect_no_cap(say("%s (%#x) without a capability", calls[i].name, calls[i].n),
			      HYPERCALL(&r, calls[i].n, NO_CAP,
					calls[i].n == 0x3d || calls[i].n == 0x66 ? 0 : NO_CAP));
	}
	expect_no_cap("msgq flush (0x1d) without a capability",
		      HYPERCALL(&r, GH_CALL_MSGQ_FLUSH, NO_CAP));
	expect_no_cap("doorbell reset (0x14) without a capability",
		      HYPERCALL(&r, GH_CALL_DOORBELL_RESET, NO_CAP));
}

/* Documented as 0: a hypervisor may look, and must not mind otherwise. */
static void reserved_arguments(void)
{
	static u8 nothing[8];
	struct regs r;

	expect_either("msgq send with a reserved argument", GH_ERROR_ARG_INVALID, GH_ERROR_OK,
		      HYPERCALL(&r, GH_CALL_MSGQ_SEND, rm.tx_cap, 4, (uintptr_t)nothing, 0, 1));
	expect_either("msgq receive with a reserved argument", GH_ERROR_ARG_INVALID,
		      GH_ERROR_MSGQ_EMPTY,
		      HYPERCALL(&r, GH_CALL_MSGQ_RECV, rm.rx_cap, (uintptr_t)nothing, 8, 1));
}

static void entropy(void)
{
	struct regs r;
	unsigned int i;
	s64 error = 0;

	msleep(100);
	expect_hyp("entropy: 16 bytes", GH_ERROR_OK, HYPERCALL(&r, GH_CALL_PRNG_GET_ENTROPY, 16));
	expect_hyp("entropy: 4 bytes", GH_ERROR_OK, HYPERCALL(&r, GH_CALL_PRNG_GET_ENTROPY, 4));
	expect("entropy: 4 bytes are one word", 0, r.x[2] | r.x[3] | r.x[4]);
	expect_either("entropy: a reserved argument", GH_ERROR_ARG_INVALID, GH_ERROR_OK,
		      HYPERCALL(&r, GH_CALL_PRNG_GET_ENTROPY, 4, 1));
	msleep(100);
	for (i = 0; i < 3; i++)
		expect(say("entropy: %u bytes are refused", i * 9 + 2), 1,
		       HYPERCALL(&r, GH_CALL_PRNG_GET_ENTROPY, i * 9 + 2) != 0);
	/* Four in 33 ms; a host that is slow may need more attempts to be that quick. */
	for (i = 0; i < 10000 && !error; i++)
		error = HYPERCALL(&r, GH_CALL_PRNG_GET_ENTROPY, 4);
	expect_hyp("entropy: more than four reads at once", GH_ERROR_BUSY, error);
}

void suite_call(void)
{
	services();
	identity();
	unknown();
	foreign_numbers();
	without_capability();
	reserved_arguments();
	entropy();
}
