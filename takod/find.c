/*
 * find.c: pages of records for tako-api and takoctl. Runs in the parent.
 *
 * The store finds which records a page has (store.h's list); then they are
 * fetched, a few ahead, and go out one after the other, each in a frame and a
 * memfd of its own, as fast as the receiver reads. So neither a long page nor
 * a slow reader takes more memory here than a few records do. A page ends
 * early when its records have PAGE_BYTES together; the receiver is told where
 * it goes on.
 */
#include <stdlib.h>
#include <string.h>

#include "event_arm.h"
#include "log.h"
#include "takod.h"
#include "util.h"

#define FINDS	   32 /* pages under way, all receivers together */
#define AHEAD	   4  /* records of one that are fetched at a time */
#define PAGE_BYTES (UINT64_C(16) << 20)
/* Frames that may wait for the receiver; else it is looked at again. */
#define SLOW_FRAMES 8
#define SLOW_US	    2000

struct find;

struct fetch {
	struct find *find;
	struct job *job; /* NULL, though here: it is gone */
	int here;
};

struct find {
	TAILQ_ENTRY(find) entry;
	uint64_t req;	 /* tako-api's, or 0 */
	uint64_t client; /* takoctl's, or 0 */
	enum view view;
	struct store_filter filter;
	struct store_found *items;
	size_t n, asked, sent;
	struct fetch ahead[AHEAD]; /* of items[i] in i % AHEAD */
	int under_way;		   /* calls of the store */
	int gone;		   /* nobody wants it any more */
	enum rep error;
	uint64_t bytes;
	int64_t next, unindexed;
	struct event *timer; /* the receiver is slow */
};
static TAILQ_HEAD(, find) finds = TAILQ_HEAD_INITIALIZER(finds);
static unsigned n_finds;

static void find_pump(struct find *);

static struct imsgev *
receiver(const struct find *f)
{
	struct child *api = proc_api();

	if (f->client != 0)
		return (control_channel(f->client));
	return (api == NULL ? NULL : api->iev);
}

static void
find_free(struct find *f)
{
	int i;

	TAILQ_REMOVE(&finds, f, entry);
	n_finds--;
	for (i = 0; i < AHEAD; i++)
		job_free(f->ahead[i].job);
	event_free(f->timer);
	free(f->items);
	free(f);
}

/* The last word of a page. */
static void
find_end(struct find *f)
{
	static const char away[] = "The database is not available";
	static const char slow[] = "The search takes too long: ask for rarer "
				   "words, or for a shorter time";
	struct imsgev *iev = receiver(f);
	const char *detail = f->error == REP_NONE      ? ""
			     : f->error == REP_INVALID ? slow
						       : away;
	struct msg_rep_list m;

	if (f->gone || iev == NULL) {
		find_free(f);
		return;
	}
	memset(&m, 0, sizeof(m));
	m.next = f->next;
	m.unindexed = (uint64_t)f->unindexed;
	if (f->error == REP_NONE)
		imsgev_compose(iev, MSG_T_REP_LIST, (uint32_t)f->req, &m, -1);
	else if (f->client == 0)
		reply_error(f->req, f->error, NULL, detail);
	if (f->client != 0)
		control_end(f->client, f->error, detail);
	find_free(f);
}

static void
fetched(enum store_result result, struct job *job, void *arg)
{
	struct fetch *ft = arg;
	struct find *f = ft->find;

	f->under_way--;
	ft->job = job;
	ft->here = 1;
	if (result != STORE_OK && result != STORE_NOT_FOUND)
		f->error = REP_UNAVAILABLE;
	find_pump(f);
}

static void
find_fetch(struct find *f)
{
	struct fetch *ft = &f->ahead[f->asked % AHEAD];
	int want = WANT_STATUS;

	if (f->view != VIEW_STATUS)
		want |= WANT_OUTPUT;
	if (f->view == VIEW_PAYLOAD)
		want |= WANT_PAYLOAD;
	ft->find = f;
	ft->here = 0;
	f->under_way++;
	env.store_ops->get(
	    env.store, f->items[f->asked++].id, want, fetched, ft);
}

/* Sends the next record. 0, or -1: the receiver is slow. */
static int
find_send(struct find *f, struct imsgev *iev)
{
	struct fetch *ft = &f->ahead[f->sent % AHEAD];
	struct job *job = ft->job;

	if (imsgev_queued(iev) > SLOW_FRAMES)
		return (-1);
	/* It may have gone, or on, since it was found. */
	if (job != NULL &&
	    (f->filter.status < 0 || (int)job->status == f->filter.status)) {
		f->bytes += blob_len(job->out) + blob_len(job->err) +
			    blob_len(job->output) + blob_len(job->extras) +
			    blob_len(job->code) + blob_len(job->input) +
			    (uint64_t)job->n_artifacts * 128;
		if (reply_record_to(
			iev, (uint32_t)f->req, job, f->view, 0, 0) == -1)
			f->error = REP_UNAVAILABLE;
	}
	job_free(job);
	ft->job = NULL;
	f->sent++;
	if (f->bytes >= PAGE_BYTES && f->sent < f->n) {
		f->n = f->sent;
		f->next = f->items[f->n - 1].place;
	}
	return (0);
}

static void
find_pump(struct find *f)
{
	struct timeval tv = { 0, SLOW_US };
	struct imsgev *iev = receiver(f);

	if (iev == NULL)
		f->gone = 1;
	while (!f->gone && f->error == REP_NONE && f->sent < f->asked &&
	       f->sent < f->n && f->ahead[f->sent % AHEAD].here)
		if (find_send(f, iev) == -1) {
			event_arm(f->timer, &tv);
			break;
		}
	if (f->gone || f->error != REP_NONE || f->sent >= f->n) {
		if (f->under_way == 0)
			find_end(f);
		return;
	}
	while (f->asked < f->n && f->asked - f->sent < AHEAD)
		find_fetch(f);
}

static void
find_again(int fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	find_pump(arg);
}

static void
found(enum store_result result, const struct store_page *page, void *arg)
{
	struct find *f = arg;
	size_t limit = (size_t)f->filter.limit - 1;

	f->under_way--;
	if (result != STORE_OK)
		f->error =
		    result == STORE_FAILED ? REP_INVALID : REP_UNAVAILABLE;
	else {
		f->n = page->n > limit ? limit : page->n;
		f->next =
		    page->n > limit ? page->items[limit - 1].place : page->next;
		f->unindexed = page->unindexed;
		f->items = reallocarray(NULL, f->n + 1, sizeof(*f->items));
		if (f->items == NULL) {
			f->n = 0;
			f->error = REP_UNAVAILABLE;
		} else if (f->n > 0)
			memcpy(f->items, page->items, f->n * sizeof(*f->items));
	}
	find_pump(f);
}

/* NULL, or what is wrong: a query has its form from tako-api or takoctl. */
static const char *
filter_fill(struct store_filter *f, const struct msg_req_list *m)
{
	char query[WORDS_ASKED_MAX];

	memset(f, 0, sizeof(*f));
	f->status = (int)m->status;
	f->error = (int)m->error;
	f->exit_code = (int)m->exit_code;
	strlcpy(f->job_type, m->job_type, sizeof(f->job_type));
	strlcpy(f->parent_id, m->parent_id, sizeof(f->parent_id));
	strlcpy(f->key, m->key, sizeof(f->key));
	strlcpy(f->query, m->query, sizeof(f->query));
	f->since = m->since;
	f->until = m->until;
	f->after = m->after;
	f->offset = m->offset;
	f->limit = (int)m->limit + 1; /* one more says that there is more */
	if (f->query[0] != '\0' &&
	    words_asked(query, f->query, WORDS_FTS5) == -1)
		return ("the search has no terms");
	return (NULL);
}

void
find_list(uint64_t req, uint64_t client, const struct msg_req_list *m)
{
	enum rep error = REP_NONE;
	const char *detail = "";
	struct find *f = NULL;

	if (!env.ready) {
		error = REP_STARTING;
		detail = "takod is starting";
	} else if (n_finds >= FINDS || (f = calloc(1, sizeof(*f))) == NULL ||
		   (f->timer = evtimer_new(env.base, find_again, f)) == NULL) {
		error = REP_UNAVAILABLE;
		detail = "Too many lists are under way";
	} else if ((detail = filter_fill(&f->filter, m)) != NULL)
		error = REP_INVALID;
	if (error != REP_NONE) {
		if (f != NULL && f->timer != NULL)
			event_free(f->timer);
		free(f);
		if (client != 0)
			control_end(client, error, detail);
		else
			reply_error(req, error, NULL, detail);
		return;
	}
	f->req = req;
	f->client = client;
	f->view = (enum view)m->view;
	TAILQ_INSERT_TAIL(&finds, f, entry);
	n_finds++;
	f->under_way++;
	env.store_ops->list(env.store, &f->filter, found, f);
}

void
find_gone(uint64_t req)
{
	struct find *f, *next;

	TAILQ_FOREACH_SAFE (f, &finds, entry, next) {
		if (f->client != 0 || (req != 0 && f->req != req))
			continue;
		f->gone = 1;
		if (f->under_way == 0)
			find_end(f);
	}
}

int
find_serves(uint64_t client)
{
	struct find *f;

	TAILQ_FOREACH (f, &finds, entry)
		if (f->client == client)
			return (1);
	return (0);
}
