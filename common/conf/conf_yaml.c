/*
 * conf_yaml.c: one YAML document, from libyaml's events into a bounded array
 * of nodes. An alias stays a reference and is never copied. Syntax, structure
 * and size are judged here, meaning in conf_set.c. The text is the operator's
 * but may be damaged or hostile; no value of it comes back in a message.
 * Used by takod (the parent) and takoctl.
 */
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "conf_int.h"
#include "util.h"

#define TAG	       "tag:yaml.org,2002:"
#define MAX_DIRECTIVES 16

struct anchor {
	char *name;
	unsigned node;
	unsigned line;
	int open; /* its list or mapping has not ended */
};

struct reader {
	struct conf_loading *ld;
	struct conf_doc *doc;
	struct anchor *anchors;
	size_t n_anchors;
	unsigned open[CONF_MAX_DEPTH]; /* nodes not ended */
	unsigned last[CONF_MAX_DEPTH]; /* their last child */
	size_t depth;
	unsigned documents;
	unsigned line, column; /* of the event at hand */
};

static int
fail(struct reader *r, const char *text)
{
	conf_error_add(r->ld->errors, r->ld->conf->path, r->line, r->column,
	    NULL, "%s", text);
	return (-1);
}

const struct conf_node *
conf_doc_node(const struct conf_doc *doc, unsigned number)
{
	const struct conf_node *node = &doc->nodes[number];

	/* A target is never an alias itself. */
	return (node->kind == NODE_ALIAS ? &doc->nodes[node->target] : node);
}

void
conf_doc_free(struct conf_doc *doc)
{
	size_t i;

	for (i = 1; i <= doc->n; i++)
		if (doc->nodes[i].text != NULL)
			freezero(doc->nodes[i].text, doc->nodes[i].len);
	free(doc->nodes);
	memset(doc, 0, sizeof(*doc));
}

/* A new node as the next child of the one that is open; 0: refused. */
static unsigned
node_add(struct reader *r, enum node_kind kind)
{
	struct conf_doc *doc = r->doc;
	struct conf_node *node, *grown;
	unsigned number, parent;

	if (doc->n + 1 >= doc->size) {
		if (doc->size >= CONF_MAX_NODES) {
			fail(r, "too many values in one file");
			return (0);
		}
		doc->size = doc->size == 0 ? 256 : doc->size * 2;
		grown = reallocarray(doc->nodes, doc->size, sizeof(*grown));
		if (grown == NULL) {
			fail(r, "no memory");
			return (0);
		}
		doc->nodes = grown;
	}
	number = (unsigned)++doc->n;
	node = &doc->nodes[number];
	memset(node, 0, sizeof(*node));
	node->kind = kind;
	node->line = r->line;
	node->column = r->column;
	if (r->depth == 0)
		return (number);
	parent = r->open[r->depth - 1];
	if (doc->nodes[parent].first == 0)
		doc->nodes[parent].first = number;
	else
		doc->nodes[r->last[r->depth - 1]].next = number;
	r->last[r->depth - 1] = number;
	doc->nodes[parent].n++;
	return (number);
}

static int
anchor_add(struct reader *r, const yaml_char_t *name, unsigned node, int open)
{
	struct anchor *a;
	size_t i;

	if (name == NULL)
		return (0);
	for (i = 0; i < r->n_anchors; i++)
		if (strcmp(r->anchors[i].name, (const char *)name) == 0)
			return (fail(r, "an anchor of this name is there "
					"already"));
	if (r->n_anchors == CONF_MAX_ANCHORS)
		return (fail(r, "too many anchors"));
	if (r->anchors == NULL)
		r->anchors = xcalloc(CONF_MAX_ANCHORS, sizeof(*r->anchors));
	a = &r->anchors[r->n_anchors++];
	a->name = xstrdup((const char *)name);
	a->node = node;
	a->open = open;
	return (0);
}

static int
on_alias(struct reader *r, const yaml_event_t *event)
{
	const char *name = (const char *)event->data.alias.anchor;
	unsigned number;
	size_t i;

	for (i = 0; i < r->n_anchors; i++)
		if (strcmp(r->anchors[i].name, name) == 0)
			break;
	if (i == r->n_anchors)
		return (fail(r, "an alias without its anchor; a text that "
				"begins with * needs quotes"));
	if (r->anchors[i].open)
		return (fail(r, "an alias that contains itself"));
	if ((number = node_add(r, NODE_ALIAS)) == 0)
		return (-1);
	r->doc->nodes[number].target = r->anchors[i].node;
	return (0);
}

static int
on_scalar(struct reader *r, yaml_event_t *event)
{
	struct conf_node *node;
	unsigned number;

	if ((number = node_add(r, NODE_SCALAR)) == 0)
		return (-1);
	node = &r->doc->nodes[number];
	node->text = (char *)event->data.scalar.value;
	node->len = event->data.scalar.length;
	event->data.scalar.value = NULL; /* ours now */
	node->value =
	    conf_resolve(node->text, event->data.scalar.plain_implicit,
		(const char *)event->data.scalar.tag);
	return (anchor_add(r, event->data.scalar.anchor, number, 0));
}

/* A list or mapping begins; tag: NULL, or what the file says it is. */
static int
on_start(struct reader *r, enum node_kind kind, const yaml_char_t *tag,
    const yaml_char_t *anchor)
{
	const char *own = kind == NODE_MAP ? TAG "map" : TAG "seq";
	unsigned number;

	if (r->depth == CONF_MAX_DEPTH)
		return (fail(r, "nested too deeply"));
	if (tag != NULL && strcmp((const char *)tag, "!") != 0 &&
	    strcmp((const char *)tag, own) != 0)
		kind = NODE_BAD_TAG;
	if ((number = node_add(r, kind)) == 0)
		return (-1);
	if (anchor_add(r, anchor, number, 1) == -1)
		return (-1);
	r->open[r->depth] = number;
	r->last[r->depth++] = 0;
	return (0);
}

static int
on_end(struct reader *r)
{
	size_t i;
	unsigned number = r->open[--r->depth];

	for (i = 0; i < r->n_anchors; i++)
		if (r->anchors[i].node == number)
			r->anchors[i].open = 0;
	return (0);
}

static int
on_event(struct reader *r, yaml_event_t *event)
{
	r->line = (unsigned)event->start_mark.line + 1;
	r->column = (unsigned)event->start_mark.column + 1;
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (r->documents++ > 0)
			return (fail(r, "more than one document"));
		return (0);
	case YAML_ALIAS_EVENT:
		return (on_alias(r, event));
	case YAML_SCALAR_EVENT:
		return (on_scalar(r, event));
	case YAML_SEQUENCE_START_EVENT:
		return (on_start(r, NODE_LIST, event->data.sequence_start.tag,
		    event->data.sequence_start.anchor));
	case YAML_MAPPING_START_EVENT:
		return (on_start(r, NODE_MAP, event->data.mapping_start.tag,
		    event->data.mapping_start.anchor));
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return (on_end(r));
	default:
		return (0);
	}
}

/* Line and column of a byte. */
static void
place(const char *data, size_t len, size_t offset, unsigned *line,
    unsigned *column)
{
	size_t i;

	*line = *column = 1;
	for (i = 0; i < offset && i < len; i++) {
		if (data[i] == '\n') {
			(*line)++;
			*column = 1;
		} else if (((unsigned char)data[i] & 0xc0) != 0x80)
			(*column)++;
	}
}

/* The byte at a line and column. */
static char
byte_at(const char *data, size_t len, unsigned line, unsigned column)
{
	size_t i;

	for (i = 0; i < len && line > 1; i++)
		line -= data[i] == '\n';
	for (; i < len && column > 1; i++)
		column -=
		    i + 1 == len || ((unsigned char)data[i + 1] & 0xc0) != 0x80;
	return (i < len ? data[i] : '\0');
}

/* What to do about the faults that are made most, or "". */
static const char *
hint(const char *problem, char byte)
{
	if (strstr(problem, "cannot start any token") != NULL)
		return (byte == '\t' ? "; indent with spaces, not with tabs"
				     : "; a text that begins so needs quotes");
	if (strstr(problem, "mapping values are not allowed") != NULL ||
	    strstr(problem, "did not find expected") != NULL)
		return ("; look at how the lines are indented, and at texts "
			"that need quotes");
	return ("");
}

/* What libyaml found; its texts are fixed ones and hold no value. */
static void
parser_failed(
    struct reader *r, const yaml_parser_t *p, const char *data, size_t len)
{
	const char *tail;
	const char *context = p->context != NULL ? p->context : "";

	r->line = (unsigned)p->problem_mark.line + 1;
	r->column = (unsigned)p->problem_mark.column + 1;
	if (p->error == YAML_READER_ERROR)
		place(data, len, p->problem_offset, &r->line, &r->column);
	tail = hint(p->problem != NULL ? p->problem : "",
	    byte_at(data, len, r->line, r->column));
	if (p->problem == NULL)
		fail(r, "not YAML");
	else if (p->context_mark.line + 1 == r->line || *context == '\0')
		conf_error_add(r->ld->errors, r->ld->conf->path, r->line,
		    r->column, NULL, "not YAML: %s%s%s%s", p->problem,
		    *context != '\0' ? " " : "", context, tail);
	else
		conf_error_add(r->ld->errors, r->ld->conf->path, r->line,
		    r->column, NULL, "not YAML: %s %s that begins in line %u%s",
		    p->problem, context, (unsigned)p->context_mark.line + 1,
		    tail);
}

/*
 * libyaml compares every %TAG line with all before it before it returns a
 * first event, so that a file full of them would take very long.
 */
static int
directives_few(const char *data, size_t len)
{
	const char *p = data, *end = data + len;
	unsigned n = 0;

	while (p != NULL && p < end) {
		if (*p == '%' && ++n > MAX_DIRECTIVES)
			return (0);
		if ((p = memchr(p, '\n', (size_t)(end - p))) != NULL)
			p++;
	}
	return (1);
}

static int
read_events(struct reader *r, yaml_parser_t *p, const char *data, size_t len)
{
	yaml_event_t event;
	int done = 0;

	while (!done) {
		if (!yaml_parser_parse(p, &event)) {
			parser_failed(r, p, data, len);
			return (-1);
		}
		done = event.type == YAML_STREAM_END_EVENT;
		if (on_event(r, &event) == -1) {
			yaml_event_delete(&event);
			return (-1);
		}
		yaml_event_delete(&event);
	}
	return (0);
}

/* libyaml lets go of its copies of the text as they are; keys are in them. */
static void
parser_end(yaml_parser_t *p)
{
	explicit_bzero(p->raw_buffer.start,
	    (size_t)(p->raw_buffer.end - p->raw_buffer.start));
	explicit_bzero(
	    p->buffer.start, (size_t)(p->buffer.end - p->buffer.start));
	yaml_parser_delete(p);
}

int
conf_doc_read(struct conf_loading *ld, const char *data, size_t len)
{
	struct reader r = { .ld = ld, .doc = &ld->doc };
	yaml_parser_t parser;
	size_t i;
	int result;

	if (!directives_few(data, len)) {
		r.line = r.column = 1;
		return (fail(&r, "too many lines that begin with %"));
	}
	if (!yaml_parser_initialize(&parser)) {
		r.line = r.column = 0;
		return (fail(&r, "no memory"));
	}
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)data, len);
	result = read_events(&r, &parser, data, len);
	parser_end(&parser);
	for (i = 0; i < r.n_anchors; i++)
		free(r.anchors[i].name);
	free(r.anchors);
	return (result);
}
