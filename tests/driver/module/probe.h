/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The checks of driver_probe: each is a file in debugfs that says "ok", or what is wrong.
 */
#ifndef DRIVER_PROBE_H
#define DRIVER_PROBE_H

#include <linux/seq_file.h>

/* Prints what is wrong, if anything is. */
#define PROBE(seq, condition)                                                           \
	do {                                                                            \
		if (!(condition))                                                       \
			seq_printf(seq, "%s:%d: %s\n", __func__, __LINE__, #condition); \
	} while (0)

void probe_scm_sources(struct seq_file *seq);
void probe_scm_hooks(struct seq_file *seq);

#endif
