/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM's consoles: the one that each VM has, and one for each of its ports. What the guest wrote to each is recorded, one
 * attached client at a time types into it. Service thread only.
 */
#ifndef CROFT_AGENT_VM_CONSOLE_H
#define CROFT_AGENT_VM_CONSOLE_H

#include "agent/auth.h"
#include "agent/console.h"
#include "croft/v1/vm.pb-c.h"

struct service;
struct vm_record;
struct vmm;

#define VM_TERMINAL_MAX 1000u /* columns and rows */

struct vm_console {
	char *port;		     /* "": the console */
	struct recording *recording; /* NULL until something is recorded */
	uint64_t writer;	     /* session of the attached client that types; 0: none */
	char writer_actor[AUTH_ACTOR_MAX];
	uint16_t columns, rows; /* of the writer's terminal; 0: nobody has said */
	struct vm_console *next;
};

/*
 * The console (port "") or that of a port which the VM has, or had when it was started; its recording is opened if there is
 * one. Errors: NOT_FOUND with the field /port, RESOURCE_EXHAUSTED, INTERNAL.
 */
int vm_console_find(struct service *service, struct vm_record *vm, const char *port,
		    struct vm_console **out, struct error *err);

/* The same for one that may have gone; NULL when there is none, or none was ever asked for. */
struct vm_console *vm_console_known(const struct vm_record *vm, const char *port);

/*
 * Before a start: makes the recordings of console and ports, and forgets those of ports that the VM has no more. There must be
 * no run.
 */
int vm_consoles_open(struct service *service, struct vm_record *vm, struct error *err);

/* Types; how many bytes the guest has taken. A port that was not there at the start takes none. */
size_t vm_console_write(struct vm_record *vm, const struct vm_console *console, const void *bytes,
			size_t n);

/* The terminal at the console has another size; 0: as it was. INVALID_ARGUMENT. Without a guest it is kept for that. */
int vm_console_resize(struct vm_record *vm, struct vm_console *console, uint32_t columns,
		      uint32_t rows, struct error *err);
/* Tells a guest that has come up of the terminal that waits for it. */
void vm_console_catch_up(struct vm_record *vm);

/* Frees all of them; takes NULL. */
void vm_consoles_free(struct vm_console *consoles);

#endif
