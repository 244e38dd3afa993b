/*
 * setup.h: what the two files of `tako-vm setup` share.
 */
#ifndef SETUP_H
#define SETUP_H

#include <signal.h>
#include <stddef.h>

#include "conf.h"
#include "takod/engine.h"

/* The signal that ends it; 0: none came. */
extern volatile sig_atomic_t setup_ended;

/* ---- setup_daemon.c: a takod for a trial -------------------------------- */
struct setup_daemon;
/*
 * Starts takod as conf says, but with a folder, a database and a port of its
 * own on the loopback address, and waits until it serves. With
 * layers, the packages that it installs are the real one's. NULL with detail.
 * The URL stays until it is stopped.
 */
struct setup_daemon *setup_daemon_start(const struct conf *,
    const struct engine_ops *, int layers, const char **url, char *detail,
    size_t);
/* Where it listens for takoctl. */
void setup_daemon_path(const struct setup_daemon *, char *path, size_t);
/* Ends it and removes all it made. -1 with detail when something may stay. */
int setup_daemon_stop(struct setup_daemon *, char *detail, size_t);

#endif
