/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The methods of grpc.health.v1, which are gRPC's alone: REST has /livez and /readyz.
 */
#ifndef CROFT_AGENT_METHOD_HEALTH_H
#define CROFT_AGENT_METHOD_HEALTH_H

#include "agent/service.h"

/* As service_methods; anybody may call them. Check answers NOT_FOUND for a service that there is not, Watch SERVICE_UNKNOWN. */
extern const struct method health_methods[];
extern const size_t health_method_count;

#endif
