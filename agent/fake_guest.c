// SPDX-License-Identifier: Apache-2.0
// What guests of the fake backend do, chosen by the kernel command line as the sample guest image does.

#include "agent/fake_guest.h"

#include <string.h>

#include "vmm/base.h"

#define KEY "croft.test="

static const struct {
	const char *test, *script;
} guests[] = {
	{ "poweroff", "print \"croft-guest: ready, test poweroff\\n\"\nsleep 100\npoweroff\n" },
	{ "reboot", "print \"croft-guest: ready, test reboot\\n\"\nsleep 100\nreset\n" },
	{ "panic", "print \"croft-guest: ready, test panic\\n\"\nsleep 100\nreset\n" },
	{ "spin", "print \"croft-guest: ready, test spin\\ncroft-guest: spinning\\n\"\nspin\n" },
	{ "busy", "print \"croft-guest: ready, test busy\\ncroft-guest: spinning\\n\"\nspin\n" },
	{ "broken", "print \"croft-guest: ready, test broken\\n\"\nsleep 100\nbreak\n" },
};

const char *fake_guest_script(const char *cmdline)
{
	const char *word = cmdline, *value = NULL;
	size_t n;

	while ((word = strstr(word, KEY))) {
		if (word == cmdline || word[-1] == ' ')
			value = word + strlen(KEY);
		word += strlen(KEY);
	}
	if (!value)
		return NULL;
	n = strcspn(value, " ");
	for (size_t i = 0; i < ARRAY_SIZE(guests); i++)
		if (strlen(guests[i].test) == n && strncmp(guests[i].test, value, n) == 0)
			return guests[i].script;
	return NULL;
}
