// SPDX-License-Identifier: Apache-2.0
// Fuzzes the image manifest: what is accepted keeps its promises, and what is refused says why.

#include <stdlib.h>
#include <string.h>

#include "agent/blob.h"
#include "agent/manifest.h"
#include "agent/validate.h"

#define SIZE_LIMIT (1ull << 40)

static void must(bool promise)
{
	if (!promise)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image_part parts[IMAGE_PARTS_MAX];
	Croft__V1__ImageStatus *status = NULL;
	struct error error = { .code = ERROR_NONE };
	uint64_t total = 0;

	if (manifest_parse(&status, (const char *)data, size, SIZE_LIMIT, &error) < 0) {
		must(!status && error.code == ERROR_INVALID_ARGUMENT && error.message[0]);
		return 0;
	}
	must(status->kernel && status->n_disks <= MANIFEST_DISKS_MAX);
	for (size_t i = 0, n = image_parts(status, parts); i < n; i++) {
		must(sha256_valid(parts[i].file->sha256) && parts[i].file->url[0] &&
		     parts[i].file->size);
		total += parts[i].file->size;
	}
	must(total == status->size_bytes && total <= SIZE_LIMIT);
	must(strlen(status->cmdline) <= CMDLINE_MAX_LENGTH && text_printable(status->cmdline));
	for (size_t i = 0; i < status->n_disks; i++)
		must(name_valid(status->disks[i]->name));
	croft__v1__image_status__free_unpacked(status, NULL);
	return 0;
}
