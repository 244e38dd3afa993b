/*
 * scratch.h: a folder for a trial, below TMPDIR or /tmp.
 */
#ifndef SCRATCH_H
#define SCRATCH_H

/* A new one, 0700; its path is for scratch_remove. NULL with errno. */
char *scratch_make(const char *name);
/* Removes it and all in it, and frees path. -1 with errno: some is left. */
int scratch_remove(char *path);

#endif
