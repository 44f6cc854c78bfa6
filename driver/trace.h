/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints of the driver: messages of the queues and of the resource manager, memory on its way,
 * VM states, vCPUs.
 *
 * Read over and over by the kernel's tracing headers, which make code of it.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM gunyah

#if !defined(GH_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define GH_TRACE_H

#include <linux/tracepoint.h>

#include "compat.h"
#include "rm_codec.h"

/* clang-format off */
TRACE_EVENT(gunyah_msgq_send,
	TP_PROTO(size_t size, bool push, s64 error),
	TP_ARGS(size, push, error),
	TP_STRUCT__entry(
		__field(size_t, size)
		__field(bool, push)
		__field(s64, error)
	),
	TP_fast_assign(
		__entry->size = size;
		__entry->push = push;
		__entry->error = error;
	),
	TP_printk("size=%zu push=%d error=%lld", __entry->size, __entry->push, __entry->error)
);

TRACE_EVENT(gunyah_msgq_receive,
	TP_PROTO(size_t size, bool more),
	TP_ARGS(size, more),
	TP_STRUCT__entry(
		__field(size_t, size)
		__field(bool, more)
	),
	TP_fast_assign(
		__entry->size = size;
		__entry->more = more;
	),
	TP_printk("size=%zu more=%d", __entry->size, __entry->more)
);

TRACE_EVENT(gunyah_rm_send,
	TP_PROTO(const struct gh_rm_frame *frame, unsigned int packets, int ret),
	TP_ARGS(frame, packets, ret),
	TP_STRUCT__entry(
		__field(u32, id)
		__field(u16, seq)
		__field(size_t, size)
		__field(unsigned int, packets)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->id = frame->id;
		__entry->seq = frame->seq;
		__entry->size = frame->size;
		__entry->packets = packets;
		__entry->ret = ret;
	),
	TP_printk("id=%#x seq=%u size=%zu packets=%u ret=%d", __entry->id, __entry->seq,
		  __entry->size, __entry->packets, __entry->ret)
);

TRACE_EVENT(gunyah_rm_receive,
	TP_PROTO(const struct gh_rm_assembly *rx),
	TP_ARGS(rx),
	TP_STRUCT__entry(
		__field(u32, id)
		__field(u16, seq)
		__field(u8, type)
		__field(size_t, size)
		__field(unsigned int, packets)
	),
	TP_fast_assign(
		__entry->id = rx->id;
		__entry->seq = rx->seq;
		__entry->type = rx->type;
		__entry->size = rx->size;
		__entry->packets = rx->fragments + 1;
	),
	TP_printk("%s id=%#x seq=%u size=%zu packets=%u",
		  __entry->type == GH_RM_TYPE_REPLY ? "reply" : "notification", __entry->id,
		  __entry->seq, __entry->size, __entry->packets)
);

TRACE_EVENT(gunyah_mem,
	TP_PROTO(u16 vmid, const struct gh_parcel *parcel, const char *step, int ret),
	TP_ARGS(vmid, parcel, step, ret),
	TP_STRUCT__entry(
		__field(u16, vmid)
		__field(u32, label)
		__field(u32, handle)
		__field(size_t, ranges)
		__string(step, step)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->vmid = vmid;
		__entry->label = parcel->label;
		__entry->handle = parcel->handle;
		__entry->ranges = parcel->range_count;
		gh_assign_str(step, step);
		__entry->ret = ret;
	),
	TP_printk("vmid=%u label=%u %s handle=%#x ranges=%zu ret=%d", __entry->vmid,
		  __entry->label, __get_str(step), __entry->handle, __entry->ranges, __entry->ret)
);

TRACE_EVENT(gunyah_vm_state,
	TP_PROTO(u16 vmid, unsigned int state),
	TP_ARGS(vmid, state),
	TP_STRUCT__entry(
		__field(u16, vmid)
		__field(unsigned int, state)
	),
	TP_fast_assign(
		__entry->vmid = vmid;
		__entry->state = state;
	),
	TP_printk("vmid=%u state=%u", __entry->vmid, __entry->state)
);

TRACE_EVENT(gunyah_vcpu_run,
	TP_PROTO(u16 vmid, u32 id, u64 resume0, u64 resume1),
	TP_ARGS(vmid, id, resume0, resume1),
	TP_STRUCT__entry(
		__field(u16, vmid)
		__field(u32, id)
		__field(u64, resume0)
		__field(u64, resume1)
	),
	TP_fast_assign(
		__entry->vmid = vmid;
		__entry->id = id;
		__entry->resume0 = resume0;
		__entry->resume1 = resume1;
	),
	TP_printk("vmid=%u vcpu=%u resume=%#llx,%#llx", __entry->vmid, __entry->id,
		  __entry->resume0, __entry->resume1)
);

TRACE_EVENT(gunyah_vcpu_exit,
	TP_PROTO(u16 vmid, u32 id, s64 error, u64 state, const u64 *data),
	TP_ARGS(vmid, id, error, state, data),
	TP_STRUCT__entry(
		__field(u16, vmid)
		__field(u32, id)
		__field(s64, error)
		__field(u64, state)
		__array(u64, data, 3)
	),
	TP_fast_assign(
		__entry->vmid = vmid;
		__entry->id = id;
		__entry->error = error;
		__entry->state = state;
		memcpy(__entry->data, data, sizeof(__entry->data));
	),
	TP_printk("vmid=%u vcpu=%u error=%lld state=%llu data=%#llx,%#llx,%#llx", __entry->vmid,
		  __entry->id, __entry->error, __entry->state, __entry->data[0], __entry->data[1],
		  __entry->data[2])
);
/* clang-format on */

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
