/*
 * versions.h: what takod is made of and stands on, for the log. The parent's.
 */
#ifndef VERSIONS_H
#define VERSIONS_H

#include <stddef.h>

/* One line on the libraries that this process has loaded. */
void versions_log(void);

/*
 * A warning if a program is known to be bad in this version: name as it calls
 * itself ("runc", "Docker Engine"), text with its version as the first number
 * with a dot. Without such a number nothing is said.
 */
void versions_warn(const char *name, const char *text);

/*
 * Why this version of it is known to be bad, or NULL; fixed is the version in
 * which that is mended.
 */
const char *versions_bad(
    const char *name, const char *text, const char **fixed);

#endif
