/*
 * util.h: small helpers that libc and libbsd lack. Used by every process but
 * tako-init, which is static and keeps to system calls.
 */
#ifndef UTIL_H
#define UTIL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <bsd/string.h>
#include <bsd/stdlib.h>

#include "tako.h"

#define nitems(a) (sizeof(a) / sizeof((a)[0]))

#ifndef TAILQ_FOREACH_SAFE
#define TAILQ_FOREACH_SAFE(var, head, field, tvar)                             \
	for ((var) = TAILQ_FIRST((head));                                      \
	     (var) && ((tvar) = TAILQ_NEXT((var), field), 1); (var) = (tvar))
#endif

/* Memory that must be there: at start-up and in children. */
void *xmalloc(size_t);
void *xcalloc(size_t, size_t);
char *xstrdup(const char *);
char *xasprintf(const char *, ...) __attribute__((format(printf, 1, 2)));

/*
 * Microseconds: since the epoch (for records), monotonic (for limits), and
 * monotonic with the time that the host was suspended (for leases).
 */
int64_t time_wall_us(void);
int64_t time_mono_us(void);
int64_t time_boot_us(void);

/* ISO 8601 in UTC with microseconds and "+00:00"; buf holds 33 bytes. */
char *time_iso(char *buf, size_t len, int64_t wall_us);

/*
 * A time out of ISO 8601 ("2026-11-26", "2026-11-26T07:30", with seconds,
 * their fraction, "Z" or an offset such as "+01:00"; UTC without one), or out
 * of seconds since the epoch. -1: it is none, or not in 1970..2099.
 */
int time_parse(const char *, int64_t *wall_us);

/* A random UUID (version 4); buf holds 37 bytes. */
void uuid4(char buf[37]);
int uuid_valid(const char *);
/* A job id of ours: a UUID, with or without "api-" before it. */
int job_id_valid(const char *);

/* Lower-case hex; dst holds 2 * len + 1 bytes. */
char *hex_encode(char *dst, const uint8_t *src, size_t len);
int hex_decode(uint8_t *dst, size_t len, const char *src);
int hex_digit(int c); /* its value; -1: it is none */

void sha256(uint8_t out[TAKO_SHA256], const void *, size_t);

/* Length of the well-formed UTF-8 (no NUL) that s begins with. */
size_t utf8_span(const void *s, size_t len);
int utf8_valid(const void *s, size_t len); /* all of it; NUL refused */
/*
 * Copies src to dst with each ill-formed byte and each NUL replaced by U+FFFD.
 * dst holds 3 * len bytes; returns the length written.
 */
size_t utf8_repair(char *dst, const void *src, size_t len);

void close_fd(int *fd); /* closes unless -1, sets to -1; errno kept */
int fd_nonblock(int fd);
ssize_t write_all(int fd, const void *, size_t); /* blocking descriptors */
/* Reads a whole file of at most max bytes; NULL with errno (EFBIG). */
char *read_file(int dirfd, const char *path, size_t max, size_t *len);
/*
 * Writes a text to a file. how: further flags of open(2), of which O_CREAT
 * gives it just that mode. -1 with errno; what it has by then stays.
 */
int write_file(
    int dirfd, const char *path, int how, mode_t mode, const char *text);
/* mkdir(2) of a folder that may be there, which keeps its mode then. */
int make_dir(int dirfd, const char *path, mode_t mode);

/*
 * Where a sibling program is: beside this one, else in the libexec folder
 * the build was told. buf is filled; -1 when it is in neither.
 */
int program_path(char *buf, size_t len, const char *name);

#endif
