/*
 * shape.h: what stands in the answers of the API, for the document that tells
 * of it. render.c and the parent write them; regress/http holds both to it.
 */
#ifndef SHAPE_H
#define SHAPE_H

#include <stddef.h>

/*
 * A type is a word of shape_words, or the name of an object or of a list of
 * names below. "[]" before it is a list of such, "{}" an object with such
 * members, "?" behind it means that it may be null.
 */
struct shape_member {
	const char *name; /* with a '?' behind it: it may be absent */
	const char *type;
	const char *about;
};

struct shape {
	const char *name, *about;
	const struct shape_member *members; /* the last has no name */
};

/* Names that are numbers within takod: those from first to below last. */
struct shape_names {
	const char *name, *about;
	const char *(*at)(int);
	int first, last;
};

/* A word and its JSON Schema, without the braces. */
struct shape_word {
	const char *name, *schema;
};

extern const struct shape shapes[];
extern const struct shape_names shape_names[];
extern const struct shape_word shape_words[]; /* each ends with no name */

#endif
