// SPDX-License-Identifier: Apache-2.0
/*
 * Console text between ports and the user of the library. A UART writes byte by byte, so bytes are
 * gathered to lines; a timer sends what stays without a line end, such as a prompt.
 */
#include "vmm/console.h"

#include <string.h>
#include <sys/timerfd.h>

#define PARTIAL_LINE_NS 20000000l

static void emit(struct console *c)
{
	if (c->out_used > 0)
		c->events->console(c->events->data, c->out, c->out_used);
	c->out_used = 0;
}

static void timer_fired(struct loop_source *source)
{
	struct console *c = CONTAINER_OF(source, struct console, timer);

	pthread_mutex_lock(&c->out_lock);
	c->timer_armed = false;
	emit(c);
	pthread_mutex_unlock(&c->out_lock);
}

int console_init(struct console *c, const struct vmm_events *events, struct error *err)
{
	c->events = events;
	pthread_mutex_init(&c->out_lock, NULL);
	pthread_mutex_init(&c->in_lock, NULL);
	c->timer.ready = timer_fired;
	c->timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (c->timer.fd < 0)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, errno, "console timer");
	return 0;
}

void console_free(struct console *c)
{
	base_close(c->timer.fd);
	pthread_mutex_destroy(&c->in_lock);
	pthread_mutex_destroy(&c->out_lock);
}

void console_listen(struct console *c, enum console_port port, void (*ready)(void *data),
		    void *data)
{
	c->listeners[port].ready = ready;
	c->listeners[port].data = data;
}

static void arm_timer(struct console *c)
{
	struct itimerspec when = { .it_value.tv_nsec = PARTIAL_LINE_NS };

	if (c->timer_armed)
		return;
	/* Without the timer, nobody would send the rest. */
	if (timerfd_settime(c->timer.fd, 0, &when, NULL) < 0)
		emit(c);
	else
		c->timer_armed = true;
}

static void speak_on(struct console *c, enum console_port port)
{
	pthread_mutex_lock(&c->in_lock);
	c->in_port = port;
	pthread_mutex_unlock(&c->in_lock);
}

void console_output(struct console *c, enum console_port port, const void *bytes, size_t n)
{
	const char *p = bytes;
	bool line = memchr(p, '\n', n);

	if (n == 0)
		return;
	speak_on(c, port);
	pthread_mutex_lock(&c->out_lock);
	while (n > 0) {
		size_t part = CONSOLE_OUT_SIZE - c->out_used;

		if (part > n)
			part = n;
		memcpy(c->out + c->out_used, p, part);
		c->out_used += part;
		p += part;
		n -= part;
		__atomic_fetch_add(&c->out_bytes, part, __ATOMIC_RELAXED);
		if (c->out_used == CONSOLE_OUT_SIZE)
			emit(c);
	}
	if (line)
		emit(c);
	else if (c->out_used > 0)
		arm_timer(c);
	pthread_mutex_unlock(&c->out_lock);
}

void console_flush(struct console *c)
{
	pthread_mutex_lock(&c->out_lock);
	emit(c);
	pthread_mutex_unlock(&c->out_lock);
}

size_t console_type(struct console *c, const void *bytes, size_t n)
{
	const char *p = bytes;
	enum console_port port;

	pthread_mutex_lock(&c->in_lock);
	if (n > CONSOLE_IN_SIZE - c->in_used)
		n = CONSOLE_IN_SIZE - c->in_used;
	for (size_t i = 0; i < n; i++)
		c->in[(c->in_start + c->in_used + i) % CONSOLE_IN_SIZE] = p[i];
	c->in_used += n;
	port = c->in_port;
	pthread_mutex_unlock(&c->in_lock);
	if (n > 0 && c->listeners[port].ready)
		c->listeners[port].ready(c->listeners[port].data);
	return n;
}

size_t console_take(struct console *c, enum console_port port, void *to, size_t n)
{
	char *p = to;

	pthread_mutex_lock(&c->in_lock);
	if (port != c->in_port)
		n = 0;
	if (n > c->in_used)
		n = c->in_used;
	for (size_t i = 0; i < n; i++)
		p[i] = c->in[(c->in_start + i) % CONSOLE_IN_SIZE];
	c->in_start = (c->in_start + n) % CONSOLE_IN_SIZE;
	c->in_used -= n;
	pthread_mutex_unlock(&c->in_lock);
	return n;
}

bool console_pending(struct console *c, enum console_port port)
{
	bool pending;

	pthread_mutex_lock(&c->in_lock);
	pending = port == c->in_port && c->in_used > 0;
	pthread_mutex_unlock(&c->in_lock);
	return pending;
}
