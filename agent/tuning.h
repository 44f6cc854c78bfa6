/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be changed while the agent runs: kept in the store, above the file and the command line. Service thread only.
 */
#ifndef CROFT_AGENT_TUNING_H
#define CROFT_AGENT_TUNING_H

#include "agent/log.h"
#include "agent/record.h"
#include "croft/v1/config.pb-c.h"
#include "google/protobuf/field_mask.pb-c.h"

#define TUNING_SECONDS_MAX 3600
#define TUNING_IMAGE_MIN   (1ull << 20)
#define TUNING_IMAGE_MAX   (1ull << 40)

struct service;

struct tuning {
	struct record record;
	Croft__V1__Config *msg; /* its spec has what was set over the API, and nothing else */
	/* In force: */
	enum log_level log_level;
	unsigned int start_timeout, stop_timeout, fetch_timeout; /* seconds */
	uint64_t image_bytes_max;
};

/* Brings it back, and puts it in force. */
int tuning_load(struct service *service, struct error *err);
void tuning_free(struct service *service);

/* All of the configuration, as clients see it; NULL without memory. */
Croft__V1__Config *tuning_message(struct service *service);

struct tuning_update {
	const Croft__V1__Config *wish;
	const Google__Protobuf__FieldMask *mask;
	const char *actor;
	bool dry_run;
};
/*
 * Changes what the mask says, at once. *out, which the caller frees, is the configuration as it then is, or would be.
 * INVALID_ARGUMENT with the field.
 */
int tuning_change(struct service *service, const struct tuning_update *update,
		  Croft__V1__Config **out, struct error *err);

#endif
