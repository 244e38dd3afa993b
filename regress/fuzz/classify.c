/*
 * classify.c: fuzz target of the reading of stderr. The first byte says how
 * the run ended. Whatever stands there, the message is one that a record can
 * hold: valid UTF-8 of at most 200 characters; and the class is one of those
 * that a job may give itself.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "tako-worker/tako-worker.h"
#include "util.h"

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	char message[MAX_JOB_MESSAGE + 1];
	enum job_error error;
	size_t i, n = 0;
	uint8_t *copy;

	if (len == 0)
		return (0);
	/* A copy without a byte behind it, so that reading on is seen. */
	copy = xmalloc(len > 1 ? len - 1 : 1);
	memcpy(copy, p + 1, len - 1);
	error = classify(p[0] & 2 ? END_SIGNALED : END_EXITED, 1, copy, len - 1,
	    p[0] & 1, message);
	free(copy);
	if (!utf8_valid(message, strlen(message)))
		abort();
	for (i = 0; message[i] != '\0'; i++)
		n += (message[i] & 0xc0) != 0x80;
	if (n == 0 || n > 200)
		abort();
	switch (error) {
	case JERR_NONE:
	case JERR_TIMEOUT:
	case JERR_STARTUP_TIMEOUT:
	case JERR_EXECUTION_TIMEOUT:
	case JERR_CANCELLED:
	case JERR_INTERRUPTED:
	case JERR_DEPENDENCY:
	case JERR_DOCKER:
	case JERR_SERVICE_UNAVAILABLE:
	case JERR_CONFIG:
	case JERR_INTERNAL:
	case JERR_SANDBOX_DIED:
		abort();
	default:
		return (0);
	}
}
