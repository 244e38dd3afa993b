/*
 * replay.c: the main of every fuzz target where no fuzzer links it: gives it
 * each file of a corpus, then mutations of them.
 *
 *	target [-m mutations] [-s seed] [directory or file ...]
 *
 * The default corpus is regress/fuzz/corpus/<name of the program>. Mutations
 * follow from the seed alone, so that a crash comes again; the one that was
 * under way is kept in $TMPDIR/<name>-crash when the program ends by a signal.
 */
#include <dirent.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "util.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define INPUT_MAX (1 << 20) /* of a file, and of what becomes of it */
#define MAX_STEPS 8	    /* changes that one mutation makes */

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
	int fd = open(crash_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

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

/* In memory of its own size, so that a read beyond it is seen. */
static void
try(const uint8_t *data, size_t len)
{
	uint8_t *copy = xmalloc(len == 0 ? 1 : len);

	memcpy(copy, data, len);
	now = copy;
	now_len = len;
	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
}

/* One change: a byte, a number, a piece lost, doubled or from elsewhere. */
static size_t
mutate(uint8_t *data, size_t len)
{
	static const uint8_t odd[] = { 0, 1, '\t', '\n', '\r', ' ', '"', ',',
		'0', ':', ';', '{', 0x7f, 0x80, 0xc0, 0xff };
	const struct input *other = &corpus[draw(n_corpus)];
	size_t at = draw(len + 1), n = 1 + draw(1 << draw(8)), from;

	switch (draw(6)) {
	case 0:
		if (at < len)
			data[at] ^= (uint8_t)(1 << draw(8));
		break;
	case 1:
		if (at < len)
			data[at] = odd[draw(sizeof(odd))];
		break;
	case 2: /* lost */
		n = n > len - at ? len - at : n;
		memmove(data + at, data + at + n, len - at - n);
		return (len - n);
	case 3: /* cut off */
		return (at);
	case 4: /* inserted */
		n = n > INPUT_MAX - len ? INPUT_MAX - len : n;
		memmove(data + at + n, data + at, len - at);
		memset(data + at, odd[draw(sizeof(odd))], n);
		return (len + n);
	default: /* from another input, or from this one */
		from = draw(other->len + 1);
		n = n > other->len - from ? other->len - from : n;
		n = n > INPUT_MAX - len ? INPUT_MAX - len : n;
		memmove(data + at + n, data + at, len - at);
		if (n > 0)
			memcpy(data + at, other->data + from, n);
		return (len + n);
	}
	return (len);
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
