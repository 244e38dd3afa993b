/*
 * artifact.c: an artifact for who asks for it: tako-api, or takoctl. Runs in
 * the parent. It gets a descriptor; nobody here reads what a job wrote.
 */
#include <stdlib.h>
#include <string.h>

#include "artifact_store.h"
#include "log.h"
#include "takod.h"
#include "util.h"

/* Under way together: each may need a file of its size for a while. */
#define ASKED_MAX 64

struct asked {
	struct artifact_ask what;
	artifact_answer_cb cb;
	uint64_t arg;
	struct job *job;
	const struct artifact *artifact; /* of the job */
};

static unsigned n_asked;

static void
asked_end(struct asked *q, enum rep error, int fd)
{
	struct msg_rep_artifact m;
	const struct artifact *a = q->artifact;

	memset(&m, 0, sizeof(m));
	if (error == REP_NONE) {
		m.name.len = a->name_len;
		memcpy(m.name.data, a->name, a->name_len);
		m.size = a->size;
		memcpy(m.sha256, a->sha256, sizeof(m.sha256));
		strlcpy(
		    m.content_type, a->content_type, sizeof(m.content_type));
		m.ended_at = q->job->ended_at;
	}
	q->cb(error, &m, fd, q->arg);
	close_fd(&fd);
	job_free(q->job);
	free(q);
	n_asked--;
}

static void
got(enum artifact_result result, int fd, void *arg)
{
	struct asked *q = arg;

	asked_end(q,
	    result == ARTIFACT_OK	   ? REP_NONE
	    : result == ARTIFACT_NOT_FOUND ? REP_NO_ARTIFACT
	    : result == ARTIFACT_AWAY	   ? REP_UNAVAILABLE
					   : REP_INTERNAL,
	    fd);
}

static const struct artifact *
find(const struct job *job, const void *name, size_t len)
{
	int i;

	for (i = 0; i < job->n_artifacts; i++)
		if (job->artifacts[i].name_len == len &&
		    memcmp(job->artifacts[i].name, name, len) == 0)
			return (&job->artifacts[i]);
	return (NULL);
}

static void
looked(enum store_result result, struct job *job, void *arg)
{
	struct asked *q = arg;
	const struct artifact_ask *what = &q->what;

	q->job = job;
	if (result != STORE_OK) {
		asked_end(q,
		    result == STORE_NOT_FOUND ? REP_NOT_FOUND : REP_UNAVAILABLE,
		    -1);
		return;
	}
	q->artifact = find(job, what->name, what->name_len);
	if (q->artifact == NULL)
		q->artifact = find(job, what->other, what->other_len);
	if (q->artifact == NULL)
		asked_end(q, REP_NO_ARTIFACT, -1);
	else if (what->body)
		artifact_get(job, q->artifact, got, q);
	else
		asked_end(q, REP_NONE, -1);
}

void
artifact_ask(
    const struct artifact_ask *what, artifact_answer_cb cb, uint64_t arg)
{
	struct msg_rep_artifact none;
	struct asked *q;

	if (n_asked >= ASKED_MAX || (q = calloc(1, sizeof(*q))) == NULL) {
		memset(&none, 0, sizeof(none));
		cb(REP_UNAVAILABLE, &none, -1, arg);
		return;
	}
	n_asked++;
	q->what = *what;
	q->cb = cb;
	q->arg = arg;
	env.store_ops->get(env.store, what->job_id, WANT_ARTIFACTS, looked, q);
}
