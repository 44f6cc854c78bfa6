/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How metrics*.c write OpenMetrics text. A sample is a name, labels in braces, and one of the ends.
 */
#ifndef CROFT_AGENT_METRICS_WRITE_H
#define CROFT_AGENT_METRICS_WRITE_H

#include <stdint.h>
#include <stdio.h>

struct service;

/* The unit is the end of the family's name, or NULL. */
void metrics_family(FILE *out, const char *name, const char *type, const char *unit,
		    const char *help);

/* `before` and name="value", escaped. */
void metrics_label(FILE *out, const char *before, const char *name, const char *value);
void metrics_label_number(FILE *out, const char *name, unsigned int value);

/* Behind a name, or its labels. */
void metrics_end_count(FILE *out, uint64_t value);
void metrics_end_seconds(FILE *out, uint64_t ns);

/* metrics_vm.c: the families of VMs. -ENOMEM. */
int metrics_write_vms(FILE *out, const struct service *service);

#endif
