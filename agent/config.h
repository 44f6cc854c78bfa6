/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's configuration: defaults, then the file, then the command line; complete and checked when it is handed out.
 */
#ifndef CROFT_AGENT_CONFIG_H
#define CROFT_AGENT_CONFIG_H

#include <sys/socket.h>

#include "agent/log.h"
#include "vmm/base.h"
#include "vmm/vmm.h"

/* A socket's path has at most 107 bytes: "/vsock/", a VM's name and "_PORT" come behind it. */
#define CONFIG_RUNTIME_DIR_MAX 26u
#define CONFIG_FILE_DEFAULT    "/etc/croft/croftd.conf"

/* A numeric address and port to listen on; len is 0 when that listener is off. */
struct config_address {
	struct sockaddr_storage addr;
	socklen_t len;
	char text[64]; /* "127.0.0.1:8080", "[::1]:8080", for messages */
};

/* Read-only once loaded: any thread may read it while it exists. */
struct config {
	enum vmm_backend backend;
	char *state_dir;   /* absolute */
	char *runtime_dir; /* absolute; for sockets of VMs */
	char *listen_unix; /* path of the socket for REST; "": off */
	char *socket_group; /* group that may connect to it, beside root; "": root and the agent's own user */
	struct config_address listen_tcp;      /* REST, plain; loopback */
	struct config_address listen_grpc;     /* gRPC, plain; loopback */
	struct config_address listen_tls;      /* REST, mutual TLS */
	struct config_address listen_grpc_tls; /* gRPC, mutual TLS */
	char *tls_certificate, *tls_key;       /* PEM files of the agent; "" when there are none */
	char *tls_client_ca;	   /* PEM file of the authorities that sign clients' certificates */
	unsigned int socket_roles; /* enum role of socket_group's members */
	unsigned int tcp_roles;	   /* enum role of who comes over plain TCP */
	unsigned int start_timeout; /* seconds until a start that has not finished is given up */
	unsigned int stop_timeout;  /* seconds until a stop is reported as failed */
	unsigned int fetch_timeout; /* seconds without a byte from an image server */
	uint64_t image_size_max;    /* bytes of one image, all files together */
	enum log_level log_level;
	char *bridges, *shares, *block_devices; /* what of the host VMs may have; see allow.h */
	struct config_origin *origins;		/* of the settings, for config_text() */
	char *fake_script; /* text of a script for all guests of the fake backend; "": by croft.test= */
};

enum config_action { CONFIG_RUN, CONFIG_HELP, CONFIG_VERSION };

/*
 * Reads the command line, and the file that it names or CONFIG_FILE_DEFAULT where that exists. For CONFIG_HELP and
 * CONFIG_VERSION *out stays untouched. Errors: INVALID_ARGUMENT with file, key and limit; NOT_FOUND for a file that was
 * named and is not there.
 */
int config_load(struct config **out, enum config_action *action, int argc, char **argv,
		struct error *err);

/* A setting as it was given: "listen", "tcp", "127.0.0.1:8080", "file". */
struct config_text {
	const char *section, *key, *value;
	const char *source; /* "default", "file", "command line" */
};
/* The setting of that number, valid as long as the configuration; false behind the last. */
bool config_text(struct config_text *out, const struct config *config, size_t index);

/* Takes NULL and the half-built, returns NULL. */
struct config *config_free(struct config *config);

/* The text of --help. */
const char *config_usage(void);

#endif
