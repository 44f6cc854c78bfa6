/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the resource manager with sequences of messages, half of them almost right; afterwards all
 * must come back.
 *
 * Each byte of the input picks a step or an argument. At the end every VM is brought down and every
 * parcel reclaimed: then the primary has all its memory, and no page of the hypervisor is missing.
 */
#include <assert.h>
#include <string.h>

#include "core/memparcel.h"
#include "tests/unit/rm_client.h"

#define SLOTS	  8u /* places for images in RAM */
#define SLOT_SIZE 0x200000ull
#define STEPS_MAX 400u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	const uint8_t *data;
	size_t left;
} in;

static uint8_t byte(void)
{
	if (!in.left)
		return 0;
	in.left--;
	return *in.data++;
}

static uint64_t word(unsigned int bytes)
{
	uint64_t value = 0;

	while (bytes-- > 0)
		value = value << 8 | byte();
	return value;
}

static const uint32_t ids[] = {
	GH_RM_MEM_DONATE,
	GH_RM_MEM_ACCEPT,
	GH_RM_MEM_LEND,
	GH_RM_MEM_SHARE,
	GH_RM_MEM_RELEASE,
	GH_RM_MEM_RECLAIM,
	GH_RM_MEM_NOTIFY,
	GH_RM_MEM_APPEND,
	GH_RM_MEM_QCOM_LOOKUP_SGL,
	GH_RM_VM_ALLOCATE,
	GH_RM_VM_DEALLOCATE,
	GH_RM_VM_START,
	GH_RM_VM_STOP,
	GH_RM_VM_RESET,
	GH_RM_VM_CONFIG_IMAGE,
	GH_RM_VM_AUTH_IMAGE,
	GH_RM_VM_INIT,
	GH_RM_VM_GET_ID,
	GH_RM_VM_LOOKUP_URI,
	GH_RM_VM_LOOKUP_GUID,
	GH_RM_VM_LOOKUP_NAME,
	GH_RM_VM_GET_OWNER,
	GH_RM_VM_GET_STATE,
	GH_RM_VM_GET_CRASH_MSG,
	GH_RM_VM_GET_HYP_RESOURCES,
	GH_RM_VM_GET_VMID,
	GH_RM_VM_GET_PEERS,
	GH_RM_VM_SET_TIME_BASE,
	GH_RM_VM_SET_CONTEXT,
	GH_RM_VM_HOST_GET_TYPE,
	GH_RM_VM_IRQ_LEND,
	GH_RM_VM_IRQ_NOTIFY,
	GH_RM_VM_SET_STATUS,
};

/* Those with little behind them. */
static const uint32_t rare_ids[] = {
	GH_RM_VM_SET_FIRMWARE_MEM, GH_RM_VM_SET_CRASH_MSG, GH_RM_VM_EXIT,
	GH_RM_VM_IRQ_ACCEPT,	   GH_RM_VM_IRQ_RELEASE,   GH_RM_VM_IRQ_RECLAIM,
	GH_RM_VM_CONSOLE_OPEN,	   GH_RM_VM_CONSOLE_CLOSE, GH_RM_VM_CONSOLE_WRITE,
	GH_RM_VM_CONSOLE_FLUSH,	   GH_RM_IPA_RESERVE,	   GH_RM_FW_MILESTONE,
	GH_RM_FW_SET_VM_FIRMWARE,
};

/* Most are near the first dynamic ones. */
static uint16_t vmid(void)
{
	uint8_t b = byte();

	if (b < 0xf0)
		return (uint16_t)(0x80 + b % 4);
	return (uint16_t)(b & 8 ? word(2) : (uint64_t)(b & 7));
}

static uint64_t address(void)
{
	uint8_t b = byte();

	if (b == 0xff)
		return word(8);
	return FAKE_RAM_BASE + (b % SLOTS) * SLOT_SIZE + (b >> 3) * 0x1000ull;
}

static uint64_t length(void)
{
	uint8_t b = byte();

	if (b == 0xff)
		return word(8);
	return b & 0x80 ? SLOT_SIZE : (b & 0x1full) * 0x1000;
}

/* Fields of any request: each byte chooses a width and what it means. */
static size_t fields(uint8_t *msg, size_t max)
{
	size_t size = 0;
	unsigned int count = byte() % 64;

	while (count-- > 0 && size + 16 <= max) {
		uint64_t a = 0, b = 0;
		unsigned int width = 4;

		switch (byte() % 6) {
		case 0:
			a = vmid();
			break;
		case 1: /* an access entry */
			a = vmid() | (uint32_t)byte() << 16;
			break;
		case 2: /* a range */
			a = address();
			b = length();
			width = 16;
			break;
		case 3: /* a small number: count, handle, label, flags */
			a = byte();
			break;
		case 4:
			a = word(8);
			width = 8;
			break;
		default:
			width = 1;
			a = byte();
		}
		memcpy(msg + size, &a, width < 8 ? width : 8);
		memcpy(msg + size + 8, &b, 8);
		size += width;
	}
	return size;
}

static uint32_t any_id(uint8_t choice)
{
	if (choice < 0xe0)
		return ids[choice % (sizeof(ids) / sizeof(ids[0]))];
	return choice < 0xfc ? rare_ids[choice % (sizeof(rare_ids) / sizeof(rare_ids[0]))]
			     : (uint32_t)word(4);
}

static void any_request(void)
{
	uint8_t msg[1200], id = byte();
	size_t size = fields(msg, sizeof(msg));

	rm_ask(any_id(id), msg, size);
}

static size_t list(uint8_t *to, unsigned int kind)
{
	unsigned int count = byte() % 5;
	struct gh_rm_list head = { .count = (uint16_t)count };
	uint8_t *p = mempcpy(to, &head, sizeof(head));

	while (count-- > 0) {
		const uint8_t a = byte(), b = byte();
		const uint16_t id = a < 224   ? (uint16_t)(0x80 + a % 3)
				    : a < 250 ? GH_VMID_PRIMARY
					      : vmid();
		const struct gh_rm_acl acl = { .vmid = id, .rights = b < 200 ? 7 : b & 15 };
		const struct gh_rm_sgl sgl = {
			.ipa = a < 250 ? FAKE_RAM_BASE + a * 0x1000ull : address(),
			.size = b < 250 ? (1 + b % 3) * 0x1000ull : length(),
		};
		const struct gh_rm_mem_attr attr = { .attr = b % 5, .vmid = id };

		if (kind == 0)
			p = mempcpy(p, &acl, sizeof(acl));
		else if (kind == 1)
			p = mempcpy(p, &sgl, sizeof(sgl));
		else
			p = mempcpy(p, &attr, sizeof(attr));
	}
	return (size_t)(p - to);
}

/* A memory message whose lists are well formed. */
static void listed(void)
{
	static const struct {
		uint32_t id;
		size_t head;
		bool acl, sgl;
	} kinds[] = {
		{ GH_RM_MEM_LEND, 8, true, true },     { GH_RM_MEM_SHARE, 8, true, true },
		{ GH_RM_MEM_DONATE, 8, true, true },   { GH_RM_MEM_QCOM_LOOKUP_SGL, 8, true, true },
		{ GH_RM_MEM_ACCEPT, 12, true, true },  { GH_RM_MEM_APPEND, 8, false, true },
		{ GH_RM_MEM_NOTIFY, 12, true, false },
	};
	unsigned int kind = byte() % (sizeof(kinds) / sizeof(kinds[0]));
	uint8_t msg[512] = { 0 };
	size_t size = kinds[kind].head;

	/* handle or type, flags, label or tag */
	msg[0] = byte() % 5;
	for (unsigned int i = kind == 3 ? 4 : 2; i < size; i += 2)
		msg[i] = byte() & 1 ? byte() & 3 : 0;
	if (kind >= 5)
		msg[2] = msg[5] = 0;
	/* Most of the time all of it at once. */
	if (kinds[kind].id == GH_RM_MEM_ACCEPT && msg[6] < 3)
		msg[6] |= GH_RM_MEM_ACCEPT_DONE;
	if (kinds[kind].acl)
		size += list(msg + size, 0);
	if (kinds[kind].sgl)
		size += list(msg + size, 1);
	if (kinds[kind].acl && kinds[kind].sgl)
		size += list(msg + size, 2);
	rm_ask(kinds[kind].id, msg, size);
}

static void raw_packet(void)
{
	uint8_t msg[256];
	size_t size = byte();

	for (size_t i = 0; i < size; i++)
		msg[i] = byte();
	rm_receive(msg, size);
}

static void give(void)
{
	static const uint32_t how[] = { GH_RM_MEM_LEND, GH_RM_MEM_SHARE, GH_RM_MEM_DONATE,
					GH_RM_MEM_LEND };
	struct gh_rm_sgl range;
	uint16_t to = vmid();
	uint8_t b = byte();

	range.ipa = FAKE_RAM_BASE + (b % SLOTS) * SLOT_SIZE;
	range.size = b & 0x40 ? SLOT_SIZE : 0x4000;
	rm_give_labelled(how[b >> 4 & 3], to, range, b & 0x80 ? 77 : 0, NULL);
}

static void write_tree(void)
{
	uint8_t a = byte(), b = byte(), c = byte();
	const struct tree_options o = {
		.cpus = a & 3,
		.bells = (a >> 2 & 3) * 2u,
		.shm = a & 16,
		.gic_no_reg = a & 32,
		.no_chosen = (b & 7) == 7,
		.reserved = a & 64,
		.reserved_label = 77,
		.reserved_base = 0x90000000,
		.reserved_size = 0x4000,
		.rm_rpc = c & 1,
		.source = c & 2,
		.sink = c & 4,
		.pair = c & 8,
		.name = c & 16 ? "one" : "two",
		.peer = c & 32 ? (c & 16 ? "vm-name:two" : "vm-name:one") : NULL,
		.attrs = b & 128 ? "no-shutdown" : NULL,
		.size_max = b & 64 ? 0x400000 : 0,
		.clocks = (c & 0xc0) == 0x40,
	};

	if (fake_primary_has(FAKE_RAM_BASE + (b >> 3) % SLOTS * SLOT_SIZE + TREE_OFFSET, 7))
		rm_write_tree(FAKE_RAM_BASE + (b >> 3) % SLOTS * SLOT_SIZE + TREE_OFFSET, &o);
}

static bool failed;

static void fail_something(void)
{
	uint8_t b = byte();

	failed = true;

	fake.fail_alloc = fake.fail_map = fake.fail_unmap = 0;
	*(b & 1 ? &fake.fail_alloc : b & 2 ? &fake.fail_map : &fake.fail_unmap) = b >> 2;
}

static void halt(void)
{
	uint16_t id = vmid();
	uint8_t b = byte();
	const struct hyp_halt h = { .type = 1 + b % 5, .reset_type = b, .smc64 = b & 128 };

	fake_halt(id, &h);
}

/* A request by a guest's link. */
static void guest_asks(void)
{
	uint16_t id = vmid();

	rm_client_as(id);
	if (byte() & 1)
		listed();
	else
		any_request();
	rm_client_drain();
	rm_client_as(0);
}

/* --- Who may have what, seen by the parcels alone --- */

#define PAGES (FAKE_RAM_SIZE / HYP_PAGE)

static struct memparcel *holder[PAGES];

/* No page is in two parcels. */
static void find_holders(void)
{
	struct memparcel *p = NULL;

	memset(holder, 0, sizeof(holder));
	while ((p = memparcel_next(p))) {
		struct memparcel_walk w = { p->first, 0 };
		const struct sg *sg;

		while ((sg = memparcel_walk(&w)))
			for (uint64_t at = 0; at < sg->size; at += HYP_PAGE) {
				size_t page = (sg->pa + at - FAKE_RAM_BASE) / HYP_PAGE;

				assert(page < PAGES && !holder[page]);
				holder[page] = p;
			}
	}
}

/* What a guest has mapped is in a parcel that names it, with no more rights than that gives. */
static void check_guest(const struct vm *vm)
{
	for (unsigned int i = 0; i < vm->ranges; i++) {
		const struct fake_range *r = &vm->range[i];

		for (uint64_t at = 0; at < r->size; at += HYP_PAGE) {
			struct memparcel *p = holder[(r->pa + at - FAKE_RAM_BASE) / HYP_PAGE];
			const struct mem_access *a = p ? memparcel_access(p, vm->vmid) : NULL;

			assert(a && a->role != MEM_NOT_ACCEPTED && !(r->rights & ~a->rights));
		}
	}
}

/* The primary has all that is in no parcel, and of a parcel what its own entry says. */
static void check_primary(void)
{
	static uint8_t rights[PAGES];

	memset(rights, 0, sizeof(rights));
	for (unsigned int i = 0; i < fake.primary.ranges; i++) {
		const struct fake_range *r = &fake.primary.range[i];

		assert(r->ipa == r->pa);
		memset(&rights[(r->pa - FAKE_RAM_BASE) / HYP_PAGE], (int)r->rights,
		       r->size / HYP_PAGE);
	}
	for (size_t page = 0; page < PAGES; page++) {
		struct memparcel *p = holder[page];
		const struct mem_access *own;

		if (p) {
			own = memparcel_access(p, GH_VMID_PRIMARY);
			assert(rights[page] == (own ? own->rights : 0));
		} else {
			assert(rights[page] == 7);
		}
	}
}

static void check_owners(void)
{
	static unsigned int maps, unmaps, parcels;
	bool same = fake.maps == maps && fake.unmaps == unmaps &&
		    memparcel_count(GH_VMID_PRIMARY) == parcels;

	/* A hypervisor without pages may leave things half done, and says so. */
	if (failed || same)
		return;
	maps = fake.maps;
	unmaps = fake.unmaps;
	parcels = memparcel_count(GH_VMID_PRIMARY);
	find_holders();
	for (unsigned int i = 0; i < HYP_VMS_MAX; i++)
		if (fake.vms[i].used)
			check_guest(&fake.vms[i]);
	check_primary();
}

static void step(void)
{
	uint8_t b = byte();

	rm_client_forget();
	switch (b % 13) {
	case 12:
		guest_asks();
		break;
	case 0:
		raw_packet();
		break;
	case 1:
		any_request();
		break;
	case 2:
		listed();
		break;
	case 3:
		rm_new_vm();
		break;
	case 4:
		give();
		break;
	case 5:
		write_tree();
		break;
	case 6:
		rm_config(vmid(), byte(), TREE_OFFSET, TREE_MAX);
		break;
	case 7:
		rm_ask_vmid(GH_RM_VM_INIT, vmid());
		break;
	case 8:
		rm_ask_vmid(b & 128 ? GH_RM_VM_RESET : GH_RM_VM_START, vmid());
		break;
	case 9:
		rm_reclaim(byte());
		break;
	case 10:
		fail_something();
		break;
	default:
		if (b & 128)
			halt();
		else
			rm_stop(vmid(), byte());
	}
}

/* Leads a VM from any state to its end. */
static void bring_down(uint16_t id)
{
	const struct hyp_halt off = { .type = GH_RM_EXIT_PSCI_SYSTEM_OFF };
	struct gh_rm_vm_auth_image auth = { .vmid = id };

	rm_client_forget();
	if (rm_ask_vmid(GH_RM_VM_GET_STATE, id) == GH_RM_ERROR_NORESOURCE)
		return;
	rm_ask(GH_RM_VM_AUTH_IMAGE, &auth, sizeof(auth));
	rm_ask_vmid(GH_RM_VM_INIT, id);
	fake_halt(id, &off);
	rm_ask_vmid(GH_RM_VM_RESET, id);
	assert(rm_ask_vmid(GH_RM_VM_DEALLOCATE, id) == GH_RM_OK);
}

static void everything_comes_back(void)
{
	fake.fail_alloc = fake.fail_map = fake.fail_unmap = 0;
	rm_client_drain();
	for (uint16_t id = 4; id < GH_VMID_DYNAMIC_END; id = id == 31 ? 0x80 : (uint16_t)(id + 1))
		bring_down(id);
	for (uint32_t handle = 0; handle < STEPS_MAX; handle++)
		assert(rm_reclaim(handle) != GH_RM_ERROR_MEM_INUSE);
	assert(fake.pages == 0);
	assert(fake_primary_whole());
	for (unsigned int i = 0; i < HYP_VMS_MAX; i++)
		assert(!fake.vms[i].used);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	in.data = data;
	in.left = size;
	rm_client_boot();
	for (unsigned int i = 0; i < SLOTS; i++)
		memset(hyp_ptr(FAKE_RAM_BASE + i * SLOT_SIZE + TREE_OFFSET), 0, 64);
	failed = false;
	for (unsigned int i = 0; i < STEPS_MAX && in.left; i++) {
		step();
		check_owners();
	}
	everything_comes_back();
	return 0;
}
