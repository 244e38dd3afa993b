/*
 * pending.c: the requests that wait for the parent, by their ids. Runs in
 * tako-api. Ids count up, so that an answer which comes after its client went
 * away meets no other's. The table is as large as the parent lets there be
 * connections, each of which waits for one answer at most.
 */
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "tako-api.h"

#define BUCKETS 1024 /* a power of two */

static struct pending *buckets[BUCKETS];
static uint32_t last_id;
static int came_round; /* each id was given out once at least */
static unsigned n_pending;

static struct pending **
pending_slot(uint32_t id)
{
	struct pending **p = &buckets[id % BUCKETS];

	while (*p != NULL && (*p)->id != id)
		p = &(*p)->next;
	return (p);
}

/* Gives out an id for a message of this type; 0 when max wait already. */
uint32_t
pending_add(struct request *req, uint32_t type, unsigned max)
{
	struct pending *p, **slot;

	if (n_pending >= max)
		return (0);
	if ((p = calloc(1, sizeof(*p))) == NULL)
		fatal(NULL);
	do {
		if (++last_id == 0)
			came_round = 1;
	} while (last_id == 0 || *pending_slot(last_id) != NULL);
	p->id = last_id;
	p->type = type;
	p->req = req;
	p->sync = req->sync;
	slot = pending_slot(p->id);
	*slot = p;
	n_pending++;
	return (p->id);
}

/* The entry of id, or NULL: answered or given up already. */
struct pending *
pending_find(uint32_t id)
{
	return (*pending_slot(id));
}

void
pending_remove(uint32_t id)
{
	struct pending **slot = pending_slot(id), *p = *slot;

	if (p == NULL)
		return;
	*slot = p->next;
	free(p);
	n_pending--;
}

/* Was such an id ever given out? */
int
pending_known(uint32_t id)
{
	return (id != 0 && (came_round || id <= last_id));
}

/* One whose client is gone while the parent could not be told, or NULL. */
struct pending *
pending_gone(void)
{
	struct pending *p;
	size_t i;

	for (i = 0; i < BUCKETS; i++)
		for (p = buckets[i]; p != NULL; p = p->next)
			if (p->req == NULL)
				return (p);
	return (NULL);
}
