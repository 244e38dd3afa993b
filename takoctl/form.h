/*
 * form.h: the form of takoctl export's archives, for both directions. An
 * archive is a tar (pax), not compressed:
 *
 *	takod-export.json		what it is
 *	records/<id>/record.json	a record, and of what follows name, size
 *					and SHA-256, in that order
 *	records/<id>/<section>		code.py, input.json, ...: what is there
 *	records/<id>/artifacts/<number>
 *	manifest.json			how many records there are, and SHA-256
 *					over those of their record.json
 */
#ifndef FORM_H
#define FORM_H

#include <jansson.h>
#include <sha2.h>

#include "takoctl.h"
#include "takod/job.h"

#define FORM_VERSION  1
#define FORM_HEADER   "takod-export.json"
#define FORM_MANIFEST "manifest.json"
#define FORM_RECORD   "record.json"

/* The sections of a record, in the order of its memfd. */
enum section {
	SEC_STDOUT,
	SEC_STDERR,
	SEC_OUTPUT,
	SEC_ARTIFACTS, /* no file of its own: a list in record.json */
	SEC_EXTRAS,
	SEC_CODE,
	SEC_INPUT,
	SEC_REQUIREMENTS,
	SECTIONS
};
struct section_form {
	const char *name; /* of the file; NULL: none */
	uint64_t max;
};
extern const struct section_form sections[SECTIONS];

/* The fields of a record; what it is made of goes elsewhere. */
json_t *form_record(const struct msg_rep_record *);
/* NULL, or which of them is wrong. */
const char *form_record_read(struct msg_rep_record *, json_t *);

json_t *form_artifact(const struct artifact *);
int form_artifact_read(struct artifact *, json_t *);

/* A digest as hex. */
json_t *form_digest(const uint8_t[TAKO_SHA256]);
int form_digest_read(uint8_t[TAKO_SHA256], json_t *);

#endif
