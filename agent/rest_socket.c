// SPDX-License-Identifier: Apache-2.0
// One WebSocket: its bytes in and out, its calls, and its end.

#include "agent/rest_socket.h"

#include <assert.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <wslay/wslay.h>

#include "agent/fault.h"
#include "agent/message.h"
#include "agent/transcode.h"
#include "agent/transcode_text.h"
#include "croft/v1/vm.pb-c.h"

#define TYPE_MAX 4096u	/* bytes of one WriteConsole */
#define TURN_MAX 262144 /* bytes read from one socket before the others have their turn */

/* --- Goodbye --- */

void socket_goodbye(struct wsocket *w, unsigned int code, const char *reason)
{
	if (w->goodbye)
		return;
	w->goodbye = (uint16_t)code;
	snprintf(w->reason, sizeof(w->reason), "%.123s", reason);
	text_make_utf8(w->reason);
	w->input_size = 0;
}

void socket_drop(struct wsocket *w)
{
	struct rest *rest = w->sockets->rest;

	if (w->fd < 0)
		return;
	epoll_ctl(w->sockets->epoll, EPOLL_CTL_DEL, w->fd, NULL);
	w->fd = -1;
	MHD_upgrade_action(w->handle, MHD_UPGRADE_ACTION_CLOSE);
	atomic_fetch_sub(&w->listener->streams, 1);
	if (w->stream_posted)
		service_cancel(rest->service, w->stream);
	if (w->typing)
		service_cancel(rest->service, w->typing);
}

void socket_give_up_stream(struct wsocket *w)
{
	struct call *stream = TAKE_PTR(w->stream);

	assert(!w->stream_posted);
	if (stream && stream->more)
		service_abandon(w->sockets->rest->service, stream);
	else
		call_free(stream);
}

void socket_discard(struct wsocket *w)
{
	if (!w)
		return;
	if (w->ws)
		wslay_event_context_free(w->ws);
	free(w->input);
	free(w->early);
	free(w);
}

/* --- Bytes in --- */

static bool may_read(const struct wsocket *w)
{
	return w->input_size < SOCKET_INPUT_MAX &&
	       wslay_event_get_queued_msg_count(w->ws) < SOCKET_QUEUE_MAX;
}

static ssize_t take_early(struct wsocket *w, uint8_t *buf, size_t len)
{
	size_t n = w->early_size - w->early_read;

	if (n > len)
		n = len;
	if (n)
		memcpy(buf, w->early + w->early_read, n);
	w->early_read += n;
	return (ssize_t)n;
}

static ssize_t on_recv(wslay_event_context_ptr ws, uint8_t *buf, size_t len, int flags, void *data)
{
	struct wsocket *w = data;
	ssize_t n;

	(void)flags;
	if (!may_read(w) || w->turn >= TURN_MAX) {
		wslay_event_set_error(ws, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	n = take_early(w, buf, len);
	if (!n)
		n = recv(w->fd, buf, len, MSG_DONTWAIT);
	if (n <= 0) {
		bool later = n < 0 && (errno == EAGAIN || errno == EINTR);

		wslay_event_set_error(ws,
				      later ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
		return -1;
	}
	w->turn += (size_t)n;
	w->pinged_ns = 0;
	return n;
}

/* {"columns": 120, "rows": 40}: what is left out stays as it was. */
static void take_size(struct wsocket *w, const struct wslay_event_on_msg_recv_arg *arg)
{
	ProtobufCMessage *message = NULL;
	const Croft__V1__AttachConsoleRequest *size;
	struct error error;

	if (transcode_parse(&message, &croft__v1__attach_console_request__descriptor,
			    (const char *)arg->msg, arg->msg_length, &error) < 0) {
		char why[FAULT_DETAIL_MAX];

		fault_detail(why, sizeof(why), &error);
		socket_goodbye(w, WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA, why);
		return;
	}
	size = (const void *)message;
	if (size->name[0] || size->offset || size->tail_bytes || size->write || size->data.len ||
	    size->port[0])
		socket_goodbye(w, WSLAY_CODE_POLICY_VIOLATION,
			       "a text has only columns and rows; what is typed is binary");
	w->columns = size->columns ? size->columns : w->columns;
	w->rows = size->rows ? size->rows : w->rows;
	message_free(message);
}

/* A whole message; control frames are wslay's own business. */
static void on_message(wslay_event_context_ptr ws, const struct wslay_event_on_msg_recv_arg *arg,
		       void *data)
{
	struct wsocket *w = data;
	uint8_t *input;

	(void)ws;
	if (wslay_is_ctrl_frame(arg->opcode) || w->goodbye || !arg->msg_length)
		return;
	if (!w->writes) {
		socket_goodbye(w, WSLAY_CODE_POLICY_VIOLATION,
			       "attached for reading only; typing needs ?write=true");
		return;
	}
	if (arg->opcode == WSLAY_TEXT_FRAME && w->terminal) {
		take_size(w, arg);
		return;
	}
	input = realloc(w->input, w->input_size + arg->msg_length);
	if (!input) {
		socket_goodbye(w, WSLAY_CODE_INTERNAL_SERVER_ERROR, "out of memory");
		return;
	}
	memcpy(input + w->input_size, arg->msg, arg->msg_length);
	w->input = input;
	w->input_size += arg->msg_length;
}

/* --- Bytes out --- */

static ssize_t on_send(wslay_event_context_ptr ws, const uint8_t *bytes, size_t len, int flags,
		       void *data)
{
	struct wsocket *w = data;
	ssize_t n = send(w->fd, bytes, len,
			 MSG_DONTWAIT | MSG_NOSIGNAL | (flags & WSLAY_MSG_MORE ? MSG_MORE : 0));

	if (n < 0) {
		bool later = errno == EAGAIN || errno == EINTR;

		wslay_event_set_error(ws,
				      later ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
		return -1;
	}
	w->moved_ns = clock_ns();
	return n;
}

static int queue(struct wsocket *w, uint8_t opcode, const ProtobufCBinaryData *data)
{
	struct wslay_event_msg message = { .opcode = opcode };

	if (data) {
		message.msg = data->data;
		message.msg_length = data->len;
	}
	if (!wslay_event_want_write(w->ws))
		w->moved_ns = clock_ns();
	return wslay_event_queue_msg(w->ws, &message);
}

static int ping(struct wsocket *w)
{
	if (!w->pinged_ns)
		w->pinged_ns = clock_ns();
	return queue(w, WSLAY_PING, NULL);
}

/* --- Calls --- */

static void post_stream(struct wsocket *w)
{
	w->stream_posted = true;
	w->stream->done = sockets_stream_done;
	w->stream->data = w;
	service_post(w->sockets->rest->service, w->stream);
}

/* Why a stream has ended, to the client. */
static void end_of_stream(struct wsocket *w)
{
	const struct error *error = &w->stream->error;

	if (!error->code)
		socket_goodbye(w, WSLAY_CODE_NORMAL_CLOSURE, "the VM has ended");
	else if (error->code == ERROR_UNAVAILABLE)
		socket_goodbye(w, WSLAY_CODE_GOING_AWAY, error->message);
	else if (error->code == ERROR_PERMISSION_DENIED || error->code == ERROR_CONFLICT)
		socket_goodbye(w, WSLAY_CODE_POLICY_VIOLATION, error->message);
	else
		socket_goodbye(w, WSLAY_CODE_INTERNAL_SERVER_ERROR, error->message);
}

void socket_take_stream(struct wsocket *w)
{
	const Croft__V1__ReadConsoleResponse *reply = (const void *)w->stream->reply;
	int rc = 0;

	w->stream_posted = false;
	if (w->fd < 0 || w->goodbye || w->leaving)
		return;
	if (reply && reply->data.len)
		rc = queue(w, WSLAY_BINARY_FRAME, &reply->data);
	else if (!reply && w->stream->more)
		rc = ping(w);
	if (rc)
		socket_goodbye(w, WSLAY_CODE_INTERNAL_SERVER_ERROR, "out of memory");
	else if (!w->stream->more)
		end_of_stream(w);
}

void socket_take_typing(struct wsocket *w)
{
	struct call *call = TAKE_PTR(w->typing);
	const Croft__V1__WriteConsoleResponse *reply = (const void *)call->reply;
	size_t n = reply ? reply->accepted_bytes : 0;

	if (w->goodbye || w->fd < 0) {
		call_free(call);
		return;
	}
	if (call->error.code == ERROR_CONFLICT) {
		/* The VM ends: what was typed goes nowhere, and the stream tells. */
		w->input_size = 0;
	} else if (call->error.code == ERROR_INVALID_ARGUMENT) {
		socket_goodbye(w, WSLAY_CODE_POLICY_VIOLATION, call->error.message);
	} else if (call->error.code) {
		socket_goodbye(w, WSLAY_CODE_INTERNAL_SERVER_ERROR, call->error.message);
	} else {
		assert(n <= w->input_size);
		if (n)
			memmove(w->input, w->input + n, w->input_size - n);
		w->input_size -= n;
	}
	call_free(call);
}

/* A WriteConsole of the first n typed bytes and the terminal's size; NULL without memory. */
static struct call *write_call(const struct wsocket *w, size_t n)
{
	const Croft__V1__AttachConsoleRequest *attach = (const void *)w->stream->request;
	struct call *call = calloc(1, sizeof(*call));
	Croft__V1__WriteConsoleRequest *request;

	if (call)
		call->request = message_new(w->sockets->write->request);
	if (!call || !call->request || transcode_set(call->request, "name", attach->name, NULL) ||
	    transcode_set(call->request, "port", attach->port, NULL) ||
	    (n && transcode_set_bytes(call->request, "data", w->input, n, NULL)))
		return call_free(call);
	request = (void *)call->request;
	request->columns = w->columns;
	request->rows = w->rows;
	return call;
}

static void post_typing(struct wsocket *w)
{
	struct call *call;
	size_t n = w->input_size < TYPE_MAX ? w->input_size : TYPE_MAX;

	if ((!w->input_size && !w->columns && !w->rows) || w->typing || w->goodbye)
		return;
	call = write_call(w, n);
	if (!call) {
		socket_goodbye(w, WSLAY_CODE_INTERNAL_SERVER_ERROR, "out of memory");
		return;
	}
	w->columns = w->rows = 0;
	call->method = w->sockets->write;
	call->who = w->stream->who;
	call->session = w->stream->session;
	call->done = sockets_typing_done;
	call->data = w;
	w->typing = call;
	service_post(w->sockets->rest->service, call);
}

/* --- A turn of one socket --- */

static void watch_for(struct wsocket *w, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = w };

	if (events == w->watched)
		return;
	if (epoll_ctl(w->sockets->epoll, EPOLL_CTL_MOD, w->fd, &event))
		socket_drop(w);
	w->watched = events;
}

/*
 * Both have said what they had to. Our side is shut first and the rest of theirs is read: a socket that is closed with
 * bytes unread in it resets the connection, and the client may lose our last frame.
 */
static void linger(struct wsocket *w)
{
	uint8_t bytes[16384];
	ssize_t n;

	if (!w->lingering) {
		w->lingering = true;
		shutdown(w->fd, SHUT_WR);
		w->leave_ns = clock_ns() + SOCKET_CLOSE_SECONDS * SECOND_NS;
	}
	n = recv(w->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		socket_drop(w);
	else
		watch_for(w, EPOLLIN);
}

static void check_patience(struct wsocket *w, uint64_t now)
{
	if ((w->leave_ns && now >= w->leave_ns) ||
	    (wslay_event_want_write(w->ws) &&
	     now - w->moved_ns > SOCKET_STALL_SECONDS * SECOND_NS) ||
	    (w->pinged_ns && may_read(w) && now - w->pinged_ns > SOCKET_DEAF_SECONDS * SECOND_NS))
		socket_drop(w);
}

/*
 * The client closes: what it has typed is handed on, and its call has ended, before it hears of our close. What it asks for
 * next, by another connection, then finds the pen free.
 */
static bool has_let_go(struct wsocket *w)
{
	char byte;

	if (!w->leaving) {
		w->leaving = true;
		w->leave_ns = clock_ns() + SOCKET_CLOSE_SECONDS * SECOND_NS;
	}
	if (w->typing || w->input_size) {
		/* Nothing is watched meanwhile, and a connection that is no more would be told of again and again. */
		if (recv(w->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno != EAGAIN &&
		    errno != EINTR)
			socket_drop(w);
		return false;
	}
	if (w->stream_posted) {
		service_cancel(w->sockets->rest->service, w->stream);
		return false;
	}
	socket_give_up_stream(w);
	return true;
}

static void turn(struct wsocket *w)
{
	w->turn = 0;
	if (w->lingering) {
		linger(w);
		return;
	}
	/* At a wrong frame wslay gives up reading, and has a close frame to send. */
	if (wslay_event_want_read(w->ws) && wslay_event_recv(w->ws) && w->lost) {
		socket_drop(w);
		return;
	}
	post_typing(w);
	if (wslay_event_get_close_received(w->ws) && !has_let_go(w)) {
		if (w->fd >= 0)
			watch_for(w, 0);
		return;
	}
	if (w->goodbye && !w->said && !wslay_event_want_write(w->ws)) {
		w->said = true;
		w->leave_ns = clock_ns() + SOCKET_CLOSE_SECONDS * SECOND_NS;
		wslay_event_queue_close(w->ws, w->goodbye, (const uint8_t *)w->reason,
					strlen(w->reason));
	}
	if (wslay_event_want_write(w->ws) && wslay_event_send(w->ws)) {
		socket_drop(w);
		return;
	}
	if (!wslay_event_want_write(w->ws) && !wslay_event_want_read(w->ws)) {
		linger(w);
		return;
	}
	/* All is sent, so there is room for more. */
	if (!wslay_event_want_write(w->ws) && !w->goodbye && !w->stream_posted && w->stream &&
	    w->stream->more)
		post_stream(w);
	watch_for(w, (wslay_event_want_read(w->ws) && may_read(w) ? EPOLLIN : 0) |
			     (wslay_event_want_write(w->ws) ? EPOLLOUT : 0));
}

/* As long as something moves: a close frame waits until all else is sent, and then is to be sent itself. */
void socket_run(struct wsocket *w)
{
	if (w->fd >= 0)
		turn(w);
	if (w->fd >= 0 && w->goodbye && !w->said && !wslay_event_want_write(w->ws))
		turn(w);
	if (w->fd >= 0)
		check_patience(w, clock_ns());
}

struct wsocket *socket_new(struct request *r, const struct upgraded *up)
{
	static const struct wslay_event_callbacks callbacks = {
		.recv_callback = on_recv,
		.send_callback = on_send,
		.on_msg_recv_callback = on_message,
	};
	struct wsocket *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->early = malloc(up->early_size + 1);
	if (!w->early || wslay_event_context_server_init(&w->ws, &callbacks, w)) {
		socket_discard(w);
		return NULL;
	}
	wslay_event_config_set_max_recv_msg_length(w->ws, SOCKET_MESSAGE_MAX);
	if (up->early_size)
		memcpy(w->early, up->early, up->early_size);
	w->early_size = up->early_size;
	w->handle = up->handle;
	w->fd = up->fd;
	w->sockets = r->rest->sockets;
	w->listener = r->link->listener;
	return w;
}
