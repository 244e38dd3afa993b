/*
 * blob.h: bytes that are passed on but never looked into: code, input, output.
 * A blob is immutable and counted; it lives in a sealed memfd, in the heap, or
 * in both, and becomes the other when that is asked for.
 */
#ifndef BLOB_H
#define BLOB_H

#include <stddef.h>
#include <stdint.h>

struct blob;

/* Copies. NULL with errno when there is no memory. len 0 is a blob too. */
struct blob *blob_copy(const void *, size_t len);
/* Takes a malloc'ed buffer over (also when it fails: then it is freed). */
struct blob *blob_take(void *, size_t len);
/*
 * Takes fd over: it must be a memfd sealed against write, shrink, grow and
 * seal, of exactly len bytes; otherwise closes it and returns NULL (EPROTO).
 */
struct blob *blob_from_memfd(int fd, size_t len);
/* A part of another blob, which it keeps alive. */
struct blob *blob_slice(struct blob *, size_t off, size_t len);
/* A new sealed blob of the given ones in a row; NULLs count as empty. */
struct blob *blob_concat(struct blob *const *, size_t n);
struct blob *blob_ref(struct blob *); /* NULL stays NULL */
void blob_unref(struct blob *);

const uint8_t *blob_data(const struct blob *); /* NULL blob: "" */
size_t blob_len(const struct blob *);	       /* NULL blob: 0 */
/* A sealed memfd of exactly this content; owned by the blob. -1, errno. */
int blob_fd(struct blob *);

/* memfd of len bytes for writing; seal it with memfd_seal when filled. */
int memfd_new(const char *name);
int memfd_seal(int fd);
/* Size if fd is a memfd with all four seals, else -1 (EPROTO). */
int64_t memfd_check(int fd);

#endif
