// SPDX-License-Identifier: Apache-2.0
// A load for the gRPC door: so many unary calls at once on one channel, for some seconds; prints how many were answered.
//
// Usage: load_grpc ADDRESS METHOD FILE CALLS SECONDS FIRST. FILE holds the request; where it has "n00000000" in it, each call
// gets a number of its own there, from FIRST on.

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_MAX 65536u
#define CALLS_MAX   1024u
#define MARK	    "n00000000"

struct load {
	grpc_channel *channel;
	grpc_completion_queue *queue;
	grpc_slice method;
	char request[REQUEST_MAX];
	size_t size;
	char *mark; /* within request, or NULL */
	unsigned int number, answered, failed;
	grpc_status_code code; /* of the last that failed */
};

struct call {
	grpc_call *call;
	grpc_metadata_array initial, trailing;
	grpc_byte_buffer *reply;
	grpc_status_code status;
	grpc_slice details;
};

static void call_start(struct load *load, struct call *c)
{
	gpr_timespec never = gpr_inf_future(GPR_CLOCK_REALTIME);
	char digits[16];
	grpc_byte_buffer *message;
	grpc_slice slice;

	if (load->mark) {
		snprintf(digits, sizeof(digits), "n%08u", load->number++);
		memcpy(load->mark, digits, strlen(MARK));
	}
	slice = grpc_slice_from_copied_buffer(load->request, load->size);
	message = grpc_raw_byte_buffer_create(&slice, 1);
	grpc_slice_unref(slice);
	c->reply = NULL;
	grpc_metadata_array_init(&c->initial);
	grpc_metadata_array_init(&c->trailing);
	c->call = grpc_channel_create_call(load->channel, NULL, GRPC_PROPAGATE_DEFAULTS,
					   load->queue, load->method, NULL, never, NULL);
	grpc_op ops[] = {
		{ .op = GRPC_OP_SEND_INITIAL_METADATA },
		{ .op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = message },
		{ .op = GRPC_OP_SEND_CLOSE_FROM_CLIENT },
		{ .op = GRPC_OP_RECV_INITIAL_METADATA,
		  .data.recv_initial_metadata.recv_initial_metadata = &c->initial },
		{ .op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &c->reply },
		{ .op = GRPC_OP_RECV_STATUS_ON_CLIENT,
		  .data.recv_status_on_client = { .trailing_metadata = &c->trailing,
						  .status = &c->status,
						  .status_details = &c->details } },
	};

	grpc_call_start_batch(c->call, ops, sizeof(ops) / sizeof(ops[0]), c, NULL);
	grpc_byte_buffer_destroy(message);
}

static void call_end(struct load *load, struct call *c)
{
	if (c->status == GRPC_STATUS_OK) {
		load->answered++;
	} else {
		load->failed++;
		load->code = c->status;
	}
	if (c->reply)
		grpc_byte_buffer_destroy(c->reply);
	grpc_slice_unref(c->details);
	grpc_metadata_array_destroy(&c->initial);
	grpc_metadata_array_destroy(&c->trailing);
	grpc_call_unref(c->call);
}

/* Seconds from the first call to the last answer. */
static double drive(struct load *load, unsigned int calls, int seconds)
{
	static struct call all[CALLS_MAX];
	gpr_timespec begin = gpr_now(GPR_CLOCK_MONOTONIC);
	gpr_timespec end = gpr_time_add(begin, gpr_time_from_seconds(seconds, GPR_TIMESPAN));
	gpr_timespec never = gpr_inf_future(GPR_CLOCK_REALTIME), took;
	unsigned int open = calls;
	struct call *c;

	for (unsigned int i = 0; i < calls; i++)
		call_start(load, &all[i]);
	while (open > 0) {
		c = grpc_completion_queue_next(load->queue, never, NULL).tag;
		call_end(load, c);
		if (gpr_time_cmp(gpr_now(GPR_CLOCK_MONOTONIC), end) < 0)
			call_start(load, c);
		else
			open--;
	}
	took = gpr_time_sub(gpr_now(GPR_CLOCK_MONOTONIC), begin);
	return (double)took.tv_sec + took.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	static struct load load;
	grpc_channel_credentials *plain;
	unsigned int calls;
	double seconds;
	FILE *f;

	f = argc == 7 ? fopen(argv[3], "rbe") : NULL;
	if (!f) {
		fputs("usage: load_grpc ADDRESS METHOD FILE CALLS SECONDS FIRST\n", stderr);
		return 2;
	}
	load.size = fread(load.request, 1, sizeof(load.request), f);
	fclose(f);
	load.mark = memmem(load.request, load.size, MARK, strlen(MARK));
	load.number = (unsigned int)atoi(argv[6]);
	calls = (unsigned int)atoi(argv[4]);
	if (calls < 1 || calls > CALLS_MAX)
		calls = CALLS_MAX;
	grpc_init();
	plain = grpc_insecure_credentials_create();
	load.channel = grpc_channel_create(argv[1], plain, NULL);
	grpc_channel_credentials_release(plain);
	load.queue = grpc_completion_queue_create_for_next(NULL);
	load.method = grpc_slice_from_copied_string(argv[2]);
	seconds = drive(&load, calls, atoi(argv[5]));
	printf("%u %u %d %.6f\n", load.answered, load.failed, (int)load.code, seconds);
	grpc_slice_unref(load.method);
	grpc_channel_destroy(load.channel);
	return load.failed ? 1 : 0;
}
