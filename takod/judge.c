/*
 * judge.c: how a job ended, and what its record says of it. Runs in the
 * parent. Status and error type come from what the job cannot forge: why the
 * parent itself ended it, the counters of its cgroup, and whether and how its
 * main process was reaped. Exit numbers and text decide only between classes
 * of a plain failure, and those were read by the worker (classify.c there).
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "takod.h"
#include "util.h"

static void
fail(struct job *job, enum job_status status, enum job_error error,
    enum job_phase phase, int exit_code, const char *message)
{
	job->status = status;
	job->error = error;
	job->error_phase = phase;
	job->exit_code = exit_code;
	if (message != NULL)
		strlcpy(
		    job->error_message, message, sizeof(job->error_message));
}

/* Ours, not the job's: kept as a failed attempt. */
static void
fault(struct job *job, enum job_error error, enum job_phase phase,
    const char *place, const char *message)
{
	fail(job, JOB_FAILED, error, phase, -1, message);
	if (attempt_note(job, job->ended_at, error, place, message) == -1)
		log_warn("job %s: its fault is not noted", job->id);
}

static void
judge_timeout(struct run *r)
{
	char text[160];

	if (r->went == 0) {
		snprintf(text, sizeof(text),
		    "Startup phase exceeded time limit (%ds)",
		    r->job->startup_timeout);
		fail(r->job, JOB_TIMEOUT, JERR_STARTUP_TIMEOUT,
		    r->layer ? PHASE_DEPENDENCIES : PHASE_STARTUP, -1, text);
		return;
	}
	snprintf(text, sizeof(text),
	    "Code execution exceeded time limit (%ds) (startup: %lldms, "
	    "execution: %lldms)",
	    r->job->timeout, (long long)r->job->startup_ms,
	    (long long)r->job->execution_ms);
	/* 124, as timeout(1) and 0.3 have it. */
	fail(r->job, JOB_TIMEOUT, JERR_EXECUTION_TIMEOUT, PHASE_EXECUTION, 124,
	    text);
}

/* Neither the job's doing nor takod's. */
static void
judge_outside(struct run *r)
{
	fault(r->job, JERR_INTERRUPTED, PHASE_EXECUTION, "sandbox",
	    "The sandbox was paused or ended from outside "
	    "(killed_externally)");
}

/* The parent did not end it: by itself, or by its memory. */
static void
judge_own_end(struct run *r)
{
	const struct msg_job_done *m = &r->last;
	struct job *job = r->job;
	int oom = r->facts.oom_kills > 0;

	if (m->end == END_EXITED) {
		if (m->code == 0) {
			job->status = JOB_SUCCEEDED;
			job->exit_code = 0;
		} else
			fail(job, JOB_FAILED,
			    m->error != JERR_NONE ? (enum job_error)m->error
						  : JERR_RUNTIME,
			    PHASE_EXECUTION, (int)m->code, m->message);
		return;
	}
	if (oom && (m->end == END_LOST || m->code == SIGKILL)) {
		fail(job, JOB_OOM, JERR_OOM, PHASE_EXECUTION, 128 + SIGKILL,
		    "Execution exceeded memory limit");
		return;
	}
	if (m->end == END_SIGNALED) {
		fail(job, JOB_FAILED,
		    m->error != JERR_NONE ? (enum job_error)m->error
					  : JERR_RUNTIME,
		    PHASE_EXECUTION, 128 + (int)m->code, m->message);
		return;
	}
	if (r->facts.outside)
		judge_outside(r);
	else
		fail(job, JOB_FAILED, JERR_SANDBOX_DIED, PHASE_EXECUTION,
		    128 + SIGKILL, "The sandbox ended before the code did");
}

/* What takod adds to a record, under one object. */
static struct blob *
extras(const struct run *r)
{
	json_t *o;
	struct blob *b = NULL;
	char *text;

	o = json_pack("{s:s, s:i, s:s, s:I, s:i, s:b, s:b}", "engine",
	    env.engine_ops->name, "attempt", r->job->attempt, "result",
	    result_state_name((enum result_state)r->last.result),
	    "artifacts_skipped", (json_int_t)r->last.artifacts_skipped,
	    "artifacts", r->job->n_artifacts, "artifacts_lost", r->lost,
	    "output_incomplete", r->incomplete);
	if (o == NULL)
		return (NULL);
	if (r->slot != NULL && r->slot->proof != NULL)
		json_object_set(o, "proof", r->slot->proof);
	if (r->slot != NULL && r->slot->network)
		json_object_set_new(o, "network",
		    r->network != NULL ? json_incref(r->network) : json_null());
	if (r->slot != NULL && r->slot->preload != NULL)
		json_object_set(o, "preload", r->slot->preload);
	if (r->facts.oom_kills >= 0)
		json_object_set_new(
		    o, "oom_kills", json_integer(r->facts.oom_kills));
	if ((text = json_dumps(o, JSON_COMPACT)) != NULL)
		b = blob_take(text, strlen(text));
	json_decref(o);
	return (b);
}

void
judge(struct run *r)
{
	struct job *job = r->job;
	int64_t ended = r->ended;

	job->runtime = r->slot != NULL ? env.runtime : RUNTIME_NONE;
	/* By the store's clock, which this host's may differ from. */
	job->ended_at = job->started_at + time_mono_us() - r->claimed;
	job->startup_ms =
	    ((r->went != 0 ? r->went : ended) - r->claimed) / 1000;
	job->dependencies_ms = r->layer_us / 1000;
	job->startup_ms -= job->dependencies_ms;
	if (r->went != 0) {
		job->execution_ms = (ended - r->went) / 1000;
		/* tako-init's figure has no messages in it, but is hearsay. */
		if (r->last.execution_us != 0 &&
		    r->last.execution_us / 1000 < (uint64_t)job->execution_ms)
			job->execution_ms =
			    (int64_t)r->last.execution_us / 1000;
	}
	job->total_ms = (ended - r->claimed) / 1000;
	job->wall_ms = job->total_ms;
	if (r->layer)
		job->dependencies_ms = job->startup_ms;
	job->phase_at_exit = r->layer || r->no_layer   ? PHASE_DEPENDENCIES
			     : r->went == 0	       ? PHASE_STARTUP
			     : r->last.end != END_LOST ? PHASE_COMPLETED
						       : PHASE_EXECUTION;
	if (r->facts.memory_peak >= 0)
		job->max_rss_kb = r->facts.memory_peak / 1024;
	if (r->facts.cpu_us >= 0)
		job->cpu_ms = r->facts.cpu_us / 1000;
	job->oom_kills = r->facts.oom_kills;
	job->exit_code = -1;
	switch (r->reason) {
	case REASON_TIMEOUT:
	case REASON_STARTUP:
		/* It may have ended by itself just before it was killed. */
		if (r->last.end != END_LOST)
			judge_own_end(r);
		else if (r->facts.outside)
			judge_outside(r);
		else
			judge_timeout(r);
		break;
	case REASON_CANCEL:
		fail(job, JOB_CANCELLED, JERR_CANCELLED,
		    r->went != 0 ? PHASE_EXECUTION : PHASE_STARTUP,
		    r->went != 0 ? 128 + SIGKILL : -1,
		    "Execution was cancelled");
		break;
	case REASON_STOP:
		fault(job, JERR_INTERRUPTED,
		    r->went != 0 ? PHASE_EXECUTION : PHASE_STARTUP, "node",
		    "takod was stopped while the job ran");
		break;
	case REASON_WORKER:
		if (r->facts.oom_kills > 0)
			judge_own_end(r);
		else
			fault(job, JERR_INTERNAL, PHASE_EXECUTION, "worker",
			    "The job's worker failed");
		break;
	case REASON_LEASE:
		fail(job, JOB_FAILED, JERR_INTERRUPTED,
		    r->went != 0 ? PHASE_EXECUTION : PHASE_STARTUP, -1,
		    "takod was cut off from its database while the job ran");
		break;
	case REASON_STREAM:
		if (r->last.end != END_LOST || r->facts.oom_kills > 0)
			judge_own_end(r);
		else
			fault(job, JERR_INTERNAL, PHASE_EXECUTION, "sandbox",
			    "The connection to the sandbox broke");
		break;
	case REASON_NONE:
		if (job->error != JERR_NONE) {
			/* It never came to a slot: run.c said why. */
			job->status = JOB_FAILED;
			job->error_phase = job->phase_at_exit;
		} else if (r->went == 0)
			fault(job, JERR_INTERRUPTED, PHASE_STARTUP, "sandbox",
			    "The sandbox ended before the code began");
		else
			judge_own_end(r);
		break;
	}
	if (r->lost)
		judge_lost(r);
	else
		job->extras = extras(r);
}

/*
 * A record that says all is well names all that the job left. Another end
 * stays what it was, with the mark.
 */
void
judge_lost(struct run *r)
{
	struct job *job = r->job;

	if (job->status == JOB_SUCCEEDED)
		fail(job, JOB_FAILED, JERR_INTERNAL, PHASE_COMPLETED,
		    job->exit_code, "Artifacts could not be stored");
	blob_unref(job->extras);
	job->extras = extras(r);
}
