/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every limit of the REST door, and what a client that passes it is answered.
 */
#ifndef CROFT_AGENT_REST_LIMITS_H
#define CROFT_AGENT_REST_LIMITS_H

/* --- Of a listener: the unix socket, plain TCP and TLS count for themselves --- */

#define REST_CONNECTIONS_MAX \
	512 /* more are accepted only to be told: 503 with Retry-After, and closed */
#define REST_CONNECTIONS_SPARE \
	64 /* so many at a time; beyond them connections wait in the kernel's queue */
#define REST_SPARE_SECONDS 2 /* one of those that sends nothing is closed */
#define REST_STREAMS_MAX \
	256 /* server-sent events, followed consoles, WebSockets; more: 429 with Retry-After */
#define REST_IDLE_SECONDS \
	30 /* a connection on which nothing moves is closed; one that waits for us is not idle */
#define REST_DEAD_SECONDS 60 /* TCP: a peer that acknowledges nothing for so long is gone */

/* --- Of a request --- */

#define REST_URI_MAX	      8192		 /* bytes of path and query; more: 414 */
#define REST_HEADERS_MAX      16384		 /* bytes of request line and headers; more: 431 */
#define REST_BODY_MAX	      (1024 * 1024)	 /* bytes; more: 413 */
#define REST_DISCARD_MAX      (16 * 1024 * 1024) /* bytes of a refused body that are read to be polite */
#define REST_WAIT_MAX_SECONDS 300		 /* of ?wait; more: 400 */
/*
 * Bytes of memory of a connection. A request whose line and headers do not fit, parsed, is answered 414 or 431 by
 * libmicrohttpd itself, without a problem document.
 */
#define REST_CONNECTION_MEMORY (32 * 1024)

/* --- Of answers --- */

#define REST_CONSOLE_MAX \
	(1024 * 1024) /* bytes of a console's text without ?follow, which is all that is kept */

/* --- Of a WebSocket --- */

#define SOCKET_MESSAGE_MAX 65536 /* bytes of one message of the client; more: close code 1009 */
#define SOCKET_INPUT_MAX \
	65536 /* typed bytes that wait for the guest; the client is not read until it took some */
#define SOCKET_QUEUE_MAX     16 /* frames that wait for the client; it is not read until it took some */
#define SOCKET_STALL_SECONDS 30 /* one that takes nothing of what waits for it is dropped */
#define SOCKET_DEAF_SECONDS  60 /* and one that is heard nothing of, not even the answer to a ping */
#define SOCKET_CLOSE_SECONDS 5	/* for the client's half of the closing handshake */

#endif
