// SPDX-License-Identifier: Apache-2.0
// The files of mutual TLS, and who a client is by its certificate.

#include "agent/tls.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/config.h"
#include "agent/log.h"

#define CN_MAX 64 /* bytes; ub-common-name of RFC 5280 */

enum { CERTIFICATE, KEY, CLIENT_CA, FILES };

/* What tells one version of a file from another. */
struct stamp {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
};

struct tls {
	const char *paths[FILES];
	struct stamp seen[FILES]; /* of the files that were last read, good or bad */
	pthread_mutex_t lock;	  /* of: */
	struct tls_files *files;
};

/* --- Reading --- */

static void bio_freep(BIO **bio)
{
	BIO_free(*bio);
}

static void x509_freep(X509 **x)
{
	X509_free(*x);
}

static void pkey_freep(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

static char *wipe(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
	return NULL;
}

static void wipep(char **text)
{
	wipe(*text);
}

static int read_file(char **out, const char *path, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	_cleanup_(wipep) char *text = NULL;
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_raise_errno(err, ERROR_INVALID_ARGUMENT, errno, "open");
	if (!S_ISREG(st.st_mode) || st.st_size < 1 || st.st_size > TLS_FILE_MAX)
		return error_raise(err, ERROR_INVALID_ARGUMENT, "is not a file of 1 to %u bytes",
				   TLS_FILE_MAX);
	text = calloc(1, (size_t)st.st_size + 1);
	if (!text)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	r = pread_all(fd, text, (size_t)st.st_size, 0);
	if (r < 0)
		return error_raise_errno(err, ERROR_INVALID_ARGUMENT, -r, "read");
	*out = TAKE_PTR(text);
	return 0;
}

/* --- Checking --- */

/* A library would ask on the terminal. */
static int no_password(char *out, int size, int writing, void *data)
{
	(void)out;
	(void)size;
	(void)writing;
	(void)data;
	return -1;
}

/* All certificates of a PEM text; the first is handed out where `first` is given. */
static int check_certificates(X509 **first, const char *pem, struct error *err)
{
	_cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(pem, -1);
	unsigned int n = 0;
	unsigned long why;
	X509 *x;

	while (bio && (x = PEM_read_bio_X509(bio, NULL, no_password, NULL))) {
		if (n++ == 0 && first)
			*first = x;
		else
			X509_free(x);
	}
	why = ERR_peek_last_error();
	ERR_clear_error();
	if (n && ERR_GET_REASON(why) == PEM_R_NO_START_LINE)
		return 0;
	return error_raise(err, ERROR_INVALID_ARGUMENT,
			   n ? "certificate %u in it is damaged" : "has no certificate in PEM",
			   n + 1);
}

static int check_key(X509 *certificate, const char *pem, struct error *err)
{
	_cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(pem, -1);
	_cleanup_(pkey_freep) EVP_PKEY *key = NULL;
	bool fits;

	if (bio)
		key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	fits = key && X509_check_private_key(certificate, key) == 1;
	ERR_clear_error();
	if (!key)
		return error_raise(err, ERROR_INVALID_ARGUMENT,
				   "has no private key in PEM without a password");
	return fits ? 0
		    : error_raise(err, ERROR_INVALID_ARGUMENT, "is not the key of the certificate");
}

static int check_files(const struct tls *tls, const struct tls_files *files, struct error *err)
{
	_cleanup_(x509_freep) X509 *certificate = NULL;

	if (check_certificates(&certificate, files->certificate, err) < 0)
		return error_widen(err, "%s", tls->paths[CERTIFICATE]);
	if (check_key(certificate, files->key, err) < 0)
		return error_widen(err, "%s", tls->paths[KEY]);
	if (check_certificates(NULL, files->client_ca, err) < 0)
		return error_widen(err, "%s", tls->paths[CLIENT_CA]);
	/* Not an error: a device may boot with a clock that is not set yet. */
	if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
		log_warning("%s: has expired; clients will refuse it", tls->paths[CERTIFICATE]);
	return 0;
}

/* --- Snapshots --- */

void tls_files_put(struct tls_files *files)
{
	if (!files || atomic_fetch_sub(&files->users, 1) > 1)
		return;
	free(files->certificate);
	wipe(files->key);
	free(files->client_ca);
	free(files);
}

static void files_putp(struct tls_files **files)
{
	tls_files_put(*files);
}

struct tls_files *tls_files_get(struct tls *tls)
{
	struct tls_files *files;

	pthread_mutex_lock(&tls->lock);
	files = tls->files;
	atomic_fetch_add(&files->users, 1);
	pthread_mutex_unlock(&tls->lock);
	return files;
}

static int load(struct tls *tls, struct error *err)
{
	_cleanup_(files_putp) struct tls_files *new = calloc(1, sizeof(*new)), *old = NULL;
	char **texts[FILES];

	if (!new)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	atomic_init(&new->users, 1);
	texts[CERTIFICATE] = &new->certificate;
	texts[KEY] = &new->key;
	texts[CLIENT_CA] = &new->client_ca;
	for (size_t i = 0; i < FILES; i++)
		if (read_file(texts[i], tls->paths[i], err) < 0)
			return error_widen(err, "%s", tls->paths[i]);
	if (check_files(tls, new, err) < 0)
		return -EINVAL;
	pthread_mutex_lock(&tls->lock);
	new->generation = tls->files ? tls->files->generation + 1 : 1;
	old = tls->files;
	tls->files = TAKE_PTR(new);
	pthread_mutex_unlock(&tls->lock);
	return 0;
}

/* --- Watching --- */

/* A file that is not there has a stamp of zeros, which is a change as well. */
static bool take_stamps(struct tls *tls)
{
	bool changed = false;

	for (size_t i = 0; i < FILES; i++) {
		struct stamp now;
		struct stat st;

		memset(&now, 0, sizeof(now));
		if (stat(tls->paths[i], &st) == 0) {
			now.dev = st.st_dev;
			now.ino = st.st_ino;
			now.size = st.st_size;
			now.mtime = st.st_mtim;
			now.ctime = st.st_ctim;
		}
		changed = changed || memcmp(&now, &tls->seen[i], sizeof(now)) != 0;
		tls->seen[i] = now;
	}
	return changed;
}

void tls_look(struct tls *tls, bool force)
{
	struct error error;

	if (!tls)
		return;
	/* Taken before the files are read: what is written meanwhile is seen the next time. */
	if (!take_stamps(tls) && !force)
		return;
	if (load(tls, &error) < 0)
		log_error("tls: the certificate of before stays in use: %s", error.message);
	else
		log_notice("tls: new connections get the certificate of %s as it is now",
			   tls->paths[CERTIFICATE]);
}

int tls_new(struct tls **out, const struct config *config, struct error *err)
{
	struct tls *tls;
	int r;

	if (!config->listen_tls.len && !config->listen_grpc_tls.len) {
		*out = NULL;
		return 0;
	}
	tls = calloc(1, sizeof(*tls));
	if (!tls)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	pthread_mutex_init(&tls->lock, NULL);
	tls->paths[CERTIFICATE] = config->tls_certificate;
	tls->paths[KEY] = config->tls_key;
	tls->paths[CLIENT_CA] = config->tls_client_ca;
	take_stamps(tls);
	r = load(tls, err);
	if (r < 0) {
		tls_free(tls);
		return error_widen(err, "[tls]");
	}
	*out = tls;
	return 0;
}

struct tls *tls_free(struct tls *tls)
{
	if (!tls)
		return NULL;
	tls_files_put(tls->files);
	pthread_mutex_destroy(&tls->lock);
	free(tls);
	return NULL;
}

/* --- Who a client is --- */

static X509 *parse(const void *certificate, size_t size)
{
	static const char begin[] = "-----BEGIN";
	const unsigned char *der = certificate;
	X509 *x;

	if (size > TLS_FILE_MAX)
		return NULL;
	if (size >= sizeof(begin) && memcmp(certificate, begin, sizeof(begin) - 1) == 0) {
		_cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(certificate, (int)size);

		x = bio ? PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL;
	} else {
		x = d2i_X509(NULL, &der, (long)size);
	}
	ERR_clear_error();
	return x;
}

/* The bytes of a name's entry; its length, or 0 when it is nothing that we would print. */
static size_t entry_text(const X509_NAME_ENTRY *entry, const unsigned char **text)
{
	const ASN1_STRING *value = X509_NAME_ENTRY_get_data(entry);
	int n = ASN1_STRING_length(value);

	*text = ASN1_STRING_get0_data(value);
	if (n < 1 || n > CN_MAX)
		return 0;
	for (int i = 0; i < n; i++)
		if ((*text)[i] < ' ' || (*text)[i] > '~')
			return 0;
	return (size_t)n;
}

static unsigned int roles_of(X509_NAME *subject)
{
	static const char prefix[] = "croft-";
	const size_t skip = sizeof(prefix) - 1;
	unsigned int roles = 0;
	int i = -1;

	while ((i = X509_NAME_get_index_by_NID(subject, NID_organizationalUnitName, i)) >= 0) {
		const unsigned char *text;
		size_t n = entry_text(X509_NAME_get_entry(subject, i), &text);

		if (n > skip && memcmp(text, prefix, skip) == 0)
			roles |= auth_role_named((const char *)text + skip, n - skip);
	}
	return roles;
}

void tls_principal(struct principal *out, const void *certificate, size_t size)
{
	_cleanup_(x509_freep) X509 *x = parse(certificate, size);
	X509_NAME *subject = x ? X509_get_subject_name(x) : NULL;
	int at = subject ? X509_NAME_get_index_by_NID(subject, NID_commonName, -1) : -1;
	const unsigned char *cn;
	size_t n = 0;

	snprintf(out->actor, sizeof(out->actor), "cert:?");
	out->roles = 0;
	/* One of two names could be somebody else's. */
	if (at >= 0 && X509_NAME_get_index_by_NID(subject, NID_commonName, at) < 0)
		n = entry_text(X509_NAME_get_entry(subject, at), &cn);
	if (!n)
		return;
	snprintf(out->actor, sizeof(out->actor), "cert:%.*s", (int)n, (const char *)cn);
	out->roles = roles_of(subject);
}
