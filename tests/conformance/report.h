/* SPDX-License-Identifier: GPL-2.0-only */
/* The table of what was expected and what came: one line for each check, one suite at a time. */
#ifndef CONFORMANCE_REPORT_H
#define CONFORMANCE_REPORT_H

#include <linux/seq_file.h>
#include <linux/types.h>

/* What stands in place of an RM error when no reply came. */
#define RM_SILENT 0xdead0000u

/* The lines that follow belong to this suite. */
void suite(const char *name);

/* A text that lives until a few more have been made. */
__printf(1, 2) const char *say(const char *fmt, ...);

/* Each of these is one line; true when it is as expected. */
bool expect(const char *what, u64 want, u64 got);
bool expect_hyp(const char *what, s64 want, s64 got);	   /* hypervisor errors */
bool expect_rm(const char *what, u32 want, u32 got);	   /* errors of the resource manager */
bool expect_vm_state(const char *what, u32 want, u32 got); /* states of a VM */
bool expect_run(const char *what, u64 want, u64 got);	   /* states of vcpu_run */
bool expect_text(const char *what, const char *want, const char *got);
/* The document allows both. */
bool expect_either(const char *what, u64 want, u64 other, u64 got);
/*
 * The answer to a number that is no capability: a free one, or, where such numbers are scrambled,
 * one that cannot be.
 */
bool expect_no_cap(const char *what, s64 got);
bool expect_rm_either(const char *what, u32 want, u32 other, u32 got);

/*
 * As expect; but where the hypervisor is not one that claims to do better (report_lenient), the
 * fault that upstream is known for counts as skipped, with the reason.
 */
bool expect_but(const char *what, u64 want, u64 got, u64 fault, const char *why);
bool expect_hyp_but(const char *what, s64 want, s64 got, s64 fault, const char *why);
bool expect_rm_but(const char *what, u32 want, u32 got, u32 fault, const char *why);
bool expect_text_but(const char *what, const char *want, const char *got, const char *fault,
		     const char *why);
extern bool report_lenient;

void skip(const char *what, const char *why);

/* A line only if something that the following checks stand on did not work. */
bool need(const char *what, bool worked);

/* The text of an RM error, a hypervisor's error. */
const char *rm_name(u32 error);
const char *hyp_name(s64 error);

void report_show(struct seq_file *out);
void report_free(void);

#endif
