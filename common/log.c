/*
 * log.c: log lines on stderr, one write(2) each. Runs in every process but
 * tako-init, inside their sandboxes: it opens nothing and asks no service.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/stat.h>

#include "log.h"
#include "util.h"

static const char *const level_names[] = { "DEBUG", "INFO", "WARNING", "ERROR",
	"CRITICAL" };
/* Of syslog(3), which the journal knows. */
static const int priorities[] = { 7, 6, 4, 3, 2 };

static const char *log_name = "takod";
static enum log_level log_level = LOG_LEVEL_INFO;
static enum log_form {
	FORM_TEXT = 't',
	FORM_JSON = 'j',
	FORM_JOURNAL = 'p'
} log_form = FORM_TEXT;
static char log_correlation[MAX_CORRELATION + 1];
static unsigned log_lost; /* lines that nobody took */
static int log_torn;	  /* of the last one a part was taken */

/* systemd says by device and inode which stream is the journal's. */
static int
stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return (stream != NULL &&
		sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
		fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev &&
		st.st_ino == ino);
}

void
log_init(const char *name, enum log_level level, int json)
{
	log_name = name;
	log_level = level;
	if (json)
		log_form = FORM_JSON;
	else
		log_form = stderr_is_journal() ? FORM_JOURNAL : FORM_TEXT;
}

void
log_nonblock(void)
{
	struct stat st;
	int fd, flags;

	if (fstat(STDERR_FILENO, &st) == -1)
		return;
	if (S_ISSOCK(st.st_mode)) {
		flags = fcntl(STDERR_FILENO, F_GETFL);
		if (flags != -1)
			fcntl(STDERR_FILENO, F_SETFL, flags | O_NONBLOCK);
		return;
	}
	if (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
		return; /* a file takes what there is room for */
	fd = open(
	    "/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd == -1)
		return;
	dup2(fd, STDERR_FILENO);
	close_fd(&fd);
}

const char *
log_argument(void)
{
	static char text[3];

	text[0] = (char)('0' + log_level);
	text[1] = (char)log_form;
	return (text);
}

void
log_init_child(const char *name, int argc, char **argv)
{
	log_name = name;
	if (argc != 2 || strlen(argv[1]) != 2)
		return;
	if (argv[1][0] >= '0' && argv[1][0] <= '0' + LOG_LEVEL_CRITICAL)
		log_level = (enum log_level)(argv[1][0] - '0');
	if (argv[1][1] == FORM_JSON || argv[1][1] == FORM_JOURNAL)
		log_form = (enum log_form)argv[1][1];
}

void
log_set_level(enum log_level level)
{
	log_level = level;
}

enum log_level
log_get_level(void)
{
	return (log_level);
}

void
log_set_correlation(const char *id)
{
	strlcpy(log_correlation, id == NULL ? "" : id, sizeof(log_correlation));
}

char *
log_escape(char *dst, unsigned long dstlen, const void *s, unsigned long len)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *p = s;
	unsigned long o = 0;
	size_t n, i;

	while (len > 0 && o + 5 < dstlen) {
		n = utf8_span(p, len > 4 ? 4 : len);
		/* Only the first character of the span. */
		if (n > 0)
			for (i = 1; i < n && (p[i] & 0xc0) == 0x80; i++)
				;
		else
			i = 0;
		n = i;
		/* C1 controls are two bytes, and terminals obey them. */
		if (n == 0 || *p < 0x20 || *p == 0x7f ||
		    (n == 2 && p[0] == 0xc2 && p[1] < 0xa0)) {
			dst[o++] = '\\';
			dst[o++] = 'x';
			dst[o++] = hex[*p >> 4];
			dst[o++] = hex[*p & 15];
			p++;
			len--;
			continue;
		}
		memcpy(dst + o, p, n);
		o += n;
		p += n;
		len -= n;
	}
	if (dstlen > 0)
		dst[o] = '\0';
	return (dst);
}

/* A JSON string's inside: the text is escaped already but for \ and ". */
static size_t
json_put(char *dst, size_t dstlen, const char *s)
{
	size_t o = 0;

	for (; *s != '\0' && o + 3 < dstlen; s++) {
		if (*s == '"' || *s == '\\')
			dst[o++] = '\\';
		dst[o++] = *s;
	}
	dst[o] = '\0';
	return (o);
}

static void
log_tell_lost(void)
{
	unsigned n = log_lost;

	log_lost = 0;
	log_warnx("%u log lines were lost: stderr took no more", n);
	if (log_lost > 0)
		log_lost = n; /* it still does not */
}

static void
log_line(enum log_level level, const char *fmt, va_list ap, int with_errno)
{
	char raw[LOG_LINE / 2], text[LOG_LINE - 512], line[2 * LOG_LINE];
	char when[33], quoted[LOG_LINE];
	int saved = errno, n;
	ssize_t taken;
	size_t used;

	if (level < log_level)
		return;
	if (log_lost > 0)
		log_tell_lost();
	n = vsnprintf(raw, sizeof(raw), fmt, ap);
	if (n < 0)
		return;
	used = strlen(raw);
	if (with_errno && used < sizeof(raw) - 3)
		snprintf(raw + used, sizeof(raw) - used, ": %s",
		    strerrordesc_np(saved) != NULL ? strerrordesc_np(saved)
						   : "unknown error");
	log_escape(text, sizeof(text), raw, strlen(raw));
	time_iso(when, sizeof(when), time_wall_us());
	if (log_form == FORM_JSON) {
		json_put(quoted, sizeof(quoted), text);
		n = snprintf(line, sizeof(line),
		    "{\"time\":\"%s\",\"level\":\"%s\",\"process\":\"%s\","
		    "\"pid\":%d%s%s%s,\"message\":\"%s\"}\n",
		    when, level_names[level], log_name, (int)getpid(),
		    log_correlation[0] ? ",\"correlation_id\":\"" : "",
		    log_correlation, log_correlation[0] ? "\"" : "", quoted);
	} else if (log_form == FORM_JOURNAL)
		n = snprintf(line, sizeof(line), "<%d>%s[%d]: %s%s%s%s\n",
		    priorities[level], log_name, (int)getpid(),
		    log_correlation[0] ? "[" : "", log_correlation,
		    log_correlation[0] ? "] " : "", text);
	else
		n = snprintf(line, sizeof(line), "%s %s %s[%d]: %s%s%s%s\n",
		    when, level_names[level], log_name, (int)getpid(),
		    log_correlation[0] ? "[" : "", log_correlation,
		    log_correlation[0] ? "] " : "", text);
	if (n > 0) {
		if ((size_t)n >= sizeof(line))
			n = (int)sizeof(line) - 1;
		if (log_torn && write(STDERR_FILENO, "\n", 1) == 1)
			log_torn = 0;
		/* A sink that is full or gone loses the line, not the job. */
		if ((taken = write(STDERR_FILENO, line, (size_t)n)) != n) {
			log_torn |= taken > 0;
			log_lost++;
		}
	}
	errno = saved;
}

#define LOG_FUNCTION(fn, level, with_errno)                                    \
	void fn(const char *fmt, ...)                                          \
	{                                                                      \
		va_list ap;                                                    \
		va_start(ap, fmt);                                             \
		log_line(level, fmt, ap, with_errno);                          \
		va_end(ap);                                                    \
	}

LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG, 0)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO, 0)
LOG_FUNCTION(log_warn, LOG_LEVEL_WARNING, 1)
LOG_FUNCTION(log_warnx, LOG_LEVEL_WARNING, 0)
LOG_FUNCTION(log_error, LOG_LEVEL_ERROR, 0)

void
fatal(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (fmt == NULL) {
		errno = ENOMEM;
		log_line(LOG_LEVEL_CRITICAL, "fatal", ap, 1);
	} else
		log_line(LOG_LEVEL_CRITICAL, fmt, ap, 1);
	va_end(ap);
	exit(1);
}

void
fatalx(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line(LOG_LEVEL_CRITICAL, fmt, ap, 0);
	va_end(ap);
	exit(1);
}
