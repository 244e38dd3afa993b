/*
 * tako.c: names of the product's nouns, as the HTTP API, the database and
 * takoctl write them. Used by every process but tako-init.
 */
#include <string.h>

#include "tako.h"

static const char *const status_names[JOB_STATUS_MAX] = { "queued", "running",
	"succeeded", "failed", "timeout", "oom", "cancelled" };

static const char *const error_names[JERR_MAX] = { NULL, "timeout",
	"startup_timeout", "execution_timeout", "oom", "cancelled",
	"interrupted", "segfault", "abort", "arithmetic_error", "bus_error",
	"pipe_error", "killed", "permission", "syntax_error", "import_error",
	"type_error", "value_error", "key_error", "index_error",
	"attribute_error", "name_error", "file_not_found", "file_error",
	"os_error", "recursion_error", "assertion_error", "division_error",
	"overflow_error", "encoding_error", "json_error", "dependency_error",
	"network_error", "network_timeout", "docker_error",
	"service_unavailable", "config_error", "internal_error",
	"runtime_error", "unknown", "sandbox_died" };

static const char *const phase_names[PHASE_MAX] = { NULL, "startup",
	"dependencies", "execution", "completed" };

static const char *const result_names[RESULT_MAX] = { "absent", "ok",
	"too_large", "invalid_json", "too_deep", "not_regular" };

static const char *const relationship_names[REL_MAX] = { NULL, "rerun",
	"fork" };

static const char *const runtime_names[RUNTIME_MAX] = { NULL, "runsc", "runc",
	"crun" };

static int
byname(const char *const *names, int max, const char *name)
{
	int i;

	for (i = 0; i < max; i++)
		if (names[i] != NULL && strcmp(names[i], name) == 0)
			return (i);
	return (-1);
}

#define NAMES(prefix, type, max)                                               \
	const char *prefix##_name(type v)                                      \
	{                                                                      \
		return ((unsigned)v < (max) ? prefix##_names_[v] : NULL);      \
	}                                                                      \
	int prefix##_byname(const char *name)                                  \
	{                                                                      \
		return (                                                       \
		    name == NULL ? -1 : byname(prefix##_names_, max, name));   \
	}

#define job_status_names_   status_names
#define job_error_names_    error_names
#define job_phase_names_    phase_names
#define result_state_names_ result_names
#define relationship_names_ relationship_names
#define runtime_names_	    runtime_names

NAMES(job_status, enum job_status, JOB_STATUS_MAX)
NAMES(job_error, enum job_error, JERR_MAX)
NAMES(job_phase, enum job_phase, PHASE_MAX)
NAMES(result_state, enum result_state, RESULT_MAX)
NAMES(relationship, enum relationship, REL_MAX)
NAMES(runtime, enum runtime, RUNTIME_MAX)

int
job_status_terminal(enum job_status status)
{
	return (status != JOB_QUEUED && status != JOB_RUNNING);
}
