/* SPDX-License-Identifier: GPL-2.0-only */
/* The suites, in the order in which they run. */
#ifndef CONFORMANCE_SUITE_H
#define CONFORMANCE_SUITE_H

void suite_call(void);	   /* conventions, identity, unknown calls */
void suite_msgq(void);	   /* message-queue calls */
void suite_framing(void);  /* packets of the resource manager's protocol */
void suite_message(void);  /* every message: lengths, ids, simple answers */
void suite_life(void);	   /* the state machine of a VM */
void suite_config(void);   /* trees that INIT or START refuse, and what they may hold */
void suite_parcel(void);   /* the checks of memory messages, in their order */
void suite_memory(void);   /* what lending and sharing do to the owner */
void suite_doorbell(void); /* doorbell calls */
void suite_vcpu(void);	   /* vcpu_run */
void suite_guest(void);	   /* what a guest sees: MMIO, system registers, interrupts, timer */
void suite_psci(void);	   /* PSCI of guests, and how VMs end */
void suite_link(void);	   /* what the guest's tree becomes, and a guest's own link */
void suite_fault(void);	   /* what ends upstream's resource manager */
void suite_peer(void);	   /* two guests, and what a guest asks of the resource manager */
void suite_late(void);	   /* memory that a guest takes and gives back while it runs */
void suite_gic(void);	 /* the primary's interrupts, nested deeper than there are list registers */
void suite_many(void);	 /* as many VMs and vCPUs as there can be */
void suite_inject(void); /* fault injection, where it exists */
void suite_panic(void);	 /* ends a hypervisor that is built for tests */
void suite_rtc(void);	 /* a guest's clock and its time base */
void suite_storm(void);	 /* a million hostile operations */

#endif
