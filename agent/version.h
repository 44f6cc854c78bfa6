/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this build is.
 */
#ifndef CROFT_AGENT_VERSION_H
#define CROFT_AGENT_VERSION_H

const char *version_string(void); /* "v1.2-3-gabcdef", or "unknown" */
const char *version_api(void);	  /* "v1" */
const char *version_build(void);  /* compiler and architecture */

#endif
