/*
 * classify.c: classes and messages of failed runs, by what python3 really
 * prints, and by what a job might print to pass for something else.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tako-worker/tako-worker.h"
#include "util.h"

#define HEAD "Traceback (most recent call last):\n"
#define AT   "  File \"/code/main.py\", line 1, in <module>\n    f()\n    ^^^\n"

static void
check(const char *err, int whole, enum job_error want, const char *message)
{
	char got[MAX_JOB_MESSAGE + 1];
	enum job_error e;

	e = classify(
	    END_EXITED, 1, (const uint8_t *)err, strlen(err), whole, got);
	if (e != want || strcmp(got, message) != 0)
		fail_msg("%s\n-> %s: %s", err, job_error_name(e), got);
}

static void
check_line(const char *line, enum job_error want)
{
	char *err = xasprintf(HEAD AT "%s\n", line);

	check(err, 1, want, line);
	free(err);
}

static void
test_success_and_loss(void **state)
{
	char got[MAX_JOB_MESSAGE + 1];
	const uint8_t err[] = HEAD AT "ValueError\n";

	(void)state;
	assert_int_equal(
	    classify(END_EXITED, 0, err, sizeof(err) - 1, 1, got), JERR_NONE);
	assert_string_equal(got, "");
	assert_int_equal(
	    classify(END_LOST, 0, err, sizeof(err) - 1, 1, got), JERR_NONE);
	assert_string_equal(got, "");
}

static void
check_signal(
    unsigned code, const char *err, enum job_error want, const char *message)
{
	char got[MAX_JOB_MESSAGE + 1];

	assert_int_equal(classify(END_SIGNALED, code, (const uint8_t *)err,
			     strlen(err), 1, got),
	    want);
	assert_string_equal(got, message);
}

static void
test_signals(void **state)
{
	(void)state;
	check_signal(
	    SIGSEGV, "", JERR_SEGFAULT, "Terminated by signal 11 (SIGSEGV)");
	check_signal(SIGABRT, HEAD AT "ValueError: x\n", JERR_ABORT,
	    "Terminated by signal 6 (SIGABRT)");
	check_signal(
	    SIGFPE, "", JERR_ARITHMETIC, "Terminated by signal 8 (SIGFPE)");
	check_signal(SIGBUS, "", JERR_BUS, "Terminated by signal 7 (SIGBUS)");
	check_signal(
	    SIGPIPE, "", JERR_PIPE, "Terminated by signal 13 (SIGPIPE)");
	check_signal(SIGKILL, "Out of memory\n", JERR_KILLED,
	    "Terminated by signal 9 (SIGKILL)");
	check_signal(
	    SIGTERM, "", JERR_RUNTIME, "Terminated by signal 15 (SIGTERM)");
	check_signal(64, "", JERR_RUNTIME, "Terminated by signal 64");
	check_signal(SIGINT, HEAD AT "KeyboardInterrupt\n", JERR_RUNTIME,
	    "Terminated by signal 2 (SIGINT)");
}

static void
test_exceptions(void **state)
{
	(void)state;
	check_line("MemoryError", JERR_OOM);
	check_line("ValueError: not 3", JERR_VALUE);
	check_line("KeyError: 'TimeoutError: x'", JERR_KEY);
	check_line("ModuleNotFoundError: No module named 'x'", JERR_IMPORT);
	check_line("json.decoder.JSONDecodeError: Expecting value", JERR_JSON);
	check_line("requests.exceptions.ConnectionError: x", JERR_NETWORK);
	check_line("socket.gaierror: [Errno -3] Temporary failure in name "
		   "resolution",
	    JERR_NETWORK);
	check_line("TimeoutError: [Errno 110] x", JERR_NETWORK_TIMEOUT);
	check_line("OSError: [Errno 28] No space left on device", JERR_OS);
	check_line("OSError: [Errno 101] Network is unreachable", JERR_NETWORK);
	check_line("OSError: [Errno 1130] x", JERR_OS);
	check_line("OSError", JERR_OS);
	check_line("ZeroDivisionError: division by zero", JERR_DIVISION);
	check_line("Own: x", JERR_RUNTIME);
	check_line("my.ValueErrors: x", JERR_RUNTIME);
	check_line("\xc3\x84rger: x", JERR_RUNTIME);
	check_line("KeyboardInterrupt", JERR_RUNTIME);
}

static void
test_tracebacks(void **state)
{
	(void)state;
	/* A message of several lines; text after it; text before it. */
	check("MemoryError: no\n" HEAD AT "ValueError: one\ntwo\n"
	      "TypeError: three\n",
	    1, JERR_VALUE, "ValueError: one");
	check(HEAD AT "KeyError: 'a'\n\nDuring handling of the above "
		      "exception, another exception occurred:\n\n" HEAD AT
		      "IndexError: b\n",
	    1, JERR_INDEX, "IndexError: b");
	check(HEAD AT "  [Previous line repeated 993 more times]\n"
		      "RecursionError: maximum recursion depth exceeded\n",
	    1, JERR_RECURSION,
	    "RecursionError: maximum recursion depth exceeded");
	check(HEAD AT "ValueError: x\r\n", 1, JERR_VALUE, "ValueError: x");
	check(HEAD AT "ValueError: x", 1, JERR_VALUE, "ValueError: x");
	/* No exception below the head: cut off, or not a traceback. */
	check(HEAD AT, 1, JERR_RUNTIME,
	    "Traceback (most recent call last):\n"
	    "  File \"/code/main.py\", line 1, in <module>\n    f()\n    ^^^");
	check(HEAD "this is no name\n", 1, JERR_RUNTIME,
	    "Traceback (most recent call last):\nthis is no name");
}

static void
test_syntax_errors(void **state)
{
	(void)state;
	check("  File \"/code/main.py\", line 1\n    x = = 1\n        ^\n"
	      "SyntaxError: invalid syntax\n",
	    1, JERR_SYNTAX, "SyntaxError: invalid syntax");
	check("  File \"/code/main.py\", line 2\n    x\n    ^\n"
	      "IndentationError: expected an indented block\n",
	    1, JERR_SYNTAX, "IndentationError: expected an indented block");
	check("SyntaxError: encoding problem: x\n", 1, JERR_SYNTAX,
	    "SyntaxError: encoding problem: x");
	/* Only words. */
	check("first\nSyntaxError: x\n", 1, JERR_RUNTIME,
	    "first\nSyntaxError: x");
	check("ValueError: x\n", 1, JERR_RUNTIME, "ValueError: x");
}

static void
test_no_traceback(void **state)
{
	char err[601];

	(void)state;
	check("", 1, JERR_RUNTIME, "Exit code 1");
	check("\n \n", 1, JERR_RUNTIME, "Exit code 1");
	check("Killed\n", 1, JERR_RUNTIME, "Killed");
	check("Segmentation fault\n", 1, JERR_RUNTIME, "Segmentation fault");
	memset(err, 'x', 600);
	err[600] = '\0';
	check(err, 1, JERR_RUNTIME, err + 400);
}

/* The head of the traceback went by: its end is enough. */
static void
test_tail(void **state)
{
	(void)state;
	check("xxx\n    g()\nValueError: x\n", 0, JERR_VALUE, "ValueError: x");
	check("xxx\nValueError: x\n", 0, JERR_RUNTIME, "xxx\nValueError: x");
	check(HEAD AT "ValueError: x\n", 0, JERR_VALUE, "ValueError: x");
}

static void
clean(const char *text, const char *want)
{
	char got[MAX_JOB_MESSAGE + 1];

	classify_sanitise(got, text, strlen(text));
	assert_string_equal(got, want);
}

static void
test_masks(void **state)
{
	(void)state;
	clean("'/home/me/x.txt', '/tmp/a b'", "'<path>', '<path> b'");
	clean("/root: no; (/var/tmp/x) /app/", "<path>: no; (<path>) <path>");
	clean("/homes/x /tmpfs /usr/tmp/x a/tmp/b",
	    "/homes/x /tmpfs /usr/tmp/x a/tmp/b");
	clean("/code/main.py", "/code/main.py");
	clean("10.0.0.1 172.16.3.4:80 172.32.0.1 192.168.1.255. 8.8.8.8",
	    "<private-ip> <private-ip>:80 172.32.0.1 <private-ip>. 8.8.8.8");
	clean("1.10.0.0.1 10.0.0.256 10.0.0 v10.0.0.1",
	    "1.10.0.0.1 10.0.0.256 10.0.0 v10.0.0.1");
	clean("fe80::1 fd00:1:2::3 2001:db8::1 fe80 face:b00c",
	    "<private-ip> <private-ip> 2001:db8::1 fe80 face:b00c");
	clean("id 0123456789ab, 0123456789abc, x0123456789ab 0123456789AB",
	    "id <container-id>, 0123456789abc, x0123456789ab <container-id>");
	clean("0123456789abcdef0123456789abcdef0123456789abcdef"
	      "0123456789abcdef!",
	    "<container-id>!");
	clean("0123456789abcdef0123456789abcdef", /* 32: some other digest */
	    "0123456789abcdef0123456789abcdef");
}

static void
test_length(void **state)
{
	char text[20000], want[MAX_JOB_MESSAGE + 1];
	size_t i;

	(void)state;
	/* 200 characters, whatever they are: 4 bytes each at the most. */
	for (i = 0; i < 300; i++)
		memcpy(text + 4 * i, "\xf0\x9f\x98\x80", 4);
	text[1200] = '\0';
	memcpy(want, text, 800);
	want[800] = '\0';
	clean(text, want);
	/* Repaired, and longer than all that is looked at. */
	memset(text, 0xff, sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (i = 0; i < 200; i++)
		memcpy(want + 3 * i, "\xef\xbf\xbd", 3);
	want[600] = '\0';
	clean(text, want);
	/* Masks grow: as many as fit. */
	for (i = 0; i + 5 < sizeof(text); i += 5)
		memcpy(text + i, "/tmp ", 5);
	text[i] = '\0';
	for (i = 0; i < 200; i++)
		want[i] = "<path> "[i % 7];
	want[200] = '\0';
	clean(text, want);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_success_and_loss),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_exceptions),
		cmocka_unit_test(test_tracebacks),
		cmocka_unit_test(test_syntax_errors),
		cmocka_unit_test(test_no_traceback),
		cmocka_unit_test(test_tail),
		cmocka_unit_test(test_masks),
		cmocka_unit_test(test_length),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
