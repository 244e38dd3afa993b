/*
 * cors.c: which web pages may ask, and which are told what they were answered.
 * Runs in tako-api. A browser names the origin of a page with each request
 * that can do something. Pages of cors_origins may ask all; others nothing but
 * what a link could, and are not told the answer: a page that somebody happens
 * to look at must not start, cancel or build anything on a takod of that host
 * that asks for no key. The page that takod serves itself is of its own host.
 *
 * Cookies are not used here, so that no answer lets credentials in: whoever
 * has a key sends it in a field.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "log.h"
#include "tako-api.h"
#include "util.h"

#define PREFLIGHT_S 600 /* that a browser need not ask again */

static char **origins;
static size_t n_origins;

void
cors_clear(void)
{
	while (n_origins > 0)
		free(origins[--n_origins]);
	free(origins);
	origins = NULL;
}

void
cors_add(const char *origin)
{
	char **more;

	more = reallocarray(origins, n_origins + 1, sizeof(*more));
	if (more == NULL)
		fatal(NULL);
	origins = more;
	origins[n_origins++] = xstrdup(origin);
}

/* The one that lets it in: itself, or "*"; NULL. */
static const char *
listed(const char *origin)
{
	size_t i;

	for (i = 0; i < n_origins; i++)
		if (strcmp(origins[i], origin) == 0 ||
		    strcmp(origins[i], "*") == 0)
			return (origins[i]);
	return (NULL);
}

/* Is the page of the host that it asks? */
static int
is_own(const char *origin, const struct http_request *h)
{
	const char *host = strstr(origin, "://");

	return (host != NULL && strcasecmp(host + 3, h->host) == 0);
}

int
cors_head(struct request *req, const struct http_request *h)
{
	const char *origin, *let_in;
	unsigned n;

	if ((origin = http_field(h, "origin", &n)) == NULL)
		return (0);
	let_in = n == 1 ? listed(origin) : NULL;
	if (let_in != NULL) {
		req->origin = xstrdup(let_in);
		if (req->method == HTTP_OPTIONS &&
		    http_field(h, "access-control-request-method", NULL) !=
			NULL)
			req->preflight = req->open = 1;
		return (0);
	}
	if (req->method == HTTP_GET || req->method == HTTP_HEAD ||
	    req->method == HTTP_OPTIONS)
		return (0);
	return (n == 1 && is_own(origin, h) ? 0 : -1);
}

void
cors_fields(const struct request *req, struct evbuffer *head)
{
	if (n_origins > 0)
		render_text(head, "Vary: Origin\r\n");
	if (req->origin != NULL)
		render_printf(head,
		    "Access-Control-Allow-Origin: %s\r\n"
		    "Access-Control-Expose-Headers: X-Correlation-ID, "
		    "Retry-After, ETag, Content-Disposition, Location\r\n",
		    req->origin);
}

void
cors_preflight(struct request *req)
{
	struct evbuffer *head;

	if ((head = evbuffer_new()) == NULL)
		fatal(NULL);
	rep_head(head, req->correlation);
	render_printf(head,
	    "Access-Control-Allow-Methods: %s\r\n"
	    "Access-Control-Allow-Headers: Content-Type, Authorization, %s, "
	    "X-Correlation-ID, Range, If-Range, If-None-Match\r\n"
	    "Access-Control-Max-Age: %d\r\n",
	    *req->allow != '\0' ? req->allow : "GET", api_conf.auth_header,
	    PREFLIGHT_S);
	route_answer(req, 204, head, NULL);
}
