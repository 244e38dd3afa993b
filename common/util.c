/*
 * util.c: small helpers. Runs in every process but tako-init.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sha2.h>
#include <sys/stat.h>

#include "failpoint.h"
#include "log.h"
#include "util.h"

void *
xmalloc(size_t len)
{
	void *p = malloc(len == 0 ? 1 : len);

	if (p == NULL)
		fatal(NULL);
	return (p);
}

void *
xcalloc(size_t n, size_t len)
{
	void *p = calloc(n == 0 ? 1 : n, len == 0 ? 1 : len);

	if (p == NULL)
		fatal(NULL);
	return (p);
}

char *
xstrdup(const char *s)
{
	char *p = strdup(s);

	if (p == NULL)
		fatal(NULL);
	return (p);
}

char *
xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *p;

	va_start(ap, fmt);
	if (vasprintf(&p, fmt, ap) == -1)
		fatal(NULL);
	va_end(ap);
	return (p);
}

static int64_t
clock_us(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ((int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
}

int64_t
time_wall_us(void)
{
	return (clock_us(CLOCK_REALTIME) + FAILPOINT_CLOCK());
}

int64_t
time_mono_us(void)
{
	return (clock_us(CLOCK_MONOTONIC));
}

int64_t
time_boot_us(void)
{
	return (clock_us(CLOCK_BOOTTIME));
}

char *
time_iso(char *buf, size_t len, int64_t wall_us)
{
	time_t t = (time_t)(wall_us / 1000000);
	struct tm tm;

	gmtime_r(&t, &tm);
	snprintf(buf, len, "%04d-%02d-%02dT%02d:%02d:%02d.%06d+00:00",
	    tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
	    tm.tm_sec, (int)(wall_us % 1000000));
	return (buf);
}

/* A number of exactly n digits; -1: there is none. */
static int
digits(const char **s, int n)
{
	int v = 0;

	for (; n > 0; n--, (*s)++) {
		if (**s < '0' || **s > '9')
			return (-1);
		v = v * 10 + (**s - '0');
	}
	return (v);
}

/* ".5" as microseconds, 0 without one. */
static int64_t
fraction(const char **s)
{
	int64_t unit = 100000, us = 0;

	if (**s != '.' || (*s)[1] < '0' || (*s)[1] > '9')
		return (0);
	for ((*s)++; **s >= '0' && **s <= '9'; (*s)++, unit /= 10)
		us += (**s - '0') * unit;
	return (us);
}

/* "Z", "+01:00" or nothing as microseconds; -1: neither. */
static int
zone(const char **s, int64_t *us)
{
	int sign, hours, minutes;

	*us = 0;
	if (**s == 'Z' || **s == 'z') {
		(*s)++;
		return (0);
	}
	if (**s == '\0')
		return (0);
	/* In a query a plus may have become a blank. */
	sign = **s == '-' ? -1 : 1;
	if (**s != '+' && **s != '-' && **s != ' ')
		return (-1);
	(*s)++;
	hours = digits(s, 2);
	if (**s == ':')
		(*s)++;
	minutes = digits(s, 2);
	if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
		return (-1);
	*us = sign * (hours * 60 + minutes) * INT64_C(60000000);
	return (0);
}

int
time_parse(const char *s, int64_t *wall_us)
{
	static const int64_t last = INT64_C(4102444800000000);
	struct tm tm = { 0 };
	const char *p = s;
	int64_t us = 0, off;
	int64_t secs = 0;

	while (*p >= '0' && *p <= '9' && p - s < 12)
		secs = secs * 10 + (*p++ - '0');
	if (p > s && (*p == '\0' || *p == '.')) {
		us = fraction(&p);
		*wall_us = secs * 1000000 + us;
		return (*p == '\0' && *wall_us < last ? 0 : -1);
	}
	p = s;
	tm.tm_year = digits(&p, 4) - 1900;
	if (tm.tm_year < 70 || *p++ != '-' ||
	    (tm.tm_mon = digits(&p, 2) - 1) < 0 || tm.tm_mon > 11 ||
	    *p++ != '-' || (tm.tm_mday = digits(&p, 2)) < 1 || tm.tm_mday > 31)
		return (-1);
	off = 0;
	if (*p == 'T' || *p == 't' || *p == ' ') {
		p++;
		if ((tm.tm_hour = digits(&p, 2)) < 0 || tm.tm_hour > 23 ||
		    *p++ != ':' || (tm.tm_min = digits(&p, 2)) < 0 ||
		    tm.tm_min > 59)
			return (-1);
		if (*p == ':') {
			p++;
			if ((tm.tm_sec = digits(&p, 2)) < 0 || tm.tm_sec > 60)
				return (-1);
			us = fraction(&p);
		}
		if (zone(&p, &off) == -1)
			return (-1);
	}
	*wall_us = (int64_t)timegm(&tm) * 1000000 + us - off;
	return (*p == '\0' && *wall_us >= 0 && *wall_us < last ? 0 : -1);
}

void
uuid4(char buf[37])
{
	uint8_t r[16];
	char hex[33];

	arc4random_buf(r, sizeof(r));
	r[6] = (uint8_t)((r[6] & 0x0f) | 0x40);
	r[8] = (uint8_t)((r[8] & 0x3f) | 0x80);
	hex_encode(hex, r, sizeof(r));
	snprintf(buf, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
	    hex + 16, hex + 20);
}

int
uuid_valid(const char *s)
{
	size_t i;

	for (i = 0; i < 36; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (s[i] != '-')
				return (0);
		} else if (!((s[i] >= '0' && s[i] <= '9') ||
			       (s[i] >= 'a' && s[i] <= 'f')))
			return (0);
	}
	return (s[36] == '\0');
}

int
job_id_valid(const char *s)
{
	if (strncmp(s, "api-", 4) == 0)
		s += 4;
	return (uuid_valid(s));
}

char *
hex_encode(char *dst, const uint8_t *src, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < len; i++) {
		dst[2 * i] = digits[src[i] >> 4];
		dst[2 * i + 1] = digits[src[i] & 15];
	}
	dst[2 * len] = '\0';
	return (dst);
}

int
hex_digit(int c)
{
	if (c >= '0' && c <= '9')
		return (c - '0');
	if (c >= 'a' && c <= 'f')
		return (c - 'a' + 10);
	if (c >= 'A' && c <= 'F')
		return (c - 'A' + 10);
	return (-1);
}

int
hex_decode(uint8_t *dst, size_t len, const char *src)
{
	size_t i;
	int hi, lo;

	for (i = 0; i < len; i++) {
		if ((hi = hex_digit(src[2 * i])) == -1 ||
		    (lo = hex_digit(src[2 * i + 1])) == -1)
			return (-1);
		dst[i] = (uint8_t)(hi << 4 | lo);
	}
	return (src[2 * len] == '\0' ? 0 : -1);
}

void
sha256(uint8_t out[TAKO_SHA256], const void *data, size_t len)
{
	SHA2_CTX ctx;

	SHA256Init(&ctx);
	SHA256Update(&ctx, data, len);
	SHA256Final(out, &ctx);
}

/*
 * Length of the character that s begins with, 0 if ill-formed (Unicode table
 * 3-7: no overlong forms, no surrogates, nothing above U+10FFFF).
 */
static size_t
utf8_char(const unsigned char *s, size_t len)
{
	unsigned char lo = 0x80, hi = 0xbf;
	size_t n, i;

	if (len == 0 || s[0] == 0)
		return (0);
	if (s[0] < 0x80)
		return (1);
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2;
	else if ((s[0] & 0xf0) == 0xe0) {
		n = 3;
		if (s[0] == 0xe0)
			lo = 0xa0;
		else if (s[0] == 0xed)
			hi = 0x9f;
	} else if (s[0] >= 0xf0 && s[0] <= 0xf4) {
		n = 4;
		if (s[0] == 0xf0)
			lo = 0x90;
		else if (s[0] == 0xf4)
			hi = 0x8f;
	} else
		return (0);
	if (len < n || s[1] < lo || s[1] > hi)
		return (0);
	for (i = 2; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return (0);
	return (n);
}

size_t
utf8_span(const void *s, size_t len)
{
	const unsigned char *p = s;
	size_t n, o = 0;

	while (o < len && (n = utf8_char(p + o, len - o)) > 0)
		o += n;
	return (o);
}

int
utf8_valid(const void *s, size_t len)
{
	return (utf8_span(s, len) == len);
}

size_t
utf8_repair(char *dst, const void *src, size_t len)
{
	const unsigned char *p = src;
	size_t n, o = 0, i = 0;

	while (i < len) {
		n = utf8_span(p + i, len - i);
		memcpy(dst + o, p + i, n);
		o += n;
		i += n;
		if (i < len) {
			memcpy(dst + o, "\xef\xbf\xbd", 3);
			o += 3;
			i++;
		}
	}
	return (o);
}

void
close_fd(int *fd)
{
	int saved = errno;

	if (*fd != -1)
		close(*fd);
	*fd = -1;
	errno = saved;
}

int
fd_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return (flags == -1 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK));
}

ssize_t
write_all(int fd, const void *data, size_t len)
{
	const char *p = data;
	size_t left = len;
	ssize_t n;

	while (left > 0) {
		n = write(fd, p, left);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return (-1);
		p += n;
		left -= (size_t)n;
	}
	return ((ssize_t)len);
}

int
write_file(int dirfd, const char *path, int how, mode_t mode, const char *text)
{
	int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | how, mode), r = -1;

	if (fd != -1 && ((how & O_CREAT) == 0 || fchmod(fd, mode) == 0) &&
	    write_all(fd, text, strlen(text)) == (ssize_t)strlen(text))
		r = 0;
	close_fd(&fd);
	return (r);
}

int
make_dir(int dirfd, const char *path, mode_t mode)
{
	return (mkdirat(dirfd, path, mode) == -1 && errno != EEXIST ? -1 : 0);
}

char *
read_file(int dirfd, const char *path, size_t max, size_t *len)
{
	char *buf = NULL;
	size_t used = 0, cap = 4096;
	ssize_t n;
	char *bigger;
	int fd;

	if ((fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC)) == -1)
		return (NULL);
	if ((buf = malloc(cap + 1)) == NULL)
		goto fail;
	for (;;) {
		if (used == cap) {
			if ((bigger = realloc(buf, 2 * cap + 1)) == NULL)
				goto fail;
			buf = bigger;
			cap *= 2;
		}
		n = read(fd, buf + used, cap - used);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			goto fail;
		if (n == 0)
			break;
		used += (size_t)n;
		if (used > max) {
			errno = EFBIG;
			goto fail;
		}
	}
	buf[used] = '\0';
	if (len != NULL)
		*len = used;
	close_fd(&fd);
	return (buf);
fail:
	free(buf);
	close_fd(&fd);
	return (NULL);
}

int
program_path(char *buf, size_t len, const char *name)
{
	char self[4096], *slash;
	ssize_t n;

	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n > 0) {
		self[n] = '\0';
		if ((slash = strrchr(self, '/')) != NULL) {
			*slash = '\0';
			if ((size_t)snprintf(buf, len, "%s/%s", self, name) <
				len &&
			    access(buf, X_OK) == 0)
				return (0);
			/* A test program lies two folders below. */
			if ((size_t)snprintf(
				buf, len, "%s/../../%s", self, name) < len &&
			    access(buf, X_OK) == 0)
				return (0);
		}
	}
	if ((size_t)snprintf(buf, len, "%s/%s", PATH_LIBEXEC, name) < len &&
	    access(buf, X_OK) == 0)
		return (0);
	errno = ENOENT;
	return (-1);
}
