/*
 * words.c: fuzz target of what full text search takes for words, which
 * tako-worker does on code and output of jobs. The parts of a document are
 * divided by 0xff. What comes out is words alone: UTF-8 without capitals, signs
 * and quotes, within its bounds, as the stores' own languages need it. A query
 * made of the same bytes is refused, or becomes one without anything but its
 * words.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "util.h"
#include "words.h"

static int
is_word(const char *p, size_t len)
{
	size_t i;

	if (len == 0 || len > MAX_WORD || !utf8_valid(p, len))
		return (0);
	for (i = 0; i < len; i++)
		if ((unsigned char)p[i] < 0x80 &&
		    strchr("0123456789abcdefghijklmnopqrstuvwxyz_", p[i]) ==
			NULL)
			return (0);
	return (1);
}

static void
check_document(const struct words *w)
{
	size_t len, i, n, count = 0;
	const char *text = words_text(w, &len);
	char *vector;

	for (i = 0; i < len; i += n + 1) {
		for (n = 0; i + n < len && text[i + n] != ' '; n++)
			;
		if (!(n == 1 && text[i] == '\xff') && !is_word(text + i, n))
			abort();
		count++;
	}
	if (count > MAX_WORDS + 4)
		abort();
	if (!words_valid(text, len) ||
	    (vector = words_vector(text, len)) == NULL)
		abort();
	free(vector);
}

/* Whatever is let pass, as from a child that lies, is words alone. */
static void
check_valid(const uint8_t *p, size_t len)
{
	const char *text = (const char *)p, *end;
	size_t i, n;
	char *vector;

	if (!words_valid(p, len))
		return;
	for (i = 0; i < len; i += n + 1) {
		end = memchr(text + i, ' ', len - i);
		n = end == NULL ? len - i : (size_t)(end - text) - i;
		if (!(n == 1 && p[i] == 0xff) && !is_word(text + i, n))
			abort();
	}
	if ((vector = words_vector(text, len)) == NULL)
		abort();
	free(vector);
}

static void
check_query(const uint8_t *p, size_t len)
{
	static const enum words_dialect dialects[] = { WORDS_FTS5,
		WORDS_TSQUERY };
	char *query = xmalloc(len + 1), dst[WORDS_ASKED_MAX];
	char terms[MAX_TERMS + 1];
	int known = 0;
	size_t i, n = 0;

	for (i = 0; i < len; i++)
		if (p[i] != '\0')
			query[n++] = (char)p[i];
	query[n] = '\0';
	if (words_query(terms, query) == NULL) {
		known = 1;
		if (strlen(terms) > MAX_TERMS)
			abort();
	} else
		strlcpy(terms, query, sizeof(terms));
	/* Terms of a query are some; so may be other bytes. */
	for (i = 0; i < nitems(dialects); i++)
		if (words_asked(dst, terms, dialects[i]) == -1) {
			if (known)
				abort();
		} else if (strlen(dst) >= sizeof(dst) - 1)
			abort();
	free(query);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct words *w = words_new();
	const uint8_t *end;
	size_t off, n;
	unsigned parts = 0;

	if (w == NULL)
		abort();
	for (off = 0; off <= len && parts < 4; off += n + 1, parts++) {
		end = off < len ? memchr(p + off, 0xff, len - off) : NULL;
		n = end != NULL && parts < 3 ? (size_t)(end - p) - off
					     : len - off;
		if (words_add(w, p + off, n) == -1)
			abort();
	}
	check_document(w);
	check_valid(p, len);
	words_free(w);
	check_query(p, len);
	return (0);
}
