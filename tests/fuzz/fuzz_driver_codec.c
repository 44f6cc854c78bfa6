// SPDX-License-Identifier: Apache-2.0
/*
 * Packets from a resource manager that means harm, through the driver's codec.
 *
 * The input is a row of packets: a length byte, then so many bytes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "driver/rm_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void message(const struct gh_rm_assembly *rx)
{
	/* Of its own size, so that whatever reads behind it is seen. */
	uint8_t *payload = malloc(rx->size ?: 1);
	const struct gh_rm_hyp_resource *records;
	struct gh_rm_event event;
	uint32_t word, count;

	if (rx->size > GH_RM_MESSAGE_MAX || rx->active)
		abort();
	memcpy(payload, rx->data, rx->size);
	gh_rm_decode_event(rx->id, payload, rx->size, &event);
	if (!gh_rm_decode_word(payload, rx->size, &word) && gh_rm_error_to_errno(word) > 0)
		abort();
	if (!gh_rm_decode_resources(payload, rx->size, &records, &count) && count) {
		volatile uint8_t last = ((const uint8_t *)&records[count])[-1];

		(void)last;
	}
	free(payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gh_rm_assembly rx = { .data = malloc(GH_RM_MESSAGE_MAX) };

	while (size) {
		size_t length = *data++;
		uint8_t *packet;

		size--;
		length = length < size ? length : size;
		packet = malloc(length ?: 1);
		memcpy(packet, data, length);
		if (gh_rm_assemble(&rx, packet, length))
			message(&rx);
		free(packet);
		data += length;
		size -= length;
	}
	free(rx.data);
	return 0;
}
