/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side of vsock without vhost: unix sockets. A program of the host connects to `path`,
 * writes "CONNECT port\n", and reads "OK port\n" when the guest has accepted. A guest that connects
 * to port P of the host reaches whoever listens on "path_P".
 */
#ifndef CROFT_VMM_VSOCK_CONN_H
#define CROFT_VMM_VSOCK_CONN_H

#include <sys/uio.h>

#include "vmm/loop.h"

#define VSOCK_CONNS_MAX 64u
#define VSOCK_BUFFER	65536u /* bytes that a guest may send ahead of a program that reads */
#define VSOCK_PATH_MAX	96u    /* with room for _P and the NUL in a socket's address */

enum vsock_state {
	VSOCK_FREE,
	VSOCK_GREETING, /* a program of the host has yet to say CONNECT */
	VSOCK_ASKED,	/* the guest has yet to accept */
	VSOCK_OPEN,
	VSOCK_CLOSING, /* the guest has been told, and has yet to agree */
};

/* What a connection has to tell the guest, as bits. */
#define VSOCK_TELL_REQUEST  1u
#define VSOCK_TELL_RESPONSE 2u
#define VSOCK_TELL_CREDIT   4u
#define VSOCK_TELL_SHUTDOWN 8u

struct virtio_vsock;

struct vsock_conn {
	struct loop_source source;
	struct virtio_vsock *owner;
	struct loop *loop;
	enum vsock_state state;
	uint32_t host_port, guest_port;
	uint32_t guest_room, guest_took; /* as the guest has said: bytes, running counts */
	uint32_t sent, got, took;	 /* ours: to the guest, from it, to the program */
	uint32_t took_told;
	unsigned int tell;
	bool readable;	  /* there may be something to read, and nobody listens for more */
	bool guest_ended; /* it sends no more */
	bool guest_left;  /* nor receives: over, when the program has what was sent */
	bool ended;	  /* the program sends no more */
	uint8_t *out;	  /* from the guest, for the program; a ring of VSOCK_BUFFER bytes */
	size_t out_start, out_used;
	char line[32]; /* of the greeting, so far */
	size_t line_used;
};

/* Listens at path ("@..." is abstract); an fd, or a negative error. */
int vsock_listen(const char *path, struct error *err);

/* Connects to "path_port"; an fd, or -errno. */
int vsock_connect(const char *path, uint32_t port);

/* Takes a free connection into use: fd is its, and listened to. -errno, and fd is closed. */
int vsock_conn_open(struct vsock_conn *conn, struct loop *loop, int fd, enum vsock_state state);
void vsock_conn_close(struct vsock_conn *conn);

/* Decides what the loop listens for, after any change. */
void vsock_conn_settle(struct vsock_conn *conn);

/* Reads the greeting: 1 with *port, 0 when it is not whole yet, -EPROTO. */
int vsock_conn_greeted(struct vsock_conn *conn, uint32_t *port);
void vsock_conn_answer(struct vsock_conn *conn);

/* Bytes that the guest would take now. */
uint32_t vsock_conn_credit(const struct vsock_conn *conn);

/*
 * n bytes of the guest's, in pieces: those that the program does not take now are kept. -EPROTO
 * when they are more than the guest may send, -EPIPE when nobody will read them.
 */
int vsock_conn_write(struct vsock_conn *conn, const struct iovec *iov, unsigned int count,
		     uint64_t off, uint32_t n);
int vsock_conn_flush(struct vsock_conn *conn);

#endif
