// SPDX-License-Identifier: GPL-2.0-only
/* The table: lines in the order in which they came, names for numbers, and the counts at its end. */
#include <linux/list.h>
#include <linux/printk.h>
#include <linux/slab.h>

#include "api/gunyah/abi.h"
#include "report.h"

enum verdict { OK, DIFFERENT, SKIPPED };

struct row {
	struct list_head node;
	const char *suite;
	enum verdict verdict;
	char *name, *want, *got;
};

static LIST_HEAD(rows);
bool report_lenient;
static const char *current_suite = "";
static unsigned int counts[3];

static const char *const verdicts[] = { "ok", "DIFFERENT", "skipped" };

void suite(const char *name)
{
	current_suite = name;
}

const char *say(const char *fmt, ...)
{
	static char texts[16][160];
	static unsigned int next;
	char *text = texts[next++ % ARRAY_SIZE(texts)];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(texts[0]), fmt, args);
	va_end(args);
	return text;
}

static bool row(enum verdict verdict, const char *name, const char *want, const char *got)
{
	struct row *r = kzalloc(sizeof(*r), GFP_KERNEL | __GFP_NOFAIL);

	r->suite = current_suite;
	r->verdict = verdict;
	r->name = kstrdup(name, GFP_KERNEL | __GFP_NOFAIL);
	r->want = kstrdup(want, GFP_KERNEL | __GFP_NOFAIL);
	r->got = kstrdup(got, GFP_KERNEL | __GFP_NOFAIL);
	list_add_tail(&r->node, &rows);
	counts[verdict]++;
	pr_info("conformance: %s: %s: expected %s, got %s: %s\n", r->suite, name, want, got,
		verdicts[verdict]);
	return verdict == OK;
}

/* --- Names --- */

struct name {
	s64 value;
	const char *text;
};

#define HYP(error)                       \
	{                                \
		GH_ERROR_##error, #error \
	}
static const struct name hyp_names[] = {
	HYP(OK),
	HYP(UNIMPLEMENTED),
	HYP(RETRY),
	HYP(ARG_INVALID),
	HYP(ARG_SIZE),
	HYP(ARG_ALIGN),
	HYP(NOMEM),
	HYP(NORESOURCES),
	HYP(ADDR_OVFL),
	HYP(ADDR_INVALID),
	HYP(DENIED),
	HYP(BUSY),
	HYP(IDLE),
	HYP(OBJECT_STATE),
	HYP(OBJECT_CONFIG),
	HYP(OBJECT_CONFIGURED),
	HYP(FAILURE),
	HYP(IRQ_BOUND),
	HYP(IRQ_UNBOUND),
	HYP(CSPACE_CAP_NULL),
	HYP(CSPACE_CAP_REVOKED),
	HYP(CSPACE_WRONG_OBJ_TYPE),
	HYP(CSPACE_INSUF_RIGHTS),
	HYP(MSGQ_EMPTY),
	HYP(MSGQ_FULL),
};

#define RM(error)                                 \
	{                                         \
		(u32) GH_RM_ERROR_##error, #error \
	}
static const struct name rm_names[] = {
	{ GH_RM_OK, "OK" },
	RM(UNIMPLEMENTED),
	RM(NOMEM),
	RM(NORESOURCE),
	RM(DENIED),
	RM(INVALID),
	RM(BUSY),
	RM(ARGUMENT_INVALID),
	RM(HANDLE_INVALID),
	RM(VALIDATE_FAILED),
	RM(MAP_FAILED),
	RM(MEM_INVALID),
	RM(MEM_INUSE),
	RM(MEM_RELEASED),
	RM(VMID_INVALID),
	RM(LOOKUP_FAILED),
	RM(IRQ_INVALID),
	RM(IRQ_INUSE),
	RM(IRQ_RELEASED),
	RM(IN_USE),
	RM(IRQ_NOT_MAPPED),
	RM(VM_STATE),
	{ RM_SILENT, "no reply" },
};

static const struct name vm_names[] = {
	{ GH_RM_VM_NONE, "none" },	     { GH_RM_VM_STATE_INIT, "INIT" },
	{ GH_RM_VM_STATE_READY, "READY" },   { GH_RM_VM_STATE_RUNNING, "RUNNING" },
	{ GH_RM_VM_STATE_PAUSED, "PAUSED" }, { GH_RM_VM_STATE_LOAD, "LOAD" },
	{ GH_RM_VM_STATE_AUTH, "AUTH" },     { GH_RM_VM_STATE_INIT_FAILED, "INIT_FAILED" },
	{ GH_RM_VM_STATE_EXITED, "EXITED" }, { GH_RM_VM_STATE_RESETTING, "RESETTING" },
	{ GH_RM_VM_STATE_RESET, "RESET" },
};

static const struct name run_names[] = {
	{ GH_VCPU_READY, "READY" },
	{ GH_VCPU_EXPECTS_WAKEUP, "EXPECTS_WAKEUP" },
	{ GH_VCPU_POWERED_OFF, "POWERED_OFF" },
	{ GH_VCPU_BLOCKED, "BLOCKED" },
	{ GH_VCPU_ADDRSPACE_VMMIO_READ, "VMMIO_READ" },
	{ GH_VCPU_ADDRSPACE_VMMIO_WRITE, "VMMIO_WRITE" },
	{ GH_VCPU_FAULT, "FAULT" },
	{ GH_VCPU_ADDRSPACE_PAGE_FAULT, "PAGE_FAULT" },
	{ GH_VCPU_PSCI_SYSTEM_RESET, "PSCI_SYSTEM_RESET" },
	{ 0x1000, "command done" },
	{ 0x1001, "nothing in time" },
	{ 0x1002, "error of vcpu_run" },
};

#define NAME_OF(names, value) name_of(names, ARRAY_SIZE(names), value)

static const char *name_of(const struct name *names, size_t count, s64 value)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (names[i].value == value)
			return say("%s (%#llx)", names[i].text, value);
	return say("%#llx", value);
}

const char *rm_name(u32 error)
{
	return NAME_OF(rm_names, error);
}

const char *hyp_name(s64 error)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(hyp_names); i++)
		if (hyp_names[i].value == error)
			return say("%s (%lld)", hyp_names[i].text, error);
	return say("%lld", error);
}

/* --- Checks --- */

bool expect(const char *what, u64 want, u64 got)
{
	return row(want == got ? OK : DIFFERENT, what, say("%#llx", want), say("%#llx", got));
}

bool expect_hyp(const char *what, s64 want, s64 got)
{
	return row(want == got ? OK : DIFFERENT, what, hyp_name(want), hyp_name(got));
}

bool expect_rm(const char *what, u32 want, u32 got)
{
	return row(want == got ? OK : DIFFERENT, what, rm_name(want), rm_name(got));
}

bool expect_vm_state(const char *what, u32 want, u32 got)
{
	return row(want == got ? OK : DIFFERENT, what, NAME_OF(vm_names, want),
		   NAME_OF(vm_names, got));
}

bool expect_run(const char *what, u64 want, u64 got)
{
	return row(want == got ? OK : DIFFERENT, what, NAME_OF(run_names, want),
		   NAME_OF(run_names, got));
}

bool expect_text(const char *what, const char *want, const char *got)
{
	return row(strcmp(want, got) ? DIFFERENT : OK, what, want, got);
}

bool expect_either(const char *what, u64 want, u64 other, u64 got)
{
	return row(want == got || other == got ? OK : DIFFERENT, what,
		   say("%#llx or %#llx", want, other), say("%#llx", got));
}

bool expect_no_cap(const char *what, s64 got)
{
	return row(got == GH_ERROR_CSPACE_CAP_NULL || got == GH_ERROR_ARG_INVALID ? OK : DIFFERENT,
		   what, "CSPACE_CAP_NULL (50) or ARG_INVALID (1)", hyp_name(got));
}

bool expect_rm_either(const char *what, u32 want, u32 other, u32 got)
{
	return row(want == got || other == got ? OK : DIFFERENT, what,
		   say("%s or %s", rm_name(want), rm_name(other)), rm_name(got));
}

static bool row_but(const char *what, const char *want, const char *got, bool known,
		    const char *why)
{
	if (known && report_lenient)
		return row(SKIPPED, what, want, say("%s: %s", got, why));
	return row(strcmp(want, got) ? DIFFERENT : OK, what, want, got);
}

bool expect_but(const char *what, u64 want, u64 got, u64 fault, const char *why)
{
	return row_but(what, say("%#llx", want), say("%#llx", got), got == fault, why);
}

bool expect_hyp_but(const char *what, s64 want, s64 got, s64 fault, const char *why)
{
	return row_but(what, hyp_name(want), hyp_name(got), got == fault, why);
}

bool expect_rm_but(const char *what, u32 want, u32 got, u32 fault, const char *why)
{
	return row_but(what, rm_name(want), rm_name(got), got == fault, why);
}

bool expect_text_but(const char *what, const char *want, const char *got, const char *fault,
		     const char *why)
{
	return row_but(what, want, got, !strcmp(got, fault), why);
}

void skip(const char *what, const char *why)
{
	row(SKIPPED, what, "-", why);
}

bool need(const char *what, bool worked)
{
	if (!worked)
		row(DIFFERENT, what, "to work", "it did not");
	return worked;
}

/* --- The table --- */

void report_show(struct seq_file *out)
{
	struct row *r;

	list_for_each_entry(r, &rows, node)
		seq_printf(out, "%-9s | %-9s | %-58s | %-34s | %s\n", verdicts[r->verdict],
			   r->suite, r->name, r->want, r->got);
	seq_printf(out, "%u passed, %u failed, %u skipped\n", counts[OK], counts[DIFFERENT],
		   counts[SKIPPED]);
}

void report_free(void)
{
	struct row *r, *next;

	list_for_each_entry_safe(r, next, &rows, node) {
		list_del(&r->node);
		kfree(r->name);
		kfree(r->want);
		kfree(r->got);
		kfree(r);
	}
}
