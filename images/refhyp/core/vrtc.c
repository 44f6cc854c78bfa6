/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The PL031 of a guest (ABI section 4.5, VM_SET_TIME_BASE): its page is mapped nowhere, each access traps. The clock is the
 * system counter plus an offset, so it needs no timer; its alarm is never set and has no interrupt.
 */
#include "core/vrtc.h"

#include "core/arch.h"

#define RTCDR	  0x000u /* seconds */
#define RTCLR	  0x008u /* what was loaded last */
#define RTCCR	  0x00cu
#define RTC_ID	  0xfe0u /* eight identification registers of one byte each */
#define RTC_IDS	  0xb105f00d00041031ull
#define NS_IN_SEC 1000000000u

void vrtc_init(struct vm *vm)
{
	vm->rtc = (struct vrtc){ 0 };
}

/* Without the product of both, which would not fit. */
static uint64_t ticks_of(uint64_t ns)
{
	uint64_t hz = arch_counter_hz();

	return ns / NS_IN_SEC * hz + ns % NS_IN_SEC * hz / NS_IN_SEC;
}

enum gh_error hyp_vm_set_time(struct vm *vm, uint64_t ns, uint64_t counter)
{
	enum gh_error error = GH_ERROR_OK;
	struct vrtc *rtc = &vm->rtc;

	hyp_lock(&vm->lock);
	if (!rtc->exists) {
		error = GH_ERROR_DENIED;
	} else if (rtc->set) {
		error = GH_ERROR_BUSY;
	} else if (counter > arch_counter()) {
		error = GH_ERROR_ARG_INVALID;
	} else {
		rtc->set = true;
		rtc->offset = ticks_of(ns) - counter;
		rtc->loaded = (uint32_t)(ns / NS_IN_SEC);
	}
	hyp_unlock(&vm->lock);
	return error;
}

static uint32_t read_register(const struct vrtc *rtc, unsigned int offset)
{
	if (offset == RTCDR)
		return (uint32_t)((rtc->offset + arch_counter()) / arch_counter_hz());
	if (offset == RTCLR)
		return rtc->loaded;
	if (offset == RTCCR)
		return 1; /* it runs, and cannot be stopped */
	if (offset >= RTC_ID)
		return (uint8_t)(RTC_IDS >> (offset - RTC_ID) * 2);
	return 0;
}

static void write_register(struct vrtc *rtc, unsigned int offset, uint32_t value)
{
	if (offset != RTCLR)
		return;
	rtc->loaded = value;
	rtc->offset = value * arch_counter_hz() - arch_counter();
}

bool vrtc_access(struct vcpu *v, const struct mmio_access *access, uint64_t *value, bool *mine)
{
	struct vm *vm = v->vm;
	uint64_t offset = access->ipa - vm->rtc.base;

	*mine = vm->rtc.exists && offset < HYP_PAGE;
	if (!*mine || access->size != 4 || offset % 4)
		return false;
	hyp_lock(&vm->lock);
	if (access->write)
		write_register(&vm->rtc, (unsigned int)offset, (uint32_t)access->value);
	else
		*value = read_register(&vm->rtc, (unsigned int)offset);
	hyp_unlock(&vm->lock);
	return true;
}
