/*
 * import.c: takoctl import. Runs in takoctl, as the caller, on an archive
 * from anybody. It is read twice: first all of it is checked, the order, the
 * names and sizes of its entries and every digest, and nothing is sent to
 * takod; then the records go there one by one, checked once more. What is
 * read is a plain tar, so it cannot be larger than it is, and the names in it
 * are compared and never opened.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>
#include <sys/stat.h>

#include <archive.h>
#include <archive_entry.h>

#include "blob.h"
#include "form.h"
#include "log.h"
#include "util.h"

#define MAX_JSON ((size_t)4 << 20) /* of record.json and the like */

struct import {
	const struct command *c;
	int fd;
	struct archive *tar;
	struct archive_entry *entry;
	struct ctl *ctl; /* NULL: the archive is checked only */
	SHA2_CTX all;
	uint64_t records, imported;
	json_t *skipped;
	int status; /* not 0: it failed, and it was said why */
};

/* A record as it comes. */
struct incoming {
	struct msg_rep_record m;
	struct artifact *artifacts;
	int n_artifacts;
	int parts[SECTIONS]; /* memfds, or -1 */
	uint64_t lens[SECTIONS];
	int folder; /* for artifacts, or -1 */
};

static int fail(struct import *, const char *, ...)
    __attribute__((format(printf, 2, 3)));

/* Says what is wrong with the archive; -1. */
static int
fail(struct import *x, const char *fmt, ...)
{
	char text[512], safe[1024];
	va_list ap;

	if (x->status != 0)
		return (-1);
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "takoctl: import: %s%s\n",
	    log_escape(safe, sizeof(safe), text, strlen(text)),
	    x->ctl == NULL ? "; nothing was imported" : "");
	x->status = EX_DATAERR;
	return (-1);
}

/* ---- entries ------------------------------------------------------------ */

/*
 * The next entry, which must have that name; size is left as it says, max is
 * what it may. -1: it was said what is wrong. With optional, 1: it is another.
 */
static int
next_entry(struct import *x)
{
	int rc;

	rc = archive_read_next_header(x->tar, &x->entry);
	if (rc == ARCHIVE_EOF) {
		x->entry = NULL;
		return (0);
	}
	if (rc != ARCHIVE_OK)
		return (fail(x, "the archive is damaged: %s",
		    archive_error_string(x->tar) != NULL
			? archive_error_string(x->tar)
			: "it cannot be read"));
	if (archive_entry_filetype(x->entry) != AE_IFREG ||
	    archive_entry_hardlink(x->entry) != NULL ||
	    archive_entry_symlink(x->entry) != NULL ||
	    archive_entry_sparse_count(x->entry) > 0 ||
	    archive_entry_pathname(x->entry) == NULL ||
	    !archive_entry_size_is_set(x->entry))
		return (fail(x, "an entry of the archive is no plain file"));
	return (0);
}

static int
is_entry(const struct import *x, const char *path)
{
	return (x->entry != NULL &&
		strcmp(archive_entry_pathname(x->entry), path) == 0);
}

/*
 * Reads the entry, of size bytes, and compares its digest (NULL: there is
 * none). It is written to out unless that is -1, and to text unless NULL.
 */
static int
read_entry(struct import *x, const char *path, uint64_t size,
    const uint8_t *sha, uint8_t *digest_out, int out, char *text)
{
	uint8_t buf[65536], digest[TAKO_SHA256];
	uint64_t left = size;
	SHA2_CTX sum;
	la_ssize_t n;

	if (!is_entry(x, path))
		return (fail(x,
		    "the archive is damaged: %s is not where it "
		    "has to be",
		    path));
	if ((uint64_t)archive_entry_size(x->entry) != size)
		return (
		    fail(x, "%s has another size than it should have", path));
	SHA256Init(&sum);
	for (; left > 0; left -= (uint64_t)n) {
		n = archive_read_data(
		    x->tar, buf, left < sizeof(buf) ? left : sizeof(buf));
		if (n <= 0)
			return (fail(x,
			    "the archive is damaged: %s ends "
			    "early",
			    path));
		SHA256Update(&sum, buf, (size_t)n);
		if (text != NULL)
			memcpy(text + (size - left), buf, (size_t)n);
		if (out != -1 && write_all(out, buf, (size_t)n) == -1)
			return (fail(x, "%s: %s", path, strerror(errno)));
	}
	SHA256Final(digest, &sum);
	if (sha != NULL && memcmp(sha, digest, sizeof(digest)) != 0)
		return (fail(x, "%s is not what its digest says", path));
	if (digest_out != NULL)
		memcpy(digest_out, digest, sizeof(digest));
	return (0);
}

/* A JSON object; NULL: it was said why. */
static json_t *
read_json(struct import *x, const char *path, uint8_t *digest)
{
	uint64_t size = 0;
	json_error_t e;
	json_t *o;
	char *text;

	if (x->entry != NULL)
		size = (uint64_t)archive_entry_size(x->entry);
	if (size > MAX_JSON) {
		fail(x, "%s is too long", path);
		return (NULL);
	}
	text = xmalloc(size + 1);
	if (read_entry(x, path, size, NULL, digest, -1, text) == -1) {
		free(text);
		return (NULL);
	}
	o = json_loadb(text, size, JSON_REJECT_DUPLICATES, &e);
	free(text);
	if (!json_is_object(o)) {
		json_decref(o);
		fail(x, "%s is no JSON object", path);
		return (NULL);
	}
	return (o);
}

/* ---- a record ----------------------------------------------------------- */

static void
incoming_free(struct incoming *in)
{
	int i;

	for (i = 0; i < SECTIONS; i++)
		close_fd(&in->parts[i]);
	close_fd(&in->folder);
	free(in->artifacts);
}

/* The sections, in the order in which record.json has them. */
static int
read_files(struct import *x, struct incoming *in, json_t *files)
{
	uint8_t digest[TAKO_SHA256];
	char path[160];
	json_t *file, *size;
	const char *name;
	size_t i;
	int k;

	json_array_foreach (files, i, file) {
		name = json_string_value(json_object_get(file, "name"));
		size = json_object_get(file, "size");
		for (k = 0; k < SECTIONS; k++)
			if (sections[k].name != NULL && name != NULL &&
			    strcmp(sections[k].name, name) == 0)
				break;
		if (k == SECTIONS || in->lens[k] != 0 ||
		    !json_is_integer(size) || json_integer_value(size) <= 0 ||
		    (uint64_t)json_integer_value(size) > sections[k].max ||
		    form_digest_read(digest, json_object_get(file, "sha256")) ==
			-1)
			return (fail(x,
			    "record %s: its list of files is "
			    "damaged",
			    in->m.job_id));
		in->lens[k] = (uint64_t)json_integer_value(size);
		if (x->ctl != NULL && (in->parts[k] = memfd_new("part")) == -1)
			return (fail(x, "%s", strerror(errno)));
		snprintf(
		    path, sizeof(path), "records/%s/%s", in->m.job_id, name);
		if (next_entry(x) == -1 ||
		    read_entry(x, path, in->lens[k], digest, NULL, in->parts[k],
			NULL) == -1)
			return (-1);
	}
	if (in->lens[SEC_CODE] == 0 || in->lens[SEC_INPUT] == 0)
		return (fail(
		    x, "record %s has no code, or no input", in->m.job_id));
	return (0);
}

static int
folder_came(const struct msg_frame *f, int fd, void *arg)
{
	int *folder = arg;

	if (f->hdr.type != MSG_T_CTL_FOLDER || *folder != -1) {
		close_fd(&fd);
		return (-1);
	}
	*folder = fd;
	return (0);
}

static int
folder_ask(struct import *x, struct incoming *in)
{
	struct msg_ctl_files m;
	struct msg_ctl_end end;
	int ret;

	memset(&m, 0, sizeof(m));
	ret = ctl_call(
	    x->ctl, MSG_T_CTL_FILES, &m, -1, folder_came, &in->folder, &end);
	if (ret == EX_OK && in->folder != -1)
		return (0);
	if (end.error != REP_NONE)
		fprintf(stderr, "takoctl: import: %s\n", end.detail);
	x->status = ret != EX_OK ? ret : EX_PROTOCOL;
	return (-1);
}

static int
read_artifact(struct import *x, struct incoming *in, const struct artifact *a)
{
	char path[160], name[16];
	int fd = -1, ret;

	snprintf(name, sizeof(name), "%d", a->number);
	snprintf(
	    path, sizeof(path), "records/%s/artifacts/%s", in->m.job_id, name);
	if (x->ctl != NULL &&
	    (fd = openat(in->folder, name,
		 O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)) ==
		-1)
		return (fail(x, "%s: %s", path, strerror(errno)));
	ret = next_entry(x) == -1 || read_entry(x, path, a->size, a->sha256,
					 NULL, fd, NULL) == -1
		  ? -1
		  : 0;
	if (ret == 0 && fd != -1 && fsync(fd) == -1)
		ret = fail(x, "%s: %s", path, strerror(errno));
	close_fd(&fd);
	return (ret);
}

static int
read_artifacts(struct import *x, struct incoming *in, json_t *list)
{
	const struct artifact *a;
	json_t *o;
	size_t i;
	int k;

	if (json_array_size(list) > MAX_ARTIFACTS)
		return (
		    fail(x, "record %s has too many artifacts", in->m.job_id));
	in->artifacts =
	    xcalloc(json_array_size(list) + 1, sizeof(*in->artifacts));
	json_array_foreach (list, i, o) {
		if (form_artifact_read(&in->artifacts[i], o) == -1)
			return (fail(x,
			    "record %s: its list of artifacts is "
			    "damaged",
			    in->m.job_id));
		a = &in->artifacts[i];
		for (k = 0; k < (int)i; k++)
			if (a->name_len == in->artifacts[k].name_len &&
			    memcmp(a->name, in->artifacts[k].name,
				a->name_len) == 0)
				break;
		/* One file for each number, one number for each name. */
		if (k < (int)i || a->number != (int)i)
			return (fail(x,
			    "record %s has an artifact twice, or not in its "
			    "order",
			    in->m.job_id));
		in->n_artifacts++;
	}
	if (in->n_artifacts > 0 && x->ctl != NULL && folder_ask(x, in) == -1)
		return (-1);
	for (k = 0; k < in->n_artifacts; k++)
		if (read_artifact(x, in, &in->artifacts[k]) == -1)
			return (-1);
	return (0);
}

/* Writes the list, as it is sent; its length. */
static uint64_t
put_artifacts(int fd, const struct incoming *in)
{
	struct blob *b = artifacts_pack(in->artifacts, in->n_artifacts);
	uint64_t len = blob_len(b);

	if (b == NULL || write_all(fd, blob_data(b), len) == -1)
		fatal("memory");
	blob_unref(b);
	return (len);
}

/* A memfd of all sections, as CTL_IMPORT has them. */
static int
sections_fd(struct import *x, struct incoming *in)
{
	off_t off;
	ssize_t n;
	int fd, i;

	if ((fd = memfd_new("record")) == -1) {
		fail(x, "%s", strerror(errno));
		return (-1);
	}
	for (i = 0; i < SECTIONS; i++) {
		if (i == SEC_ARTIFACTS) {
			in->lens[i] = put_artifacts(fd, in);
			continue;
		}
		if (in->parts[i] == -1)
			continue;
		for (off = 0; off < (off_t)in->lens[i]; off += n) {
			uint8_t buf[65536];

			n = pread(in->parts[i], buf, sizeof(buf), off);
			if (n <= 0 || write_all(fd, buf, (size_t)n) == -1) {
				fail(x, "%s", strerror(errno));
				close_fd(&fd);
				return (-1);
			}
		}
	}
	if (memfd_seal(fd) == -1)
		fatal("memory");
	return (fd);
}

static int
send_record(struct import *x, struct incoming *in)
{
	struct msg_rep_record *r = &in->m;
	struct msg_ctl_import m;
	struct msg_ctl_end end;
	int fd, ret;

	if ((fd = sections_fd(x, in)) == -1)
		return (-1);
	r->stdout_len = in->lens[SEC_STDOUT];
	r->stderr_len = in->lens[SEC_STDERR];
	r->output_len = in->lens[SEC_OUTPUT];
	r->artifacts_len = in->lens[SEC_ARTIFACTS];
	r->extras_len = in->lens[SEC_EXTRAS];
	r->code_len = in->lens[SEC_CODE];
	r->input_len = in->lens[SEC_INPUT];
	r->requirements_len = in->lens[SEC_REQUIREMENTS];
	/* Both have the same fields. */
	_Static_assert(sizeof(m) == sizeof(*r), "one record");
	memcpy(&m, r, sizeof(m));
	ret = ctl_call(x->ctl, MSG_T_CTL_IMPORT, &m, fd, NULL, NULL, &end);
	close_fd(&fd);
	if (ret == EX_OK)
		x->imported++;
	else if (end.error == REP_CONFLICT)
		json_array_append_new(
		    x->skipped, json_pack("{s:s, s:s}", "id", r->job_id, "why",
				    end.detail));
	else {
		if (end.error != REP_NONE)
			fprintf(stderr, "takoctl: import: record %s: %s\n",
			    r->job_id, end.detail);
		x->status = ret;
		return (-1);
	}
	return (0);
}

/* The id that an entry is the record.json of; -1: it is none. */
static int
record_id(const char *path, char id[MAX_JOB_ID + 1])
{
	const char *p, *end;

	if (path == NULL || strncmp(path, "records/", 8) != 0 ||
	    (end = strchr(p = path + 8, '/')) == NULL ||
	    (size_t)(end - p) > MAX_JOB_ID || strcmp(end, "/" FORM_RECORD) != 0)
		return (-1);
	memcpy(id, p, (size_t)(end - p));
	id[end - p] = '\0';
	return (job_id_valid(id) ? 0 : -1);
}

/* The record whose record.json is the entry at hand. */
static int
read_record(struct import *x)
{
	struct incoming in;
	char id[MAX_JOB_ID + 1], path[160];
	uint8_t digest[TAKO_SHA256];
	const char *wrong;
	json_t *o;
	int i, ret = -1;

	memset(&in, 0, sizeof(in));
	in.folder = -1;
	for (i = 0; i < SECTIONS; i++)
		in.parts[i] = -1;
	if (record_id(archive_entry_pathname(x->entry), id) == -1)
		return (fail(x,
		    "the archive is damaged: %.100s has no place "
		    "in it",
		    archive_entry_pathname(x->entry)));
	strlcpy(path, archive_entry_pathname(x->entry), sizeof(path));
	if ((o = read_json(x, path, digest)) == NULL)
		return (-1);
	SHA256Update(&x->all, digest, sizeof(digest));
	wrong = form_record_read(&in.m, json_object_get(o, "record"));
	if (wrong != NULL)
		fail(x, "record %s: %s is not in its bounds", id, wrong);
	else if (strcmp(in.m.job_id, id) != 0)
		fail(x, "record %s names itself %s", id, in.m.job_id);
	else if (!job_status_terminal((enum job_status)in.m.status))
		fail(x, "record %s has not ended", id);
	else if (read_files(x, &in, json_object_get(o, "files")) == 0 &&
		 read_artifacts(x, &in, json_object_get(o, "artifacts")) == 0 &&
		 (x->ctl == NULL || send_record(x, &in) == 0)) {
		x->records++;
		ret = 0;
	}
	json_decref(o);
	incoming_free(&in);
	return (ret);
}

/* ---- the archive -------------------------------------------------------- */

static int
read_header(struct import *x)
{
	const char *format;
	json_t *o, *v;
	int ret = 0;

	if (next_entry(x) == -1)
		return (-1);
	if (!is_entry(x, FORM_HEADER))
		return (fail(x, "this is no archive of takoctl export"));
	if ((o = read_json(x, FORM_HEADER, NULL)) == NULL)
		return (-1);
	format = json_string_value(json_object_get(o, "format"));
	v = json_object_get(o, "version");
	if (format == NULL || strcmp(format, "takod-export") != 0 ||
	    !json_is_integer(v))
		ret = fail(x, "this is no archive of takoctl export");
	else if (json_integer_value(v) != FORM_VERSION)
		ret = fail(x,
		    "the archive has form %lld, this takoctl knows "
		    "%d: it was written by another one",
		    (long long)json_integer_value(v), FORM_VERSION);
	json_decref(o);
	return (ret);
}

static int
read_manifest(struct import *x)
{
	uint8_t digest[TAKO_SHA256], sum[TAKO_SHA256];
	json_t *o, *n;
	int ret = 0;

	if ((o = read_json(x, FORM_MANIFEST, NULL)) == NULL)
		return (-1);
	SHA256Final(sum, &x->all);
	n = json_object_get(o, "records");
	if (!json_is_integer(n) ||
	    (uint64_t)json_integer_value(n) != x->records ||
	    form_digest_read(digest, json_object_get(o, "sha256")) == -1 ||
	    memcmp(digest, sum, sizeof(sum)) != 0)
		ret = fail(x, "the archive does not have the records that its "
			      "manifest says");
	json_decref(o);
	if (ret == 0 && next_entry(x) == 0 && x->entry != NULL)
		ret = fail(x, "something stands behind the archive's manifest");
	return (x->status != 0 ? -1 : ret);
}

/* Reads all of it. With ctl the records are sent. */
static int
read_archive(struct import *x)
{
	int ret = -1;

	x->records = 0;
	SHA256Init(&x->all);
	if (lseek(x->fd, 0, SEEK_SET) == -1)
		return (fail(x, "%s", strerror(errno)));
	if ((x->tar = archive_read_new()) == NULL)
		fatal(NULL);
	archive_read_support_format_tar(x->tar);
	if (archive_read_open_fd(x->tar, x->fd, 65536) != ARCHIVE_OK)
		fail(x, "this is no archive of takoctl export");
	else if (read_header(x) == 0) {
		while ((ret = next_entry(x)) == 0 && x->entry != NULL &&
		       !is_entry(x, FORM_MANIFEST))
			if ((ret = read_record(x)) == -1)
				break;
		if (ret == 0)
			ret = x->entry == NULL
				  ? fail(x, "the archive is not complete")
				  : read_manifest(x);
	}
	archive_read_free(x->tar);
	return (ret);
}

/* A pipe cannot be read twice: what comes is put into a file first. */
static int
input_open(const char *path)
{
	const char *dir = getenv("TMPDIR");
	uint8_t buf[65536];
	struct stat st;
	ssize_t n;
	int fd, copy;

	if (strcmp(path, "-") == 0)
		fd = dup(STDIN_FILENO);
	else
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1 || fstat(fd, &st) == -1 || S_ISREG(st.st_mode))
		return (fd);
	copy = open(
	    dir != NULL ? dir : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	while (copy != -1 && (n = read(fd, buf, sizeof(buf))) != 0)
		if (n == -1 || write_all(copy, buf, (size_t)n) == -1)
			close_fd(&copy);
	close_fd(&fd);
	return (copy);
}

static void
import_report(const struct import *x, int json)
{
	json_t *o, *doc;
	size_t i;

	if (json) {
		doc = json_pack("{s:I, s:O}", "imported",
		    (json_int_t)x->imported, "skipped", x->skipped);
		json_dumpf(doc, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
		putchar('\n');
		json_decref(doc);
		return;
	}
	json_array_foreach (x->skipped, i, o) {
		printf("%s was skipped: %s\n",
		    json_string_value(json_object_get(o, "id")),
		    json_string_value(json_object_get(o, "why")));
	}
	printf("%llu records imported, %zu skipped\n",
	    (unsigned long long)x->imported, json_array_size(x->skipped));
}

int
import_run(
    const char *path, const struct command *c, int argc, char **argv, int json)
{
	struct import x;
	int ret;

	if (argc != 2)
		return (ctl_usage(c, NULL));
	memset(&x, 0, sizeof(x));
	x.c = c;
	if ((x.fd = input_open(argv[1])) == -1) {
		fprintf(stderr, "takoctl: import: %s: %s\n", argv[1],
		    strerror(errno));
		return (EX_NOINPUT);
	}
	x.skipped = json_array();
	if (read_archive(&x) == 0 &&
	    (x.ctl = ctl_open(path, &x.status)) != NULL) {
		read_archive(&x);
		import_report(&x, json);
	}
	ret = x.status;
	ctl_close(x.ctl);
	json_decref(x.skipped);
	close_fd(&x.fd);
	return (ret);
}
