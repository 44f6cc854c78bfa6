// SPDX-License-Identifier: Apache-2.0
/*
 * A resource manager that refuses, keeps silent, stammers or is late, at each message of a VM's
 * life in turn; after each, all is back as it was and the next VM starts.
 *
 * Needs a hypervisor that injects faults (refhyp-test.elf) and driver_probe, which passes the calls
 * on.
 */
#include "tests/driver/door.h"
#include "tests/driver/lives.h"
#include "tests/driver/memory.h"
#include "tests/driver/watch.h"

#define PARAMS "/sys/module/gunyah/parameters/"

/* A life has 11 messages and the question for the host's VMID; more are a fault of the driver. */
#define MESSAGES_MAX 24

/* How long an answer may take before it counts as missing; longer where this proves too short. */
#define PATIENCE_MS	400
#define PATIENCE_MAX_MS 30000

static void need_door(void)
{
	if (!has_door())
		skip("this hypervisor injects no faults");
}

struct rule {
	uint64_t kind, which, action, value;
};

/* `times` from number n on, 0 for all. */
static uint64_t arm_more(const struct rule *rule, unsigned int n, unsigned int times)
{
	uint64_t args[6] = { rule->kind, rule->which, n, times, rule->action, rule->value };
	struct answer answer = door(INJECT_ARM, args);

	if (answer.error)
		wrong("no rule: error %lld", (long long)answer.error);
	return answer.x[0];
}

/* The rule for the message number n, and none beside it. */
static uint64_t arm(const struct rule *rule, unsigned int n)
{
	door(INJECT_CLEAR, NULL);
	return arm_more(rule, n, 1);
}

/* The id of the message that it hit, 0 for none. */
static uint32_t hit(uint64_t number)
{
	uint64_t args[6] = { number };
	struct answer answer = door(INJECT_QUERY, args);

	return !answer.error && answer.x[1] ? (uint32_t)answer.x[2] : 0;
}

/* How long the driver waits, in ms: for an answer, for a state, before it tries a teardown again. */
static void patience(unsigned int rpc, unsigned int state, unsigned int retry)
{
	char text[3][16];

	snprintf(text[0], sizeof(text[0]), "%u\n", rpc);
	snprintf(text[1], sizeof(text[1]), "%u\n", state);
	snprintf(text[2], sizeof(text[2]), "%u\n", retry);
	if (!spill(PARAMS "rpc_timeout_ms", text[0]) ||
	    !spill(PARAMS "state_timeout_ms", text[1]) || !spill(PARAMS "retry_ms", text[2]))
		wrong("no parameters of the module");
}

/* One life, or as much of it as there is; what START said. */
static long life(unsigned long request, bool scattered)
{
	struct vm vm;
	long ret;

	if (scattered)
		set_up_scattered(&vm, &guest_spin, request);
	else
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

	for (tenths = 0; tenths < 900; tenths++) {
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
	ret = life(LEND, false);
	trace = trace_end();
	at = strstr(trace, "gunyah_vm_state: vmid=");
	if (ret || !at || sscanf(at, "gunyah_vm_state: vmid=%u", &number) != 1)
		wrong("the next START: %ld", ret);
	free(trace);
	return number;
}

struct sweep {
	struct rule rule;
	unsigned long request;
	long start_error;  /* what START says when it is hit; 0: anything */
	bool loses_number; /* the answer to ALLOCATE tells no number, or a wrong one */
	bool scattered;
	unsigned int skipped; /* messages before the first that is hit */
};

/*
 * Nobody can know the number any more; or a VM was configured with a handle that is none, which no
 * resource manager takes back (ABI, state machine).
 */
static bool may_lose_number(const struct sweep *s, uint32_t id)
{
	return s->loses_number && (id == GH_RM_VM_ALLOCATE ||
				   (id == GH_RM_MEM_LEND && s->rule.action == INJECT_PATCH));
}

/* The next VM starts, and has the number of the one before: that is back. */
static unsigned int next_starts(const struct sweep *s, unsigned int n, uint32_t id,
				unsigned int number)
{
	unsigned int next = clean_life();

	if (next != number && !may_lose_number(s, id))
		wrong("message %u (%#x): the next VM is %u, not %u", n, id, next, number);
	return next;
}

/* Messages up to START; what is hit later, START does not tell. */
static bool before_start(uint32_t id)
{
	return id != GH_RM_VM_STOP && id != GH_RM_VM_RESET && id != GH_RM_MEM_RECLAIM &&
	       id != GH_RM_VM_DEALLOCATE && id != GH_RM_NOTIFY_VM_EXITED &&
	       id != GH_RM_NOTIFY_VM_STATUS && id != GH_RM_MEM_QCOM_LOOKUP_SGL;
}

/*
 * A life with the rule at message n, and with no more patience than `ms`; what START said. The rest
 * of the teardown, if it was put off, is not disturbed and has its time.
 */
static long disturbed_life(const struct sweep *s, unsigned int n, unsigned int ms, uint32_t *id)
{
	bool times_out = s->start_error == -ETIMEDOUT;
	struct rule rule = s->rule;
	uint64_t number;
	long ret;

	/* An answer that is late is later than the driver waits. */
	if (times_out && rule.action == INJECT_DELAY)
		rule.value = 2 * ms + 200;
	patience(times_out ? ms : 10000, 2 * ms, 100);
	number = arm(&rule, n);
	ret = life(s->request, s->scattered);
	*id = hit(number);
	door(INJECT_CLEAR, NULL);
	patience(60000, 5000, 100);
	return ret;
}

/*
 * Whether it was another message than the rule's that START waited for in vain: on a machine that
 * is slower than the patience allows for.
 */
static bool too_hasty(const struct sweep *s, long ret, uint32_t id)
{
	return s->start_error == -ETIMEDOUT && ret == -ETIMEDOUT && (!id || !before_start(id));
}

static void check_start(const struct sweep *s, unsigned int n, uint32_t id, long ret)
{
	if (before_start(id) && s->start_error && ret != s->start_error)
		wrong("message %u (%#x): START: %ld, expected %ld", n, id, ret, s->start_error);
	if (!before_start(id) && ret)
		wrong("message %u (%#x): START: %ld", n, id, ret);
}

static void sweep(const struct sweep *s)
{
	long pins = pinned(), available = available_kib(), ret;
	unsigned int n, number, ms = PATIENCE_MS;
	uint32_t id;

	need_door();
	door(INJECT_CLEAR, NULL);
	number = clean_life();
	for (n = 1 + s->skipped; n <= MESSAGES_MAX && case_ok; n++) {
		ret = disturbed_life(s, n, ms, &id);
		if (!quiet(pins))
			wrong("message %u (%#x): %ld quarantined, %ld pages pinned", n, id,
			      number_of(SYSFS "quarantined_vms"), pinned() - pins);
		if (too_hasty(s, ret, id) && ms < PATIENCE_MAX_MS) {
			ms *= 2;
			n--;
			number = clean_life();
			continue;
		}
		if (!id)
			break;
		check_start(s, n, id, ret);
		patience(60000, 60000, 10000);
		number = next_starts(s, n, id, number);
	}
	patience(60000, 60000, 10000);
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

SWEEP(refuse_memory, REQUESTS(INJECT_FAIL, GH_RM_ERROR_NOMEM), LEND, -ENOMEM, false, false, 0)
SWEEP(refuse_denied, REQUESTS(INJECT_FAIL, GH_RM_ERROR_DENIED), GH_VM_SET_USER_MEM_REGION, -EPERM,
      false, false, 0)
SWEEP(refuse_unknown, REQUESTS(INJECT_FAIL, 0x1234), LEND, -EBADMSG, false, false, 0)
SWEEP(lie, REQUESTS(INJECT_LIE, GH_RM_ERROR_BUSY), LEND, -EBUSY, true, false, 0)
SWEEP(silent, REQUESTS(INJECT_DROP, 0), LEND, -ETIMEDOUT, true, false, 0)
SWEEP(late, REQUESTS(INJECT_DELAY, 1800), LEND, -ETIMEDOUT, false, false, 0)
SWEEP(slow, REQUESTS(INJECT_DELAY, 100), LEND, 0, false, false, 0)
SWEEP(cut, REQUESTS(INJECT_CUT, 2), LEND, -EPROTO, true, false, 0)
SWEEP(foreign_sequence, REQUESTS(INJECT_SEQ, 77), LEND, -ETIMEDOUT, true, false, 0)
SWEEP(missing_parts, REQUESTS(INJECT_PARTS, 3), LEND, -ETIMEDOUT, true, false, 0)
/* Memory in pieces: a message for each 512 of them. */
SWEEP(pieces_refused, REQUESTS(INJECT_FAIL, GH_RM_ERROR_NOMEM), LEND, -ENOMEM, false, true, 0)
/* ALLOCATE is left out: each number that is lost here is one less for the tests that follow. */
SWEEP(long_answers, REQUESTS(INJECT_PAD, 300), LEND, 0, false, false, 1)
SWEEP(wrong_answers, REQUESTS(INJECT_PATCH, 4ull << 32 | 0x7777), LEND, 0, true, false, 0)
SWEEP(twice, REQUESTS(INJECT_TWICE, 0), LEND, 0, false, false, 0)
SWEEP(news_lost, NEWS(INJECT_DROP, 0), LEND, 0, false, false, 0)
SWEEP(news_late, NEWS(INJECT_DELAY, 700), LEND, 0, false, false, 0)
SWEEP(news_cut, NEWS(INJECT_CUT, 3), LEND, 0, false, false, 0)
SWEEP(news_twice, NEWS(INJECT_TWICE, 0), LEND, 0, false, false, 0)

/* --- A VM that does not come back --- */

static bool logged(const char *words)
{
	char command[128];

	snprintf(command, sizeof(command), "dmesg | grep -q '%s'", words);
	return system(command) == 0;
}

/* What the resource manager keeps is told and kept, and nobody waits for it. */
static void quarantined(void)
{
	struct rule keep = { INJECT_KIND_REQUEST, GH_RM_MEM_RECLAIM, INJECT_FAIL,
			     GH_RM_ERROR_MEM_INUSE };
	long pins = pinned();
	struct vm vm, next;
	char *memory;

	need_door();
	patience(60000, 60000, 2000);
	memory = map(MAP_SHARED | MAP_ANONYMOUS, -1);
	set_up_in(&vm, memory, &guest_spin, LEND);
	ALLOWED(vm.fd, GH_VM_START, NULL);
	door(INJECT_CLEAR, NULL);
	arm_more(&keep, 1, 0);
	end_vm(&vm);
	expect("quarantined_vms", number_of(SYSFS "quarantined_vms"), 1);
	expect("pinned", pinned() - pins, (long)(SIZE / PAGE));
	expect("a line in the log", logged("reclaim: error -22; quarantined, 2048 KiB"), 1);
	expect("rmmod", system("rmmod gunyah 2>/dev/null") != 0, 1);
	/* Its memory is nobody else's. */
	open_vm(&next);
	expect("its memory again", give(&next, memory, 7, LEND), -EADDRINUSE);
	close_vm(&next);
	/* The resource manager comes to its senses: the next try by the clock takes all back. */
	door(INJECT_CLEAR, NULL);
	if (!quiet(pins))
		wrong("%ld pages stay pinned", pinned() - pins);
	expect("a line in the log", logged("taken back from quarantine"), 1);
	expect("given back", (unsigned char)memory[DTB_OFFSET], 0);
	close_vm(&vm);
	patience(60000, 60000, 10000);
}

/* A process that waits in close for a reset that does not come can be killed. */
static void killed_in_close(void)
{
	struct rule silent_reset = { INJECT_KIND_REQUEST, GH_RM_VM_RESET, INJECT_HOLD, 0 };
	struct rule no_news = { INJECT_KIND_NOTIFICATION, GH_RM_NOTIFY_VM_STATUS, INJECT_HOLD, 0 };
	long pins = pinned();
	int ready[2];
	struct vm vm;
	pid_t child;
	char byte;

	need_door();
	patience(60000, 60000, 100);
	expect("pipe", pipe(ready), 0);
	child = fork();
	if (child == 0) {
		if (!start(&vm, &guest_spin, &one))
			_exit(1);
		door(INJECT_CLEAR, NULL);
		arm_more(&silent_reset, 1, 0);
		arm_more(&no_news, 1, 0);
		expect("tell", write(ready[1], "", 1), 1);
		close_vm(&vm);
		_exit(0);
	}
	expect("ready", read(ready[0], &byte, 1), 1);
	usleep(300000);
	expect("it waits", waitpid(child, NULL, WNOHANG), 0);
	kill(child, SIGKILL);
	expect("killed", WTERMSIG(child_status(child)), SIGKILL);
	/* While the driver is still at it. */
	expect("pinned", pinned() - pins, (long)(SIZE / PAGE));
	expect("quarantined_vms", number_of(SYSFS "quarantined_vms"), 0);
	door(INJECT_CLEAR, NULL);
	close(ready[0]);
	close(ready[1]);
	/* What was kept back comes, and the driver goes on; the runner waits for the pages. */
}

/* The word of a VM's end is lost: its vCPUs, all off, know of it all the same. */
static void exit_lost(void)
{
	static const struct rule lost = { INJECT_KIND_NOTIFICATION, GH_RM_NOTIFY_VM_EXITED,
					  INJECT_DROP, 0 };
	uint64_t number;
	struct vm vm;

	need_door();
	if (start(&vm, &guest_reset, &one)) {
		number = arm(&lost, 1);
		expect_end(&vm, 0, GH_RM_EXIT_PSCI_SYSTEM_RESET);
		expect("VM_EXITED", hit(number), GH_RM_NOTIFY_VM_EXITED);
	}
	close_vm(&vm);
	if (start(&vm, &guest_mmio, &one)) {
		number = arm(&lost, 1);
		mmio_talk(&vm);
		expect_write(&vm, 0, 0x100, 4, 7);
		expect_write(&vm, 0, 0x100, 4, 8);
		expect_write(&vm, 0, 0x104, 2, 8);
		expect_end(&vm, 0, GH_RM_EXIT_PSCI_SYSTEM_OFF);
		expect("VM_EXITED", hit(number), GH_RM_NOTIFY_VM_EXITED);
	}
	door(INJECT_CLEAR, NULL);
	close_vm(&vm);
}

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
	expect("START", life(LEND, false), 0);
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
	{ "fault answers too long", long_answers },
	{ "fault answers wrong", wrong_answers },
	{ "fault answered twice", twice },
	{ "fault refused: memory in pieces", pieces_refused },
	{ "fault quarantined", quarantined },
	{ "fault killed in close", killed_in_close },
	{ "fault notifications lost", news_lost },
	{ "fault notifications late", news_late },
	{ "fault notifications cut", news_cut },
	{ "fault notifications twice", news_twice },
	{ "fault the end of a VM not told", exit_lost },
	{ "fault vCPU refused", vcpu_refused },
	{ "fault vCPU in an unknown state", vcpu_unknown_state },
	{ "fault receive refused", receive_refused },
};

int main(int argc, char **argv)
{
	return run_cases(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
