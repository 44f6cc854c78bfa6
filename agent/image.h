/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images as records, and the pulls that fill them. Service thread only.
 */
#ifndef CROFT_AGENT_IMAGE_H
#define CROFT_AGENT_IMAGE_H

#include "agent/operation.h"
#include "agent/record.h"
#include "croft/v1/image.pb-c.h"
#include "google/protobuf/field_mask.pb-c.h"

#define IMAGE_PULLS_MAX 8u /* at once */

struct image_pull;

struct image_record {
	struct record record;
	Croft__V1__Image *msg;
	struct image_pull *pull; /* while it runs */
};

/*
 * Records the image and starts its pull, anew when its last one has failed. Errors: INVALID_ARGUMENT, ALREADY_EXISTS,
 * RESOURCE_EXHAUSTED when too many pulls run.
 */
int image_record_pull(struct service *service, const Croft__V1__Image *wish, const char *actor,
		      struct operation **op, struct error *err);

/* Its checks alone, for a dry run. */
int image_check_pull(struct service *service, const Croft__V1__Image *wish, struct error *err);

struct image_update {
	const Croft__V1__Image *wish;
	const Google__Protobuf__FieldMask *mask;
	const char *actor;
	bool dry_run;
};
/*
 * Changes the labels, and tells of it when they differ. *out, which the caller frees, is the image as it then is, or would be.
 * INVALID_ARGUMENT, also for a spec that differs.
 */
int image_record_update(struct service *service, struct image_record *image,
			const struct image_update *update, Croft__V1__Image **out,
			struct error *err);

/* CONFLICT while it is pulled or a VM names it. */
int image_check_delete(const struct service *service, const struct image_record *image,
		       struct error *err);

/* The same, and then the record is freed. */
int image_record_delete(struct service *service, struct image_record *image, const char *actor,
			struct error *err);

bool image_record_ready(const struct image_record *image);

/* The name of the operation that pulls it; NULL when none does. */
const char *image_record_operation(const struct image_record *image);

/* Brings the records back; those of pulls that ran when the agent ended are PULLING until image_records_resume(). */
int image_records_load(struct service *service, struct error *err);
void image_records_free(struct service *service);

/* Goes on with the pulls that ran when the agent ended, as the same operations. Before any other pull. */
void image_records_resume(struct service *service);

/* Asks the pulls to end; the next agent goes on with them. */
void image_records_stop(struct service *service);

/* Looks for blobs that no image has, once no pull runs, and unlinks them on a job. */
void image_sweep(struct service *service);

/* Starts the job that empties the trash of both directories. */
void service_empty_trash(struct service *service);

#endif
