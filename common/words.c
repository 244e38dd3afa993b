/*
 * words.c: the words of a text, and queries for them. Texts are taken apart in
 * tako-worker, on bytes from anybody; takod sees words alone, which it checks.
 * So that a query means the same whichever store there is, this file and not
 * the stores decides what a word is: SQLite is given words with blanks between,
 * PostgreSQL words with their places.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"
#include "words.h"

#define TABLE	   32768 /* a power of two above MAX_WORDS */
#define MAX_PROBES 128	 /* at half a table: more than chance has */

struct words {
	char *text;
	size_t len, room;
	unsigned n;
	struct {
		uint32_t off; /* of the word in text, plus 1; 0: free */
		uint16_t len, times;
	} seen[TABLE];
};

/* Bytes of the word character that text begins with, 0 when it is none. */
static size_t
word_char(const uint8_t *p, size_t left)
{
	size_t n;

	if (p[0] < 0x80)
		return ((p[0] >= '0' && p[0] <= '9') ||
			(p[0] >= 'a' && p[0] <= 'z') ||
			(p[0] >= 'A' && p[0] <= 'Z') || p[0] == '_');
	n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (left < n || utf8_span(p, n) != n)
		return (0);
	/* Punctuation, and what stands for bytes that were no UTF-8. */
	if (p[0] == 0xc2 || (p[0] == 0xe2 && p[1] <= 0x81) ||
	    (p[0] == 0xe3 && p[1] == 0x80) ||
	    (p[0] == 0xef && p[1] == 0xbf && p[2] == 0xbd))
		return (0);
	return (n);
}

/*
 * The next word of a text into word (MAX_WORD bytes); *off is moved behind
 * it. Its length, 0: there is none.
 */
static size_t
next_word(char *word, const uint8_t *p, size_t len, size_t *off)
{
	size_t n, i, out = 0;
	int full = 0;

	while (*off < len && word_char(p + *off, len - *off) == 0)
		(*off)++;
	while (*off < len && (n = word_char(p + *off, len - *off)) > 0) {
		if (out + n > MAX_WORD)
			full = 1;
		for (i = 0; i < n && !full; i++, out++)
			word[out] =
			    (char)(p[*off + i] >= 'A' && p[*off + i] <= 'Z'
				       ? p[*off + i] + 32
				       : p[*off + i]);
		*off += n;
	}
	return (out);
}

struct words *
words_new(void)
{
	return (calloc(1, sizeof(struct words)));
}

void
words_free(struct words *w)
{
	if (w != NULL)
		free(w->text);
	free(w);
}

static int
put(struct words *w, const char *word, size_t len)
{
	size_t room = w->room;
	char *p;

	if (w->len + len + 1 > room) {
		room = room == 0 ? 4096 : room * 2;
		if ((p = realloc(w->text, room)) == NULL)
			return (-1);
		w->text = p;
		w->room = room;
	}
	if (w->len > 0)
		w->text[w->len++] = ' ';
	memcpy(w->text + w->len, word, len);
	w->len += len;
	w->n++;
	return (0);
}

/*
 * Once more; 1: it came too often already, or stands among too many that were
 * chosen to fall into one place of the table.
 */
static int
seen(struct words *w, const char *word, size_t len)
{
	uint32_t h = 2166136261u;
	size_t i, probes = 0, off = w->len + (w->len > 0);

	for (i = 0; i < len; i++)
		h = (h ^ (uint8_t)word[i]) * 16777619u;
	for (i = h % TABLE; w->seen[i].off != 0; i = (i + 1) % TABLE) {
		if (probes++ == MAX_PROBES)
			return (1);
		if (w->seen[i].len == len &&
		    memcmp(w->text + w->seen[i].off - 1, word, len) == 0)
			return (w->seen[i].times == MAX_TIMES
				    ? 1
				    : (w->seen[i].times++, 0));
	}
	w->seen[i].off = (uint32_t)off + 1;
	w->seen[i].len = (uint16_t)len;
	w->seen[i].times = 1;
	return (0);
}

int
words_add(struct words *w, const void *text, size_t len)
{
	char word[MAX_WORD];
	size_t off = 0, n;

	if (w->n > 0 && w->n < MAX_WORDS && len > 0 && put(w, "\xff", 1) == -1)
		return (-1);
	while (w->n < MAX_WORDS && (n = next_word(word, text, len, &off)) > 0)
		if (!seen(w, word, n) && put(w, word, n) == -1)
			return (-1);
	return (0);
}

const char *
words_text(const struct words *w, size_t *len)
{
	*len = w->len;
	return (w->text == NULL ? "" : w->text);
}

/* The length of what stands before the next blank. */
static size_t
until_blank(const char *p, size_t len)
{
	const char *end = memchr(p, ' ', len);

	return (end == NULL ? len : (size_t)(end - p));
}

/* Is it one that next_word gives? */
static int
is_word(const char *word, size_t len)
{
	size_t i;

	if (len == 0 || len > MAX_WORD)
		return (0);
	for (i = 0; i < len; i++)
		if ((uint8_t)word[i] < 0x80 &&
		    (word_char((const uint8_t *)word + i, 1) == 0 ||
			(word[i] >= 'A' && word[i] <= 'Z')))
			return (0);
	return (utf8_valid(word, len));
}

int
words_valid(const void *text, size_t len)
{
	const char *p = text;
	size_t i = 0, n, count = 0;

	while (len > 0) {
		n = until_blank(p + i, len - i);
		if (++count > MAX_WORDS + 8 ||
		    (!is_word(p + i, n) && !(n == 1 && p[i] == '\xff')))
			return (0);
		if ((i += n) == len)
			break;
		i++;
	}
	return (1);
}

char *
words_vector(const char *text, size_t len)
{
	size_t size = 1, out = 0, i, n;
	unsigned place = 0;
	char *v;

	for (i = 0; i < len; i += n + 1) {
		n = until_blank(text + i, len - i);
		size += n + sizeof("'':99999 ");
	}
	if ((v = malloc(size)) == NULL)
		return (NULL);
	for (i = 0; i < len; i += n + 1) {
		n = until_blank(text + i, len - i);
		place++;
		if (text[i] == '\xff')
			continue;
		v[out++] = '\'';
		memcpy(v + out, text + i, n);
		out += n;
		out += (size_t)snprintf(v + out, size - out, "':%u ", place);
	}
	v[out] = '\0';
	return (v);
}

/* ---- queries ------------------------------------------------------------ */

/*
 * Appends a term's words behind its sign; the number of them. words_left is
 * lowered by it, below 0 when they are too many.
 */
static unsigned
put_term(char *terms, size_t *out, const char *term, size_t len, char sign,
    int *words_left)
{
	char word[MAX_WORD];
	size_t off = 0, n;
	unsigned count = 0;

	while ((n = next_word(word, (const uint8_t *)term, len, &off)) > 0) {
		if (--*words_left < 0)
			return (count);
		terms[(*out)++] = count++ == 0 ? sign : ' ';
		memcpy(terms + *out, word, n);
		*out += n;
	}
	terms[*out] = '\0';
	return (count);
}

/* The next term of a query: its text, without what says what it is. */
static const char *
next_term(const char **p, size_t *len, int * not, const char **why)
{
	const char *start;

	*p += strspn(*p, " \t\r\n");
	if (**p == '\0')
		return (NULL);
	if ((*not = **p == '-'))
		(*p)++;
	if (**p != '"') {
		start = *p;
		*len = strcspn(start, " \t\r\n\"");
		*p += *len;
		return (start);
	}
	start = ++*p;
	*len = strcspn(start, "\"");
	*p += *len;
	if (**p != '"') {
		*why = "a \" is not closed";
		return (NULL);
	}
	(*p)++;
	return (start);
}

const char *
words_query(char terms[MAX_TERMS + 1], const char *query)
{
	const char *p, *term, *why = NULL;
	int left = MAX_QUERY_WORD, not, pass, found = 0;
	size_t out = 0, len = 0;

	if (strlen(query) > MAX_QUERY)
		return ("it is longer than 512 bytes");
	for (pass = 0; pass < 2; pass++) {
		p = query;
		while ((term = next_term(&p, &len, &not, &why)) != NULL) {
			if (not == pass && put_term(terms, &out, term, len,
					       not ? '-' : '+', &left) > 0)
				found |= !not ;
			if (left < 0)
				return ("it has more than 64 words");
		}
		if (why != NULL)
			return (why);
	}
	return (found ? NULL : "it names no word that is to be found");
}

/* How the dialects write a term between others, and its words. */
static const struct {
	const char *open, *quote, *next, *close, *with, *without;
} dialects[] = {
	[WORDS_FTS5] = { "\"", "", " ", "\"", " AND ", " NOT " },
	[WORDS_TSQUERY] = { "(", "'", " <-> ", ")", " & ", " & !" },
};

int
words_asked(char dst[WORDS_ASKED_MAX], const char *terms, enum words_dialect d)
{
	size_t out = 0, n, words = 0;
	const char *p = terms;
	int negated = 0;

	/* The first that must be found; after the last of these, the others. */
	if (*p != '+' || strlen(terms) > MAX_TERMS)
		return (-1);
#define PUT(...)                                                               \
	out += (size_t)snprintf(dst + out, WORDS_ASKED_MAX - out, __VA_ARGS__)
	PUT("(%s", dialects[d].open);
	for (p++;; p++) {
		n = strcspn(p, " +-");
		if (!is_word(p, n) || ++words > MAX_QUERY_WORD)
			return (-1);
		PUT("%s%.*s%s", dialects[d].quote, (int)n, p,
		    dialects[d].quote);
		p += n;
		if (*p == ' ') {
			PUT("%s", dialects[d].next);
			continue;
		}
		PUT("%s", dialects[d].close);
		if (!negated && *p != '+')
			PUT(")");
		if (*p == '\0')
			return (0);
		if (*p == '+' && negated)
			return (-1);
		negated = *p == '-';
		PUT("%s%s", negated ? dialects[d].without : dialects[d].with,
		    dialects[d].open);
	}
#undef PUT
}
