// SPDX-License-Identifier: Apache-2.0
// SHA-256 of a stream, by libcrypto, which uses the CPU's own instructions where it has them.

#include "agent/digest.h"

#include <openssl/evp.h>

struct digest {
	EVP_MD_CTX *context;
	bool failed;
};

struct digest *digest_new(void)
{
	struct digest *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->context = EVP_MD_CTX_new();
	if (!d->context || EVP_DigestInit_ex(d->context, EVP_sha256(), NULL) != 1)
		return digest_free(d);
	return d;
}

struct digest *digest_free(struct digest *d)
{
	if (!d)
		return NULL;
	EVP_MD_CTX_free(d->context);
	free(d);
	return NULL;
}

void digest_add(struct digest *d, const void *bytes, size_t n)
{
	if (EVP_DigestUpdate(d->context, bytes, n) != 1)
		d->failed = true;
}

int digest_finish(struct digest *d, char hex[DIGEST_HEX])
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned int n = 0;

	if (d->failed || EVP_DigestFinal_ex(d->context, sum, &n) != 1 || 2 * n + 1 != DIGEST_HEX)
		return -EIO;
	for (unsigned int i = 0; i < n; i++)
		snprintf(hex + (size_t)2 * i, 3, "%02x", sum[i]);
	return 0;
}
