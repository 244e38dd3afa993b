/*
 * import.c: records of another takod that takoctl brings (takoctl import).
 * Runs in the parent. takoctl has read and checked the archive; what is acted
 * on is checked here again. Artifacts come as those of a worker do: takoctl
 * fills a folder that is its own until the record is there; then it is taken
 * away from it, and its files are put into their store before the row that
 * names them is committed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "artifact_store.h"
#include "log.h"
#include "takod.h"
#include "util.h"

struct import {
	uint64_t client;
	struct job *job;
	char folder[96]; /* on its way into the artifact store, or "" */
};

static void
folder_path(char *path, size_t len, uint64_t client)
{
	snprintf(path, len, "spool/import-%llu", (unsigned long long)client);
}

static int
folder_open(uint64_t client)
{
	char path[64];

	folder_path(path, sizeof(path), client);
	return (openat(env.data_fd, path,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

int
import_folder(uint64_t client, uid_t uid)
{
	char path[64];
	int fd;

	import_gone(client); /* what a former record left in it */
	folder_path(path, sizeof(path), client);
	if (mkdirat(env.data_fd, path, 0700) == -1 ||
	    (fd = folder_open(client)) == -1)
		return (-1);
	if (fchown(fd, uid, (gid_t)-1) == -1)
		close_fd(&fd);
	return (fd);
}

void
import_gone(uint64_t client)
{
	char path[64];

	folder_path(path, sizeof(path), client);
	pool_folder_remove(path);
}

/* Is each artifact a file of its size, under its number? */
static int
files_right(int fd, const struct job *job)
{
	struct stat st;
	char name[16];
	int i;

	for (i = 0; i < job->n_artifacts; i++) {
		snprintf(name, sizeof(name), "%d", job->artifacts[i].number);
		if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == -1 ||
		    !S_ISREG(st.st_mode) || st.st_nlink != 1 ||
		    (uint64_t)st.st_size != job->artifacts[i].size)
			return (0);
	}
	return (1);
}

/* The folder is no longer the client's. NULL, or what is wrong. */
static const char *
files_take(struct import *im)
{
	const char *why = "Its artifacts cannot be kept";
	char from[64];
	int fd;

	if ((fd = folder_open(im->client)) == -1)
		return ("Its artifacts did not come");
	folder_path(from, sizeof(from), im->client);
	snprintf(im->folder, sizeof(im->folder), "spool/%s.%lld", im->job->id,
	    (long long)im->job->fence);
	if (fchown(fd, 0, 0) == -1 || fchmod(fd, 0700) == -1 ||
	    renameat(env.data_fd, from, env.data_fd, im->folder) == -1)
		im->folder[0] = '\0';
	else
		why = files_right(fd, im->job)
			  ? NULL
			  : "Its artifacts are not those that it names";
	close_fd(&fd);
	return (why);
}

static void
import_end(struct import *im, enum rep error, const char *detail)
{
	if (im->folder[0] != '\0')
		artifact_folder_remove(im->folder);
	control_end(im->client, error, detail);
	job_free(im->job);
	free(im);
}

static void
unkept(enum artifact_result result, void *arg)
{
	(void)result; /* what is left of them is swept up: retain.c */
	(void)arg;
}

static void
imported(enum store_result result, void *arg)
{
	struct import *im = arg;
	struct artifact_place place = { .fence = im->job->fence };

	if (result == STORE_OK) {
		index_kick();
		import_end(im, REP_NONE, "");
		return;
	}
	/* Of a lost answer nothing is known: retain.c finds what is left. */
	if (result != STORE_AWAY && im->job->n_artifacts > 0) {
		strlcpy(place.job_id, im->job->id, sizeof(place.job_id));
		artifact_remove(im->job->artifact_store, &place, unkept, NULL);
	}
	if (result == STORE_EXISTS || result == STORE_CONFLICT)
		import_end(im, REP_CONFLICT,
		    result == STORE_EXISTS
			? "there is a record of that id already"
			: "another record has its idempotency key");
	else if (result == STORE_FAILED)
		import_end(im, REP_INTERNAL, "The database refuses it");
	else
		import_end(
		    im, REP_UNAVAILABLE, "The database is not available");
}

static void
kept(enum artifact_result result, void *arg)
{
	struct import *im = arg;

	if (result == ARTIFACT_OK) {
		im->folder[0] = '\0'; /* it went with them */
		env.store_ops->import(env.store, im->job, imported, im);
	} else if (result == ARTIFACT_AWAY)
		import_end(im, REP_UNAVAILABLE,
		    "The store of artifacts is not available");
	else
		import_end(im, REP_INTERNAL, "Its artifacts cannot be kept");
}

static void
looked(enum store_result result, struct job *known, void *arg)
{
	struct import *im = arg;
	const char *why;

	job_free(known);
	if (result == STORE_OK)
		import_end(
		    im, REP_CONFLICT, "there is a record of that id already");
	else if (result != STORE_NOT_FOUND)
		import_end(
		    im, REP_UNAVAILABLE, "The database is not available");
	else if (im->job->n_artifacts == 0)
		env.store_ops->import(env.store, im->job, imported, im);
	else if ((why = files_take(im)) != NULL)
		import_end(im, REP_INVALID, why);
	else
		artifact_put(im->job, im->folder, kept, im);
}

/* Fills the job. NULL, or what is wrong. */
static const char *
import_fill(struct job *j, const struct msg_ctl_import *m, struct blob *all)
{
	const uint64_t lens[] = { m->stdout_len, m->stderr_len, m->output_len,
		m->artifacts_len, m->extras_len, m->code_len, m->input_len,
		m->requirements_len };
	struct blob *list = NULL,
		    **const parts[] = { &j->out, &j->err, &j->output, &list,
			    &j->extras, &j->code, &j->input, &j->requirements };
	uint8_t digest[TAKO_SHA256];
	size_t i, off = 0;
	int bad;

	for (i = 0; i < nitems(parts); i++) {
		/* What a job did not have stays away. */
		if ((lens[i] > 0 || i >= 5) &&
		    (*parts[i] = blob_slice(all, off, lens[i])) == NULL) {
			blob_unref(list);
			return ("takod has no memory for it");
		}
		off += lens[i];
	}
	bad = artifacts_unpack(blob_data(list), blob_len(list), &j->artifacts,
		  &j->n_artifacts) == -1;
	blob_unref(list);
	for (i = 0; i < (size_t)j->n_artifacts; i++)
		bad |= j->artifacts[i].number != (int)i;
	if (bad)
		return ("Its list of artifacts is damaged");
	if (!job_id_valid(m->job_id) || *m->job_type == '\0' ||
	    (*m->parent_id != '\0' && !job_id_valid(m->parent_id)))
		return ("It has no id, or no job type");
	if (!job_status_terminal((enum job_status)m->status) ||
	    m->created_at <= 0 || m->ended_at <= 0)
		return ("It has not ended");
	if (m->payload == 0 || m->code_len == 0 || m->input_len == 0)
		return ("It has no code, or no input");
	sha256(digest, blob_data(j->code), m->code_len);
	bad = memcmp(digest, m->code_hash, sizeof(digest)) != 0;
	sha256(digest, blob_data(j->input), m->input_len);
	if (bad || memcmp(digest, m->input_hash, sizeof(digest)) != 0)
		return ("Its code or input is not what its hash says");
	return (NULL);
}

static void
import_copy(struct job *j, const struct msg_ctl_import *m)
{
	char *latest;

	strlcpy(j->id, m->job_id, sizeof(j->id));
	strlcpy(j->job_type, m->job_type, sizeof(j->job_type));
	strlcpy(
	    j->idempotency_key, m->idempotency_key, sizeof(j->idempotency_key));
	strlcpy(
	    j->correlation_id, m->correlation_id, sizeof(j->correlation_id));
	strlcpy(j->client, m->client, sizeof(j->client));
	strlcpy(j->tenant, m->tenant, sizeof(j->tenant));
	/* As record_fill makes it. */
	strlcpy(j->job_ref, m->job_version, sizeof(j->job_ref));
	if ((latest = strstr(j->job_ref, "@latest")) != NULL)
		*latest = '\0';
	strlcpy(j->parent_id, m->parent_id, sizeof(j->parent_id));
	strlcpy(j->error_message, m->error_message, sizeof(j->error_message));
	memcpy(j->fingerprint, m->fingerprint, sizeof(j->fingerprint));
	memcpy(j->code_hash, m->code_hash, sizeof(j->code_hash));
	memcpy(j->input_hash, m->input_hash, sizeof(j->input_hash));
	j->relationship = (enum relationship)m->relationship;
	j->code_len = m->code_len;
	j->input_len = m->input_len;
	j->timeout = (int)m->timeout;
	j->startup_timeout = (int)m->startup_timeout;
	j->created_at = m->created_at;
	j->status = (enum job_status)m->status;
	j->attempt = (int)m->attempt;
	/* A place of its own: no import that came to nothing is in its way. */
	j->fence = time_wall_us();
	j->code_started = m->started_at > 0;
	j->started_at = m->started_at;
	j->ended_at = m->ended_at;
	j->exit_code = (int)m->exit_code;
	j->error = (enum job_error)m->error;
	j->error_phase = (enum job_phase)m->error_phase;
	j->startup_ms = m->startup_ms;
	j->dependencies_ms = m->dependencies_ms;
	j->execution_ms = m->execution_ms;
	j->total_ms = m->total_ms;
	j->phase_at_exit = (enum job_phase)m->phase_at_exit;
	j->runtime = (enum runtime)m->runtime;
	j->out_truncated = m->stdout_truncated != 0;
	j->err_truncated = m->stderr_truncated != 0;
	j->max_rss_kb = m->max_rss_kb;
	j->cpu_ms = m->cpu_ms;
	j->wall_ms = m->wall_ms;
	j->oom_kills = m->oom_kills;
}

void
import_record(
    uint64_t client, const struct msg_ctl_import *m, struct blob *sections)
{
	struct import *im = NULL;
	const char *why = NULL;

	if (!env.ready || !env.store_up)
		control_end(
		    client, REP_UNAVAILABLE, "The database is not available");
	else if ((im = calloc(1, sizeof(*im))) == NULL ||
		 (im->job = job_new()) == NULL) {
		control_end(
		    client, REP_UNAVAILABLE, "takod has no memory for it");
		free(im);
		im = NULL;
	}
	if (im != NULL) {
		im->client = client;
		import_copy(im->job, m);
		if ((why = import_fill(im->job, m, sections)) != NULL)
			import_end(im, REP_INVALID, why);
		else
			env.store_ops->get(
			    env.store, im->job->id, WANT_STATUS, looked, im);
	}
	blob_unref(sections);
}
