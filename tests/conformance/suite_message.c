// SPDX-License-Identifier: GPL-2.0-only
/* Sections 4.4, 4.5 and 4.8: every message's length, ids nobody knows, and what needs no VM. */
#include "suite.h"
#include "vm.h"

#define NOBODY 0x99 /* a dynamic VMID that is not allocated */

static void lengths(void)
{
	static const struct {
		u32 id;
		const char *name;
		u8 size;
		bool minimum; /* longer is for the lists */
	} messages[] = {
		{ GH_RM_MEM_DONATE, "MEM_DONATE", 20, true },
		{ GH_RM_MEM_LEND, "MEM_LEND", 20, true },
		{ GH_RM_MEM_SHARE, "MEM_SHARE", 20, true },
		{ GH_RM_MEM_APPEND, "MEM_APPEND", 8, true },
		{ GH_RM_MEM_ACCEPT, "MEM_ACCEPT", 12, true },
		{ GH_RM_MEM_RELEASE, "MEM_RELEASE", 8, true },
		{ GH_RM_MEM_RECLAIM, "MEM_RECLAIM", 8, true },
		{ GH_RM_MEM_NOTIFY, "MEM_NOTIFY", 12, true },
		{ GH_RM_MEM_QCOM_LOOKUP_SGL, "MEM_QCOM_LOOKUP_SGL", 8, true },
		{ GH_RM_VM_ALLOCATE, "VM_ALLOCATE", 4 },
		{ GH_RM_VM_DEALLOCATE, "VM_DEALLOCATE", 4 },
		{ GH_RM_VM_START, "VM_START", 4 },
		{ GH_RM_VM_STOP, "VM_STOP", 8 },
		{ GH_RM_VM_RESET, "VM_RESET", 4 },
		{ GH_RM_VM_CONFIG_IMAGE, "VM_CONFIG_IMAGE", 40 },
		{ GH_RM_VM_AUTH_IMAGE, "VM_AUTH_IMAGE", 4, true },
		{ GH_RM_VM_INIT, "VM_INIT", 4 },
		{ GH_RM_VM_GET_ID, "VM_GET_ID", 4 },
		{ GH_RM_VM_LOOKUP_URI, "VM_LOOKUP_URI", 4 },
		{ GH_RM_VM_LOOKUP_GUID, "VM_LOOKUP_GUID", 16 },
		{ GH_RM_VM_LOOKUP_NAME, "VM_LOOKUP_NAME", 4 },
		{ GH_RM_VM_GET_OWNER, "VM_GET_OWNER", 0 },
		{ GH_RM_VM_GET_STATE, "VM_GET_STATE", 4 },
		{ GH_RM_VM_GET_CRASH_MSG, "VM_GET_CRASH_MSG", 4 },
		{ GH_RM_VM_GET_HYP_RESOURCES, "VM_GET_HYP_RESOURCES", 4 },
		{ GH_RM_VM_GET_VMID, "VM_GET_VMID", 0 },
		{ GH_RM_VM_GET_PEERS, "VM_GET_PEERS", 0 },
		{ GH_RM_VM_SET_TIME_BASE, "VM_SET_TIME_BASE", 20 },
		{ GH_RM_VM_SET_FIRMWARE_MEM, "VM_SET_FIRMWARE_MEM", 24 },
		{ GH_RM_VM_IRQ_ACCEPT, "VM_IRQ_ACCEPT", 8 },
		{ GH_RM_VM_IRQ_LEND, "VM_IRQ_LEND", 12 },
		{ GH_RM_VM_IRQ_RELEASE, "VM_IRQ_RELEASE", 4 },
		{ GH_RM_VM_IRQ_RECLAIM, "VM_IRQ_RECLAIM", 4 },
		{ GH_RM_VM_SET_CRASH_MSG, "VM_SET_CRASH_MSG", 4 },
		{ GH_RM_VM_HOST_GET_TYPE, "VM_HOST_GET_TYPE", 0 },
	};
	static const u8 zero[64];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(messages); i++) {
		u8 size = messages[i].size;

		/* Without any payload the look-ups have another answer. */
		if (size > 2)
			expect_rm(say("%s of %u bytes, %u too few", messages[i].name, size - 2, 2),
				  GH_RM_ERROR_INVALID,
				  rm_call(messages[i].id, zero, size - 2, NULL));
		if (!messages[i].minimum)
			expect_rm(say("%s of %u bytes, 4 too many", messages[i].name, size + 4),
				  GH_RM_ERROR_INVALID,
				  rm_call(messages[i].id, zero, size + 4, NULL));
	}
}

static void unknown_ids(void)
{
	static const u32 ids[] = {
		0x00000005, 0x51000001, 0x51000016, 0x510000ff, 0x51100012, 0x56000000,
		0x56000003, 0x56000007, 0x56000008, 0x56000014, 0x56000021, 0x56000022,
		0x56000055, 0x56000099, 0x560000b1, 0x56100001, 0x57000001, 0xffffffff,
	};
	static const u8 zero[4];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ids); i++)
		expect_rm(say("unknown id %#x", ids[i]), (u32)GH_RM_ERROR_UNIMPLEMENTED,
			  rm_call(ids[i], zero, sizeof(zero), NULL));
}

/* Known, though nothing can come of these arguments. */
static void known_ids(void)
{
	static const struct {
		u32 id;
		const char *name;
		u8 size;
	} messages[] = {
		{ 0x56000081, "VM_CONSOLE_OPEN", 4 },  { 0x56000082, "VM_CONSOLE_CLOSE", 4 },
		{ 0x56000083, "VM_CONSOLE_WRITE", 4 }, { 0x56000084, "VM_CONSOLE_FLUSH", 4 },
		{ 0x560000b0, "IPA_RESERVE", 2 },      { 0x51000021, "FW_SET_VM_FIRMWARE", 2 },
	};
	static const u8 zero[64];
	unsigned int i;
	u32 error;

	for (i = 0; i < ARRAY_SIZE(messages); i++) {
		error = rm_call(messages[i].id, zero, messages[i].size, NULL);
		expect_text(say("%s is known", messages[i].name), "another error",
			    error == (u32)GH_RM_ERROR_UNIMPLEMENTED || error == RM_SILENT ||
					    error == GH_RM_OK
				    ? rm_name(error)
				    : "another error");
	}
}

static void number(const char *what, u32 id, const void *data, size_t size, u32 want)
{
	const struct reply *r;

	if (expect_rm(what, GH_RM_OK, rm_call(id, data, size, &r))) {
		expect(say("%s: bytes after the error word", what), 4, r->size);
		expect(say("%s: the value", what), want, get32(r->data));
	}
}

static void myself(void)
{
	struct gh_rm_vmid self = { 0 }, primary = { .vmid = cpu_to_le16(GH_VMID_PRIMARY) };
	const struct reply *r;

	number("VM_GET_VMID", GH_RM_VM_GET_VMID, NULL, 0, GH_VMID_PRIMARY);
	number("VM_HOST_GET_TYPE", GH_RM_VM_HOST_GET_TYPE, NULL, 0, GH_RM_HOST_TYPE);
	number("VM_GET_OWNER", GH_RM_VM_GET_OWNER, NULL, 0, GH_VMID_RM);
	number("VM_GET_PEERS with no other VM", GH_RM_VM_GET_PEERS, NULL, 0, 0);
	number("VM_GET_STATE of VM 0, oneself", GH_RM_VM_GET_STATE, &self, 4,
	       GH_RM_VM_STATE_RUNNING);
	number("VM_GET_STATE of VM 3", GH_RM_VM_GET_STATE, &primary, 4, GH_RM_VM_STATE_RUNNING);
	number("VM_GET_HYP_RESOURCES of VM 3", GH_RM_VM_GET_HYP_RESOURCES, &primary, 4, 0);
	expect_rm("VM_GET_STATE of nobody", GH_RM_ERROR_NORESOURCE,
		  rm_vm_call(GH_RM_VM_GET_STATE, NOBODY));
	if (!expect_rm("VM_GET_ID of VM 0", GH_RM_OK, rm_call(GH_RM_VM_GET_ID, &self, 4, &r)))
		return;
	expect("VM_GET_ID: the first entry is the GUID", GH_RM_ID_GUID, r->data[4]);
	expect("VM_GET_ID: its size", 16, get16(r->data + 6));
}

struct refusal {
	u32 id;
	const char *name;
	u8 size;
	u32 error;
};

static void refused(const char *whose, u8 vmid, const struct refusal *messages, unsigned int count)
{
	const u8 request[64] = { vmid };
	unsigned int i;

	for (i = 0; i < count; i++)
		expect_rm(say("%s of %s", messages[i].name, whose), messages[i].error,
			  rm_call(messages[i].id, request, messages[i].size, NULL));
}

static void nobody(void)
{
	static const struct refusal messages[] = {
		{ GH_RM_VM_CONFIG_IMAGE, "VM_CONFIG_IMAGE", 40, GH_RM_ERROR_VMID_INVALID },
		{ GH_RM_VM_AUTH_IMAGE, "VM_AUTH_IMAGE", 4, GH_RM_ERROR_VMID_INVALID },
		{ GH_RM_VM_INIT, "VM_INIT", 4, GH_RM_ERROR_VMID_INVALID },
		{ GH_RM_VM_START, "VM_START", 4, GH_RM_ERROR_VMID_INVALID },
		{ GH_RM_VM_STOP, "VM_STOP", 8, GH_RM_ERROR_VMID_INVALID },
		{ GH_RM_VM_RESET, "VM_RESET", 4, GH_RM_ERROR_VMID_INVALID },
		{ GH_RM_VM_GET_ID, "VM_GET_ID", 4, GH_RM_ERROR_NORESOURCE },
		{ GH_RM_VM_GET_CRASH_MSG, "VM_GET_CRASH_MSG", 4, GH_RM_ERROR_VMID_INVALID },
		{ GH_RM_VM_GET_HYP_RESOURCES, "VM_GET_HYP_RESOURCES", 4,
		  GH_RM_ERROR_ARGUMENT_INVALID },
		{ GH_RM_VM_SET_TIME_BASE, "VM_SET_TIME_BASE", 20, GH_RM_ERROR_NORESOURCE },
		{ GH_RM_VM_SET_FIRMWARE_MEM, "VM_SET_FIRMWARE_MEM", 24, GH_RM_ERROR_NORESOURCE },
	};

	refused("nobody", NOBODY, messages, ARRAY_SIZE(messages));
}

/* The primary is not its own owner. */
static void not_owner(void)
{
	static const struct refusal messages[] = {
		{ GH_RM_VM_DEALLOCATE, "VM_DEALLOCATE", 4, GH_RM_ERROR_DENIED },
		{ GH_RM_VM_CONFIG_IMAGE, "VM_CONFIG_IMAGE", 40, GH_RM_ERROR_DENIED },
		{ GH_RM_VM_AUTH_IMAGE, "VM_AUTH_IMAGE", 4, GH_RM_ERROR_DENIED },
		{ GH_RM_VM_INIT, "VM_INIT", 4, GH_RM_ERROR_DENIED },
		{ GH_RM_VM_START, "VM_START", 4, GH_RM_ERROR_DENIED },
		{ GH_RM_VM_STOP, "VM_STOP", 8, GH_RM_ERROR_VMID_INVALID },
		{ GH_RM_VM_RESET, "VM_RESET", 4, GH_RM_ERROR_VMID_INVALID },
		{ GH_RM_VM_GET_CRASH_MSG, "VM_GET_CRASH_MSG", 4, GH_RM_ERROR_VMID_INVALID },
	};

	refused("the primary by itself", GH_VMID_PRIMARY, messages, ARRAY_SIZE(messages));
}

static void of_guests(void)
{
	static const u8 zero[4];

	expect_rm("VM_SET_STATUS by the primary", GH_RM_ERROR_DENIED,
		  rm_call(GH_RM_VM_SET_STATUS, zero, 4, NULL));
	expect_rm("VM_EXIT of 8 bytes", GH_RM_ERROR_INVALID,
		  rm_call(GH_RM_VM_EXIT, "\0\0\0\0\0\0\0", 8, NULL));
	expect_rm("VM_EXIT with code 2, unknown error", GH_RM_ERROR_INVALID,
		  rm_call(GH_RM_VM_EXIT, "\0\0\2", 4, NULL));
	expect_rm("VM_EXIT with code 5", GH_RM_ERROR_INVALID,
		  rm_call(GH_RM_VM_EXIT, "\0\0\5", 4, NULL));
	expect_rm("VM_SET_CRASH_MSG whose padding is not zero", GH_RM_ERROR_INVALID,
		  rm_call(GH_RM_VM_SET_CRASH_MSG, "\2\0\0\0xyz", 8, NULL));
}

static void lookups(void)
{
	static const u8 guid[16] = "conformance-guid";
	static const char none[] = "\6\0\0\0nobody\0";

	number("VM_LOOKUP_NAME of nobody", GH_RM_VM_LOOKUP_NAME, none, 12, 0);
	number("VM_LOOKUP_URI of nobody", GH_RM_VM_LOOKUP_URI, none, 12, 0);
	number("VM_LOOKUP_GUID of nobody", GH_RM_VM_LOOKUP_GUID, guid, 16, 0);
	expect_rm("VM_LOOKUP_NAME without padding", GH_RM_ERROR_INVALID,
		  rm_call(GH_RM_VM_LOOKUP_NAME, none, 10, NULL));
	expect_rm("VM_LOOKUP_NAME with more than it says", GH_RM_ERROR_INVALID,
		  rm_call(GH_RM_VM_LOOKUP_NAME, "\1\0\0\0a\0\0\0a\0\0", 12, NULL));
	expect_rm("VM_LOOKUP_NAME whose padding is not zero", GH_RM_ERROR_INVALID,
		  rm_call(GH_RM_VM_LOOKUP_NAME, "\1\0\0\0abc", 8, NULL));
}

static u32 allocate(u16 vmid, u16 *got)
{
	struct gh_rm_vmid request = { .vmid = cpu_to_le16(vmid) };
	const struct reply *r;
	u32 error = rm_call(GH_RM_VM_ALLOCATE, &request, sizeof(request), &r);

	*got = !error && r->size >= 2 ? get16(r->data) : 0;
	return error;
}

static void vmids(void)
{
	u16 first, second, third, got, list[64];
	unsigned int count = 0;

	expect_rm("VM_ALLOCATE dynamic", GH_RM_OK, allocate(0, &first));
	expect("VM_ALLOCATE: the first dynamic VMID", GH_VMID_DYNAMIC_FIRST, first);
	expect_rm("VM_ALLOCATE a second", GH_RM_OK, allocate(0, &second));
	expect("VM_ALLOCATE: the next one", GH_VMID_DYNAMIC_FIRST + 1, second);
	expect_vm_state("its state", GH_RM_VM_STATE_LOAD, rm_state(second));
	expect_rm("VM_DEALLOCATE the first", GH_RM_OK, rm_vm_call(GH_RM_VM_DEALLOCATE, first));
	expect_rm("VM_GET_STATE of what was deallocated", GH_RM_ERROR_NORESOURCE,
		  rm_vm_call(GH_RM_VM_GET_STATE, first));
	expect_rm("VM_ALLOCATE a third", GH_RM_OK, allocate(0, &third));
	expect("VM_ALLOCATE: the lowest free one", first, third);
	rm_vm_call(GH_RM_VM_DEALLOCATE, second);
	rm_vm_call(GH_RM_VM_DEALLOCATE, third);

	expect_rm("VM_ALLOCATE 5, by number", GH_RM_OK, allocate(5, &got));
	expect("VM_ALLOCATE 5: nothing but the error word", 0, got);
	expect_rm("VM_ALLOCATE 5 again", GH_RM_ERROR_NORESOURCE, allocate(5, &got));
	expect_rm("VM_DEALLOCATE 5", GH_RM_OK, rm_vm_call(GH_RM_VM_DEALLOCATE, 5));
	expect_rm("VM_ALLOCATE 3, the primary", GH_RM_ERROR_NORESOURCE, allocate(3, &got));
	expect_rm("VM_ALLOCATE 63, not the platform's", GH_RM_ERROR_NORESOURCE, allocate(63, &got));
	expect_rm("VM_ALLOCATE 64", GH_RM_ERROR_NORESOURCE, allocate(64, &got));
	expect_rm("VM_ALLOCATE 0x80, by number", GH_RM_ERROR_NORESOURCE, allocate(0x80, &got));

	while (count < ARRAY_SIZE(list) && !allocate(0, &list[count]))
		count++;
	expect("at least 16 VMIDs at once", 1, count >= 16);
	expect("at most 63 VMIDs at once", 1, count <= 63);
	expect_rm("VM_ALLOCATE one too many", GH_RM_ERROR_NORESOURCE, allocate(0, &got));
	while (count--)
		rm_vm_call(GH_RM_VM_DEALLOCATE, list[count]);
}

void suite_message(void)
{
	lengths();
	unknown_ids();
	known_ids();
	myself();
	nobody();
	not_owner();
	of_guests();
	lookups();
	vmids();
}
