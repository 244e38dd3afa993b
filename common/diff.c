/*
 * diff.c: unified diffs. Runs in tako-api, whose one loop it must not hold,
 * and in takoctl. The algorithm is Myers' O(ND) one: the furthest point of
 * each diagonal after d edits, kept for each d, then followed back.
 */
#include <stdlib.h>
#include <string.h>

#include "diff.h"
#include "log.h"
#include "util.h"

#define MAX_TEXT  ((size_t)8 << 20) /* bytes of one */
#define MAX_LINES 200000	    /* of one */
#define MAX_EDITS 2000		    /* memory grows with its square */
#define CONTEXT	  3
#define LOOK	  64 /* edits between two looks at the clock */

struct line {
	const uint8_t *data;
	size_t len; /* with its line end */
	uint64_t hash;
};

struct side {
	struct line *lines;
	size_t n;
};

/* -1: too many lines. */
static int
split(struct side *s, const struct diff_text *t)
{
	const uint8_t *p = t->data, *end = p + t->len, *nl;
	size_t room = 0, i;
	struct line *l;

	s->lines = NULL;
	s->n = 0;
	for (; p < end; p += l->len) {
		if (s->n == MAX_LINES)
			return (-1);
		if (s->n == room) {
			room = room == 0 ? 256 : room * 2;
			s->lines =
			    reallocarray(s->lines, room, sizeof(*s->lines));
			if (s->lines == NULL)
				fatal(NULL);
		}
		l = &s->lines[s->n++];
		nl = memchr(p, '\n', (size_t)(end - p));
		l->data = p;
		l->len = nl == NULL ? (size_t)(end - p) : (size_t)(nl - p) + 1;
		l->hash = 14695981039346656037u;
		for (i = 0; i < l->len; i++)
			l->hash = (l->hash ^ p[i]) * 1099511628211u;
	}
	return (0);
}

static int
same(const struct line *a, const struct line *b)
{
	return (a->hash == b->hash && a->len == b->len &&
		memcmp(a->data, b->data, a->len) == 0);
}

/* What becomes of the lines: 1 where one is removed, or added. */
struct script {
	uint8_t *removed, *added;
};

/*
 * Walks back from the end, edit by edit. furthest[d] holds the 2 * d + 1
 * diagonals -d..d after d edits.
 */
static void
trace(struct script *s, int32_t *const *furthest, int d, int32_t x, int32_t y,
    size_t off)
{
	int32_t k, px, py, pk;
	const int32_t *v;

	for (; d > 0; d--) {
		v = furthest[d - 1]; /* v[i] is diagonal i - (d - 1) */
		k = x - y;
		if (k == -d || (k != d && v[k - 1 + d - 1] < v[k + 1 + d - 1]))
			pk = k + 1; /* down: a line of b was added */
		else
			pk = k - 1;
		px = v[pk + d - 1];
		py = px - pk;
		if (pk == k + 1)
			s->added[off + (size_t)py] = 1;
		else
			s->removed[off + (size_t)px] = 1;
		x = px;
		y = py;
	}
}

/*
 * Finds the shortest script between the lines from off on, na and nb of them.
 * -1: it is longer than MAX_EDITS, or it takes too long.
 */
static int
shortest(struct script *s, const struct line *a, int32_t na,
    const struct line *b, int32_t nb, size_t off, int64_t until)
{
	int32_t *furthest[MAX_EDITS + 1], *v, *w = NULL, x, y, k;
	int d, ret = -1;

	for (d = 0; d <= MAX_EDITS; d++) {
		if (d % LOOK == LOOK - 1 && time_mono_us() >= until)
			break;
		v = furthest[d] = xcalloc((size_t)(2 * d + 1), sizeof(*v));
		for (k = -d; k <= d; k += 2) {
			/* w[i] is diagonal i - (d - 1) of the edit before. */
			if (d == 0)
				x = 0;
			else if (k == -d ||
				 (k != d && w[k - 1 + d - 1] < w[k + d]))
				x = w[k + d];
			else
				x = w[k - 2 + d] + 1;
			y = x - k;
			while (x < na && y < nb && x >= 0 && y >= 0 &&
			       same(&a[x], &b[y])) {
				x++;
				y++;
			}
			v[k + d] = x;
			if (x == na && y == nb) {
				trace(s, furthest, d, na, nb, off);
				ret = 0;
				break;
			}
		}
		w = v;
		if (ret == 0) {
			d++;
			break;
		}
	}
	for (k = 0; k < d && k <= MAX_EDITS; k++)
		free(furthest[k]);
	return (ret);
}

/* ---- writing ------------------------------------------------------------ */

static void
put(struct evbuffer *out, const void *data, size_t len)
{
	if (evbuffer_add(out, data, len) == -1)
		fatal(NULL);
}

static void
put_line(struct evbuffer *out, char mark, const struct line *l)
{
	static const char no_newline[] = "\n\\ No newline at end of file\n";

	put(out, &mark, 1);
	put(out, l->data, l->len);
	if (l->data[l->len - 1] != '\n')
		put(out, no_newline, sizeof(no_newline) - 1);
}

/* Where the next change is, from i in a and j in b on. 0: there is none. */
static int
next_change(const struct script *s, const struct side *a, const struct side *b,
    size_t *i, size_t *j)
{
	while (*i < a->n && *j < b->n && !s->removed[*i] && !s->added[*j]) {
		++*i;
		++*j;
	}
	return (*i < a->n || *j < b->n);
}

/*
 * The end of the hunk that begins with the change at i, j: behind the last
 * change that is near enough to the one before.
 */
static void
hunk_end(const struct script *s, const struct side *a, const struct side *b,
    size_t *i, size_t *j)
{
	size_t ni, nj;

	for (;;) {
		while (*i < a->n && s->removed[*i])
			++*i;
		while (*j < b->n && s->added[*j])
			++*j;
		ni = *i;
		nj = *j;
		if (!next_change(s, a, b, &ni, &nj) || ni - *i > 2 * CONTEXT)
			return;
		*i = ni;
		*j = nj;
	}
}

static void
put_hunks(struct evbuffer *out, const struct script *s, const struct side *a,
    const struct side *b, struct diff_count *count)
{
	size_t i = 0, j = 0, ei, ej, before, after;

	while (next_change(s, a, b, &i, &j)) {
		ei = i;
		ej = j;
		hunk_end(s, a, b, &ei, &ej);
		before = i < CONTEXT ? i : CONTEXT;
		after = a->n - ei < CONTEXT ? a->n - ei : CONTEXT;
		i -= before;
		j -= before;
		ei += after;
		ej += after;
		if (evbuffer_add_printf(out, "@@ -%zu,%zu +%zu,%zu @@\n",
			ei > i ? i + 1 : i, ei - i, ej > j ? j + 1 : j,
			ej - j) < 0)
			fatal(NULL);
		while (i < ei || j < ej)
			if (i < ei && s->removed[i]) {
				put_line(out, '-', &a->lines[i++]);
				count->removed++;
			} else if (j < ej && s->added[j]) {
				put_line(out, '+', &b->lines[j++]);
				count->added++;
			} else {
				put_line(out, ' ', &a->lines[i++]);
				j++;
			}
	}
}

static enum diff_result
compare(struct evbuffer *out, const struct diff_text *ta,
    const struct diff_text *tb, const struct side *a, const struct side *b,
    int64_t until, struct diff_count *count)
{
	struct evbuffer *hunks;
	struct script s;
	size_t head = 0, tail = 0, least = a->n < b->n ? a->n : b->n;
	int fits;

	/* What both begin and end with needs no search. */
	while (head < least && same(&a->lines[head], &b->lines[head]))
		head++;
	while (tail < least - head &&
	       same(&a->lines[a->n - 1 - tail], &b->lines[b->n - 1 - tail]))
		tail++;
	s.removed = xcalloc(a->n + 1, 1);
	s.added = xcalloc(b->n + 1, 1);
	if ((hunks = evbuffer_new()) == NULL)
		fatal(NULL);
	fits = shortest(&s, a->lines + head, (int32_t)(a->n - head - tail),
		   b->lines + head, (int32_t)(b->n - head - tail), head,
		   until) == 0;
	if (fits) {
		if (evbuffer_add_printf(
			hunks, "--- %s\n+++ %s\n", ta->name, tb->name) < 0)
			fatal(NULL);
		put_hunks(hunks, &s, a, b, count);
		fits = evbuffer_get_length(hunks) <= DIFF_MAX;
	}
	free(s.removed);
	free(s.added);
	if (fits && evbuffer_add_buffer(out, hunks) == -1)
		fatal(NULL);
	evbuffer_free(hunks);
	return (fits ? DIFF_DIFFERS : DIFF_TOO_MUCH);
}

enum diff_result
diff_unified(struct evbuffer *out, const struct diff_text *ta,
    const struct diff_text *tb, int64_t until, struct diff_count *count)
{
	enum diff_result result = DIFF_TOO_MUCH;
	struct side a = { NULL, 0 }, b = { NULL, 0 };

	memset(count, 0, sizeof(*count));
	if (ta->len == tb->len &&
	    (ta->len == 0 || memcmp(ta->data, tb->data, ta->len) == 0))
		return (DIFF_SAME);
	if (ta->len <= MAX_TEXT && tb->len <= MAX_TEXT &&
	    time_mono_us() < until && split(&a, ta) == 0 && split(&b, tb) == 0)
		result = compare(out, ta, tb, &a, &b, until, count);
	if (result == DIFF_TOO_MUCH) {
		memset(count, 0, sizeof(*count));
		count->lines[0] = a.n;
		count->lines[1] = b.n;
	}
	free(a.lines);
	free(b.lines);
	return (result);
}

/* ---- JSON --------------------------------------------------------------- */

#define MAX_JSON   ((size_t)2 << 20)
#define MAX_INDENT 16 /* levels: deeper ones stand below each other */

uint8_t *
diff_json(const uint8_t *p, size_t len, size_t *out_len)
{
	size_t i, n = 0, room = 4096, depth = 0, indent;
	uint8_t *out;
	int string = 0, wrap;

	if (len > MAX_JSON || (out = malloc(room)) == NULL)
		return (NULL);
	for (i = 0; i < len; i++) {
		if (room - n < 2 * MAX_INDENT + 8) {
			room *= 2;
			if ((out = realloc(out, room)) == NULL)
				fatal(NULL);
		}
		if (string) {
			out[n++] = p[i];
			if (p[i] == '\\' && i + 1 < len)
				out[n++] = p[++i];
			else if (p[i] == '"')
				string = 0;
			continue;
		}
		if (strchr(" \t\r\n", p[i]) != NULL && p[i] != '\0')
			continue;
		wrap = 0;
		if (p[i] == '}' || p[i] == ']') {
			depth -= depth > 0;
			wrap = 1;
		}
		if (!wrap)
			out[n++] = p[i];
		string = p[i] == '"';
		if (p[i] == '{' || p[i] == '[')
			depth++;
		if (p[i] == ':')
			out[n++] = ' ';
		if (wrap || strchr("{[,", p[i]) != NULL) {
			out[n++] = '\n';
			indent = depth < MAX_INDENT ? depth : MAX_INDENT;
			memset(out + n, ' ', 2 * indent);
			n += 2 * indent;
		}
		if (wrap)
			out[n++] = p[i];
	}
	out[n++] = '\n';
	*out_len = n;
	return (out);
}
