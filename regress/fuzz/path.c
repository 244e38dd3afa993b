/*
 * path.c: fuzz target of how a path finds its route. What a path says is found
 * by every pattern of the table alike: as many segments as it has, literal ones
 * decoded, the others as they stand; and a path is of one literal route at
 * most.
 */
#include "fuzz.h"

#include "tako-api/route.c"

/* ---- the rest of tako-api: nothing here asks for it ---------------------- */

void
api_configure(void)
{
	abort();
}

void
api_sandbox(void)
{
	abort();
}

void
api_drain(uint64_t deadline_ms)
{
	(void)deadline_ms;
	abort();
}

static unsigned
slashes(const char *p, size_t len)
{
	unsigned n = 0;

	for (; len > 0; p++, len--)
		n += *p == '/';
	return (n);
}

static void
check(const char *pattern, const char *path, size_t len)
{
	char first[256];
	struct found f;
	size_t n;
	int m = path_match(pattern, path, len, &f);

	need(m >= -1 && m <= 1);
	need(strlen(f.id) <= MAX_JOB_ID && strlen(f.other_id) <= MAX_JOB_ID);
	need(f.id[0] == '\0' || job_id_valid(f.id));
	need(f.other_id[0] == '\0' || job_id_valid(f.other_id));
	if (m != 1)
		return;
	need(slashes(pattern, strlen(pattern)) == slashes(path, len));
	if (f.name != NULL) {
		need(f.name > path && f.name_len > 0);
		need(f.name + f.name_len <= path + len);
		need(f.name[-1] == '/' && slashes(f.name, f.name_len) == 0);
	}
	/* The first segment is a literal one in every pattern. */
	for (n = 1; n < len && path[n] != '/'; n++)
		;
	need(http_decode(first, sizeof(first), path + 1, n - 1, 0) == 0);
	need(strlen(first) == strcspn(pattern + 1, "/"));
	need(strncmp(first, pattern + 1, strlen(first)) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct request req = { .method = HTTP_GET };
	size_t i;

	for (i = 0; i < n_routes; i++)
		check(routes[i].pattern, (const char *)data, len);
	/* As a request has it. */
	req.target = xmalloc(len + 1);
	memcpy(req.target, data, len);
	req.target[len] = '\0';
	route_choose(&req);
	/* One with a '/' too many is sent on, whatever else it is. */
	need(req.slash || (req.fault == API_NONE) == (req.route != NULL));
	need(req.name == NULL ||
	     (req.name > req.target &&
		 req.name + req.name_len <= req.target + strlen(req.target)));
	free(req.target);
	return (0);
}
