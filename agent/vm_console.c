// SPDX-License-Identifier: Apache-2.0
// A VM's consoles: recordings, and who types.

#include "agent/vm_console.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/state.h"
#include "agent/vm.h"
#include "agent/vm_run.h"
#include "agent/vm_state.h"

#define PORT_SUFFIX ".port" /* of the file of a port's recording */

static int no_memory(struct error *err)
{
	return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
}

/* --- Those of a VM --- */

static bool has_port(const Croft__V1__VmSpec *spec, const char *port)
{
	for (size_t i = 0; spec && i < spec->n_ports; i++)
		if (strcmp(spec->ports[i], port) == 0)
			return true;
	return false;
}

struct vm_console *vm_console_known(const struct vm_record *vm, const char *port)
{
	struct vm_console *c = vm->consoles;

	while (c && strcmp(c->port, port) != 0)
		c = c->next;
	return c;
}

static struct vm_console *console_free(struct vm_console *c)
{
	if (!c)
		return NULL;
	recording_free(c->recording);
	free(c->port);
	free(c);
	return NULL;
}

void vm_consoles_free(struct vm_console *consoles)
{
	while (consoles) {
		struct vm_console *next = consoles->next;

		console_free(consoles);
		consoles = next;
	}
}

static struct vm_console *get(struct vm_record *vm, const char *port)
{
	struct vm_console *c = vm_console_known(vm, port);

	if (c)
		return c;
	c = calloc(1, sizeof(*c));
	if (c)
		c->port = strdup(port);
	if (!c || !c->port)
		return console_free(c);
	c->next = vm->consoles;
	vm->consoles = c;
	return c;
}

/* --- Recordings --- */

static void console_news(void *data)
{
	service_nudge(data);
}

static char *dir_of(const struct service *service, const struct vm_record *vm)
{
	char *dir;

	return asprintf(&dir, "%s/%s", service->vm_dir, vm->msg->uid) < 0 ? NULL : dir;
}

/* <vm_dir>/<uid>/console, or <port>.port beside it; `make`: also when it is not there. */
static int open_recording(struct service *service, const struct vm_record *vm, struct vm_console *c,
			  bool make, struct error *err)
{
	_cleanup_free_ char *dir = dir_of(service, vm);
	_cleanup_free_ char *path = NULL;

	if (c->recording)
		return 0;
	if (!dir || asprintf(&path, "%s/%s%s", dir, c->port[0] ? c->port : "console",
			     c->port[0] ? PORT_SUFFIX : "") < 0) {
		path = NULL;
		return no_memory(err);
	}
	if (!make && access(path, F_OK) < 0)
		return 0;
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return error_raise_errno(err,
					 errno == ENOSPC ? ERROR_RESOURCE_EXHAUSTED
							 : ERROR_INTERNAL,
					 errno, "make %s", dir);
	return recording_open(&c->recording, path, console_news, service, err);
}

/* Forgets those that were opened for ports which are no more. */
static void close_others(struct vm_record *vm)
{
	struct vm_console **p = &vm->consoles;

	while (*p) {
		struct vm_console *c = *p;

		if (!c->port[0] || has_port(vm->msg->spec, c->port)) {
			p = &c->next;
			continue;
		}
		*p = c->next;
		console_free(c);
	}
}

int vm_console_find(struct service *service, struct vm_record *vm, const char *port,
		    struct vm_console **out, struct error *err)
{
	struct vm_console *c;
	int r;

	if (port[0] && !has_port(vm->msg->spec, port) && !has_port(vm_record_ran_with(vm), port)) {
		error_raise(err, ERROR_NOT_FOUND, "VM \"%s\" has no port \"%.80s\"", vm->msg->name,
			    port);
		snprintf(err->field, sizeof(err->field), "/port");
		return -ENOENT;
	}
	if (!vm->run)
		close_others(vm);
	c = get(vm, port);
	if (!c)
		return no_memory(err);
	r = open_recording(service, vm, c, false, err);
	if (r < 0)
		return error_widen(err, "VM \"%s\": console", vm->msg->name);
	*out = c;
	return 0;
}

/* Their files go, too, also those of an earlier life of the agent. */
static void remove_others(const struct service *service, const struct vm_record *vm)
{
	_cleanup_free_ char *path = dir_of(service, vm);
	DIR *dir = path ? opendir(path) : NULL;
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		size_t n = strlen(e->d_name), suffix = strlen(PORT_SUFFIX);
		char port[256];

		if (n <= suffix || strcmp(e->d_name + n - suffix, PORT_SUFFIX) != 0)
			continue;
		snprintf(port, sizeof(port), "%.*s", (int)(n - suffix), e->d_name);
		if (!has_port(vm->msg->spec, port))
			unlinkat(dirfd(dir), e->d_name, 0);
	}
	if (dir)
		closedir(dir);
}

int vm_consoles_open(struct service *service, struct vm_record *vm, struct error *err)
{
	const Croft__V1__VmSpec *spec = vm->msg->spec;
	struct vm_console *c = get(vm, "");
	int r = c ? open_recording(service, vm, c, true, err) : no_memory(err);

	close_others(vm);
	remove_others(service, vm);
	for (size_t i = 0; r == 0 && i < spec->n_ports; i++) {
		c = get(vm, spec->ports[i]);
		r = c ? open_recording(service, vm, c, true, err) : no_memory(err);
	}
	return r;
}

/* --- Typing --- */

size_t vm_console_write(struct vm_record *vm, const struct vm_console *c, const void *bytes,
			size_t n)
{
	struct vmm *vmm = vm_record_vmm(vm);
	const Croft__V1__VmSpec *ran = vm_record_ran_with(vm);

	if (!vmm)
		return 0;
	if (!c->port[0])
		return vmm_console_write(vmm, bytes, n);
	for (unsigned int i = 0; ran && i < ran->n_ports; i++)
		if (strcmp(ran->ports[i], c->port) == 0)
			return vmm_port_write(vmm, i, bytes, n);
	return 0;
}

static int check_size(const char *field, uint32_t n, struct error *err)
{
	return n <= VM_TERMINAL_MAX ? 0
				    : error_raise_field(err, field, "%u: at most %u are allowed", n,
							VM_TERMINAL_MAX);
}

static void tell_size(const struct vm_record *vm, const struct vm_console *c)
{
	struct vmm *vmm = vm_record_vmm(vm);

	if (vmm && c->columns)
		vmm_console_resize(vmm, c->columns, c->rows);
}

int vm_console_resize(struct vm_record *vm, struct vm_console *c, uint32_t columns, uint32_t rows,
		      struct error *err)
{
	int r = check_size("/columns", columns, err);

	if (r == 0)
		r = check_size("/rows", rows, err);
	if (r < 0 || (!columns && !rows))
		return r;
	if (c->port[0])
		return error_raise_field(err, columns ? "/columns" : "/rows",
					 "a port has no size: only the console is a terminal");
	if (!c->columns) {
		c->columns = VMM_CONSOLE_COLUMNS;
		c->rows = VMM_CONSOLE_ROWS;
	}
	c->columns = columns ? (uint16_t)columns : c->columns;
	c->rows = rows ? (uint16_t)rows : c->rows;
	tell_size(vm, c);
	return 0;
}

void vm_console_catch_up(struct vm_record *vm)
{
	const struct vm_console *c = vm_console_known(vm, "");

	if (c && c->writer)
		tell_size(vm, c);
}
