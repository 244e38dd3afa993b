/*
 * data_dir.h: the folder of all that a takod keeps.
 */
#ifndef DATA_DIR_H
#define DATA_DIR_H

/* Makes it (0700) with the folders above it (0755), as far as they are missing.
 * -1 with errno. */
int data_dir_make(const char *path);

#endif
