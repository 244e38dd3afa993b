/*
 * words.h: what full text search takes for a word, and a query's language.
 * Used by tako-worker, which takes texts apart; by takod, which has both stores
 * keep and look for the same words; and by tako-api and takoctl, which refuse a
 * query before takod is asked.
 *
 * A word is a run of letters, digits and underscores of ASCII and of
 * characters outside ASCII other than punctuation (U+0080 to U+00BF, U+2000
 * to U+207F, U+3000 to U+303F); capital letters of ASCII count as small ones,
 * and MAX_WORD bytes count. Bytes that are no UTF-8 separate words.
 *
 * A query is terms with white space between them, each of which must be
 * found: a word; a "phrase" of words that follow each other; -term, which
 * must not be found. A term with other characters within, such as os.path, is
 * the phrase of its words.
 */
#ifndef WORDS_H
#define WORDS_H

#include <stddef.h>

#define MAX_WORD       64  /* bytes of one that count */
#define MAX_QUERY      512 /* bytes of a query */
#define MAX_QUERY_WORD 64  /* words of a query, all together */
/* A document has at most so many, and one of them this often. */
#define MAX_WORDS 16000
#define MAX_TIMES 200

struct words;

struct words *words_new(void); /* NULL: no memory */
void words_free(struct words *);
/*
 * Adds a part of a document: no phrase reaches from one part into another.
 * Words above the bounds are passed over. -1: no memory.
 */
int words_add(struct words *, const void *text, size_t len);
/*
 * The document: its words with blanks between, and a byte of 0xff between two
 * parts. Of the words' own memory.
 */
const char *words_text(const struct words *, size_t *len);
#define MAX_WORDS_LEN ((MAX_WORDS + 8) * (MAX_WORD + 1))
/*
 * Are these bytes a document as words_text writes it? So that what somebody
 * else wrote can be given to a store.
 */
int words_valid(const void *, size_t len);
/*
 * Such a document as PostgreSQL's tsvector is written; malloc'ed; NULL: no
 * memory.
 */
char *words_vector(const char *text, size_t len);

/*
 * Takes a query apart into its terms, those that must be found first: each is a
 * + or a -, then its words with blanks between (MAX_TERMS bytes, and the NUL).
 * NULL, or what is wrong with it: a constant text.
 */
#define MAX_TERMS (MAX_QUERY + MAX_QUERY_WORD)
const char *words_query(char terms[MAX_TERMS + 1], const char *query);

/* How terms are written for the one and the other store. */
enum words_dialect {
	WORDS_FTS5,
	WORDS_TSQUERY
};
/* The longest that they become, NUL included. */
#define WORDS_ASKED_MAX (MAX_QUERY * 4 + MAX_QUERY_WORD * 16)
/* -1: they are none, which is told from their bytes alone. */
int words_asked(
    char dst[WORDS_ASKED_MAX], const char *terms, enum words_dialect);

#endif
