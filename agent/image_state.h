/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How image*.c change an image's record.
 */
#ifndef CROFT_AGENT_IMAGE_STATE_H
#define CROFT_AGENT_IMAGE_STATE_H

#include "agent/image.h"

/* Takes the message, also when it fails; NULL without memory. */
struct image_record *image_record_add(struct service *service, Croft__V1__Image *msg);

/* Lets it be stored, and makes an event, whose actor is that of its pull. */
void image_set_state(struct service *service, struct image_record *image,
		     Croft__V1__ImageStatus__State state, const char *message);

/* Who has asked for the pull that runs; NULL when none does. */
const char *image_pull_actor(const struct image_record *image);

#endif
