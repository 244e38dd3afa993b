/*
 * engine_choose.c: which of the engines a configuration means. Used by takod
 * at its start, and by tako-vm, which tries the same one.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "engine.h"
#include "util.h"

const char engine_how_to_install[] =
    "install gVisor (Debian: apt-get install runsc; else "
    "https://gvisor.dev/docs/user_guide/install/), or allow runc by "
    "security_mode: permissive";

uint64_t
engine_core_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_CORE, &r) == -1 || r.rlim_max < CORE_LIMIT)
		return (0);
	return (CORE_LIMIT);
}

/* Somebody listens there; one who is too busy to accept does, too. */
static int
docker_answers(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd, ret;

	if (strncmp(path, "unix://", 7) == 0)
		path += 7;
	if (strlcpy(sun.sun_path, path, sizeof(sun.sun_path)) >=
		sizeof(sun.sun_path) ||
	    (fd = socket(
		 AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) == -1)
		return (0);
	ret = connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0 ||
	      errno == EAGAIN;
	close_fd(&fd);
	return (ret);
}

const struct engine_ops *
engine_choose(const struct conf *conf)
{
	if (conf->engine == CONF_ENGINE_AUTO)
		return (docker_answers(conf->docker_host) ? &engine_docker
							  : &engine_oci);
	return (
	    conf->engine == CONF_ENGINE_DOCKER ? &engine_docker : &engine_oci);
}

/* An engine that is away or slow says nothing about the runtime. */
int
engine_falls_back(
    const struct conf *conf, enum runtime runtime, enum engine_error error)
{
	return (runtime == RUNTIME_RUNSC &&
		conf->security_mode == SECURITY_PERMISSIVE &&
		(error == ENGINE_CONFIG || error == ENGINE_TRANSIENT));
}
