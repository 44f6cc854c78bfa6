// SPDX-License-Identifier: Apache-2.0
// Who asks and what it may do: sockets, roles, certificates, and the files of TLS that are read again.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "agent/auth.h"
#include "agent/config.h"
#include "agent/tls.h"
#include "tests/unit/agent_help.h"

static char no_group[] = "";
static const struct config plain = {
	.socket_group = no_group,
	.socket_roles = ROLE_OPERATOR,
	.tcp_roles = ROLE_VIEWER,
};

/* --- Sockets --- */

static void test_unix_socket(void **state)
{
	struct principal who;
	char actor[AUTH_ACTOR_MAX], peer[AUTH_PEER_MAX];
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	auth_of_socket(&who, &plain, fds[0]);
	snprintf(actor, sizeof(actor), "uid:%u", getuid());
	snprintf(peer, sizeof(peer), "unix:pid=%d", getpid());
	assert_string_equal(who.actor, actor);
	assert_string_equal(who.peer, peer);
	assert_int_equal(who.roles, ROLE_ADMIN);
	close(fds[0]);
	close(fds[1]);
}

static void test_tcp_socket(void **state)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(addr);
	char peer[AUTH_PEER_MAX];
	struct principal who;
	int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &n), 0);
	assert_int_equal(connect(client, (struct sockaddr *)&addr, n), 0);
	auth_of_socket(&who, &plain, client);
	snprintf(peer, sizeof(peer), "127.0.0.1:%u", ntohs(addr.sin_port));
	assert_string_equal(who.actor, "tcp");
	assert_string_equal(who.peer, peer);
	assert_int_equal(who.roles, ROLE_VIEWER);
	close(client);
	close(listener);
}

static void test_no_socket(void **state)
{
	int fd = open("/dev/null", O_RDONLY);
	struct principal who;

	(void)state;
	for (int i = 0; i < 2; i++) {
		auth_of_socket(&who, &plain, i ? fd : -1);
		assert_string_equal(who.actor, "unknown");
		assert_int_equal(who.roles, 0);
	}
	close(fd);
}

static void test_uri(void **state)
{
	static const struct {
		const char *uri, *peer;
	} cases[] = {
		{ "ipv4:127.0.0.1:4711", "127.0.0.1:4711" },
		{ "ipv6:%5B::1%5D:4711", "[::1]:4711" },
		{ "ipv6:[fe80::1]:65535", "[fe80::1]:65535" },
	};
	static const char *const odd[] = {
		"",
		"unix:/x",
		"ipv4:",
		"ipv4::",
		"nonsense",
		"ipv4:1.2.3.4",
		"ipv4:1.2.3.4:123456",
		"ipv6:%5B11111111112222222222333333333344444444445555555555666666666677777%5D:1",
	};
	struct principal who;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auth_of_uri(&who, &plain, cases[i].uri);
		assert_string_equal(who.actor, "tcp");
		assert_string_equal(who.peer, cases[i].peer);
		assert_int_equal(who.roles, ROLE_VIEWER);
	}
	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		auth_of_uri(&who, &plain, odd[i]);
		assert_string_equal(who.actor, "unknown");
		assert_int_equal(who.roles, 0);
	}
}

static void test_roles(void **state)
{
	unsigned int roles = 99;
	struct error error = { .code = ERROR_NONE };

	(void)state;
	assert_int_equal(auth_parse_roles(&roles, "operator, console", &error), 0);
	assert_int_equal(roles, ROLE_OPERATOR | ROLE_CONSOLE);
	assert_int_equal(auth_parse_roles(&roles, " viewer,viewer admin ", &error), 0);
	assert_int_equal(roles, ROLE_VIEWER | ROLE_ADMIN);
	assert_int_equal(auth_parse_roles(&roles, "", &error), 0);
	assert_int_equal(roles, 0);
	roles = 99;
	assert_true(auth_parse_roles(&roles, "viewer adminn", &error) < 0);
	assert_string_equal(error.message,
			    "\"adminn\" is none of viewer, operator, admin and console");
	assert_int_equal(roles, 99);
	assert_int_equal(auth_role_named("admin", 3), 0);
}

/* --- Certificates --- */

struct entry {
	const char *field, *text;
};

static EVP_PKEY *key_new(void)
{
	return EVP_EC_gen("P-256");
}

/* A certificate of that key, signed by itself: who has signed it is the listener's business, not that of these functions. */
static X509 *certificate_new(EVP_PKEY *key, const struct entry *subject, size_t n)
{
	X509 *x = X509_new();

	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(x),
							    subject[i].field, MBSTRING_UTF8,
							    (const unsigned char *)subject[i].text,
							    -1, -1, 0),
				 1);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	return x;
}

static void principal_of(struct principal *who, const struct entry *subject, size_t n, bool pem)
{
	EVP_PKEY *key = key_new();
	X509 *x = certificate_new(key, subject, n);
	BIO *bio = BIO_new(BIO_s_mem());
	char *bytes;
	long size;

	assert_true(pem ? PEM_write_bio_X509(bio, x) : i2d_X509_bio(bio, x));
	size = BIO_get_mem_data(bio, &bytes);
	tls_principal(who, bytes, (size_t)size);
	/* Cut anywhere it is no certificate. */
	if (!pem) {
		struct principal cut;

		for (long i = 0; i < size; i += 7) {
			char *copy = malloc((size_t)i + 1);

			memcpy(copy, bytes, (size_t)i);
			tls_principal(&cut, copy, (size_t)i);
			assert_string_equal(cut.actor, "cert:?");
			free(copy);
		}
	}
	BIO_free(bio);
	X509_free(x);
	EVP_PKEY_free(key);
}

static void test_certificate(void **state)
{
	static const struct {
		struct entry subject[3];
		const char *actor;
		unsigned int roles;
	} cases[] = {
		{ { { "CN", "controller" }, { "OU", "croft-admin" } },
		  "cert:controller",
		  ROLE_ADMIN },
		{ { { "OU", "croft-viewer" }, { "CN", "Fleet 1" }, { "OU", "croft-console" } },
		  "cert:Fleet 1",
		  ROLE_VIEWER | ROLE_CONSOLE },
		{ { { "CN", "guest" }, { "OU", "croft-root" }, { "OU", "admin" } },
		  "cert:guest",
		  0 },
		{ { { "CN", "guest" }, { "O", "croft-admin" }, { "OU", "croft-" } },
		  "cert:guest",
		  0 },
		{ { { "OU", "croft-admin" } }, "cert:?", 0 },
		{ { { "CN", "a" }, { "CN", "b" }, { "OU", "croft-admin" } }, "cert:?", 0 },
		{ { { "CN", "a\nb" }, { "OU", "croft-admin" } }, "cert:?", 0 },
		{ { { "CN", "a\u20ac" }, { "OU", "croft-admin" } }, "cert:?", 0 },
	};
	struct principal who = { .peer = "10.0.0.1:1", .roles = ROLE_ADMIN };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n = 0;

		while (n < 3 && cases[i].subject[n].field)
			n++;
		for (int pem = 0; pem < 2; pem++) {
			principal_of(&who, cases[i].subject, n, pem);
			assert_string_equal(who.actor, cases[i].actor);
			assert_int_equal(who.roles, cases[i].roles);
			assert_string_equal(who.peer, "10.0.0.1:1");
		}
	}
	tls_principal(&who, "", 0);
	assert_string_equal(who.actor, "cert:?");
	tls_principal(&who, "-----BEGIN CERTIFICATE-----\nAAAA\n", 33);
	assert_string_equal(who.actor, "cert:?");
}

/* --- Files --- */

struct files {
	char *dir, *certificate, *key, *client_ca;
	struct config config;
};

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void put_pair(const struct files *files)
{
	static const struct entry subject[] = { { "CN", "node" } };
	EVP_PKEY *key = key_new();
	X509 *x = certificate_new(key, subject, 1);
	FILE *f = fopen(files->key, "w");

	assert_true(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL));
	fclose(f);
	for (int i = 0; i < 2; i++) {
		f = fopen(i ? files->certificate : files->client_ca, "w");
		assert_true(PEM_write_X509(f, x));
		fclose(f);
	}
	X509_free(x);
	EVP_PKEY_free(key);
}

static int files_setup(void **state)
{
	struct files *files = calloc(1, sizeof(*files));

	files->dir = help_mkdir();
	assert_true(asprintf(&files->certificate, "%s/node.pem", files->dir) > 0);
	assert_true(asprintf(&files->key, "%s/node.key", files->dir) > 0);
	assert_true(asprintf(&files->client_ca, "%s/ca.pem", files->dir) > 0);
	files->config = (struct config){ .listen_tls.len = 1,
					 .tls_certificate = files->certificate,
					 .tls_key = files->key,
					 .tls_client_ca = files->client_ca };
	put_pair(files);
	*state = files;
	return 0;
}

static int files_teardown(void **state)
{
	struct files *files = *state;

	help_rmdir(files->dir);
	free(files->certificate);
	free(files->key);
	free(files->client_ca);
	free(files);
	return 0;
}

static uint64_t generation(struct tls *tls)
{
	struct tls_files *files = tls_files_get(tls);
	uint64_t n = files->generation;

	tls_files_put(files);
	return n;
}

static void test_reload(void **state)
{
	struct files *files = *state;
	struct tls_files *old;
	struct tls *tls = NULL;
	struct error error;

	if (tls_new(&tls, &files->config, &error) < 0)
		fail_msg("%s", error.message);
	assert_int_equal(generation(tls), 1);
	tls_look(tls, false);
	assert_int_equal(generation(tls), 1);
	old = tls_files_get(tls);

	put_pair(files);
	tls_look(tls, false);
	assert_int_equal(generation(tls), 2);
	/* Who has the old ones goes on with them. */
	assert_non_null(strstr(old->key, "PRIVATE KEY"));
	tls_files_put(old);

	/* Broken, gone, and whole again. */
	put(files->key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
	tls_look(tls, false);
	unlink(files->certificate);
	tls_look(tls, false);
	assert_int_equal(generation(tls), 2);
	put_pair(files);
	tls_look(tls, false);
	assert_int_equal(generation(tls), 3);
	tls_look(tls, true);
	assert_int_equal(generation(tls), 4);
	assert_null(tls_free(tls));
}

static void test_bad_files(void **state)
{
	struct files *files = *state;
	const struct {
		const char *path, *text, *says;
	} bad[] = {
		{ files->certificate, "", "is not a file of 1 to" },
		{ files->certificate, "hello\n", "has no certificate in PEM" },
		{ files->client_ca, "hello\n", "has no certificate in PEM" },
		{ files->client_ca,
		  "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		  "has no certificate in PEM" },
		{ files->key, "hello\n", "has no private key in PEM" },
		{ files->key, NULL, "is not the key of the certificate" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct tls *tls = NULL;
		struct error error = { .code = ERROR_NONE };

		put_pair(files);
		if (bad[i].text) {
			put(bad[i].path, bad[i].text);
		} else {
			EVP_PKEY *other = key_new();
			FILE *f = fopen(bad[i].path, "w");

			assert_true(PEM_write_PrivateKey(f, other, NULL, NULL, 0, NULL, NULL));
			fclose(f);
			EVP_PKEY_free(other);
		}
		assert_true(tls_new(&tls, &files->config, &error) < 0);
		assert_null(tls);
		assert_int_equal(error.code, ERROR_INVALID_ARGUMENT);
		if (!strstr(error.message, bad[i].says) || !strstr(error.message, bad[i].path))
			fail_msg("case %zu says: %s", i, error.message);
	}
}

/* A chain whose second certificate is damaged is refused, and not read up to there. */
static void test_damaged_chain(void **state)
{
	struct files *files = *state;
	FILE *f = fopen(files->client_ca, "a");
	struct tls *tls = NULL;
	struct error error = { .code = ERROR_NONE };

	fputs("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", f);
	fclose(f);
	assert_true(tls_new(&tls, &files->config, &error) < 0);
	assert_non_null(strstr(error.message, "certificate 2 in it is damaged"));
}

static void test_off(void **state)
{
	struct tls *tls = (struct tls *)(void *)&no_group;

	(void)state;
	assert_int_equal(tls_new(&tls, &plain, NULL), 0);
	assert_null(tls);
	tls_look(NULL, true);
	assert_null(tls_free(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unix_socket),
		cmocka_unit_test(test_tcp_socket),
		cmocka_unit_test(test_no_socket),
		cmocka_unit_test(test_uri),
		cmocka_unit_test(test_roles),
		cmocka_unit_test(test_certificate),
		cmocka_unit_test_setup_teardown(test_reload, files_setup, files_teardown),
		cmocka_unit_test_setup_teardown(test_bad_files, files_setup, files_teardown),
		cmocka_unit_test_setup_teardown(test_damaged_chain, files_setup, files_teardown),
		cmocka_unit_test(test_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
