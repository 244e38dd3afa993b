/*
 * seccomp_job.h: the system calls that a job may make where the host's kernel
 * answers them (runc, crun; gVisor answers them itself).
 */
#ifndef SECCOMP_JOB_H
#define SECCOMP_JOB_H

#include <stddef.h>

#include "conf.h"

/*
 * The profile as JSON text, in a form that an OCI runtime takes for
 * linux.seccomp and the Docker Engine for security-opt seccomp: the one of
 * seccomp_profile_path, else the table of seccomp_job.c (installed as
 * seccomp.json too). The caller frees it. NULL with detail when the named
 * file cannot be used.
 */
char *seccomp_job_json(const struct conf *, char *detail, size_t);
/*
 * The table as a program for the kernel, with what runc adds to it, in a sealed
 * memfd that is the caller's. -1 with errno.
 */
int seccomp_job_program(void);

#endif
