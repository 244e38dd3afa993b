/*
 * worker_events.c: what a worker waits for, while one allocation of libevent's
 * after the other fails: it waits for all of it, or the process ends. A
 * container that it does not hear is a job that stands still until its start
 * has taken too long. Row T27 of the fault catalogue.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "sandbox.h"

/* It shuts itself in nowhere. */
#define sandbox_enter(sb) ((void)(sb))
#define main		  worker_main
#include "tako-worker/main.c"
#undef main

/* Who ends in the middle of its work leaves what it has. */
const char *
__asan_default_options(void)
{
	return ("detect_leaks=0");
}

static long until_fails = -1;

static int
fails(void)
{
	return (until_fails >= 0 && until_fails-- == 0);
}

static void *
allocate(size_t size)
{
	return (fails() ? NULL : malloc(size));
}

static void *
allocate_again(void *p, size_t size)
{
	return (fails() ? NULL : realloc(p, size));
}

/* A worker from the container's stream on until it is told to stop. */
static int
hears(long n)
{
	struct msg_job_stop stop = { .token = 1 };
	struct msg_frame f;
	int channel[2], stream[2];

	if ((w.base = event_base_new()) == NULL ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET, 0, channel) == -1 ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, stream) == -1 ||
	    msg_pack(&f, MSG_T_JOB_STOP, 0, &stop) == -1)
		return (0);
	w.parent = imsgev_new(w.base, channel[0], FROM_PARENT, MSG_MAX_FRAME,
	    parent_frame, parent_end, NULL);
	w.setup.token = stop.token;
	w.dir = -1;
	w.stream_fd = stream[0];
	until_fails = n;
	stream_begin();
	parent_job_stop(&f);
	until_fails = -1;
	return (event_pending(w.rd, EV_READ, NULL) &&
		event_pending(w.wr, EV_WRITE, NULL) &&
		event_pending(w.look, EV_TIMEOUT, NULL) &&
		event_pending(w.grace, EV_TIMEOUT, NULL));
}

/* In a process of its own: 0 it hears all, 1 a clean end, else something else.
 */
static int
try_with(long n)
{
	int status = -1;
	pid_t pid;

	assert_int_not_equal(pid = fork(), -1);
	if (pid == 0) {
		close(STDERR_FILENO); /* it says so each time */
		_exit(hears(n) ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return (WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

static void
test_all_or_end(void **state)
{
	int status;
	long n;

	(void)state;
	for (n = 0; (status = try_with(n)) == 1; n++)
		;
	if (status != 0)
		fail_msg("allocation %ld failed, and nobody saw it", n);
	/* Four events, the heap of timers, a place for the stream. */
	assert_int_equal(n, 6);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_or_end),
	};

	event_set_mem_functions(allocate, allocate_again, free);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
