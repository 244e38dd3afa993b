/*
 * requirement.h: what a request may say of a package. Used by tako-api, and by
 * takod, which checks again what it acts on.
 */
#ifndef REQUIREMENT_H
#define REQUIREMENT_H

/* A name with extras and version clauses, and nothing else. */
int requirement_valid(const char *);
/* In place: the name as indexes compare it (PEP 503), the rest as it is. */
void requirement_normalise(char *);

#endif
