// SPDX-License-Identifier: Apache-2.0
// What says who a client is and what it asks about: certificates, peers' addresses, roles, and names for reflection.

#include <assert.h>
#include <string.h>

#include "agent/auth.h"
#include "agent/config.h"
#include "agent/descriptor.h"
#include "agent/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Bytes of a certificate never give more than its OUs say, and its actor is a line of text. */
static void try_certificate(const uint8_t *data, size_t size)
{
	const unsigned int all = ROLE_VIEWER | ROLE_OPERATOR | ROLE_ADMIN | ROLE_CONSOLE;
	struct principal who = { .roles = ROLE_ADMIN };

	tls_principal(&who, data, size);
	assert(strncmp(who.actor, "cert:", 5) == 0 && !(who.roles & ~all));
	for (const char *p = who.actor; *p; p++)
		assert(*p >= ' ' && *p <= '~');
	assert(strcmp(who.actor, "cert:?") != 0 || !who.roles);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct config config = { .tcp_roles = ROLE_VIEWER };
	struct principal who;
	unsigned int roles;
	char *text;

	if (!size)
		return 0;
	switch (data[0] % 4) {
	case 0:
		try_certificate(data + 1, size - 1);
		return 0;
	case 1:
		text = strndup((const char *)data + 1, size - 1);
		auth_of_uri(&who, &config, text);
		assert(who.roles == 0 || who.roles == ROLE_VIEWER);
		break;
	case 2:
		text = strndup((const char *)data + 1, size - 1);
		if (auth_parse_roles(&roles, text, NULL) == 0)
			assert(roles < 16);
		break;
	default:
		text = strndup((const char *)data + 1, size - 1);
		if (descriptor_is_message(text))
			assert(descriptor_find_symbol(text) >= 0);
	}
	free(text);
	return 0;
}
