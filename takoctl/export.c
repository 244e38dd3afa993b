/*
 * export.c: takoctl export. Runs in takoctl, as the caller. Records come page
 * by page over one connection, their artifacts as files to be read over
 * another; a record goes into the archive whole or not at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <archive.h>
#include <archive_entry.h>

#include "form.h"
#include "blob.h"
#include "log.h"
#include "util.h"

#define PAGE 100

struct export
{
	const struct command *c;
	struct archive *tar;
	struct ctl *files; /* for artifacts */
	SHA2_CTX all;
	uint64_t records, waiting, left_out;
	int64_t next;
	int status; /* not 0: it failed, and it was said why */
};

/* ---- the archive -------------------------------------------------------- */

static int
tar_failed(struct export *x)
{
	fprintf(stderr, "takoctl: export: %s\n",
	    archive_error_string(x->tar) != NULL ? archive_error_string(x->tar)
						 : "cannot write");
	x->status = EX_IOERR;
	return (-1);
}

static int
tar_head(struct export *x, const char *path, uint64_t size, int64_t time_us)
{
	struct archive_entry *e = archive_entry_new();
	int ret = 0;

	if (e == NULL)
		fatal(NULL);
	archive_entry_set_pathname(e, path);
	archive_entry_set_size(e, (int64_t)size);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, 0600);
	archive_entry_set_mtime(e, (time_t)(time_us / 1000000), 0);
	if (archive_write_header(x->tar, e) != ARCHIVE_OK)
		ret = tar_failed(x);
	archive_entry_free(e);
	return (ret);
}

static int
tar_data(struct export *x, const void *data, size_t len)
{
	const uint8_t *p = data;
	la_ssize_t n;

	for (; len > 0; p += n, len -= (size_t)n)
		if ((n = archive_write_data(x->tar, p, len)) <= 0)
			return (tar_failed(x));
	return (0);
}

static int
tar_file(struct export *x, const char *path, const void *data, size_t len,
    int64_t time_us)
{
	return (tar_head(x, path, len, time_us) == -1 ? -1
						      : tar_data(x, data, len));
}

/* As text, with its digest where that is wanted. Takes o over. */
static int
tar_json(struct export *x, const char *path, json_t *o, int64_t time_us,
    uint8_t *digest)
{
	char *text = json_dumps(o, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
	int ret;

	json_decref(o);
	if (text == NULL)
		fatal(NULL);
	if (digest != NULL)
		sha256(digest, text, strlen(text));
	ret = tar_file(x, path, text, strlen(text), time_us);
	free(text);
	return (ret);
}

/* ---- artifacts ---------------------------------------------------------- */

static int
file_came(const struct msg_frame *f, int fd, void *arg)
{
	struct msg_rep_artifact m;
	const char *why;
	int *file = arg;

	if (f->hdr.type != MSG_T_REP_ARTIFACT || *file != -1 ||
	    msg_rep_artifact_read(f, &m, &why) == -1) {
		close_fd(&fd);
		return (-1);
	}
	*file = fd;
	return (0);
}

/* An artifact's file, of the size that the record says; -1: it is not there. */
static int
artifact_open(struct export *x, const char *id, const struct artifact *a)
{
	struct msg_ctl_artifact m;
	struct msg_ctl_end end;
	struct stat st;
	int fd = -1, ret;

	memset(&m, 0, sizeof(m));
	strlcpy(m.job_id, id, sizeof(m.job_id));
	m.name.len = a->name_len;
	memcpy(m.name.data, a->name, a->name_len);
	ret = ctl_call(
	    x->files, MSG_T_CTL_ARTIFACT, &m, -1, file_came, &fd, &end);
	/* Without takod there is no going on; without a file, there is. */
	if (ret != EX_OK && end.error == REP_NONE)
		x->status = ret;
	if (fd != -1 &&
	    (fstat(fd, &st) == -1 || (uint64_t)st.st_size != a->size))
		close_fd(&fd);
	return (fd);
}

static int
artifact_write(struct export *x, const char *id, const struct artifact *a,
    int fd, int64_t time_us)
{
	uint8_t buf[65536], digest[TAKO_SHA256];
	char path[160];
	uint64_t left = a->size;
	SHA2_CTX sum;
	ssize_t n;

	snprintf(path, sizeof(path), "records/%s/artifacts/%d", id, a->number);
	if (tar_head(x, path, a->size, time_us) == -1)
		return (-1);
	SHA256Init(&sum);
	for (; left > 0; left -= (uint64_t)n) {
		n = read(fd, buf, left < sizeof(buf) ? left : sizeof(buf));
		if (n <= 0)
			break;
		SHA256Update(&sum, buf, (size_t)n);
		if (tar_data(x, buf, (size_t)n) == -1)
			return (-1);
	}
	SHA256Final(digest, &sum);
	if (left == 0 && memcmp(digest, a->sha256, sizeof(digest)) == 0)
		return (0);
	fprintf(stderr,
	    "takoctl: export: artifact %d of %s is not what its record says\n",
	    a->number, id);
	x->status = EX_DATAERR;
	return (-1);
}

/* ---- records ------------------------------------------------------------ */

static int
record_write(struct export *x, const struct ctl_record *r,
    const struct artifact *list, int n, const int *fds)
{
	const struct {
		enum section which;
		const uint8_t *data;
		size_t len;
	} parts[] = {
		{ SEC_CODE, r->code.data, r->code.len },
		{ SEC_INPUT, r->input.data, r->input.len },
		{ SEC_REQUIREMENTS, r->requirements.data, r->requirements.len },
		{ SEC_STDOUT, r->out.data, r->out.len },
		{ SEC_STDERR, r->err.data, r->err.len },
		{ SEC_OUTPUT, r->output.data, r->output.len },
		{ SEC_EXTRAS, r->extras.data, r->extras.len },
	};
	const char *id = r->m.job_id;
	json_t *o = json_object(), *files = json_array(),
	       *artifacts = json_array();
	uint8_t digest[TAKO_SHA256];
	char path[160];
	size_t i;
	int k;

	for (i = 0; i < nitems(parts); i++) {
		if (parts[i].len == 0)
			continue;
		sha256(digest, parts[i].data, parts[i].len);
		json_array_append_new(
		    files, json_pack("{s:s, s:I, s:o}", "name",
			       sections[parts[i].which].name, "size",
			       (json_int_t)parts[i].len, "sha256",
			       form_digest(digest)));
	}
	for (k = 0; k < n; k++)
		json_array_append_new(artifacts, form_artifact(&list[k]));
	json_object_set_new(o, "record", form_record(&r->m));
	json_object_set_new(o, "files", files);
	json_object_set_new(o, "artifacts", artifacts);
	snprintf(path, sizeof(path), "records/%s/" FORM_RECORD, id);
	if (tar_json(x, path, o, r->m.ended_at, digest) == -1)
		return (-1);
	SHA256Update(&x->all, digest, sizeof(digest));
	for (i = 0; i < nitems(parts); i++) {
		snprintf(path, sizeof(path), "records/%s/%s", id,
		    sections[parts[i].which].name);
		if (parts[i].len > 0 && tar_file(x, path, parts[i].data,
					    parts[i].len, r->m.ended_at) == -1)
			return (-1);
	}
	for (k = 0; k < n; k++)
		if (artifact_write(x, id, &list[k], fds[k], r->m.ended_at) ==
		    -1)
			return (-1);
	x->records++;
	return (0);
}

static void
record_export(struct export *x, const struct ctl_record *r)
{
	struct artifact *list = NULL;
	int fds[MAX_ARTIFACTS], n = 0, k = 0, bad;

	if (!job_status_terminal((enum job_status)r->m.status)) {
		x->waiting++;
		return;
	}
	bad = artifacts_unpack(
		  r->artifacts.data, r->artifacts.len, &list, &n) == -1;
	for (; !bad && k < n; k++)
		if ((fds[k] = artifact_open(x, r->m.job_id, &list[k])) == -1)
			break;
	if (k < n || bad) {
		fprintf(stderr,
		    "takoctl: export: %s is left out: its artifact %d cannot "
		    "be read\n",
		    r->m.job_id, bad ? 0 : list[k].number);
		x->left_out++;
	} else
		record_write(x, r, list, n, fds);
	while (k > 0)
		close_fd(&fds[--k]);
	free(list);
}

static int
page_frame(const struct msg_frame *f, int fd, void *arg)
{
	struct export *x = arg;
	struct ctl_record r;
	struct msg_rep_list m;
	const char *why;

	if (f->hdr.type == MSG_T_REP_RECORD) {
		if (ctl_record_take(&r, f, fd) == -1)
			return (-1);
		/* What comes after a fault is read, and that is all. */
		if (x->status == 0)
			record_export(x, &r);
		blob_unref(r.all);
		return (0);
	}
	close_fd(&fd);
	if (f->hdr.type != MSG_T_REP_LIST ||
	    msg_rep_list_read(f, &m, &why) == -1)
		return (-1);
	x->next = m.next;
	return (0);
}

static int
export_all(struct export *x, struct ctl *ctl, struct msg_ctl_list *m)
{
	struct msg_ctl_end end;
	uint8_t digest[TAKO_SHA256];
	json_t *o;
	int ret;

	SHA256Init(&x->all);
	o = json_pack("{s:s, s:i, s:s}", "format", "takod-export", "version",
	    FORM_VERSION, "takod", TAKO_VERSION);
	if (tar_json(x, FORM_HEADER, o, time_wall_us(), NULL) == -1)
		return (x->status);
	do {
		ret = ctl_call(ctl, MSG_T_CTL_LIST, m, -1, page_frame, x, &end);
		if (end.error != REP_NONE)
			fprintf(stderr, "takoctl: export: %s\n", end.detail);
		m->after = x->next;
	} while (ret == EX_OK && x->status == 0 && x->next != 0);
	if (ret != EX_OK || x->status != 0)
		return (x->status != 0 ? x->status : ret);
	SHA256Final(digest, &x->all);
	o = json_pack("{s:I, s:o}", "records", (json_int_t)x->records, "sha256",
	    form_digest(digest));
	if (tar_json(x, FORM_MANIFEST, o, time_wall_us(), NULL) == -1)
		return (x->status);
	if (archive_write_close(x->tar) != ARCHIVE_OK) {
		tar_failed(x);
		return (x->status);
	}
	return (EX_OK);
}

static void
export_report(const struct export *x, FILE *out, int json)
{
	if (json)
		fprintf(out,
		    "{\"exported\": %llu, \"not_ended\": %llu, "
		    "\"left_out\": %llu}\n",
		    (unsigned long long)x->records,
		    (unsigned long long)x->waiting,
		    (unsigned long long)x->left_out);
	else
		fprintf(out, "%llu records exported, %llu have not ended\n",
		    (unsigned long long)x->records,
		    (unsigned long long)x->waiting);
}

int
export_run(
    const char *path, const struct command *c, int argc, char **argv, int json)
{
	struct rlimit rl;
	struct export x;
	struct msg_ctl_list m;
	struct ctl *ctl;
	const char *output = NULL;
	char *temp = NULL;
	int ret, fd = STDOUT_FILENO;

	memset(&x, 0, sizeof(x));
	x.c = c;
	if ((ret = find_filter(c, &argc, &argv, &m, &output)) != 0)
		return (ret);
	m.view = VIEW_PAYLOAD;
	m.limit = PAGE;
	if (output == NULL && isatty(STDOUT_FILENO))
		return (ctl_usage(c, "an archive is not for a terminal: -o"));
	/* A record may have a thousand files, which are open together. */
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	if ((ctl = ctl_open(path, &ret)) == NULL)
		return (ret);
	if ((x.files = ctl_open(path, &ret)) == NULL) {
		ctl_close(ctl);
		return (ret);
	}
	if (output != NULL) {
		temp = xasprintf("%s.part", output);
		fd = open(temp,
		    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
		    0600);
		if (fd == -1) {
			fprintf(stderr, "takoctl: export: %s: %s\n", temp,
			    strerror(errno));
			ret = EX_CANTCREAT;
			goto done;
		}
	}
	if ((x.tar = archive_write_new()) == NULL)
		fatal(NULL);
	archive_write_set_format_pax_restricted(x.tar);
	archive_write_add_filter_none(x.tar);
	if (archive_write_open_fd(x.tar, fd) != ARCHIVE_OK) {
		tar_failed(&x);
		ret = x.status;
	} else
		ret = export_all(&x, ctl, &m);
	archive_write_free(x.tar);
	if (ret == EX_OK && output != NULL &&
	    (fsync(fd) == -1 || rename(temp, output) == -1)) {
		fprintf(stderr, "takoctl: export: %s: %s\n", output,
		    strerror(errno));
		ret = EX_IOERR;
	}
	if (ret != EX_OK && temp != NULL)
		unlink(temp);
	if (ret == EX_OK) {
		export_report(&x, output == NULL ? stderr : stdout, json);
		if (x.left_out > 0)
			ret = EX_DATAERR;
	}
done:
	if (output != NULL)
		close_fd(&fd);
	free(temp);
	ctl_close(x.files);
	ctl_close(ctl);
	return (ret);
}
