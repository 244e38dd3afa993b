/*
 * shut.c: what takod itself gives up, once its engine is chosen. Runs in the
 * parent. Being able to start containers is root-equivalent, so this is no
 * boundary (see priv.c); it keeps an accident small.
 *
 * There is no Landlock for the parent: below it nobody could mount, and both
 * the runtimes and the empty roots of the children need that.
 */
#include <errno.h>
#include <seccomp.h>
#include <cap-ng.h>
#include <sys/prctl.h>

#include "log.h"
#include "sandbox.h"
#include "takod.h"
#include "util.h"

/*
 * Both: other ids for children and their maps, an empty bounding set for them,
 * their end; the data directory's files and theirs; a port below 1024 after a
 * reload; and what /proc shows of a container's first process (proof.c; runc
 * opens its children's namespaces by the same). A Docker engine's containers
 * with a network besides: their namespaces are the host's root's. A runtime
 * besides: namespaces, mounts, a root. etc/takod.service and its drop-ins say
 * the same to systemd, but that what only proof.c needs is left out there.
 */
static const int caps_docker[] = { CAP_SETUID, CAP_SETGID, CAP_SETPCAP,
	CAP_KILL, CAP_CHOWN, CAP_FOWNER, CAP_DAC_OVERRIDE, CAP_NET_BIND_SERVICE,
	CAP_SYS_PTRACE };
static const int caps_network[] = { CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_MKNOD };
static const int caps_runtime[] = { CAP_SYS_ADMIN, CAP_SYS_CHROOT,
	CAP_NET_ADMIN, /* lo, in a container without a user namespace */
	/* what a job gets where enable_cap_restrictions is off */
	CAP_FSETID, CAP_MKNOD, CAP_NET_RAW, CAP_SETFCAP, CAP_AUDIT_WRITE };

/*
 * Neither takod nor what it starts makes these calls: not libpq, libcurl,
 * runsc, runc or crun, nor a job under runc, which inherits this. A list of
 * what is denied, since runtimes differ in what they ask for, and an error
 * rather than the end, since they ask for more than they need.
 */
static const int denied[] = {
	/* the kernel's own code, and another kernel */
	SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module),
	SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load), SCMP_SYS(reboot),
	/* the host's clock, swap, accounting, quotas, log */
	SCMP_SYS(settimeofday), SCMP_SYS(clock_settime),
	SCMP_SYS(clock_adjtime), SCMP_SYS(adjtimex), SCMP_SYS(swapon),
	SCMP_SYS(swapoff), SCMP_SYS(acct), SCMP_SYS(quotactl),
	SCMP_SYS(quotactl_fd), SCMP_SYS(syslog),
	/* ports */
	SCMP_SYS(ioperm), SCMP_SYS(iopl),
	/* much used against kernels */
	SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter),
	SCMP_SYS(io_uring_register), SCMP_SYS(userfaultfd),
	SCMP_SYS(perf_event_open), SCMP_SYS(fanotify_init),
	/* other processes' descriptors and kernel objects */
	SCMP_SYS(pidfd_getfd), SCMP_SYS(kcmp), SCMP_SYS(lookup_dcookie),
	/* long gone */
	SCMP_SYS(uselib), SCMP_SYS(sysfs), SCMP_SYS(ustat),
	SCMP_SYS(nfsservctl), SCMP_SYS(vhangup)
};
/*
 * Where a Docker engine makes the containers: what runtimes do need. Mounts
 * stay, for the empty root of takod's children; the capability over the host's
 * is gone.
 */
static const int denied_docker[] = { SCMP_SYS(bpf), SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
	SCMP_SYS(keyctl), SCMP_SYS(add_key), SCMP_SYS(request_key),
	SCMP_SYS(open_by_handle_at), SCMP_SYS(personality), SCMP_SYS(chroot) };
/* What networks do need of these. */
static const int denied_alone[] = { SCMP_SYS(setns), SCMP_SYS(mknod),
	SCMP_SYS(mknodat) };

static void
deny(scmp_filter_ctx ctx, const int *calls, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		/* One that this architecture lacks needs no rule. */
		if (seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), calls[i], 0) <
			0 &&
		    calls[i] >= 0)
			fatalx("seccomp: a rule was refused");
}

void *
shut_filter(enum shut_for use)
{
	scmp_filter_ctx ctx;

	filter_memory();
	if ((ctx = seccomp_init(SCMP_ACT_ALLOW)) == NULL ||
	    seccomp_attr_set(
		ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS)) < 0)
		fatalx("seccomp_init");
	deny(ctx, denied, nitems(denied));
	if (use != SHUT_FOR_RUNTIMES)
		deny(ctx, denied_docker, nitems(denied_docker));
	if (use == SHUT_FOR_ENGINE)
		deny(ctx, denied_alone, nitems(denied_alone));
	return (ctx);
}

static int
among(int cap, const int *caps, size_t n)
{
	for (; n > 0; n--)
		if (caps[n - 1] == cap)
			return (1);
	return (0);
}

void
shut_enter(enum shut_for use)
{
	int cap;

	/* Nothing is added to what whoever started takod has left it. */
	capng_get_caps_process();
	for (cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (!among(cap, caps_docker, nitems(caps_docker)) &&
		    !(use == SHUT_FOR_NETWORKS &&
			among(cap, caps_network, nitems(caps_network))) &&
		    !(use == SHUT_FOR_RUNTIMES &&
			among(cap, caps_runtime, nitems(caps_runtime))))
			capng_update(CAPNG_DROP,
			    CAPNG_EFFECTIVE | CAPNG_PERMITTED |
				CAPNG_INHERITABLE | CAPNG_BOUNDING_SET,
			    (unsigned)cap);
	if (capng_apply(CAPNG_SELECT_BOTH) != 0)
		fatalx("capabilities cannot be given up");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		fatal("prctl");
#ifndef SANDBOX_NULL
	filter_load(shut_filter(use));
#endif
}
