/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The REST contract as the build found it, for /v1/openapi.yaml.
 */
#ifndef CROFT_AGENT_OPENAPI_H
#define CROFT_AGENT_OPENAPI_H

/* The bytes of api/openapi/croft.yaml, with a NUL behind them. */
extern const char openapi_text[];

#endif
