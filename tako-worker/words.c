/*
 * words.c: tako-worker in its other role: the texts of a record are taken apart
 * into words. They are hostile, and nobody else looks at them for that; how
 * long each is comes from the parent, which is trusted.
 */
#include <unistd.h>
#include <sys/prctl.h>

#include "blob.h"
#include "failpoint.h"
#include "log.h"
#include "sandbox.h"
#include "tako-worker.h"
#include "util.h"
#include "words.h"

void
words_begin(void)
{
	static const struct sandbox sb = {
		.promises = PROMISE_STDIO | PROMISE_RECVFD | PROMISE_MEMFD,
		.nofile = 32,
		.fsize = MAX_WORDS_LEN
	};

	/* Not to be taken for a job's. */
	prctl(PR_SET_NAME, "tako-words", 0, 0, 0);
	sandbox_enter(&sb);
}

/* A sealed memfd of the words; -1, errno. */
static int
words_memfd(const struct words *w, size_t *len)
{
	const char *text = words_text(w, len);
	int fd;

	if ((fd = memfd_new("words")) == -1)
		return (-1);
	if (write_all(fd, text, *len) == -1 || memfd_seal(fd) == -1)
		close_fd(&fd);
	return (fd);
}

int
words_take(int fd, const uint64_t *lens, size_t n, size_t *len)
{
	struct words *w;
	struct blob *all;
	size_t i, off = 0, total = 0;

	for (i = 0; i < n; i++)
		total += lens[i];
	if ((all = blob_from_memfd(fd, total)) == NULL)
		fatal("texts");
	FAILPOINT("words.text");
	if ((w = words_new()) == NULL)
		fatal(NULL);
	for (i = 0; i < n; off += lens[i++])
		if (words_add(w, blob_data(all) + off, lens[i]) == -1)
			fatal(NULL);
	blob_unref(all);
	if ((fd = words_memfd(w, len)) == -1)
		fatal("words");
	words_free(w);
	return (fd);
}
