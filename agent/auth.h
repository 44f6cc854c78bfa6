/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who asks: the actor's name of a connection, for records and the audit.
 */
#ifndef CROFT_AGENT_AUTH_H
#define CROFT_AGENT_AUTH_H

#include "vmm/base.h"

#define AUTH_ACTOR_MAX 64 /* as struct call has it */

/* Of a connected socket: "uid:0" for a unix socket's peer (SO_PEERCRED), "tcp:127.0.0.1" for TCP, else "unknown". */
void auth_actor_of_socket(char out[AUTH_ACTOR_MAX], int fd);

/* Of a peer's URI as gRPC core gives it: "ipv4:127.0.0.1:4711" and "ipv6:%5B::1%5D:4711" become "tcp:127.0.0.1". */
void auth_actor_of_uri(char out[AUTH_ACTOR_MAX], const char *uri);

#endif
