/*
 * log.h: one line an event, on stderr. Children write to the stderr that
 * they inherit, so a line is one write(2) and never longer than LOG_LINE.
 * A sink that takes no more costs lines, which are counted, and no time.
 * Control bytes and invalid UTF-8 in a line are escaped: text that came from
 * outside cannot forge a line or a terminal sequence.
 */
#ifndef LOG_H
#define LOG_H

#define LOG_LINE 2048

enum log_level {
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_INFO,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_ERROR,
	LOG_LEVEL_CRITICAL
};

/*
 * name is kept, not copied. json: one object per line instead of text. Where
 * stderr is the journal's, a line of text begins with its priority instead of
 * the time and the level, which the journal shows by itself.
 */
void log_init(const char *name, enum log_level level, int json);
/*
 * From now on a full pipe, terminal or socket at stderr is not waited for. A
 * pipe is opened anew for that: other programs may write to it as they like.
 */
void log_nonblock(void);
/*
 * A child logs as its parent does from its first line on: it is given
 * log_argument(), valid until the next call, as its one argument. That is
 * asked for in the forked child, whose process number it has as the host knows
 * it; in its own namespace it has another.
 */
void log_init_child(const char *name, int argc, char **argv);
const char *log_argument(void);
int log_pid(void); /* the number in its lines */
void log_set_level(enum log_level);
enum log_level log_get_level(void);
/* Correlation id put into every line until changed; NULL for none; copied. */
void log_set_correlation(const char *);

/* log_warn and fatal add strerror(errno); the x forms do not. */
void log_debug(const char *, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *, ...) __attribute__((format(printf, 1, 2)));
void log_warnx(const char *, ...) __attribute__((format(printf, 1, 2)));
void log_error(const char *, ...) __attribute__((format(printf, 1, 2)));
/* End the process with status 1. fatal(NULL) says that memory ran out. */
void fatal(const char *, ...) __attribute__((noreturn, format(printf, 1, 2)));
void fatalx(const char *, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Writes s into dst as printable UTF-8, other bytes as \xNN. Returns dst. */
char *log_escape(
    char *dst, unsigned long dstlen, const void *s, unsigned long len);

#endif
