/*
 * health.c: the last answer of GET /health, for as long as the parent says
 * that it is fresh. Runs in tako-api. Whoever asks often, or many at a time,
 * costs the parent nothing.
 */
#include <stdlib.h>

#include "log.h"
#include "tako-api.h"
#include "util.h"

static uint8_t *text;
static size_t len;
static int64_t until; /* us, monotonic */

void
health_keep(struct evbuffer *body, unsigned fresh_ms)
{
	free(text);
	len = evbuffer_get_length(body);
	text = xmalloc(len);
	evbuffer_copyout(body, text, len);
	until = time_mono_us() + fresh_ms * 1000LL;
}

struct evbuffer *
health_kept(void)
{
	struct evbuffer *body;

	if (time_mono_us() >= until)
		return (NULL);
	if ((body = evbuffer_new()) == NULL)
		fatal(NULL);
	render_bytes(body, text, len);
	return (body);
}

void
health_forget(void)
{
	until = 0;
}
