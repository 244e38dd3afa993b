/*
 * preload.c: has the interpreter import modules before its script comes. A
 * module usercustomize, which site imports last of all and which may lie in the
 * user's own folder, undoes what the interpreter knows of it, leaves a path
 * hook and ends as one that was not found, which is what site expects. The path
 * of the script is shown to the path hooks before it is opened: by then site is
 * done, and what is imported stands in sys.modules where the script's first
 * line would have put it. The folder is removed before the code comes.
 *
 * Tried: a .pth file runs before the system's own packages can be imported;
 * usercustomize alone imports before site is complete, which shows; an option
 * or a variable would stay to be seen.
 *
 * Runs in tako-init. No byte of a job is read here.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "tako-init.h"

/* The folder's name has the version; these lead all to the same one. */
#define MINOR_FIRST 6
#define MINOR_LAST  30

#define DIR_LIB	    "/lib"
#define DIR_REAL    "/lib/tako"
#define DIR_SITE    "/lib/tako/site-packages"
#define FILE_MODULE "/lib/tako/site-packages/usercustomize.py"
#define FILE_REPORT "/lib/tako/site-packages/report"

/*
 * What a module prints when it is imported is nobody's output yet; and nobody
 * reads the pipes. The hook is the last one: it may go while it is called.
 */
static const char script[] = "import sys\n"
			     "def preload(names, here):\n"
			     "    import os\n"
			     "    own = os.dup(1), os.dup(2)\n"
			     "    null = os.open(os.devnull, os.O_WRONLY)\n"
			     "    os.dup2(null, 1)\n"
			     "    os.dup2(null, 2)\n"
			     "    os.close(null)\n"
			     "    failed = 0\n"
			     "    for i, name in enumerate(names):\n"
			     "        try:\n"
			     "            __import__(name)\n"
			     "        except BaseException:\n"
			     "            failed |= 1 << i\n"
			     "    for fd, kept in enumerate(own, 1):\n"
			     "        os.dup2(kept, fd)\n"
			     "        os.close(kept)\n"
			     "    fd = os.open(here + '/report', os.O_WRONLY)\n"
			     "    os.write(fd, str(failed).encode())\n"
			     "    os.close(fd)\n"
			     "def wait(names):\n"
			     "    here = __file__[:__file__.rindex('/')]\n"
			     "    def hook(path):\n"
			     "        if path == sys.argv[0]:\n"
			     "            sys.path_hooks.remove(hook)\n"
			     "            preload(names, here)\n"
			     "        raise ImportError\n"
			     "    sys.path.remove(here)\n"
			     "    sys.path_importer_cache.pop(here, None)\n"
			     "    sys.path_hooks.append(hook)\n";

static char base[256];

static const char *
path(char buf[512], const char *rest)
{
	snprintf(buf, 512, "%s%s", base, rest);
	return (buf);
}

static const char *
path_version(char buf[512], int minor)
{
	snprintf(buf, 512, "%s" DIR_LIB "/python3.%d", base, minor);
	return (buf);
}

static int
file_make(const char *rest)
{
	char buf[512];

	return (open(
	    path(buf, rest), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
}

/* Where site looks: it reads the same variables. */
static void
find_base(void)
{
	const char *named = getenv("PYTHONUSERBASE"), *home = getenv("HOME");

	if (named != NULL && named[0] != '\0')
		snprintf(base, sizeof(base), "%s", named);
	else
		snprintf(
		    base, sizeof(base), "%s/.local", home != NULL ? home : "");
}

void
preload_begin(const char *names)
{
	static const char *const dirs[] = { "", DIR_LIB, DIR_REAL, DIR_SITE };
	char buf[512];
	size_t i;
	int fd;

	find_base();
	for (i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		mkdir(path(buf, dirs[i]), 0700);
	for (fd = MINOR_FIRST; fd <= MINOR_LAST; fd++)
		if (symlink("tako", path_version(buf, fd)) == -1 &&
		    errno != EEXIST)
			break;
	if ((fd = file_make(FILE_REPORT)) != -1)
		close(fd);
	if ((fd = file_make(FILE_MODULE)) != -1) {
		dprintf(fd,
		    "%swait('%s'.split(','))\n"
		    "raise ImportError(name='usercustomize')\n",
		    script, names);
		close(fd);
	}
	/* Nothing compiled is put beside it. */
	chmod(path(buf, DIR_SITE), 0500);
}

uint32_t
preload_end(const char *names)
{
	static const char *const dirs[] = { DIR_SITE, DIR_REAL, DIR_LIB, "" };
	char buf[512], text[16] = "";
	unsigned long failed;
	unsigned n = 1;
	uint32_t all;
	size_t i;
	int fd;

	fd = open(path(buf, FILE_REPORT), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd != -1) {
		if (read(fd, text, sizeof(text) - 1) == -1)
			text[0] = '\0';
		close(fd);
	}
	chmod(path(buf, DIR_SITE), 0700);
	unlink(path(buf, FILE_REPORT));
	unlink(path(buf, FILE_MODULE));
	for (fd = MINOR_FIRST; fd <= MINOR_LAST; fd++)
		unlink(path_version(buf, fd));
	for (i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		rmdir(path(buf, dirs[i]));

	for (i = 0; names[i] != '\0'; i++)
		n += names[i] == ',';
	all = n < 32 ? (1U << n) - 1 : UINT32_MAX;
	failed = strtoul(text, NULL, 10);
	/* Nothing was reported: site did not come to it. */
	return (text[0] == '\0' ? all : (uint32_t)failed & all);
}
