/*
 * docs.c: /openapi.json, and the page at /docs and /redoc that shows it. Runs
 * in tako-api. The page is part of the program, from tako-api/page/; it may
 * load its own script and style from here, ask here, and do nothing else.
 */
#include <stdlib.h>
#include <string.h>

#include "embed.h"
#include "log.h"
#include "route.h"
#include "util.h"

EMBED(docs_html, "tako-api/page/page.html")
EMBED(docs_script, "tako-api/page/page.js")
EMBED(docs_style, "tako-api/page/page.css")

#define POLICY                                                                 \
	"Content-Security-Policy: default-src 'none'; script-src 'self'; "     \
	"style-src 'self'; connect-src 'self'; img-src data:; "                \
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "        \
	"require-trusted-types-for 'script'\r\n"                               \
	"Referrer-Policy: no-referrer\r\n"

static const struct page_file {
	const char *type, *more;
	const uint8_t *data, *end;
} files[] = {
	[FORM_HTML] = { "text/html; charset=utf-8", POLICY, docs_html,
	    docs_html_end },
	[FORM_SCRIPT] = { "text/javascript; charset=utf-8", "", docs_script,
	    docs_script_end },
	[FORM_STYLE] = { "text/css; charset=utf-8", "", docs_style,
	    docs_style_end },
	[FORM_OPENAPI] = { "application/json", "", NULL, NULL },
};

/* The document of the present configuration. */
static struct evbuffer *document;
static char etags[nitems(files)][2 * TAKO_SHA256 + 3];

static struct section
content(enum form form)
{
	struct section s;

	if (form == FORM_OPENAPI) {
		s.data = evbuffer_pullup(document, -1);
		s.len = evbuffer_get_length(document);
	} else {
		s.data = files[form].data;
		s.len = (size_t)(files[form].end - files[form].data);
	}
	return (s);
}

static void
etag_make(enum form form)
{
	struct section s = content(form);
	uint8_t digest[TAKO_SHA256];
	char hex[2 * TAKO_SHA256 + 1];

	sha256(digest, s.data, s.len);
	snprintf(etags[form], sizeof(etags[form]), "\"%s\"",
	    hex_encode(hex, digest, sizeof(digest)));
}

void
docs_configure(void)
{
	enum form form;

	if (document != NULL)
		evbuffer_free(document);
	if ((document = evbuffer_new()) == NULL)
		fatal(NULL);
	openapi_write(document);
	for (form = FORM_HTML; form <= FORM_OPENAPI; form++)
		etag_make(form);
}

void
docs_handle(struct request *req)
{
	enum form form = route_form(req->route);
	struct section s = content(form);

	rep_page(req, files[form].type, files[form].more, etags[form], &s);
}
