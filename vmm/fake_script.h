/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The language in which the fake backend is told what its guest does.
 *
 * One statement a line; '#' begins a comment. "@N " before a statement makes it vCPU N's; else it
 * is vCPU 0's. Each vCPU runs its own statements in order, then idles. Numbers are as in C. ADDR is
 * a guest address, LEN 1, 2, 4 or 8 bytes.
 *
 *	print "TEXT"		TEXT to the UART, byte by byte; \n \r \t \" \\ \xHH are known
 *	write ADDR LEN VALUE	a store that traps (or signals an ioeventfd)
 *	read ADDR LEN [VALUE]	a load that traps; a result other than VALUE is an error
 *	store ADDR LEN VALUE	a store to guest memory
 *	load ADDR LEN VALUE	a load from guest memory, which must give VALUE
 *	await ADDR LEN VALUE	the same, tried again until it does
 *	wait SPI		until that interrupt was raised
 *	sleep MS		milliseconds
 *	idle			until the VM is stopped
 *	spin			the same, at full speed
 *	key			until the power key is pressed
 *	echo			answers what is typed on the UART, until the power key is pressed
 *	repeat			what follows is repeated until the VM is stopped
 *	poweroff | reset | watchdog | fault | abort | stopped | unloadable | break
 *				ends the VM for this reason; break: a run that fails
 *	fail STEP		of no vCPU: open, load, vcpu, irqfd, ioeventfd or start fails
 */
#ifndef CROFT_VMM_FAKE_SCRIPT_H
#define CROFT_VMM_FAKE_SCRIPT_H

#include "vmm/vmm.h"

enum fake_step {
	FAKE_OPEN,
	FAKE_LOAD,
	FAKE_VCPU,
	FAKE_IRQFD,
	FAKE_IOEVENTFD,
	FAKE_START,
	FAKE_STEPS
};

enum fake_op_kind {
	FAKE_PRINT,
	FAKE_WRITE,
	FAKE_READ,
	FAKE_STORE,
	FAKE_CHECK,
	FAKE_AWAIT,
	FAKE_WAIT,
	FAKE_SLEEP,
	FAKE_IDLE,
	FAKE_SPIN,
	FAKE_KEY,
	FAKE_ECHO,
	FAKE_REPEAT,
	FAKE_END,
	FAKE_BREAK,
};

struct fake_op {
	enum fake_op_kind kind;
	unsigned int line, vcpu, len;
	bool has_value;
	enum vmm_exit_reason reason; /* FAKE_END */
	uint64_t addr, value;	     /* WAIT, SLEEP: value */
	char *text;		     /* PRINT */
	size_t text_size;
};

struct fake_script {
	struct fake_op *ops;
	size_t count;
	bool fail[FAKE_STEPS];
};

/* Errors: INVALID_ARGUMENT with the line, RESOURCE_EXHAUSTED. On failure *script is empty. */
int fake_script_parse(struct fake_script *script, const char *text, struct error *err);
void fake_script_free(struct fake_script *script);

#endif
