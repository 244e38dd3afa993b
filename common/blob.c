/*
 * blob.c: counted bytes that are passed on unread. Runs in the parent, in
 * tako-api and tako-worker; allocation failures are returned, since the parent
 * must refuse a job rather than end.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "blob.h"
#include "util.h"

#define SEALS	  (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define BLOB_READ 16384

struct blob {
	unsigned refs;
	size_t len;
	uint8_t *heap;	     /* owned, or NULL */
	uint8_t *map;	     /* of fd, or NULL */
	int fd;		     /* sealed memfd, or -1 */
	struct blob *parent; /* of a slice */
	size_t off;
};

static struct blob *
blob_new(size_t len)
{
	struct blob *b;

	if ((b = calloc(1, sizeof(*b))) == NULL)
		return (NULL);
	b->refs = 1;
	b->len = len;
	b->fd = -1;
	return (b);
}

struct blob *
blob_take(void *data, size_t len)
{
	struct blob *b;

	if ((b = blob_new(len)) == NULL) {
		free(data);
		return (NULL);
	}
	b->heap = data;
	return (b);
}

struct blob *
blob_copy(const void *data, size_t len)
{
	void *p;

	if ((p = malloc(len == 0 ? 1 : len)) == NULL)
		return (NULL);
	if (len > 0)
		memcpy(p, data, len);
	return (blob_take(p, len));
}

int
memfd_new(const char *name)
{
	return (memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
}

int
memfd_seal(int fd)
{
	return (fcntl(fd, F_ADD_SEALS, SEALS));
}

int64_t
memfd_check(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	off_t size;

	/* Only memfds answer; lseek asks no more of the sandbox than read. */
	if (seals == -1 || (seals & SEALS) != SEALS ||
	    (size = lseek(fd, 0, SEEK_END)) == -1) {
		errno = EPROTO;
		return (-1);
	}
	return ((int64_t)size);
}

/* Few bytes are cheaper read than mapped, and unmapped again. */
static int
blob_map(struct blob *b)
{
	void *p;

	if (b->len == 0)
		return (0);
	if (b->len <= BLOB_READ) {
		if ((b->heap = malloc(b->len)) == NULL)
			return (-1);
		return (pread(b->fd, b->heap, b->len, 0) == (ssize_t)b->len
			    ? 0
			    : -1);
	}
	p = mmap(NULL, b->len, PROT_READ, MAP_SHARED, b->fd, 0);
	if (p == MAP_FAILED)
		return (-1);
	b->map = p;
	return (0);
}

struct blob *
blob_from_memfd(int fd, size_t len)
{
	struct blob *b;

	if (fd == -1) {
		errno = EMFILE; /* imsgev.h: there was none left for it */
		return (NULL);
	}
	if (memfd_check(fd) != (int64_t)len) {
		errno = EPROTO;
		goto fail;
	}
	if ((b = blob_new(len)) == NULL)
		goto fail;
	b->fd = fd;
	if (blob_map(b) == -1) {
		blob_unref(b);
		return (NULL);
	}
	return (b);
fail:
	close_fd(&fd);
	return (NULL);
}

struct blob *
blob_slice(struct blob *parent, size_t off, size_t len)
{
	struct blob *b;

	if (off > blob_len(parent) || len > blob_len(parent) - off) {
		errno = EINVAL;
		return (NULL);
	}
	if ((b = blob_new(len)) == NULL)
		return (NULL);
	b->parent = blob_ref(parent);
	b->off = off;
	return (b);
}

struct blob *
blob_concat(struct blob *const *parts, size_t n)
{
	struct blob *b;
	size_t i, len = 0;
	int fd;

	for (i = 0; i < n; i++)
		len += blob_len(parts[i]);
	if ((fd = memfd_new("blob")) == -1)
		return (NULL);
	for (i = 0; i < n; i++)
		if (write_all(fd, blob_data(parts[i]), blob_len(parts[i])) ==
		    -1)
			goto fail;
	if (memfd_seal(fd) == -1 || (b = blob_new(len)) == NULL)
		goto fail;
	b->fd = fd;
	if (blob_map(b) == -1) {
		blob_unref(b);
		return (NULL);
	}
	return (b);
fail:
	close_fd(&fd);
	return (NULL);
}

struct blob *
blob_ref(struct blob *b)
{
	if (b != NULL)
		b->refs++;
	return (b);
}

void
blob_unref(struct blob *b)
{
	if (b == NULL || --b->refs > 0)
		return;
	if (b->map != NULL)
		munmap(b->map, b->len);
	free(b->heap);
	close_fd(&b->fd);
	blob_unref(b->parent);
	free(b);
}

const uint8_t *
blob_data(const struct blob *b)
{
	if (b == NULL || b->len == 0)
		return ((const uint8_t *)"");
	if (b->parent != NULL && b->map == NULL)
		return (blob_data(b->parent) + b->off);
	return (b->map != NULL ? b->map : b->heap);
}

size_t
blob_len(const struct blob *b)
{
	return (b == NULL ? 0 : b->len);
}

int
blob_fd(struct blob *b)
{
	int fd;

	if (b->fd != -1)
		return (b->fd);
	if ((fd = memfd_new("blob")) == -1)
		return (-1);
	if (write_all(fd, blob_data(b), b->len) == -1 || memfd_seal(fd) == -1) {
		close_fd(&fd);
		return (-1);
	}
	b->fd = fd;
	return (fd);
}
