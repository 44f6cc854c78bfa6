// SPDX-License-Identifier: Apache-2.0
/*
 * A resource manager that refuses, keeps silent, stammers or is late, at each message of a VM's
 * life in turn; after each, all is back as it was and the next VM starts.
 *
 * Needs a hypervisor that injects faults (refhyp-test.elf) and driver_probe, which passes the calls
 * on.
 */
#include "images/refhyp/inject/door.h"
#include "tests/driver/lives.h"
#include "tests/driver/watch.h"

#define HVC    "/sys/kernel/debug/driver_probe/hvc"
#define PARAMS "/sys/module/gunyah/parameters/"

/* A life has 11 messages and the question for the host's VMID; more are a fault of the driver. */
#define MESSAGES_MAX 24

struct answer {
	uint64_t error, x[4];
};

static struct answer door(uint64_t function, const uint64_t args[6])
{
	struct answer answer = { .error = ~0ull };
	uint64_t regs[7] = { function };
	int fd = open(HVC, O_RDWR | O_CLOEXEC);

	if (args)
		memcpy(regs + 1, args, 6 * sizeof(regs[0]));
	if (fd < 0 || write(fd, regs, sizeof(regs)) != sizeof(regs) ||
	    read(fd, &answer, sizeof(answer)) != sizeof(answer))
		answer.error = ~0ull;
	if (fd >= 0)
		close(fd);
	return answer;
}

static void need_door(void)
{
	if (door(INJECT_HELLO, NULL).error)
		skip("this hypervisor injects no faults");
}

struct rule {
	uint64_t kind, which, action, value;
};

/* The rule for the message number n, and none beside it. */
static uint64_t arm(const struct rule *rule, unsigned int n)
{
	uint64_t args[6] = { rule->kind, rule->which, n, 1, rule->action, rule->value };
	struct answer answer;

	door(INJECT_CLEAR, NULL);
	answer = door(INJECT_ARM, args);
	if (answer.error)
		wrong("no rule: error %lld", (long long)answer.error);
	return answer.x[0];
}

/* The id of the message that it hit, 0 for none. */
static uint32_t hit(uint64_t number)
{
	uint64_t args[6] = { number };
	struct answer answer = door(INJECT_QUERY, args);

	return !answer.error && answer.x[1] ? (uint32_t)answer.x[2] : 0;
}

static void patience(const char *rpc, const char *state, const char *retry)
{
	if (!spill(PARAMS "rpc_timeout_ms", rpc) || !spill(PARAMS "state_timeout_ms", state) ||
	    !spill(PARAMS "retry_ms", retry))
		wrong("no parameters of the module");
}

/* One life, or as much of it as there is; what START said. */
static long life(unsigned long request)
{
	struct vm vm;
	long ret;

	set_up(&vm, &guest_spin, &one, request);
	ret = call(vm.fd, GH_VM_START, NULL);
	if (!ret)
		expect_write(&vm, 0, 0, 4, 0);
	close_vm(&vm);
	return ret;
}

static bool quiet(long pins)
{
	int tenths;

	for (tenths = 0; tenths < 200; tenths++) {
		if (!number_of(SYSFS "quarantined_vms") && pinned() == pins)
			return true;
		usleep(100000);
	}
	return false;
}

/* A life without faults; the VM's number, 0 when it does not start. */
static unsigned int clean_life(void)
{
	unsigned int number = 0;
	const char *at;
	char *trace;
	long ret;

	trace_begin();
	ret = life(GH_VM_ANDROID_LEND_USER_MEM);
	trace = trace_end();
	at = strstr(trace, "gunyah_vm_state: vmid=");
	if (ret || !at || sscanf(at, "gunyah_vm_state: vmid=%u", &number) != 1)
		wrong("the next START: %ld", ret);
	free(trace);
	return number;
}

/* The next VM starts, and has the number of the one before: that is back. */
static void next_starts(unsigned int n, uint32_t id, unsigned int number)
{
	unsigned int next = clean_life();

	if (number && next != number)
		wrong("message %u (%#x): the next VM is %u, not %u", n, id, next, number);
}

struct sweep {
	struct rule rule;
	unsigned long request;
	long start_error; /* what START says when it is hit; 0: anything */
	bool loses_numbers;
};

/* Messages up to START; what is hit later, START does not tell. */
static bool before_start(uint32_t id)
{
	return id != GH_RM_VM_STOP && id != GH_RM_VM_RESET && id != GH_RM_MEM_RECLAIM &&
	       id != GH_RM_VM_DEALLOCATE && id != GH_RM_NOTIFY_VM_EXITED &&
	       id != GH_RM_NOTIFY_VM_STATUS && id != GH_RM_MEM_QCOM_LOOKUP_SGL;
}

static void sweep(const struct sweep *s)
{
	long pins = pinned(), available = available_kib(), ret;
	unsigned int n;
	unsigned int number;
	uint64_t rule;
	uint32_t id;

	need_door();
	door(INJECT_CLEAR, NULL);
	number = clean_life();
	for (n = 1; n <= MESSAGES_MAX && case_ok; n++) {
		patience(s->start_error == -ETIMEDOUT ? "800\n" : "10000\n", "2000\n", "100\n");
		rule = arm(&s->rule, n);
		ret = life(s->request);
		id = hit(rule);
		door(INJECT_CLEAR, NULL);
		if (!id)
			break;
		if (before_start(id) && s->start_error && ret != s->start_error)
			wrong("message %u (%#x): START: %ld, expected %ld", n, id, ret,
			      s->start_error);
		if (!before_start(id) && ret)
			wrong("message %u (%#x): START: %ld", n, id, ret);
		if (!quiet(pins))
			wrong("message %u (%#x): %ld quarantined, %ld pages pinned", n, id,
			      number_of(SYSFS "quarantined_vms"), pinned() - pins);
		patience("60000\n", "60000\n", "10000\n");
		next_starts(n, id, s->loses_numbers ? 0 : number);
	}
	door(INJECT_CLEAR, NULL);
	patience("60000\n", "60000\n", "10000\n");
	if (n < 3)
		wrong("only %u messages were hit", n - 1);
	available -= available_kib();
	if (available > SLACK_KIB)
		wrong("%ld KiB less are available", available);
	printf("    %s: %u messages\n", case_name, n - 1);
}

#define REQUESTS(how, what)                                                                        \
	{                                                                                          \
		.kind = INJECT_KIND_REQUEST, .which = INJECT_ANY, .action = (how), .value = (what) \
	}
#define NEWS(how, what)                                                                 \
	{                                                                               \
		.kind = INJECT_KIND_NOTIFICATION, .which = INJECT_ANY, .action = (how), \
		.value = (what)                                                         \
	}

#define SWEEP(name, ...)                                       \
	static void name(void)                                 \
	{                                                      \
		static const struct sweep s = { __VA_ARGS__ }; \
		sweep(&s);                                     \
	}

#define LEND GH_VM_ANDROID_LEND_USER_MEM

SWEEP(refuse_memory, REQUESTS(INJECT_FAIL, GH_RM_ERROR_NOMEM), LEND, -ENOMEM, false)
SWEEP(refuse_denied, REQUESTS(INJECT_FAIL, GH_RM_ERROR_DENIED), GH_VM_SET_USER_MEM_REGION, -EPERM,
      false)
SWEEP(refuse_unknown, REQUESTS(INJECT_FAIL, 0x1234), LEND, -EBADMSG, false)
SWEEP(lie, REQUESTS(INJECT_LIE, GH_RM_ERROR_BUSY), LEND, -EBUSY, true)
SWEEP(silent, REQUESTS(INJECT_DROP, 0), LEND, -ETIMEDOUT, true)
SWEEP(late, REQUESTS(INJECT_DELAY, 1800), LEND, -ETIMEDOUT, false)
SWEEP(slow, REQUESTS(INJECT_DELAY, 100), LEND, 0, false)
SWEEP(cut, REQUESTS(INJECT_CUT, 2), LEND, -EPROTO, true)
SWEEP(foreign_sequence, REQUESTS(INJECT_SEQ, 77), LEND, -ETIMEDOUT, true)
SWEEP(missing_parts, REQUESTS(INJECT_PARTS, 3), LEND, -ETIMEDOUT, true)
SWEEP(twice, REQUESTS(INJECT_TWICE, 0), LEND, 0, false)
SWEEP(news_lost, NEWS(INJECT_DROP, 0), LEND, 0, false)
SWEEP(news_late, NEWS(INJECT_DELAY, 700), LEND, 0, false)
SWEEP(news_cut, NEWS(INJECT_CUT, 3), LEND, 0, false)
SWEEP(news_twice, NEWS(INJECT_TWICE, 0), LEND, 0, false)

/* The hypervisor refuses to run the vCPU, or asks to try again; the guest goes on. */
static void vcpu_refused(void)
{
	struct rule fail = { INJECT_KIND_CALL, GH_CALL_VCPU_RUN, INJECT_FAIL,
			     GH_ERROR_CSPACE_CAP_NULL };
	struct rule busy = { INJECT_KIND_CALL, GH_CALL_VCPU_RUN, INJECT_FAIL, GH_ERROR_BUSY };
	struct vm vm;

	need_door();
	if (start(&vm, &guest_mmio, &one)) {
		arm(&fail, 1);
		REFUSED(vm.vcpu[0], GH_VCPU_RUN, NULL, EACCES);
		arm(&busy, 1);
		mmio_talk(&vm);
	}
	door(INJECT_CLEAR, NULL);
	close_vm(&vm);
}

/* A state that no list has: the vCPU is run again, and nothing is made up for user space. */
static void vcpu_unknown_state(void)
{
	struct rule odd = { INJECT_KIND_CALL, GH_CALL_VCPU_RUN, INJECT_RESULT, 1ull << 56 | 99 };
	struct poker poker;
	struct vm vm;

	need_door();
	if (start(&vm, &guest_spin, &one)) {
		expect_write(&vm, 0, 0, 4, 0);
		arm(&odd, 1);
		poke_me(&poker);
		REFUSED(vm.vcpu[0], GH_VCPU_RUN, NULL, EINTR);
		poke_no_more(&poker);
	}
	door(INJECT_CLEAR, NULL);
	close_vm(&vm);
}

/* Receiving fails once: the queue is looked at again, and the answer comes. */
static void receive_refused(void)
{
	struct rule fail = { INJECT_KIND_CALL, GH_CALL_MSGQ_RECV, INJECT_FAIL, GH_ERROR_BUSY };

	need_door();
	arm(&fail, 2);
	expect("START", life(LEND), 0);
	door(INJECT_CLEAR, NULL);
}

static const struct test_case cases[] = {
	{ "fault refused: no memory", refuse_memory },
	{ "fault refused: denied", refuse_denied },
	{ "fault refused: no known reason", refuse_unknown },
	{ "fault refused but done", lie },
	{ "fault silent", silent },
	{ "fault late", late },
	{ "fault slow", slow },
	{ "fault answer cut", cut },
	{ "fault answer with another sequence", foreign_sequence },
	{ "fault answer that never ends", missing_parts },
	{ "fault answered twice", twice },
	{ "fault notifications lost", news_lost },
	{ "fault notifications late", news_late },
	{ "fault notifications cut", news_cut },
	{ "fault notifications twice", news_twice },
	{ "fault vCPU refused", vcpu_refused },
	{ "fault vCPU in an unknown state", vcpu_unknown_state },
	{ "fault receive refused", receive_refused },
};

int main(int argc, char **argv)
{
	return run_cases(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
