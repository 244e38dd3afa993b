/*
 * gosu.c: becomes user sandbox and runs a program: what gosu does in the image
 * of Tako VM 0.3.0. Debian's own is a Go program that spins under that one's
 * system call filter on kernels of today.
 */
#define _GNU_SOURCE
#include <err.h>
#include <grp.h>
#include <unistd.h>

#define SANDBOX 1000

int
main(int argc, char **argv)
{
	(void)argc;
	if (setgroups(0, NULL) == -1 ||
	    setresgid(SANDBOX, SANDBOX, SANDBOX) == -1 ||
	    setresuid(SANDBOX, SANDBOX, SANDBOX) == -1)
		err(1, "ids");
	execvp(argv[1], argv + 1);
	err(1, "%s", argv[1]);
}
