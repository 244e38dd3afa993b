/*
 * image.h: the root file system that jobs run in: made, listed and removed by
 * `takoctl image`, which needs root but no running daemon.
 */
#ifndef IMAGE_H
#define IMAGE_H

#include <stddef.h>
#include <stdio.h>

#include "conf.h"

/* image.c */
#define IMAGE_KEY_LEN 64 /* hex digits */
/*
 * argv[0] is "image", argv[1] what to do: build [--docker] [--python X.Y],
 * list [--json], remove NAME. Returns an exit status (sysexits). Messages go to
 * stderr.
 */
int image_main(int argc, char **argv, const struct conf *);

/* image_child.c */
/* One line on stderr. */
void image_say(const char *, ...) __attribute__((format(printf, 1, 2)));
/* What argv prints, NUL after it; NULL when it fails or prints too much. */
char *image_capture(char *const argv[], size_t *len);
/*
 * Runs argv and shows its steps ("I: ..." lines). Returns 0, or -1 when it
 * failed: then the end of what it printed was shown.
 */
int image_show(char *const argv[]);

/* image_docker.c */
/*
 * The engine of conf->docker_host, asked with blocking calls. key is filled
 * with the key that conf->docker_image was built from ("" when there is no
 * such image, or when it is not one of ours), size with its bytes. Returns 0,
 * or -1 with detail filled when the engine cannot be asked.
 */
int image_docker_key(const struct conf *, char key[IMAGE_KEY_LEN + 1],
    unsigned long long *size, char *detail, size_t len);
/* The API's version that the engine prefers, as "v1.41". */
int image_docker_version(
    const struct conf *, char version[16], char *detail, size_t len);
/* Puts the tree below rootfs into the engine as conf->docker_image. */
int image_docker_import(const struct conf *, const char *rootfs,
    const char *key, char *detail, size_t len);
int image_docker_remove(
    const struct conf *, const char *name, char *detail, size_t len);

#endif
