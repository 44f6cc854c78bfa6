// SPDX-License-Identifier: Apache-2.0
// The peer of the gRPC door: gRPC core alone, which answers every call with the same message. Usage: bare_grpc ADDRESS FILE

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define REPLY_MAX 65536u

/* One call. Each batch has a tag of its own: the address of the step. */
struct call {
	grpc_call *call;
	grpc_call_details details;
	grpc_metadata_array metadata;
	grpc_byte_buffer *request;
	int cancelled;
	unsigned int batches; /* that have not ended */
	enum step { STEP_ACCEPTED, STEP_READ, STEP_DONE } accepted, read, done;
};

struct server {
	grpc_server *server;
	grpc_completion_queue *queue;
	grpc_slice reply;
};

static volatile sig_atomic_t ending;

static void on_end(int signal)
{
	(void)signal;
	ending = 1;
}

static void call_accept(struct server *s)
{
	struct call *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	c->accepted = STEP_ACCEPTED;
	c->read = STEP_READ;
	c->done = STEP_DONE;
	grpc_call_details_init(&c->details);
	grpc_metadata_array_init(&c->metadata);
	grpc_server_request_call(s->server, &c->call, &c->details, &c->metadata, s->queue, s->queue,
				 &c->accepted);
}

static void call_free(struct call *c)
{
	if (c->request)
		grpc_byte_buffer_destroy(c->request);
	grpc_metadata_array_destroy(&c->metadata);
	grpc_call_details_destroy(&c->details);
	if (c->call)
		grpc_call_unref(c->call);
	free(c);
}

static void call_read(struct call *c)
{
	grpc_op read = { .op = GRPC_OP_RECV_MESSAGE,
			 .data.recv_message.recv_message = &c->request };
	grpc_op close = { .op = GRPC_OP_RECV_CLOSE_ON_SERVER,
			  .data.recv_close_on_server.cancelled = &c->cancelled };

	c->batches = 2;
	grpc_call_start_batch(c->call, &read, 1, &c->read, NULL);
	grpc_call_start_batch(c->call, &close, 1, &c->done, NULL);
}

static void call_answer(struct server *s, struct call *c)
{
	grpc_byte_buffer *reply = grpc_raw_byte_buffer_create(&s->reply, 1);
	grpc_op ops[3] = {
		{ .op = GRPC_OP_SEND_INITIAL_METADATA },
		{ .op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = reply },
		{ .op = GRPC_OP_SEND_STATUS_FROM_SERVER },
	};

	c->batches++;
	grpc_call_start_batch(c->call, ops, 3, &c->done, NULL);
	grpc_byte_buffer_destroy(reply);
}

static void step(struct server *s, const grpc_event *event)
{
	enum step *which = event->tag;
	struct call *c;

	switch (*which) {
	case STEP_ACCEPTED:
		c = (struct call *)((char *)which - offsetof(struct call, accepted));
		if (!event->success) {
			call_free(c);
			return;
		}
		call_accept(s);
		call_read(c);
		return;
	case STEP_READ:
		c = (struct call *)((char *)which - offsetof(struct call, read));
		call_answer(s, c);
		break;
	default:
		c = (struct call *)((char *)which - offsetof(struct call, done));
		break;
	}
	if (--c->batches == 0)
		call_free(c);
}

static void serve(struct server *s)
{
	gpr_timespec soon;
	grpc_event event;

	call_accept(s);
	while (!ending) {
		soon = gpr_time_add(gpr_now(GPR_CLOCK_REALTIME),
				    gpr_time_from_millis(200, GPR_TIMESPAN));
		event = grpc_completion_queue_next(s->queue, soon, NULL);
		if (event.type == GRPC_OP_COMPLETE)
			step(s, &event);
	}
}

int main(int argc, char **argv)
{
	static char text[REPLY_MAX];
	grpc_server_credentials *plain;
	struct server s;
	FILE *f;

	f = argc == 3 ? fopen(argv[2], "rbe") : NULL;
	if (!f) {
		fputs("usage: bare_grpc ADDRESS FILE\n", stderr);
		return 2;
	}
	signal(SIGTERM, on_end);
	grpc_init();
	s.reply = grpc_slice_from_copied_buffer(text, fread(text, 1, sizeof(text), f));
	fclose(f);
	s.queue = grpc_completion_queue_create_for_next(NULL);
	s.server = grpc_server_create(NULL, NULL);
	grpc_server_register_completion_queue(s.server, s.queue, NULL);
	plain = grpc_insecure_server_credentials_create();
	if (!grpc_server_add_http2_port(s.server, argv[1], plain)) {
		fputs("bare_grpc: the address cannot be listened on\n", stderr);
		return 1;
	}
	grpc_server_credentials_release(plain);
	grpc_server_start(s.server);
	puts("ready");
	fflush(stdout);
	serve(&s);
	/* It is a peer for measuring: the process's end frees what the calls still hold. */
	return 0;
}
