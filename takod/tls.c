/*
 * tls.c: the certificate and key of the HTTP front. Runs in the parent, which
 * reads the two files, sees whether they fit, and passes them over in sealed
 * memory: tako-api has no files. They are read again at each reload; a pair
 * that does not fit leaves the one that holds.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "takod.h"
#include "tls.h"
#include "util.h"

struct pair {
	int fd; /* certificate and key one behind the other; -1: no TLS */
	size_t certificate_len, key_len;
	uint8_t digest[TAKO_SHA256]; /* of both */
};

static struct pair now = { .fd = -1 }, taken = { .fd = -1 };

static char *
file_read(const char *path, size_t *n, char *detail, size_t len)
{
	char *text = read_file(AT_FDCWD, path, TLS_FILE_MAX, n);

	if (text == NULL)
		snprintf(detail, len, "%s: %s", path, strerror(errno));
	return (text);
}

/* Both as they are on the disk, if they fit; fd is -1 where none are named. */
static int
pair_read(const struct conf *cf, struct pair *p, char *detail, size_t len)
{
	char *certificate = NULL, *key = NULL, *both = NULL, wrong[128];
	SSL_CTX *ctx = NULL;
	size_t n;

	memset(p, 0, sizeof(*p));
	p->fd = -1;
	if (cf->tls_certificate_file == NULL)
		return (0);
	certificate = file_read(
	    cf->tls_certificate_file, &p->certificate_len, detail, len);
	if (certificate != NULL)
		key = file_read(cf->tls_key_file, &p->key_len, detail, len);
	if (key == NULL)
		goto out;
	ctx = tls_context(certificate, p->certificate_len, key, p->key_len,
	    wrong, sizeof(wrong));
	if (ctx == NULL) {
		snprintf(detail, len, "%s, %s: %s", cf->tls_certificate_file,
		    cf->tls_key_file, wrong);
		goto out;
	}
	n = p->certificate_len + p->key_len;
	both = xmalloc(n);
	memcpy(both, certificate, p->certificate_len);
	memcpy(both + p->certificate_len, key, p->key_len);
	sha256(p->digest, both, n);
	if ((p->fd = memfd_new("tls")) == -1 ||
	    write_all(p->fd, both, n) == -1 || memfd_seal(p->fd) == -1) {
		snprintf(detail, len, "TLS: %s", strerror(errno));
		close_fd(&p->fd);
	}
	freezero(both, n);
out:
	SSL_CTX_free(ctx);
	free(certificate);
	if (key != NULL)
		freezero(key, p->key_len);
	return (p->fd == -1 ? -1 : 0);
}

int
tls_take(const struct conf *cf, char *detail, size_t len)
{
	tls_drop();
	if (pair_read(cf, &taken, detail, len) == -1)
		return (-1);
	return ((taken.fd != -1) != (now.fd != -1) ||
		memcmp(taken.digest, now.digest, sizeof(now.digest)) != 0);
}

void
tls_keep(void)
{
	close_fd(&now.fd);
	now = taken;
	taken.fd = -1;
}

void
tls_drop(void)
{
	close_fd(&taken.fd);
}

int
tls_fd(struct msg_api_tls *m)
{
	memset(m, 0, sizeof(*m));
	m->certificate_len = now.certificate_len;
	m->key_len = now.key_len;
	return (now.fd);
}
