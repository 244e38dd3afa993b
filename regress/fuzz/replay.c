/*
 * replay.c: the main of every fuzz target where no fuzzer links it: gives it
 * each file of a corpus, then mutations of them.
 *
 *	target [-m mutations] [-s seed] [directory or file ...]
 *
 * The default corpus is regress/fuzz/corpus/<name of the program>. Mutations
 * follow from the seed alone, so that a crash comes again; the one that was
 * under way is kept in $TMPDIR/<name>-crash when the program ends by a signal,
 * which it also does when an input takes too long or too much memory.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "fuzz.h"
#include "util.h"

#define INPUT_MAX  (1 << 20)	/* of a file, and of what becomes of it */
#define MAX_STEPS  8		/* changes that one mutation makes */
#define DEADLINE_S 10		/* of processor time, for one input */
#define MEMORY_KB  (192 * 1024) /* what inputs may add to the program */

#ifdef __SANITIZE_ADDRESS__
/*
 * What is freed is kept for a while, but does not count as much memory; and
 * the end is one by a signal.
 */
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);
const char *
__asan_default_options(void)
{
	return ("abort_on_error=1:quarantine_size_mb=32:malloc_context_size=8");
}

const char *
__ubsan_default_options(void)
{
	return ("abort_on_error=1:print_stacktrace=1");
}
#endif

struct input {
	uint8_t *data;
	size_t len;
};

static struct input *corpus;
static size_t n_corpus;
static uint64_t seed = 1;
static const uint8_t *now; /* what is being tried, for the report */
static size_t now_len;
static char crash_path[256];

static void
crashed(int sig)
{
	int fd;

	if (sig == SIGPROF)
		dprintf(2, "it takes longer than %d s\n", DEADLINE_S);
	fd = open(crash_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd != -1 && write(fd, now, now_len) == (ssize_t)now_len)
		dprintf(2, "the input is in %s\n", crash_path);
	signal(sig, SIG_DFL);
	raise(sig);
}

/* xorshift64*: small, seeded, the same everywhere. */
static uint64_t
draw(uint64_t below)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return ((seed * UINT64_C(2685821657736338717) >> 16) % below);
}

static int
add_file(const char *path)
{
	struct input in;

	in.data = (uint8_t *)read_file(AT_FDCWD, path, INPUT_MAX, &in.len);
	if (in.data == NULL) {
		perror(path);
		return (-1);
	}
	corpus = realloc(corpus, (n_corpus + 1) * sizeof(*corpus));
	if (corpus == NULL)
		abort();
	corpus[n_corpus++] = in;
	return (0);
}

static int
visible(const struct dirent *e)
{
	return (e->d_name[0] != '.');
}

/* By name, so that a seed means the same on every file system. */
static int
add_directory(const char *path)
{
	struct dirent **names;
	char *file;
	int n, i, wrong = 0;

	if ((n = scandir(path, &names, visible, alphasort)) == -1) {
		perror(path);
		return (-1);
	}
	for (i = 0; i < n; i++) {
		file = xasprintf("%s/%s", path, names[i]->d_name);
		wrong |= add_file(file);
		free(file);
		free(names[i]);
	}
	free(names);
	return (wrong);
}

static int
add(const char *path)
{
	struct stat st;

	if (stat(path, &st) == -1) {
		perror(path);
		return (-1);
	}
	return (S_ISDIR(st.st_mode) ? add_directory(path) : add_file(path));
}

static long
memory_kb(void)
{
	struct rusage used;

	getrusage(RUSAGE_SELF, &used);
	return (used.ru_maxrss);
}

static void
deadline(int seconds)
{
	const struct itimerval timer = { .it_value.tv_sec = seconds };

	setitimer(ITIMER_PROF, &timer, NULL);
}

/* In memory of its own size, so that a read beyond it is seen. */
static void
try(const uint8_t *data, size_t len)
{
	static long first;
	uint8_t *copy = xmalloc(len == 0 ? 1 : len);

	if (first == 0)
		first = memory_kb();
	memcpy(copy, data, len);
	now = copy;
	now_len = len;
	deadline(DEADLINE_S);
	LLVMFuzzerTestOneInput(copy, len);
	deadline(0);
	if (memory_kb() - first > MEMORY_KB) {
		fprintf(stderr, "it takes more than %d KiB\n", MEMORY_KB);
		abort();
	}
	free(copy);
}

/* A part of an input: where, and how long. */
struct part {
	size_t at, len;
};

static struct part
line_at(const uint8_t *data, size_t len, size_t at)
{
	struct part p = { .at = at };

	while (p.at > 0 && data[p.at - 1] != '\n')
		p.at--;
	while (at < len && data[at] != '\n')
		at++;
	p.len = at + (at < len) - p.at;
	return (p);
}

static int
in_word(uint8_t c)
{
	return (c >= 0x80 || c == '_' || c == '-' || c == '.' || isalnum(c));
}

/* A word, or one byte that is in none. */
static struct part
token_at(const uint8_t *data, size_t len, size_t at)
{
	struct part p = { .at = at };

	if (at == len)
		return (p);
	while (in_word(data[at]) && p.at > 0 && in_word(data[p.at - 1]))
		p.at--;
	for (p.len = 1; in_word(data[at]) && p.at + p.len < len &&
			in_word(data[p.at + p.len]);)
		p.len++;
	return (p);
}

/* Puts n bytes of an input in the place of a part; the new length. */
static size_t
exchange(
    uint8_t *data, size_t len, struct part gone, const uint8_t *piece, size_t n)
{
	size_t rest = len - gone.at - gone.len;

	if (n > INPUT_MAX - (len - gone.len))
		n = INPUT_MAX - (len - gone.len);
	memmove(data + gone.at + n, data + gone.at + gone.len, rest);
	if (n > 0)
		memcpy(data + gone.at, piece, n);
	return (gone.at + n + rest);
}

/*
 * One change: a byte, a number, a piece lost, doubled or from elsewhere; by
 * bytes, lines or words, for most inputs have some.
 */
static size_t
mutate(uint8_t *data, size_t len)
{
	static const uint8_t odd[] = { 0, 1, '\t', '\n', '\r', ' ', '"', ',',
		'0', ':', ';', '{', 0x7f, 0x80, 0xc0, 0xff };
	const struct input *other = &corpus[draw(n_corpus)];
	struct part part = { .at = draw(len + 1) }, theirs;
	uint8_t fill[1 << 8];

	theirs = (struct part){ .at = draw(other->len + 1),
		.len = 1 + draw(1 << draw(8)) };
	if (theirs.len > other->len - theirs.at)
		theirs.len = other->len - theirs.at;
	switch (draw(12)) {
	case 0:
		if (part.at < len)
			data[part.at] ^= (uint8_t)(1 << draw(8));
		return (len);
	case 1:
		if (part.at < len)
			data[part.at] = odd[draw(sizeof(odd))];
		return (len);
	case 2: /* lost */
		part.len = 1 + draw(1 << draw(8));
		if (part.len > len - part.at)
			part.len = len - part.at;
		return (exchange(data, len, part, NULL, 0));
	case 3: /* cut off */
		return (draw(4) == 0 ? part.at : len);
	case 4: /* inserted */
		memset(fill, odd[draw(sizeof(odd))], sizeof(fill));
		return (
		    exchange(data, len, part, fill, 1 + draw(1 << draw(8))));
	case 5: /* from another input, or from this one as it was */
		break;
	case 6: /* a line lost */
		part = line_at(data, len, part.at);
		return (exchange(data, len, part, NULL, 0));
	case 7: /* a line of another for one of this */
		part = line_at(data, len, part.at);
		theirs = line_at(other->data, other->len, theirs.at);
		break;
	case 8: /* or beside it */
		part.at = line_at(data, len, part.at).at;
		theirs = line_at(other->data, other->len, theirs.at);
		break;
	case 9: /* a word beside another */
		part.at = token_at(data, len, part.at).at;
		theirs = token_at(other->data, other->len, theirs.at);
		break;
	default: /* or for another */
		part = token_at(data, len, part.at);
		theirs = token_at(other->data, other->len, theirs.at);
		break;
	}
	return (exchange(data, len, part, other->data + theirs.at, theirs.len));
}

static void
try_mutations(unsigned long count)
{
	uint8_t *data = xmalloc(INPUT_MAX);
	const struct input *in;
	unsigned steps;
	size_t len;

	while (count-- > 0) {
		in = &corpus[draw(n_corpus)];
		len = in->len;
		if (len > 0)
			memcpy(data, in->data, len);
		for (steps = 1 + (unsigned)draw(MAX_STEPS); steps > 0; steps--)
			len = mutate(data, len);
		try(data, len);
	}
	free(data);
}

int
main(int argc, char *argv[])
{
	const char *name = basename(argv[0]), *folder;
	unsigned long mutations = 2000, first;
	size_t i;
	char *path;
	int ch, wrong = 0;

	while ((ch = getopt(argc, argv, "m:s:")) != -1)
		switch (ch) {
		case 'm':
			mutations = strtoul(optarg, NULL, 10);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 10);
			break;
		default:
			fprintf(stderr,
			    "usage: %s [-m mutations] [-s seed] [path ...]\n",
			    name);
			return (2);
		}
	if (seed == 0)
		seed = 1;
	first = seed;
	if (optind == argc) {
		path = xasprintf("regress/fuzz/corpus/%s", name);
		wrong = add(path);
		free(path);
	}
	for (; optind < argc; optind++)
		wrong |= add(argv[optind]);
	if (n_corpus == 0)
		fprintf(stderr, "%s: no input\n", name);
	if (wrong || n_corpus == 0)
		return (1);
	folder = getenv("TMPDIR");
	snprintf(crash_path, sizeof(crash_path), "%s/%s-crash",
	    folder == NULL ? "/tmp" : folder, name);
	signal(SIGABRT, crashed);
	signal(SIGSEGV, crashed);
	signal(SIGPROF, crashed);
	for (i = 0; i < n_corpus; i++)
		try(corpus[i].data, corpus[i].len);
	try_mutations(mutations);
	printf("%s: %zu inputs, %lu mutations of seed %lu\n", name, n_corpus,
	    mutations, first);
	for (i = 0; i < n_corpus; i++)
		free(corpus[i].data);
	free(corpus);
	return (0);
}
