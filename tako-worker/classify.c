/*
 * classify.c: why a job failed, for people: from the signal that ended it, or
 * from the traceback that python3 printed last. Runs in tako-worker. What
 * stands on stderr is the job's own word: it can only choose among the classes
 * of a failed run, never look like a timeout, a cancellation or a fault of
 * takod's (the parent decides those without asking here).
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tako-worker.h"
#include "util.h"

#define MAX_CHARACTERS 200
#define MAX_RAW	       4096 /* of a line; more cannot change its first 200 */

static const struct {
	int number;
	enum job_error error;
} signal_classes[] = {
	{ SIGSEGV, JERR_SEGFAULT },
	{ SIGABRT, JERR_ABORT },
	{ SIGFPE, JERR_ARITHMETIC },
	{ SIGBUS, JERR_BUS },
	{ SIGPIPE, JERR_PIPE },
	{ SIGKILL, JERR_KILLED },
};

/* By the last part of a dotted name. */
static const struct {
	const char *name;
	enum job_error error;
} exceptions[] = {
	{ "MemoryError", JERR_OOM },
	{ "PermissionError", JERR_PERMISSION },
	{ "SyntaxError", JERR_SYNTAX },
	{ "IndentationError", JERR_SYNTAX },
	{ "TabError", JERR_SYNTAX },
	{ "ImportError", JERR_IMPORT },
	{ "ModuleNotFoundError", JERR_IMPORT },
	{ "TypeError", JERR_TYPE },
	{ "ValueError", JERR_VALUE },
	{ "KeyError", JERR_KEY },
	{ "IndexError", JERR_INDEX },
	{ "AttributeError", JERR_ATTRIBUTE },
	{ "NameError", JERR_NAME },
	{ "UnboundLocalError", JERR_NAME },
	{ "FileNotFoundError", JERR_FILE_NOT_FOUND },
	{ "FileExistsError", JERR_FILE },
	{ "IsADirectoryError", JERR_FILE },
	{ "NotADirectoryError", JERR_FILE },
	{ "OSError", JERR_OS },
	{ "IOError", JERR_OS },
	{ "BlockingIOError", JERR_OS },
	{ "ChildProcessError", JERR_OS },
	{ "InterruptedError", JERR_OS },
	{ "ProcessLookupError", JERR_OS },
	{ "RecursionError", JERR_RECURSION },
	{ "AssertionError", JERR_ASSERTION },
	{ "ZeroDivisionError", JERR_DIVISION },
	{ "ArithmeticError", JERR_ARITHMETIC },
	{ "FloatingPointError", JERR_ARITHMETIC },
	{ "OverflowError", JERR_OVERFLOW },
	{ "UnicodeError", JERR_ENCODING },
	{ "UnicodeDecodeError", JERR_ENCODING },
	{ "UnicodeEncodeError", JERR_ENCODING },
	{ "UnicodeTranslateError", JERR_ENCODING },
	{ "JSONDecodeError", JERR_JSON },
	{ "ConnectionError", JERR_NETWORK },
	{ "ConnectionRefusedError", JERR_NETWORK },
	{ "ConnectionResetError", JERR_NETWORK },
	{ "ConnectionAbortedError", JERR_NETWORK },
	{ "BrokenPipeError", JERR_NETWORK },
	{ "gaierror", JERR_NETWORK },
	{ "herror", JERR_NETWORK },
	{ "URLError", JERR_NETWORK },
	{ "HTTPError", JERR_NETWORK },
	{ "TimeoutError", JERR_NETWORK_TIMEOUT },
	{ "timeout", JERR_NETWORK_TIMEOUT },
	{ "ConnectTimeout", JERR_NETWORK_TIMEOUT },
	{ "ReadTimeout", JERR_NETWORK_TIMEOUT },
};

/* ---- reading a traceback --------------------------------------------------
 */

struct line {
	const char *p;
	size_t len;
};

/* The line that ends at *end, which moves to before it; 0 at the top. */
static int
line_above(const char *text, size_t *end, struct line *l)
{
	size_t e = *end, b;

	if (e == 0)
		return (0);
	if (text[e - 1] == '\n')
		e--;
	for (b = e; b > 0 && text[b - 1] != '\n'; b--)
		;
	l->p = text + b;
	l->len = e - b;
	if (l->len > 0 && l->p[l->len - 1] == '\r')
		l->len--;
	*end = b;
	return (1);
}

static int
is_line(const struct line *l, const char *text)
{
	return (l->len == strlen(text) && memcmp(l->p, text, l->len) == 0);
}

static int
indented(const struct line *l)
{
	return (l->len == 0 || l->p[0] == ' ' || l->p[0] == '\t');
}

static int
name_char(char c)
{
	return ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		(c >= '0' && c <= '9') || c == '_' || c == '.' ||
		(c & 0x80) != 0);
}

/* Length of the name that a line like "module.Error: text" begins with. */
static size_t
exception_name(const struct line *l)
{
	size_t n = 0;

	while (n < l->len && name_char(l->p[n]))
		n++;
	if (n == 0 || (n < l->len && l->p[n] != ':'))
		return (0);
	return (n);
}

/* An OSError that is about the network, by its number. */
static enum job_error
os_error_class(const struct line *l)
{
	static const char before[] = "[Errno ";
	const char *p;
	int number = 0;

	p = memmem(l->p, l->len, before, strlen(before));
	if (p == NULL)
		return (JERR_OS);
	for (p += strlen(before);
	     p < l->p + l->len && *p >= '0' && *p <= '9' && number < 1000; p++)
		number = number * 10 + (*p - '0');
	/* EADDRNOTAVAIL to ECONNRESET, ECONNREFUSED to EHOSTUNREACH. */
	if ((number >= 99 && number <= 104) || (number >= 111 && number <= 113))
		return (JERR_NETWORK);
	return (number == 110 ? JERR_NETWORK_TIMEOUT : JERR_OS);
}

static enum job_error
exception_class(const struct line *l)
{
	size_t i, n = exception_name(l), first = n;

	while (first > 0 && l->p[first - 1] != '.')
		first--;
	for (i = 0; i < nitems(exceptions); i++) {
		if (strlen(exceptions[i].name) != n - first ||
		    memcmp(exceptions[i].name, l->p + first, n - first) != 0)
			continue;
		if (exceptions[i].error == JERR_OS)
			return (os_error_class(l));
		return (exceptions[i].error);
	}
	return (JERR_RUNTIME);
}

/*
 * The line that names the exception of the last traceback: the first one
 * below its head that is not indented. (Below that a message may go on.) A
 * script that does not compile has no head: its error is the last line, below
 * the place. whole 0: the head may be above what there is.
 */
static int
find_exception(const char *text, size_t len, int whole, struct line *found)
{
	struct line l, outer = { NULL, 0 }, last = { NULL, 0 };
	size_t end = len;
	int shown = 0; /* what is above the last line, is indented */

	while (line_above(text, &end, &l)) {
		if (is_line(&l, "Traceback (most recent call last):")) {
			*found = outer;
			return (outer.p != NULL && exception_name(&outer) > 0);
		}
		if (last.p == NULL) {
			if (l.len > 0)
				last = outer = l;
			continue;
		}
		if (!indented(&l))
			outer = l;
		else if (last.p == outer.p)
			shown = 1;
	}
	*found = last;
	if (last.p == NULL || exception_name(&last) == 0)
		return (0);
	if (exception_class(&last) == JERR_SYNTAX)
		return (shown || last.p == text);
	return (!whole && shown);
}

/* ---- masking --------------------------------------------------------------
 */

struct text {
	char *buf;
	size_t len, size;
};

static void
put(struct text *t, const char *p, size_t len)
{
	if (len > t->size - t->len)
		len = t->size - t->len;
	memcpy(t->buf + t->len, p, len);
	t->len += len;
}

static int
word_char(char c)
{
	return ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		(c >= '0' && c <= '9') || c == '_');
}

static int
path_char(char c)
{
	return (
	    c > ' ' && c != 0x7f && strchr("'\"`<>|:;,()[]{}*?", c) == NULL);
}

/* A path below a home, a temporary folder or the application. */
static size_t
private_path(const char *p, size_t len)
{
	static const char *const tops[] = { "/home", "/root", "/Users", "/tmp",
		"/var/tmp", "/app" };
	size_t i, n;

	for (i = 0; i < nitems(tops); i++) {
		n = strlen(tops[i]);
		if (len < n || memcmp(p, tops[i], n) != 0 ||
		    (len > n && p[n] != '/' && path_char(p[n])))
			continue;
		while (n < len && (path_char(p[n]) || (p[n] & 0x80) != 0))
			n++;
		return (n);
	}
	return (0);
}

/* An IPv4 address of a private network (RFC 1918, RFC 3927). */
static size_t
private_address4(const char *p, size_t len)
{
	unsigned part[4], v;
	size_t n = 0;
	int i, digits;

	for (i = 0; i < 4; i++) {
		if (i > 0 && (n == len || p[n++] != '.'))
			return (0);
		for (v = 0, digits = 0;
		     n < len && digits < 3 && p[n] >= '0' && p[n] <= '9';
		     n++, digits++)
			v = v * 10 + (unsigned)(p[n] - '0');
		if (digits == 0 || v > 255)
			return (0);
		part[i] = v;
	}
	if (n < len && word_char(p[n]))
		return (0);
	if (part[0] == 10 || (part[0] == 172 && (part[1] & 0xf0) == 16) ||
	    (part[0] == 192 && part[1] == 168) ||
	    (part[0] == 169 && part[1] == 254))
		return (n);
	return (0);
}

static int
is_hex(char c)
{
	return ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
		(c >= 'A' && c <= 'F'));
}

/* An IPv6 address of fc00::/7 or fe80::/10. */
static size_t
private_address6(const char *p, size_t len)
{
	size_t n = 0, colons = 0;

	if (len < 4 || (p[0] | 0x20) != 'f' || !is_hex(p[1]) || !is_hex(p[2]) ||
	    !is_hex(p[3]))
		return (0);
	switch (p[1] | 0x20) {
	case 'c':
	case 'd':
		break;
	case 'e':
		if (strchr("89abAB", p[2]) != NULL)
			break;
		return (0);
	default:
		return (0);
	}
	for (; n < len && (is_hex(p[n]) || p[n] == ':'); n++)
		colons += p[n] == ':';
	if (n > 0 && p[n - 1] == ':' && n > 1 && p[n - 2] != ':')
		n--; /* of the sentence */
	return (colons >= 2 && (n == len || !word_char(p[n])) ? n : 0);
}

/* The name of a container: 12 or 64 hex digits. */
static size_t
container_id(const char *p, size_t len)
{
	size_t n = 0;

	while (n < len && is_hex(p[n]))
		n++;
	return ((n == 12 || n == 64) && (n == len || !word_char(p[n])) ? n : 0);
}

static void
mask(struct text *t, const char *p, size_t len)
{
	size_t i = 0, n;
	char before = ' ';

	while (i < len) {
		if (p[i] == '/' && !word_char(before) && before != '.' &&
		    before != '/' && (n = private_path(p + i, len - i)) > 0)
			put(t, "<path>", 6);
		else if (!word_char(before) && before != '.' &&
			 ((n = private_address4(p + i, len - i)) > 0 ||
			     (n = private_address6(p + i, len - i)) > 0))
			put(t, "<private-ip>", 12);
		else if (!word_char(before) &&
			 (n = container_id(p + i, len - i)) > 0)
			put(t, "<container-id>", 14);
		else
			put(t, p + i, n = 1);
		i += n;
		before = p[i - 1];
	}
}

void
classify_sanitise(
    char message[MAX_JOB_MESSAGE + 1], const char *text, size_t len)
{
	char repaired[3 * MAX_RAW], masked[12 * MAX_RAW];
	struct text t = { masked, 0, sizeof(masked) };
	size_t i, n = 0;

	if (len > MAX_RAW)
		len = MAX_RAW;
	len = utf8_repair(repaired, text, len);
	mask(&t, repaired, len);
	for (i = 0; i < t.len; i++)
		if ((masked[i] & 0xc0) != 0x80 && n++ == MAX_CHARACTERS)
			break;
	while (i > 0 && strchr(" \t\r\n", masked[i - 1]) != NULL)
		i--;
	memcpy(message, masked, i);
	message[i] = '\0';
}

/* ---- the class ------------------------------------------------------------
 */

static void
signal_message(char *message, unsigned code)
{
	const char *name = sigabbrev_np((int)code);

	if (name != NULL)
		snprintf(message, MAX_JOB_MESSAGE,
		    "Terminated by signal %u (SIG%s)", code, name);
	else
		snprintf(
		    message, MAX_JOB_MESSAGE, "Terminated by signal %u", code);
}

enum job_error
classify(enum job_end end, unsigned code, const uint8_t *err, size_t len,
    int whole, char message[MAX_JOB_MESSAGE + 1])
{
	const char *text = (const char *)err;
	struct line l;
	size_t i;

	message[0] = '\0';
	if (end == END_LOST || (end == END_EXITED && code == 0))
		return (JERR_NONE);
	if (end == END_SIGNALED) {
		signal_message(message, code);
		for (i = 0; i < nitems(signal_classes); i++)
			if ((unsigned)signal_classes[i].number == code)
				return (signal_classes[i].error);
	}
	if (len > 0 && find_exception(text, len, whole, &l)) {
		if (end == END_EXITED)
			classify_sanitise(message, l.p, l.len);
		return (exception_class(&l));
	}
	if (end == END_EXITED) {
		/* Leading blank lines say nothing. */
		for (i = 0; i < len && strchr("\r\n", text[i]) != NULL; i++)
			;
		classify_sanitise(message, text + i, len - i);
		if (message[0] == '\0')
			snprintf(
			    message, MAX_JOB_MESSAGE, "Exit code %u", code);
	}
	return (JERR_RUNTIME);
}
