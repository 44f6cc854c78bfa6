/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What guests of the fake backend do: the same as the sample guest image does for croft.test= on its command line.
 */
#ifndef CROFT_AGENT_FAKE_GUEST_H
#define CROFT_AGENT_FAKE_GUEST_H

/*
 * A script of the fake backend for the last croft.test= of the command line: poweroff, reboot, panic, spin and busy as in
 * images/guest/init, and "broken" for a VMM that fails. NULL for any other: a guest that echoes what is typed. Static.
 */
const char *fake_guest_script(const char *cmdline);

#endif
