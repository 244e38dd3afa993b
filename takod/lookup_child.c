/*
 * lookup_child.c: what a child of takod gives up before it asks a name server,
 * which is slow or answers anything.
 */
#include <sys/prctl.h>
#include <sys/resource.h>

#include <grp.h>
#include <signal.h>
#include <unistd.h>

#include "lookup_child.h"
#include "util.h"

#define NOBODY 65534

int
lookup_child(pid_t parent, int fd)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGPIPE };
	const struct rlimit none = { 0, 0 };
	sigset_t empty;
	size_t i;

	for (i = 0; i < nitems(signals); i++)
		signal(signals[i], SIG_DFL);
	sigemptyset(&empty);
	sigprocmask(SIG_SETMASK, &empty, NULL);
	if (dup2(fd, LOOKUP_FD) == -1 ||
	    close_range(LOOKUP_FD + 1, ~0U, 0) == -1)
		_exit(1);
	/* tako-vm doctor may be run by anybody. */
	if (geteuid() == 0 && (setgroups(0, NULL) == -1 ||
				  setresgid(NOBODY, NOBODY, NOBODY) == -1 ||
				  setresuid(NOBODY, NOBODY, NOBODY) == -1))
		_exit(1);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	setrlimit(RLIMIT_CORE, &none);
	setrlimit(RLIMIT_FSIZE, &none);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	return (LOOKUP_FD);
}
