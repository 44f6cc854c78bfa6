/* SPDX-License-Identifier: Apache-2.0 */
/* Hypercalls: both conventions, capabilities, the queues to the resource manager, doorbells, entropy; and wrong ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/fake.h"
#include "core/object.h"
#include "core/vcpu.h"
#include "core/vgic.h"
#include "tests/unit/hyp_help.h"

#define BUFFER	(FAKE_RAM + 0x200000)
#define KEEP	(~0ull)
#define TX_VIRQ 960u
#define RX_VIRQ 961u

static struct hyp_rm_link rm_queues;

static uint64_t *x(void)
{
	return arch_cpu()->current->regs.x;
}

static uint64_t call(unsigned int n, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	const uint64_t arg[8] = { a, b, c, d };

	memcpy(x(), arg, sizeof(arg));
	trap_hvc(GH_HVC_BASE + n);
	trap_return();
	return x()[0];
}

static uint64_t smccc(uint64_t function, uint64_t a, uint64_t b, uint64_t c)
{
	const uint64_t arg[8] = { function, a, b, c };

	memcpy(x(), arg, sizeof(arg));
	trap_smc(0);
	trap_return();
	return x()[0];
}

static void write_gic(ipa_t at, uint32_t value)
{
	struct fault fault = {
		.ipa = at,
		.ipa_valid = true,
		.translation = true,
		.decoded = true,
		.write = true,
		.access = { .ipa = at, .value = value, .size = 4, .write = true, .pc_step = 4 },
	};

	trap_fault(&fault);
	trap_return();
}

static int boot(void **state)
{
	(void)state;
	fake_boot(1);
	hyp_rm_link(&rm_queues);
	write_gic(FAKE_GICD, 3);
	write_gic(FAKE_GICD + 0x0c00 + TX_VIRQ / 16 * 4, 0xaaaaaaaa);
	write_gic(FAKE_GICD + 0x0100 + TX_VIRQ / 32 * 4, 3);
	return 0;
}

static uint32_t interrupt(void)
{
	uint32_t intid;

	trap_return();
	intid = fake_ack();
	if (intid != 1023)
		fake_eoi(intid);
	return intid;
}

static void identity(void **state)
{
	(void)state;
	assert_int_equal(call(GH_CALL_IDENTIFY, 0, 0, 0, 0), 0x5100000000008001);
	assert_int_equal(x()[1] & GH_FEATURE_VCPU_RUN, GH_FEATURE_VCPU_RUN);
	assert_int_equal(smccc(GH_SMCCC_HYPERCALL(GH_CALL_IDENTIFY), 0, 0, 0), 0x5100000000008001);
	smccc(GH_SMCCC_UID, 0, 0, 0);
	assert_int_equal(x()[0], 0xcd8fd5c1);
	assert_int_equal(x()[1], 0xdb5f53a4);
	assert_int_equal(x()[2], 0x36ce6592);
	assert_int_equal(x()[3], 0x145f3d67);
	assert_int_equal(smccc(GH_SMCCC_REVISION, 0, 0, 0), 0x5100000000008001);
	assert_int_equal(smccc(0x8500ff01, 0, 0, 0), 0xcd8fd5c1);
	assert_int_equal(smccc(0x80000000, 0, 0, 0), 0x10003);
}

static void unknown_calls(void **state)
{
	static const uint64_t functions[] = {
		0x8600ff00, 0x8600ff02, 0xc6008000 + 0x1ff, 0xc6008000 + 0x3fff,
		0xc6020000, 0xc6000000, 0x46008000,	    0x86008000,
		0xc4000013, 0,		0xffffffff,	    0x84000050,
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		assert_int_equal(smccc(functions[i], 0, 0, 0), ~0ull);
	for (unsigned int n = 0x69; n < 0x200; n++)
		assert_int_equal(call(n, 0, 0, 0, 0), ~0ull);
	static const unsigned int numbers[] = { 1, 0x5fff, 0x6200, 0xffff };

	for (unsigned int i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		arch_cpu()->current->regs.x[0] = 0x84000000;
		trap_hvc(numbers[i]);
		assert_int_equal(arch_cpu()->current->regs.x[0], ~0ull);
	}
	assert_int_equal(fake_machine.faults, 0);
	/* A hint in the function number changes nothing. */
	assert_int_equal(smccc(GH_SMCCC_HYPERCALL(GH_CALL_IDENTIFY) | 1 << 16, 0, 0, 0),
			 0x5100000000008001);
}

static void capabilities(void **state)
{
	const uint64_t never[] = { 2, 77, 2047, 2048, 4096, 5000, 1ull << 40, ~0ull, 1ull << 63 };
	struct cspace *cspace = &hyp_primary()->cspace;
	uint64_t mine;
	int object;

	(void)state;
	for (unsigned int i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		assert_int_equal(call(GH_CALL_DOORBELL_SEND, never[i], 1, 0, 0),
				 GH_ERROR_CSPACE_CAP_NULL);
	assert_int_equal(call(GH_CALL_DOORBELL_SEND, rm_queues.tx_cap, 1, 0, 0),
			 GH_ERROR_CSPACE_WRONG_OBJ_TYPE);
	assert_int_equal(call(GH_CALL_VCPU_RUN, rm_queues.tx_cap, 0, 0, 0),
			 GH_ERROR_CSPACE_WRONG_OBJ_TYPE);
	assert_int_equal(call(GH_CALL_MSGQ_RECV, rm_queues.tx_cap, BUFFER, 240, 0),
			 GH_ERROR_CSPACE_INSUF_RIGHTS);
	assert_int_equal(call(GH_CALL_MSGQ_BIND_RECV_VIRQ, rm_queues.rx_cap, 0, 0, 0),
			 GH_ERROR_CSPACE_INSUF_RIGHTS);
	mine = cap_add(cspace, OBJECT_DOORBELL, &object, 0);
	assert_int_equal(call(GH_CALL_DOORBELL_SEND, mine, 1, 0, 0), GH_ERROR_CSPACE_INSUF_RIGHTS);
	cap_revoke(cspace, mine);
	cap_revoke(cspace, mine);
	assert_int_equal(call(GH_CALL_DOORBELL_SEND, mine, 1, 0, 0), GH_ERROR_CSPACE_CAP_REVOKED);
	assert_int_not_equal(cap_add(cspace, OBJECT_DOORBELL, &object, 0), mine);
	/* Full at some point, and then for good. */
	while ((mine = cap_add(cspace, OBJECT_DOORBELL, &object, 0)) != GH_CAPID_INVALID)
		;
	assert_int_equal(cap_add(cspace, OBJECT_DOORBELL, &object, 0), GH_CAPID_INVALID);
}

static void reserved_arguments(void **state)
{
	(void)state;
	assert_int_equal(call(GH_CALL_DOORBELL_SEND, 99, 1, 1, 0), GH_ERROR_ARG_INVALID);
	assert_int_equal(call(GH_CALL_MSGQ_RECV, rm_queues.rx_cap, BUFFER, 240, 1),
			 GH_ERROR_ARG_INVALID);
	assert_int_equal(call(GH_CALL_MSGQ_SEND, rm_queues.tx_cap, 16, BUFFER, 2),
			 GH_ERROR_ARG_INVALID);
	assert_int_equal(call(GH_CALL_PRNG_GET_ENTROPY, 4, 1, 0, 0), GH_ERROR_ARG_INVALID);
}

/* A request that the resource manager answers, and its answer. */
static void request(uint64_t at)
{
	const struct gh_rm_header header = {
		.api = GH_RM_API,
		.type = GH_RM_TYPE_REQUEST,
		.seq = 7,
		.id = GH_RM_VM_GET_VMID,
	};

	memcpy(hyp_ptr(at), &header, sizeof(header));
}

static void queues(void **state)
{
	struct gh_rm_header header;

	(void)state;
	assert_int_equal(call(GH_CALL_MSGQ_RECV, rm_queues.rx_cap, BUFFER, 240, 0),
			 GH_ERROR_MSGQ_EMPTY);
	request(BUFFER);
	assert_int_equal(call(GH_CALL_MSGQ_SEND, rm_queues.tx_cap, 8, BUFFER, GH_MSGQ_PUSH),
			 GH_ERROR_OK);
	assert_int_equal(x()[1], 1);
	assert_int_equal(interrupt(), RX_VIRQ);
	assert_int_equal(call(GH_CALL_MSGQ_RECV, rm_queues.rx_cap, BUFFER, 8, 0),
			 GH_ERROR_ARG_SIZE);
	/* Across two pages. */
	assert_int_equal(call(GH_CALL_MSGQ_RECV, rm_queues.rx_cap, BUFFER + 0xffd, 240, 0),
			 GH_ERROR_OK);
	assert_int_equal(x()[1], 16);
	assert_int_equal(x()[2], 0);
	memcpy(&header, hyp_ptr(BUFFER + 0xffd), sizeof(header));
	assert_int_equal(header.type & GH_RM_TYPE_MASK, GH_RM_TYPE_REPLY);
	assert_int_equal(header.seq, 7);
	assert_int_equal(*(uint8_t *)hyp_ptr(BUFFER + 0xffd + 12), GH_VMID_PRIMARY);
}

static void queue_sizes_and_addresses(void **state)
{
	const uint64_t bad[] = {
		0,	    0x09000000, FAKE_GICD,  FAKE_RAM - 4, FAKE_RAM + FAKE_RAM_BYTES - 4,
		0x80000000, ~0ull - 8,	1ull << 47,
	};

	(void)state;
	assert_int_equal(call(GH_CALL_MSGQ_SEND, rm_queues.tx_cap, 0, BUFFER, 0),
			 GH_ERROR_ARG_SIZE);
	assert_int_equal(call(GH_CALL_MSGQ_SEND, rm_queues.tx_cap, 241, BUFFER, 0),
			 GH_ERROR_ARG_SIZE);
	assert_int_equal(call(GH_CALL_MSGQ_SEND, rm_queues.tx_cap, ~0ull, BUFFER, 0),
			 GH_ERROR_ARG_SIZE);
	request(BUFFER);
	call(GH_CALL_MSGQ_SEND, rm_queues.tx_cap, 8, BUFFER, 0);
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(call(GH_CALL_MSGQ_SEND, rm_queues.tx_cap, 16, bad[i], 0),
				 GH_ERROR_ADDR_INVALID);
		assert_int_equal(call(GH_CALL_MSGQ_RECV, rm_queues.rx_cap, bad[i], 240, 0),
				 GH_ERROR_ADDR_INVALID);
	}
	/* A page that may only be read takes no message, and the message is not lost. */
	assert_int_equal(hyp_vm_unmap(hyp_primary(), BUFFER, HYP_PAGE), GH_ERROR_OK);
	assert_int_equal(hyp_vm_map(hyp_primary(), BUFFER, BUFFER, HYP_PAGE, GH_RM_ACL_R),
			 GH_ERROR_OK);
	assert_int_equal(call(GH_CALL_MSGQ_RECV, rm_queues.rx_cap, BUFFER, 240, 0),
			 GH_ERROR_ADDR_INVALID);
	assert_int_equal(call(GH_CALL_MSGQ_RECV, rm_queues.rx_cap, BUFFER + HYP_PAGE, 240, 0),
			 GH_ERROR_OK);
}

static void queue_full(void **state)
{
	uint8_t message[GH_RM_MSG_SIZE] = { 1 };

	(void)state;
	for (unsigned int i = 0; i < GH_RM_QUEUE_DEPTH; i++)
		assert_true(hyp_rm_send(hyp_primary(), message, 8 + i));
	assert_false(hyp_rm_send(hyp_primary(), message, 8));
	assert_false(hyp_rm_send(hyp_primary(), message, 0));
	assert_false(hyp_rm_send(hyp_primary(), message, GH_RM_MSG_SIZE + 1));
	assert_int_equal(interrupt(), RX_VIRQ);
	assert_int_equal(interrupt(), 1023);
	for (unsigned int i = 0; i < GH_RM_QUEUE_DEPTH; i++) {
		assert_int_equal(call(GH_CALL_MSGQ_RECV, rm_queues.rx_cap, BUFFER, 240, 0),
				 GH_ERROR_OK);
		assert_int_equal(x()[1], 8 + i);
		assert_int_equal(x()[2], i + 1 < GH_RM_QUEUE_DEPTH);
	}
}

static void queue_thresholds(void **state)
{
	const uint64_t rx = rm_queues.rx_cap, tx = rm_queues.tx_cap;
	uint8_t message[8] = { 1 };

	(void)state;
	assert_int_equal(call(GH_CALL_MSGQ_CONFIGURE_RECV, rx, 0, KEEP, KEEP),
			 GH_ERROR_ARG_INVALID);
	assert_int_equal(call(GH_CALL_MSGQ_CONFIGURE_RECV, rx, 9, KEEP, KEEP),
			 GH_ERROR_ARG_INVALID);
	assert_int_equal(call(GH_CALL_MSGQ_CONFIGURE_RECV, rx, 1, 5, KEEP), GH_ERROR_UNIMPLEMENTED);
	assert_int_equal(call(GH_CALL_MSGQ_CONFIGURE_RECV, rx, 1, KEEP, 0), GH_ERROR_ARG_INVALID);
	assert_int_equal(call(GH_CALL_MSGQ_CONFIGURE_SEND, tx, 8, KEEP, KEEP),
			 GH_ERROR_ARG_INVALID);
	assert_int_equal(call(GH_CALL_MSGQ_CONFIGURE_SEND, rx, 1, KEEP, KEEP),
			 GH_ERROR_CSPACE_INSUF_RIGHTS);
	/* An empty queue is not full: the sender hears of it at once. */
	assert_int_equal(call(GH_CALL_MSGQ_CONFIGURE_SEND, tx, 7, KEEP, KEEP), GH_ERROR_OK);
	assert_int_equal(interrupt(), TX_VIRQ);
	assert_int_equal(call(GH_CALL_MSGQ_CONFIGURE_RECV, rx, ~1ull, KEEP, KEEP), GH_ERROR_OK);
	for (unsigned int i = 0; i < GH_RM_QUEUE_DEPTH; i++) {
		assert_int_equal(interrupt(), 1023);
		hyp_rm_send(hyp_primary(), message, 8);
	}
	assert_int_equal(interrupt(), RX_VIRQ);
	call(GH_CALL_MSGQ_RECV, rx, BUFFER, 240, 0);
	assert_int_equal(call(GH_CALL_MSGQ_CONFIGURE_RECV, rx, KEEP, KEEP, KEEP), GH_ERROR_OK);
	assert_int_equal(interrupt(), 1023);
	assert_int_equal(call(GH_CALL_MSGQ_CONFIGURE_RECV, rx, 7, KEEP, KEEP), GH_ERROR_OK);
	assert_int_equal(interrupt(), RX_VIRQ);
}

static void doorbells(void **state)
{
	struct vm *vm = hyp_vm_create(0x80);
	struct hyp_end receiver = { .intid = 40 }, sender = { .can_clear = false };
	struct hyp_object *quiet = hyp_doorbell_new();
	uint64_t silent, both;

	(void)state;
	assert_null(help_add_doorbell(vm, 31, true, &both));
	assert_null(help_add_doorbell(vm, 1020, true, &both));
	assert_int_equal(hyp_attach(quiet, HYP_RECEIVER, vm, &receiver), GH_ERROR_OK);
	assert_int_equal(hyp_attach(quiet, HYP_SENDER, hyp_primary(), &sender), GH_ERROR_OK);
	silent = sender.cap;
	assert_non_null(help_add_doorbell(vm, 41, true, &both));
	assert_int_equal(call(GH_CALL_DOORBELL_SEND, both, 5, 0, 0), GH_ERROR_OK);
	assert_int_equal(x()[1], 0);
	assert_true(vm->gic.spi[41 - 32].pending);
	assert_int_equal(call(GH_CALL_DOORBELL_SEND, both, 1ull << 63, 0, 0), GH_ERROR_OK);
	assert_int_equal(x()[1], 5);
	assert_int_equal(call(GH_CALL_DOORBELL_RECEIVE, both, 0, 0, 0), GH_ERROR_ARG_INVALID);
	assert_int_equal(call(GH_CALL_DOORBELL_RECEIVE, silent, 1, 0, 0),
			 GH_ERROR_CSPACE_INSUF_RIGHTS);
	assert_int_equal(call(GH_CALL_DOORBELL_MASK, silent, 1, 1, 0),
			 GH_ERROR_CSPACE_INSUF_RIGHTS);
	assert_int_equal(call(GH_CALL_DOORBELL_RECEIVE, both, 4, 0, 0), GH_ERROR_OK);
	assert_int_equal(x()[1], 1ull << 63 | 5);
	assert_true(vm->gic.spi[41 - 32].pending);
	/* Masked away: a level falls, and rises again when it is not. */
	assert_int_equal(call(GH_CALL_DOORBELL_MASK, both, 2, 0, 0), GH_ERROR_OK);
	assert_false(vm->gic.spi[41 - 32].pending);
	assert_int_equal(call(GH_CALL_DOORBELL_MASK, both, 3, 1, 0), GH_ERROR_OK);
	assert_true(vm->gic.spi[41 - 32].pending);
	call(GH_CALL_DOORBELL_SEND, both, 2, 0, 0);
	/* The acknowledged bit was gone. */
	assert_int_equal(x()[1], 1ull << 63);
	assert_int_equal(call(GH_CALL_DOORBELL_RESET, both, 0, 0, 0), GH_ERROR_OK);
	assert_false(vm->gic.spi[41 - 32].pending);
	call(GH_CALL_DOORBELL_SEND, both, 1, 0, 0);
	assert_int_equal(x()[1], 0);
	/* Without its receiver it keeps what is sent; without any end it is gone. */
	hyp_detach(quiet, HYP_RECEIVER);
	assert_int_equal(call(GH_CALL_DOORBELL_SEND, silent, 1, 0, 0), GH_ERROR_OK);
	hyp_detach(quiet, HYP_SENDER);
	assert_int_equal(call(GH_CALL_DOORBELL_SEND, silent, 1, 0, 0), GH_ERROR_CSPACE_CAP_REVOKED);
}

static struct vm *receiver;

/* Another CPU has the receiver's interrupts in hand, asks what raised this one, and lets go. */
static void asks_the_source(void)
{
	const struct virq_source *source = receiver->gic.spi[40 - 32].source;

	if (source) {
		assert_non_null(source->asserted);
		source->asserted(source->object);
	}
	hyp_unlock(&receiver->lock);
}

static void queue_goes_while_its_interrupt_is_looked_at(void **state)
{
	struct hyp_object *queue = hyp_queue_new(4, 64);
	struct hyp_end end = { .intid = 40 };

	(void)state;
	receiver = hyp_vm_create(0x80);
	assert_int_equal(hyp_attach(queue, HYP_RECEIVER, receiver, &end), GH_ERROR_OK);
	hyp_lock(&receiver->lock);
	fake_machine.meanwhile = asks_the_source;
	hyp_detach(queue, HYP_RECEIVER);
	assert_null(fake_machine.meanwhile);
	assert_null(receiver->gic.spi[40 - 32].source);
	hyp_vm_destroy(receiver);
}

static void entropy(void **state)
{
	(void)state;
	assert_int_equal(call(GH_CALL_PRNG_GET_ENTROPY, 0, 0, 0, 0), GH_ERROR_ARG_SIZE);
	assert_int_equal(call(GH_CALL_PRNG_GET_ENTROPY, 3, 0, 0, 0), GH_ERROR_ARG_SIZE);
	assert_int_equal(call(GH_CALL_PRNG_GET_ENTROPY, 20, 0, 0, 0), GH_ERROR_ARG_SIZE);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(call(GH_CALL_PRNG_GET_ENTROPY, 8, 0, 0, 0), GH_ERROR_OK);
		assert_true(x()[1] && x()[2] && !x()[3] && !x()[4]);
	}
	assert_int_equal(call(GH_CALL_PRNG_GET_ENTROPY, 8, 0, 0, 0), GH_ERROR_BUSY);
	fake_machine.counter += 33001;
	assert_int_equal(call(GH_CALL_PRNG_GET_ENTROPY, 16, 0, 0, 0), GH_ERROR_OK);
	fake_machine.no_entropy = true;
	assert_int_equal(call(GH_CALL_PRNG_GET_ENTROPY, 16, 0, 0, 0), GH_ERROR_BUSY);
}

static void vms_come_and_go(void **state)
{
	struct vm *vms[HYP_VMS_MAX], *one;
	uint64_t cap, left;
	uint32_t virq;
	unsigned int rights;
	pa_t pa;

	(void)state;
	for (unsigned int i = 0; i < HYP_VMS_MAX; i++) {
		vms[i] = hyp_vm_create((uint16_t)(0x80 + i));
		assert_non_null(vms[i]);
		for (unsigned int n = 0; n < HYP_CPUS_MAX; n++)
			assert_int_equal(hyp_vm_add_vcpu(vms[i], n, true, &cap, &virq),
					 GH_ERROR_OK);
		assert_int_equal(hyp_vm_add_vcpu(vms[i], HYP_CPUS_MAX, true, &cap, &virq),
				 GH_ERROR_NORESOURCES);
	}
	assert_null(hyp_vm_create(0xb0));
	one = vms[3];
	assert_int_equal(hyp_vm_id(one), 0x83);
	assert_int_equal(hyp_vm_map(one, 0x80000000, FAKE_RAM, 0x2000, 7), GH_ERROR_OK);
	assert_int_equal(hyp_vm_map(one, 0x80001000, FAKE_RAM, 0x2000, 7),
			 GH_ERROR_EXISTING_MAPPING);
	assert_int_equal(hyp_vm_map(one, 0x80002001, FAKE_RAM, 0x1000, 7), GH_ERROR_ARG_INVALID);
	assert_int_equal(hyp_vm_map(one, 0x80002000, 0x80000000, 0x1000, 7), GH_ERROR_ARG_INVALID);
	assert_int_equal(hyp_vm_map(one, 0x80002000, FAKE_RAM, 0, 7), GH_ERROR_ARG_INVALID);
	assert_int_equal(hyp_vm_map(one, ~0xfffull, FAKE_RAM, 0x1000, 7), GH_ERROR_ARG_INVALID);
	assert_int_equal(hyp_vm_map(one, 1ull << 36, FAKE_RAM, 0x1000, 7), GH_ERROR_ARG_INVALID);
	assert_true(hyp_vm_translate(one, 0x80001234, &pa, &rights, &left));
	assert_int_equal(pa, FAKE_RAM + 0x1234);
	assert_int_equal(left, 0xdcc);
	assert_int_equal(rights, 7);
	assert_false(hyp_vm_translate(one, 0x80002000, &pa, &rights, &left));
	assert_false(hyp_vm_translate(hyp_primary(), 0x09000000, &pa, &rights, &left));
	assert_int_equal(hyp_vm_unmap(one, 0x80000000, 0x2000), GH_ERROR_OK);
	/* The frames of the interrupt controller belong to nobody else. */
	assert_int_equal(hyp_vm_set_gic(one, 0x10000, 0x20000, 0x10000), GH_ERROR_ARG_INVALID);
	assert_int_equal(hyp_vm_set_gic(one, 0x10001, 0x20000, 0x20000), GH_ERROR_ARG_INVALID);
	assert_int_equal(hyp_vm_set_gic(one, 0x10000, 0x20000, 0x20000), GH_ERROR_OK);
	assert_int_equal(hyp_vm_set_gic(one, 0x10000, 0x20000, 0x20000),
			 GH_ERROR_OBJECT_CONFIGURED);
	assert_int_equal(hyp_vm_map(one, 0x1f000, FAKE_RAM, 0x1000, 7), GH_ERROR_EXISTING_MAPPING);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(hyp_vm_add_vmmio(one, i << 20, 1 << 20), GH_ERROR_OK);
	assert_int_equal(hyp_vm_add_vmmio(one, 5 << 20, 1 << 20), GH_ERROR_NORESOURCES);
	for (unsigned int i = 0; i < HYP_VMS_MAX; i++)
		hyp_vm_destroy(vms[i]);
	hyp_vm_destroy(NULL);
}

static void pages_run_out(void **state)
{
	void *list = NULL, *page;
	unsigned int n = 0;

	(void)state;
	while ((page = hyp_alloc_page())) {
		memcpy(page, &list, sizeof(list));
		list = page;
		n++;
	}
	assert_true(n > 100);
	while (list) {
		page = list;
		memcpy(&list, page, sizeof(list));
		hyp_free_page(page);
	}
	hyp_free_page(NULL);
	page = hyp_alloc_page();
	for (unsigned int i = 0; i < HYP_PAGE; i++)
		assert_int_equal(((uint8_t *)page)[i], 0);
	hyp_free_page(page);
}

static void log_formats(void **state)
{
	(void)state;
	fake_machine.log_size = 0;
	hyp_log("%s %u %x %lx %llx %c%c%%", "a", 0u, 0xabcu, 0x123456789abcdeful, 1ull << 63, 'x',
		'\n');
	assert_string_equal(fake_machine.log,
			    "refhyp: a 0 abc 123456789abcdef 8000000000000000 x\r\n%");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(identity, boot),
		cmocka_unit_test_setup(unknown_calls, boot),
		cmocka_unit_test_setup(capabilities, boot),
		cmocka_unit_test_setup(reserved_arguments, boot),
		cmocka_unit_test_setup(queues, boot),
		cmocka_unit_test_setup(queue_sizes_and_addresses, boot),
		cmocka_unit_test_setup(queue_full, boot),
		cmocka_unit_test_setup(queue_thresholds, boot),
		cmocka_unit_test_setup(doorbells, boot),
		cmocka_unit_test_setup(queue_goes_while_its_interrupt_is_looked_at, boot),
		cmocka_unit_test_setup(entropy, boot),
		cmocka_unit_test_setup(vms_come_and_go, boot),
		cmocka_unit_test_setup(pages_run_out, boot),
		cmocka_unit_test_setup(log_formats, boot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
