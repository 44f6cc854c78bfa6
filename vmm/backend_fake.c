// SPDX-License-Identifier: Apache-2.0
/*
 * A backend without a hypervisor: its guest does what a script says (fake_script.h), and everything
 * else of the VMM is real. For tests, for fuzzing, and for people who work on the API with a
 * laptop.
 */
#include "vmm/backend.h"

#include <assert.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "vmm/fake_script.h"
#include "vmm/loop.h"
#include "vmm/pl061.h"
#include "vmm/uart.h"

#define LINES_MAX 128u
#define AWAIT_MS  2

/* For a VM whose creator gave no script: something to see, something to type at. */
static const char idle_script[] =
	"print \"Croft fake backend: this VM has no hypervisor and no guest, only a script.\\n\"\n"
	"print \"What is typed is echoed.\\n> \"\n"
	"echo\n"
	"print \"\\nThe power key was pressed.\\n\"\n"
	"poweroff\n";

struct fake_vcpu {
	size_t at;	    /* in the script's statements */
	size_t repeat_from; /* or SIZE_MAX */
	size_t done;	    /* of the current statement: bytes, or steps of an echo */
	int kick_fd;
	bool kicked;	  /* atomic */
	uint64_t wakeups; /* atomic */
};

struct irqfd {
	uint32_t spi;
	int fd;
};

struct ioeventfd {
	gpa_t at;
	uint32_t match;
	int fd;
};

struct backend {
	struct fake_script script;
	struct mem mem; /* the guest's view: lending changes nothing for it */
	gpa_t dtb;
	struct fake_vcpu vcpus[VMM_VCPUS_MAX];
	struct irqfd irqfds[LINES_MAX];
	struct ioeventfd ioeventfds[LINES_MAX];
	unsigned int irqfd_count, ioeventfd_count;
	uint64_t handled[VMM_VCPUS_MAX]; /* atomic */
};

/* --- Set-up --- */

static int fake_probe(struct vmm_host *host, struct error *err)
{
	(void)err;
	host->vcpus_max = VMM_VCPUS_MAX;
	return 0;
}

static void fake_close(struct backend *b)
{
	if (!b)
		return;
	for (unsigned int i = 0; i < VMM_VCPUS_MAX; i++)
		base_close(b->vcpus[i].kick_fd);
	fake_script_free(&b->script);
	free(b);
}

static void closep(struct backend **b)
{
	fake_close(*b);
}

static int scripted(const struct backend *b, enum fake_step step, const char *what,
		    struct error *err)
{
	if (!b->script.fail[step])
		return 0;
	return error_raise(err, ERROR_INTERNAL, "%s: the script lets it fail", what);
}

static int fake_open(struct backend **out, const struct backend_config *config, struct error *err)
{
	_cleanup_(closep) struct backend *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, ENOMEM, "create VM");
	for (unsigned int i = 0; i < VMM_VCPUS_MAX; i++) {
		b->vcpus[i].kick_fd = -1;
		b->vcpus[i].repeat_from = SIZE_MAX;
	}
	b->mem = *config->mem;
	b->dtb = config->dtb;
	r = fake_script_parse(&b->script, config->script ? config->script : idle_script, err);
	if (r == 0)
		r = scripted(b, FAKE_OPEN, "create VM", err);
	if (r < 0)
		return r;
	*out = TAKE_PTR(b);
	return 0;
}

static int fake_load(struct backend *b, struct error *err)
{
	static const uint8_t magic[4] = { 0xd0, 0x0d, 0xfe, 0xed };
	const void *dtb = mem_at(&b->mem, b->dtb, sizeof(magic));

	if (!dtb || memcmp(dtb, magic, sizeof(magic)) != 0)
		return error_raise(err, ERROR_INTERNAL, "load: no device tree");
	return scripted(b, FAKE_LOAD, "share memory with the VM", err);
}

static int fake_add_vcpu(struct backend *b, unsigned int index, struct error *err)
{
	int fd, r;

	assert(index < VMM_VCPUS_MAX && b->vcpus[index].kick_fd < 0);
	r = scripted(b, FAKE_VCPU, "add a vCPU", err);
	if (r < 0)
		return r;
	fd = eventfd_new();
	if (fd < 0)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, -fd, "add a vCPU");
	b->vcpus[index].kick_fd = fd;
	return 0;
}

static int fake_add_irqfd(struct backend *b, uint32_t spi, int fd, struct error *err)
{
	if (b->irqfd_count == LINES_MAX)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "add an interrupt line");
	b->irqfds[b->irqfd_count++] = (struct irqfd){ .spi = spi, .fd = fd };
	return scripted(b, FAKE_IRQFD, "add an interrupt line", err);
}

static int fake_add_ioeventfd(struct backend *b, gpa_t at, uint32_t match, int fd,
			      struct error *err)
{
	if (b->ioeventfd_count == LINES_MAX)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "add a notification");
	b->ioeventfds[b->ioeventfd_count++] =
		(struct ioeventfd){ .at = at, .match = match, .fd = fd };
	return scripted(b, FAKE_IOEVENTFD, "add a notification", err);
}

static int fake_start(struct backend *b, struct error *err)
{
	return scripted(b, FAKE_START, "start VM", err);
}

/* --- Run --- */

static bool kicked(struct fake_vcpu *v)
{
	return __atomic_load_n(&v->kicked, __ATOMIC_ACQUIRE);
}

/* Sleeps until kicked, the deadline (-1: none), or one of two fds (-1: none) is readable. */
static void doze_two(struct fake_vcpu *v, int timeout_ms, int fd, int other_fd)
{
	struct pollfd fds[3] = {
		{ .fd = v->kick_fd, .events = POLLIN },
		{ .fd = fd, .events = POLLIN },
		{ .fd = other_fd, .events = POLLIN },
	};

	__atomic_fetch_add(&v->wakeups, 1, __ATOMIC_RELAXED);
	poll(fds, ARRAY_SIZE(fds), timeout_ms);
}

static void doze(struct fake_vcpu *v, int timeout_ms, int fd)
{
	doze_two(v, timeout_ms, fd, -1);
}

static int find_irqfd(const struct backend *b, uint64_t spi)
{
	for (unsigned int i = 0; i < b->irqfd_count; i++)
		if (b->irqfds[i].spi == spi)
			return b->irqfds[i].fd;
	return -1;
}

static void next(struct fake_vcpu *v)
{
	v->at++;
	v->done = 0;
}

static void trap(struct backend_exit *exit, uint64_t at, unsigned int len, bool is_write,
		 uint64_t data)
{
	exit->kind = BACKEND_EXIT_MMIO;
	exit->at = gpa(at);
	exit->len = len;
	exit->is_write = is_write;
	exit->data = len == 8 ? data : data & ((1ull << 8 * len) - 1);
}

/* Whether the statement is done; else *exit says what is to be done first. */
static bool step_write(struct backend *b, unsigned int vcpu, const struct fake_op *op,
		       struct backend_exit *exit)
{
	struct fake_vcpu *v = &b->vcpus[vcpu];

	if (v->done++)
		return true;
	for (unsigned int i = 0; i < b->ioeventfd_count; i++) {
		const struct ioeventfd *e = &b->ioeventfds[i];

		if (e->at.v == op->addr && op->len == sizeof(e->match) && e->match == op->value) {
			__atomic_fetch_add(&b->handled[vcpu], 1, __ATOMIC_RELAXED);
			eventfd_signal(e->fd);
			return true;
		}
	}
	trap(exit, op->addr, op->len, true, op->value);
	return false;
}

/* The three stores of a driver of the key: which edge, enable, and clear when it came. */
static void trap_key(struct backend_exit *exit, uint64_t reg)
{
	trap(exit, PL061_BASE + reg, 1, true, 1u << PL061_POWER_PIN);
}

static bool key_pressed(const struct backend *b)
{
	return eventfd_take(find_irqfd(b, PL061_SPI));
}

static bool step_key(struct backend *b, struct fake_vcpu *v, struct backend_exit *exit)
{
	enum { EDGE, ENABLE, LOOK, END };

	switch (v->done) {
	case EDGE:
		trap_key(exit, PL061_IEV);
		v->done = ENABLE;
		return false;
	case ENABLE:
		trap_key(exit, PL061_IE);
		v->done = LOOK;
		return false;
	case LOOK:
		if (!key_pressed(b)) {
			doze(v, -1, find_irqfd(b, PL061_SPI));
			return true;
		}
		trap_key(exit, PL061_IC);
		v->done = END;
		return false;
	default:
		next(v);
		return true;
	}
}

/*
 * Enables the two interrupts once, then for each of the receiver's: LSR, data, and data back, until
 * there is none.
 */
static bool step_echo(struct backend *b, struct fake_vcpu *v, struct backend_exit *exit)
{
	enum { EDGE, KEY, ENABLE, STATUS, LOOK, BACK, END };
	int typed = find_irqfd(b, UART_SPI);

	switch (v->done) {
	case EDGE:
		trap_key(exit, PL061_IEV);
		v->done = KEY;
		return false;
	case KEY:
		trap_key(exit, PL061_IE);
		v->done = ENABLE;
		return false;
	case ENABLE:
		trap(exit, UART_BASE + 1, 1, true, 1);
		v->done = STATUS;
		return false;
	case STATUS:
		trap(exit, UART_BASE + 5, 1, false, 0);
		v->done = LOOK;
		return false;
	case LOOK:
		if (exit->data & 1) {
			trap(exit, UART_BASE, 1, false, 0);
			v->done = BACK;
			return false;
		}
		if (key_pressed(b)) {
			trap_key(exit, PL061_IC);
			v->done = END;
			return false;
		}
		doze_two(v, -1, typed, find_irqfd(b, PL061_SPI));
		eventfd_take(typed);
		v->done = STATUS;
		return true;
	case BACK:
		trap(exit, UART_BASE, 1, true, exit->data);
		v->done = STATUS;
		return false;
	default:
		next(v);
		return true;
	}
}

static int mismatch(const struct fake_op *op, uint64_t got, struct error *err)
{
	return error_raise(err, ERROR_INTERNAL, "script line %u: 0x%llx has 0x%llx, not 0x%llx",
			   op->line, (unsigned long long)op->addr, (unsigned long long)got,
			   (unsigned long long)op->value);
}

static int access_memory(struct backend *b, const struct fake_op *op, uint64_t *value,
			 struct error *err)
{
	void *p = mem_at(&b->mem, gpa(op->addr), op->len);

	if (!p)
		return error_raise(err, ERROR_INTERNAL, "script line %u: 0x%llx is no RAM",
				   op->line, (unsigned long long)op->addr);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (op->kind == FAKE_STORE)
		memcpy(p, &op->value, op->len);
	*value = 0;
	memcpy(value, p, op->len);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return 0;
}

static int step_memory(struct backend *b, struct fake_vcpu *v, const struct fake_op *op,
		       struct error *err)
{
	uint64_t value;
	int r = access_memory(b, op, &value, err);

	if (r < 0)
		return r;
	if (op->kind != FAKE_STORE && value != op->value) {
		if (op->kind == FAKE_CHECK)
			return mismatch(op, value, err);
		doze(v, AWAIT_MS, -1);
		return 0;
	}
	next(v);
	return 0;
}

static void step_wait(struct backend *b, struct fake_vcpu *v, const struct fake_op *op)
{
	int fd = find_irqfd(b, op->value);

	if (fd >= 0 && eventfd_take(fd))
		next(v);
	else
		doze(v, -1, fd);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* done is the end, once known. */
static void step_sleep(struct fake_vcpu *v, const struct fake_op *op)
{
	uint64_t now = now_ms();

	if (v->done == 0)
		v->done = now + op->value;
	if (now >= v->done)
		next(v);
	else
		doze(v, v->done - now > 60000 ? 60000 : (int)(v->done - now), -1);
}

static bool step_print(struct fake_vcpu *v, const struct fake_op *op, struct backend_exit *exit)
{
	if (v->done == op->text_size)
		return true;
	trap(exit, UART_BASE, 1, true, (uint8_t)op->text[v->done++]);
	return false;
}

/* One step of a statement: 1 when *exit is to be handled, 0 to go on, or an error. */
static int step(struct backend *b, unsigned int vcpu, const struct fake_op *op,
		struct backend_exit *exit, struct error *err)
{
	struct fake_vcpu *v = &b->vcpus[vcpu];
	bool done = false;

	switch (op->kind) {
	case FAKE_PRINT:
		done = step_print(v, op, exit);
		break;
	case FAKE_WRITE:
		done = step_write(b, vcpu, op, exit);
		break;
	case FAKE_READ:
		if (v->done++ == 0)
			trap(exit, op->addr, op->len, false, 0);
		else if (op->has_value && exit->data != op->value)
			return mismatch(op, exit->data, err);
		else
			done = true;
		break;
	case FAKE_KEY:
		return !step_key(b, v, exit);
	case FAKE_ECHO:
		return !step_echo(b, v, exit);
	case FAKE_END:
		exit->kind = BACKEND_EXIT_GONE;
		exit->reason = op->reason;
		break;
	case FAKE_BREAK:
		return error_raise(err, ERROR_INTERNAL, "run: the script lets it fail");
	case FAKE_STORE:
	case FAKE_CHECK:
	case FAKE_AWAIT:
		return step_memory(b, v, op, err);
	case FAKE_WAIT:
		step_wait(b, v, op);
		return 0;
	case FAKE_SLEEP:
		step_sleep(v, op);
		return 0;
	case FAKE_SPIN:
		return 0;
	case FAKE_IDLE:
		doze(v, -1, -1);
		return 0;
	case FAKE_REPEAT:
		v->repeat_from = v->at + 1;
		done = true;
		break;
	}
	if (done)
		next(v);
	return !done;
}

/* This vCPU's current statement, or NULL at the end. */
static const struct fake_op *current(struct backend *b, unsigned int vcpu)
{
	struct fake_vcpu *v = &b->vcpus[vcpu];

	for (unsigned int round = 0; round < 2; round++) {
		for (; v->at < b->script.count; v->at++)
			if (b->script.ops[v->at].vcpu == vcpu)
				return &b->script.ops[v->at];
		if (v->repeat_from == SIZE_MAX)
			break;
		v->at = v->repeat_from;
	}
	return NULL;
}

static int fake_run(struct backend *b, unsigned int vcpu, struct backend_exit *exit,
		    struct error *err)
{
	struct fake_vcpu *v = &b->vcpus[vcpu];

	while (!kicked(v)) {
		const struct fake_op *op = current(b, vcpu);
		int r;

		if (!op) {
			doze(v, -1, -1);
			continue;
		}
		r = step(b, vcpu, op, exit, err);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	exit->kind = BACKEND_EXIT_INTERRUPTED;
	return 0;
}

static void fake_kick(struct backend *b, unsigned int vcpu)
{
	__atomic_store_n(&b->vcpus[vcpu].kicked, true, __ATOMIC_RELEASE);
	eventfd_signal(b->vcpus[vcpu].kick_fd);
}

static bool fake_counters(struct backend *b, unsigned int vcpu, struct backend_counters *counters)
{
	counters->handled = __atomic_load_n(&b->handled[vcpu], __ATOMIC_RELAXED);
	counters->wakeups = __atomic_load_n(&b->vcpus[vcpu].wakeups, __ATOMIC_RELAXED);
	counters->interrupted = 0;
	return true;
}

const struct backend_ops backend_fake = {
	.name = "fake",
	.probe = fake_probe,
	.open = fake_open,
	.load = fake_load,
	.add_vcpu = fake_add_vcpu,
	.add_irqfd = fake_add_irqfd,
	.add_ioeventfd = fake_add_ioeventfd,
	.start = fake_start,
	.run = fake_run,
	.kick = fake_kick,
	.counters = fake_counters,
	.close = fake_close,
};
