// SPDX-License-Identifier: Apache-2.0
// The agent's configuration: one table of settings serves the file and the command line.

#include "agent/config.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <ini.h>
#include <netinet/in.h>
#include <string.h>

#include "agent/allow.h"
#include "agent/auth.h"
#include "agent/tuning.h"

#define SCRIPT_MAX 65535u /* bytes */

/* Puts value into the field; the error says what a good value is, the caller adds which setting it was. */
typedef int (*setter)(void *field, const char *value, struct error *err);

struct setting {
	const char *section, *key; /* in the file */
	const char *option;	   /* on the command line */
	size_t field;		   /* offset in struct config */
	setter set;
	const char *initial;
};

static int set_backend(void *field, const char *value, struct error *err)
{
	enum vmm_backend *backend = field;

	if (strcmp(value, "gunyah") == 0)
		*backend = VMM_BACKEND_GUNYAH;
	else if (strcmp(value, "fake") == 0)
		*backend = VMM_BACKEND_FAKE;
	else
		return error_raise(err, ERROR_INVALID_ARGUMENT, "\"%s\" is neither gunyah nor fake",
				   value);
	return 0;
}

static int set_string(void *field, const char *value, struct error *err)
{
	char **string = field;
	char *copy = strdup(value);

	if (!copy)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	free(*string);
	*string = copy;
	return 0;
}

static int set_path(void *field, const char *value, struct error *err)
{
	if (value[0] != '/' || strlen(value) > 4000)
		return error_raise(err, ERROR_INVALID_ARGUMENT,
				   "\"%s\" is not an absolute path of at most 4,000 bytes", value);
	return set_string(field, value, err);
}

/* Short enough for the name of a socket in it. */
static int set_runtime_dir(void *field, const char *value, struct error *err)
{
	if (value[0] != '/' || strlen(value) > CONFIG_RUNTIME_DIR_MAX)
		return error_raise(err, ERROR_INVALID_ARGUMENT,
				   "\"%s\" is not an absolute path of at most %u bytes", value,
				   CONFIG_RUNTIME_DIR_MAX);
	return set_string(field, value, err);
}

static int set_socket(void *field, const char *value, struct error *err)
{
	if (value[0] != '\0' && (value[0] != '/' || strlen(value) > 107))
		return error_raise(err, ERROR_INVALID_ARGUMENT,
				   "\"%s\" is not an absolute path of at most 107 bytes", value);
	return set_string(field, value, err);
}

/* The file's text: a script has lines, and a setting has one. */
static int set_script(void *field, const char *path, struct error *err)
{
	char **string = field;
	_cleanup_fclose_ FILE *f = NULL;
	_cleanup_free_ char *text = NULL;
	size_t n;

	if (path[0] == '\0')
		return set_string(field, path, err);
	f = fopen(path, "re");
	if (!f)
		return error_raise_errno(err, ERROR_INVALID_ARGUMENT, errno, "open %s", path);
	text = calloc(1, SCRIPT_MAX + 1);
	if (!text)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	n = fread(text, 1, SCRIPT_MAX + 1, f);
	if (ferror(f) || n > SCRIPT_MAX || memchr(text, '\0', n))
		return error_raise(err, ERROR_INVALID_ARGUMENT,
				   "%s is not a text of at most %u bytes", path, SCRIPT_MAX);
	free(*string);
	*string = TAKE_PTR(text);
	return 0;
}

/* A path that may be missing. */
static int set_file(void *field, const char *value, struct error *err)
{
	return value[0] ? set_path(field, value, err) : set_string(field, value, err);
}

static int set_bridges(void *field, const char *value, struct error *err)
{
	int r = allow_check_bridges(value, err);

	return r < 0 ? r : set_string(field, value, err);
}

static int set_shares(void *field, const char *value, struct error *err)
{
	int r = allow_check_shares(value, err);

	return r < 0 ? r : set_string(field, value, err);
}

static int set_block_devices(void *field, const char *value, struct error *err)
{
	int r = allow_check_block_devices(value, err);

	return r < 0 ? r : set_string(field, value, err);
}

static int set_roles(void *field, const char *value, struct error *err)
{
	return auth_parse_roles(field, value, err);
}

/* A whole number from min to max, with one of `suffixes` behind it that multiplies by 1024 each. */
static int parse_number(uint64_t *out, const char *value, const char *suffixes)
{
	char *end;
	uint64_t n;

	if (value[0] < '0' || value[0] > '9')
		return -EINVAL;
	errno = 0;
	n = strtoull(value, &end, 10);
	if (errno)
		return -errno;
	if (*end != '\0') {
		const char *s = strchr(suffixes, *end);
		unsigned int shift;

		if (!s || end[1] != '\0')
			return -EINVAL;
		shift = 10u * (unsigned int)(s - suffixes + 1);
		if (n > UINT64_MAX >> shift)
			return -ERANGE;
		n <<= shift;
	}
	*out = n;
	return 0;
}

static int set_seconds(void *field, const char *value, struct error *err)
{
	unsigned int *seconds = field;
	uint64_t n;

	if (parse_number(&n, value, "") < 0 || n < 1 || n > 3600)
		return error_raise(err, ERROR_INVALID_ARGUMENT,
				   "\"%s\" is not a number of seconds from 1 to 3600", value);
	*seconds = (unsigned int)n;
	return 0;
}

static int set_size(void *field, const char *value, struct error *err)
{
	uint64_t *size = field;
	uint64_t n;

	if (parse_number(&n, value, "KMGT") < 0 || n < TUNING_IMAGE_MIN || n > TUNING_IMAGE_MAX)
		return error_raise(err, ERROR_INVALID_ARGUMENT,
				   "\"%s\" is not a number of bytes from 1M to 1T, such as "
				   "1073741824, 1024M or 1G",
				   value);
	*size = n;
	return 0;
}

static int set_log_level(void *field, const char *value, struct error *err)
{
	if (log_level_of(field, value))
		return 0;
	return error_raise(err, ERROR_INVALID_ARGUMENT, "\"%s\" is none of " LOG_LEVELS, value);
}

static bool is_loopback(const struct config_address *a)
{
	if (a->addr.ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)&a->addr;

		return ntohl(in->sin_addr.s_addr) >> 24 == 127;
	}
	return IN6_IS_ADDR_LOOPBACK(
		&((const struct sockaddr_in6 *)(const void *)&a->addr)->sin6_addr);
}

static bool parse_host(struct config_address *a, const char *host, uint16_t port)
{
	struct sockaddr_in *in = (void *)&a->addr;
	struct sockaddr_in6 *in6 = (void *)&a->addr;

	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		a->len = sizeof(*in);
		snprintf(a->text, sizeof(a->text), "%s:%u", host, port);
		return true;
	}
	if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		a->len = sizeof(*in6);
		snprintf(a->text, sizeof(a->text), "[%s]:%u", host, port);
		return true;
	}
	return false;
}

/* "127.0.0.1:8080", "[::1]:8080", or "" for off. Names are not looked up: they could change while the agent runs. */
static int set_address(void *field, const char *value, struct error *err)
{
	struct config_address a = { .len = 0 };
	const char *colon = strrchr(value, ':');
	char host[INET6_ADDRSTRLEN + 2] = "";
	size_t n = colon ? (size_t)(colon - value) : 0;
	const char *start = value;
	uint64_t port;

	if (value[0] == '\0') {
		*(struct config_address *)field = a;
		return 0;
	}
	if (n >= 2 && value[0] == '[' && colon[-1] == ']') {
		start++;
		n -= 2;
	} else if (n > 0 && memchr(value, ':', n)) {
		n = 0;
	}
	if (n > 0 && n < sizeof(host))
		memcpy(host, start, n);
	if (!colon || parse_number(&port, colon + 1, "") < 0 || port < 1 || port > UINT16_MAX ||
	    !parse_host(&a, host, (uint16_t)port))
		return error_raise(err, ERROR_INVALID_ARGUMENT,
				   "\"%s\" is not ADDRESS:PORT with a numeric address, "
				   "such as 127.0.0.1:8080 or [::1]:8080",
				   value);
	*(struct config_address *)field = a;
	return 0;
}

#define FIELD(f) offsetof(struct config, f)

static const struct setting settings[] = {
	{ "agent", "backend", "backend", FIELD(backend), set_backend, "gunyah" },
	{ "agent", "state_dir", "state-dir", FIELD(state_dir), set_path, "/var/lib/croft" },
	{ "agent", "runtime_dir", "runtime-dir", FIELD(runtime_dir), set_runtime_dir,
	  "/run/croft" },
	{ "agent", "log_level", "log-level", FIELD(log_level), set_log_level, "info" },
	{ "listen", "unix", "listen-unix", FIELD(listen_unix), set_socket,
	  "/run/croft/croft.sock" },
	{ "listen", "unix_group", "socket-group", FIELD(socket_group), set_string, "" },
	{ "listen", "tcp", "listen-tcp", FIELD(listen_tcp), set_address, "" },
	{ "listen", "grpc", "listen-grpc", FIELD(listen_grpc), set_address, "" },
	{ "listen", "tls", "listen-tls", FIELD(listen_tls), set_address, "" },
	{ "listen", "grpc_tls", "listen-grpc-tls", FIELD(listen_grpc_tls), set_address, "" },
	{ "tls", "certificate", "tls-certificate", FIELD(tls_certificate), set_file, "" },
	{ "tls", "key", "tls-key", FIELD(tls_key), set_file, "" },
	{ "tls", "client_ca", "tls-client-ca", FIELD(tls_client_ca), set_file, "" },
	{ "access", "socket_roles", "socket-roles", FIELD(socket_roles), set_roles,
	  "operator console" },
	{ "access", "tcp_roles", "tcp-roles", FIELD(tcp_roles), set_roles, "admin" },
	{ "vms", "start_timeout", "start-timeout", FIELD(start_timeout), set_seconds, "120" },
	{ "vms", "stop_timeout", "stop-timeout", FIELD(stop_timeout), set_seconds, "30" },
	{ "vms", "bridges", "bridges", FIELD(bridges), set_bridges, "" },
	{ "vms", "shares", "shares", FIELD(shares), set_shares, "" },
	{ "vms", "block_devices", "block-devices", FIELD(block_devices), set_block_devices, "" },
	{ "vms", "fake_script", "fake-script", FIELD(fake_script), set_script, "" },
	{ "images", "fetch_timeout", "fetch-timeout", FIELD(fetch_timeout), set_seconds, "30" },
	{ "images", "size_max", "image-size-max", FIELD(image_size_max), set_size, "64G" },
};

/* Where a setting comes from, and what it said. */
struct config_origin {
	const char *source;
	char *value;
};

static int apply(struct config *config, const struct setting *s, const char *value,
		 const char *source, struct error *err)
{
	struct config_origin *origin = &config->origins[s - settings];
	int r = s->set((char *)config + s->field, value, err);

	if (r < 0)
		return r;
	origin->source = source;
	return set_string(&origin->value, value, err);
}

bool config_text(struct config_text *out, const struct config *config, size_t index)
{
	if (index >= ARRAY_SIZE(settings))
		return false;
	*out = (struct config_text){ .section = settings[index].section,
				     .key = settings[index].key,
				     .value = config->origins[index].value,
				     .source = config->origins[index].source };
	return true;
}

/* --- The file --- */

struct file_reader {
	struct config *config;
	struct error error; /* the first one */
};

static int file_value(void *user, const char *section, const char *key, const char *value)
{
	struct file_reader *r = user;

	if (r->error.code != ERROR_NONE)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		const struct setting *s = &settings[i];

		if (strcmp(s->section, section) != 0 || strcmp(s->key, key) != 0)
			continue;
		if (apply(r->config, s, value, "file", &r->error) < 0) {
			error_widen(&r->error, "[%s] %s", section, key);
			return 0;
		}
		return 1;
	}
	error_raise(&r->error, ERROR_INVALID_ARGUMENT, "[%s] %s: no such setting", section, key);
	return 0;
}

static int read_file(struct config *config, const char *path, bool required, struct error *err)
{
	struct file_reader r = { .config = config };
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	int line;

	if (!f) {
		if (errno == ENOENT && !required)
			return 0;
		return error_raise_errno(err,
					 errno == ENOENT ? ERROR_NOT_FOUND : ERROR_INVALID_ARGUMENT,
					 errno, "open %s", path);
	}
	line = ini_parse_file(f, file_value, &r);
	if (line == 0)
		return 0;
	if (line < 0)
		return error_raise(err, ERROR_INTERNAL, "%s cannot be read", path);
	if (r.error.code == ERROR_NONE)
		return error_raise(err, ERROR_INVALID_ARGUMENT,
				   "%s:%d: neither [section] nor key = value", path, line);
	return error_raise(err, r.error.code, "%s:%d: %s", path, line, r.error.message);
}

/* --- The command line --- */

enum { OPTION_CONFIG = 1000, OPTION_HELP, OPTION_VERSION };

static void list_options(struct option *options)
{
	size_t n = 0;

	for (; n < ARRAY_SIZE(settings); n++)
		options[n] = (struct option){ .name = settings[n].option,
					      .has_arg = required_argument,
					      .val = (int)n };
	options[n++] = (struct option){ .name = "config",
					.has_arg = required_argument,
					.val = OPTION_CONFIG };
	options[n++] = (struct option){ .name = "help", .val = OPTION_HELP };
	options[n++] = (struct option){ .name = "version", .val = OPTION_VERSION };
	options[n] = (struct option){ .name = NULL };
}

struct command_line {
	const char *file;
	const char *values[ARRAY_SIZE(settings)]; /* NULL: not given */
	enum config_action action;
};

static int read_command_line(struct command_line *cl, int argc, char **argv, struct error *err)
{
	struct option options[ARRAY_SIZE(settings) + 4];
	int c;

	list_options(options);
	optind = 0; /* starts over, also when an earlier call has scanned another vector */
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (c == OPTION_CONFIG)
			cl->file = optarg;
		else if (c == OPTION_HELP)
			cl->action = CONFIG_HELP;
		else if (c == OPTION_VERSION)
			cl->action = CONFIG_VERSION;
		else if (c == '?' || c == ':')
			return error_raise(err, ERROR_INVALID_ARGUMENT, "%s: %s; see --help",
					   argv[optind - 1],
					   c == ':' ? "the value is missing"
						    : "not a valid option");
		else
			cl->values[c] = optarg;
	}
	if (optind < argc)
		return error_raise(err, ERROR_INVALID_ARGUMENT,
				   "%s: takes no arguments, only options", argv[optind]);
	return 0;
}

/* Whoever reaches a plain port commands this node, so only this machine does. */
static int check_plain(const struct config *config, struct error *err)
{
	const struct {
		const char *key;
		const struct config_address *address;
	} plain[] = { { "tcp", &config->listen_tcp }, { "grpc", &config->listen_grpc } };

	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		if (plain[i].address->len && !is_loopback(plain[i].address))
			return error_raise(
				err, ERROR_INVALID_ARGUMENT,
				"[listen] %s: %s is not a loopback address, and whoever reaches it could "
				"command this node; [listen] %s asks for certificates",
				plain[i].key, plain[i].address->text,
				plain[i].address == &config->listen_tcp ? "tls" : "grpc_tls");
	return 0;
}

static int check_tls(const struct config *config, struct error *err)
{
	const struct config_address *address = config->listen_tls.len ? &config->listen_tls
								      : &config->listen_grpc_tls;
	const struct {
		const char *key, *file;
	} files[] = { { "certificate", config->tls_certificate },
		      { "key", config->tls_key },
		      { "client_ca", config->tls_client_ca } };

	for (size_t i = 0; address->len && i < ARRAY_SIZE(files); i++)
		if (!files[i].file[0])
			return error_raise(err, ERROR_INVALID_ARGUMENT,
					   "[listen] %s: mutual TLS on %s needs [tls] %s",
					   address == &config->listen_tls ? "tls" : "grpc_tls",
					   address->text, files[i].key);
	return 0;
}

static int check(const struct config *config, struct error *err)
{
	int r = check_plain(config, err);

	if (r == 0)
		r = check_tls(config, err);
	if (r == 0 && config->listen_unix[0] == '\0' && !config->listen_tcp.len &&
	    !config->listen_grpc.len && !config->listen_tls.len && !config->listen_grpc_tls.len)
		r = error_raise(
			err, ERROR_INVALID_ARGUMENT,
			"nothing listens: set one of [listen] unix, tcp, grpc, tls and grpc_tls");
	return r;
}

static void config_freep(struct config **config)
{
	config_free(*config);
}

int config_load(struct config **out, enum config_action *action, int argc, char **argv,
		struct error *err)
{
	_cleanup_(config_freep) struct config *config = calloc(1, sizeof(*config));
	struct command_line cl = { .action = CONFIG_RUN };
	int r;

	if (!config)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	r = read_command_line(&cl, argc, argv, err);
	if (r < 0)
		return r;
	*action = cl.action;
	if (cl.action != CONFIG_RUN)
		return 0;

	config->origins = calloc(ARRAY_SIZE(settings), sizeof(*config->origins));
	if (!config->origins)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		r = apply(config, &settings[i], settings[i].initial, "default", err);
		if (r < 0)
			return r;
	}
	r = read_file(config, cl.file ? cl.file : CONFIG_FILE_DEFAULT, cl.file != NULL, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		if (!cl.values[i])
			continue;
		r = apply(config, &settings[i], cl.values[i], "command line", err);
		if (r < 0)
			return error_widen(err, "--%s", settings[i].option);
	}
	r = check(config, err);
	if (r < 0)
		return r;
	*out = TAKE_PTR(config);
	return 0;
}

struct config *config_free(struct config *config)
{
	if (!config)
		return NULL;
	free(config->state_dir);
	free(config->runtime_dir);
	free(config->bridges);
	free(config->shares);
	free(config->block_devices);
	free(config->listen_unix);
	free(config->socket_group);
	free(config->fake_script);
	for (size_t i = 0; config->origins && i < ARRAY_SIZE(settings); i++)
		free(config->origins[i].value);
	free(config->origins);
	free(config->tls_certificate);
	free(config->tls_key);
	free(config->tls_client_ca);
	free(config);
	return NULL;
}

const char *config_usage(void)
{
	return "usage: croftd [OPTION]...\n"
	       "Runs virtual machines on this node and offers them over REST and gRPC.\n\n"
	       "  --config=FILE             settings; " CONFIG_FILE_DEFAULT " where it exists\n"
	       "  --backend=gunyah|fake     fake runs scripted guests without a hypervisor\n"
	       "  --log-level=LEVEL         error, warning, notice, info or debug; info\n"
	       "  --state-dir=DIR           records, images and disks; /var/lib/croft\n"
	       "  --runtime-dir=DIR         sockets of VMs, in vsock/; /run/croft\n"
	       "  --listen-unix=PATH        REST on a socket; /run/croft/croft.sock; empty: off\n"
	       "  --socket-group=GROUP      who may connect to it beside root\n"
	       "  --listen-tcp=ADDR:PORT    REST on loopback, without a password; off\n"
	       "  --listen-grpc=ADDR:PORT   gRPC on loopback, without a password; off\n"
	       "  --listen-tls=ADDR:PORT    REST over mutual TLS; off\n"
	       "  --listen-grpc-tls=ADDR:PORT  gRPC over mutual TLS; off\n"
	       "  --tls-certificate=FILE, --tls-key=FILE, --tls-client-ca=FILE  PEM, for the two above\n"
	       "  --socket-roles=ROLES      of the group's members; operator console\n"
	       "  --tcp-roles=ROLES         of who comes over plain TCP; admin\n"
	       "  --start-timeout=SECONDS   after which a start is given up; 120\n"
	       "  --stop-timeout=SECONDS    after which a stop is reported as failed; 30\n"
	       "  --bridges=NAMES           that VMs' interfaces may join, or *; none\n"
	       "  --shares=DIRS             that VMs may mount, or directories below them; none\n"
	       "  --block-devices=PATTERNS  that may be VMs' disks, such as /dev/nvme0n1p*; none\n"
	       "  --fake-script=FILE        what all guests of the fake backend do\n"
	       "  --fetch-timeout=SECONDS   without a byte from an image server; 30\n"
	       "  --image-size-max=BYTES    of all files of one image; 64G\n"
	       "  --help, --version\n\n"
	       "The file's settings are explained in croftd.conf. Options win over the file.\n";
}
