/*
 * proof.h: what a container is under, as the kernel shows it, for records.
 */
#ifndef PROOF_H
#define PROOF_H

#include <sys/types.h>

#include <jansson.h>

#include "cgroup.h"
#include "tako.h"

/*
 * Of the container whose first process is pid (the caller knows that it still
 * is). cg may be NULL and group "" where control groups cannot be seen;
 * profile is the digest of the system call filter that it was given, or NULL.
 * A new object, the caller's; NULL: nothing can be read.
 */
json_t *proof_read(pid_t, int gvisor, const struct cgroups *cg,
    const char *group, const char *profile);
/* SHA-256 of a text, in hex. */
const char *proof_digest(char hex[2 * TAKO_SHA256 + 1], const char *text);

#endif
