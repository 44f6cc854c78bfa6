/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's console: what any of its ports writes goes out in one order, and what is typed goes
 * to the port on which the guest spoke last.
 */
#ifndef CROFT_VMM_CONSOLE_H
#define CROFT_VMM_CONSOLE_H

#include <pthread.h>

#include "vmm/loop.h"
#include "vmm/vmm.h"

#define CONSOLE_OUT_SIZE 512u
#define CONSOLE_IN_SIZE	 4096u

enum console_port { CONSOLE_UART, CONSOLE_VIRTIO, CONSOLE_PORTS };

struct console {
	const struct vmm_events *events;

	/*
	 * Output. The lock is held during the event, which keeps the order; nothing else waits for
	 * it.
	 */
	pthread_mutex_t out_lock;
	char out[CONSOLE_OUT_SIZE];
	size_t out_used;
	bool timer_armed;
	struct loop_source timer; /* ends the wait for the rest of a line */
	uint64_t out_bytes;	  /* atomic */

	/* Input, a ring. */
	pthread_mutex_t in_lock;
	char in[CONSOLE_IN_SIZE];
	size_t in_start, in_used;
	enum console_port in_port;
	struct {
		void (*ready)(void *data);
		void *data;
	} listeners[CONSOLE_PORTS];
};

/*
 * console is zeroed; events outlives it. On failure console_free() is still due. timer is to be
 * watched.
 */
int console_init(struct console *console, const struct vmm_events *events, struct error *err);
void console_free(struct console *console);

/*
 * ready(data) is called, without a lock, when input came for the port. Before any other thread
 * knows the console.
 */
void console_listen(struct console *console, enum console_port port, void (*ready)(void *data),
		    void *data);

/*
 * Any thread. Bytes wait here for the end of their line, but not for longer than some milliseconds.
 */
void console_output(struct console *console, enum console_port port, const void *bytes, size_t n);
void console_flush(struct console *console);

/* Any thread; returns how many bytes there was room for. */
size_t console_type(struct console *console, const void *bytes, size_t n);

/* Takes up to n typed bytes that are meant for the port. */
size_t console_take(struct console *console, enum console_port port, void *to, size_t n);
bool console_pending(struct console *console, enum console_port port);

#endif
