/*
 * artifacts.c: takoctl artifacts: what a job left, and files of it. Runs in
 * takoctl, with the caller's rights. takod hands over a descriptor; the bytes
 * are copied from it and checked against the recorded digest. A name that a job
 * chose is a name in the caller's folder and no more: nothing is overwritten by
 * it, no link is followed, and it cannot drive the terminal.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sha2.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>
#include <sys/stat.h>

#include <jansson.h>

#include "artifact_name.h"
#include "log.h"
#include "takoctl.h"
#include "takod/job.h"
#include "util.h"

static const char *output; /* -o, or NULL */
static char job_id[MAX_JOB_ID + 1];
static int all; /* every one of them is wanted */
static struct artifact *wanted;
static int n_wanted, next_wanted;
static int failed;

/* ---- the request ------------------------------------------------------------
 */

static void
ask_for(struct msg_ctl_artifact *m, const uint8_t *name, size_t name_len,
    const uint8_t *other, size_t other_len)
{
	memset(m, 0, sizeof(*m));
	strlcpy(m->job_id, job_id, sizeof(m->job_id));
	memcpy(m->name.data, name, m->name.len = (uint32_t)name_len);
	memcpy(m->other.data, other, m->other.len = (uint32_t)other_len);
}

static int
usage(void)
{
	fprintf(stderr, "usage: takoctl artifacts list id\n"
			"       takoctl artifacts get id [name] [-o file]\n");
	return (EX_USAGE);
}

int
artifacts_request(int argc, char **argv, void *buf, uint32_t *type)
{
	uint8_t name[MAX_ARTIFACT_NAME], other[MAX_ARTIFACT_NAME];
	struct msg_ctl_job *job = buf;
	size_t name_len, other_len;
	int ch, get;

	optind = 0;
	while ((ch = getopt(argc, argv, "o:")) != -1) {
		if (ch != 'o')
			return (usage());
		output = optarg;
	}
	argc -= optind;
	argv += optind;
	if (argc < 2 || argc > 3)
		return (usage());
	get = strcmp(argv[0], "get") == 0;
	if (!get &&
	    (strcmp(argv[0], "list") != 0 || argc != 2 || output != NULL))
		return (usage());
	if (!job_id_valid(argv[1])) {
		fprintf(stderr, "takoctl: artifacts: not a job id\n");
		return (EX_USAGE);
	}
	strlcpy(job_id, argv[1], sizeof(job_id));
	if (argc == 3) {
		artifact_name_read(argv[2], strlen(argv[2]), name, &name_len,
		    other, &other_len);
		ask_for(buf, name, name_len, other, other_len);
		return (0);
	}
	all = get;
	*type = MSG_T_CTL_JOB;
	strlcpy(job->job_id, job_id, sizeof(job->job_id));
	return (0);
}

int
artifacts_next(struct msg_ctl_artifact *m)
{
	const struct artifact *a;

	if (next_wanted == n_wanted)
		return (0);
	a = &wanted[next_wanted++];
	ask_for(m, a->name, a->name_len, a->name, 0);
	return (1);
}

/* ---- the list ---------------------------------------------------------------
 */

static void
list_text(const struct artifact *a, int n)
{
	char name[ARTIFACT_SHOWN_MAX], safe[4 * ARTIFACT_SHOWN_MAX];
	size_t len;
	int i;

	if (n == 0) {
		printf("none\n");
		return;
	}
	printf("%12s  %-26s  %s\n", "BYTES", "TYPE", "NAME");
	for (i = 0; i < n; i++) {
		len = artifact_name_show(name, a[i].name, a[i].name_len);
		printf("%12llu  ", (unsigned long long)a[i].size);
		printf(
		    "%-26s  ", log_escape(safe, sizeof(safe), a[i].content_type,
				   strlen(a[i].content_type)));
		printf("%s\n", log_escape(safe, sizeof(safe), name, len));
	}
}

static json_t *
list_json(const struct artifact *a, int n)
{
	char name[ARTIFACT_SHOWN_MAX], hex[2 * TAKO_SHA256 + 1];
	json_t *list = json_array();
	int i;

	for (i = 0; i < n; i++) {
		artifact_name_show(name, a[i].name, a[i].name_len);
		json_array_append_new(
		    list, json_pack("{s:s, s:I, s:s, s:s}", "name", name,
			      "size_bytes", (json_int_t)a[i].size, "sha256",
			      hex_encode(hex, a[i].sha256, TAKO_SHA256),
			      "content_type", a[i].content_type));
	}
	return (list);
}

json_t *
artifacts_record(const void *list, size_t len, int json)
{
	struct artifact *a = NULL;
	json_t *answer = NULL;
	int n = 0;

	if (artifacts_unpack(list, len, &a, &n) == -1)
		return (NULL);
	if (all) {
		wanted = a;
		n_wanted = n;
		return (NULL);
	}
	if (json)
		answer = list_json(a, n);
	else
		list_text(a, n);
	free(a);
	return (answer);
}

/* ---- a file -----------------------------------------------------------------
 */

/* A new file of its own name, in the folder that -o names where all come. */
static int
own_file(const struct msg_rep_artifact *m)
{
	char name[MAX_ARTIFACT_NAME + 1];
	int dir = AT_FDCWD, fd;

	memcpy(name, m->name.data, m->name.len);
	name[m->name.len] = '\0';
	if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL) {
		errno = EINVAL;
		return (-1);
	}
	if (output != NULL) {
		dir = open(output, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir == -1)
			return (-1);
	}
	fd = openat(dir, name,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (dir != AT_FDCWD)
		close_fd(&dir);
	return (fd);
}

static int
copy(const struct msg_rep_artifact *m, int from, int to)
{
	static uint8_t buf[65536];
	uint8_t digest[TAKO_SHA256];
	uint64_t left = m->size;
	SHA2_CTX ctx;
	ssize_t n;

	SHA256Init(&ctx);
	for (; left > 0; left -= (uint64_t)n) {
		n = read(from, buf, left < sizeof(buf) ? left : sizeof(buf));
		if (n <= 0)
			break;
		SHA256Update(&ctx, buf, (size_t)n);
		if (write_all(to, buf, (size_t)n) == -1)
			return (-1);
	}
	SHA256Final(digest, &ctx);
	if (left > 0 || memcmp(digest, m->sha256, sizeof(digest)) != 0) {
		errno = EBADMSG;
		return (-1);
	}
	return (0);
}

void
artifacts_save(const struct msg_rep_artifact *m, int fd)
{
	char name[ARTIFACT_SHOWN_MAX], safe[4 * ARTIFACT_SHOWN_MAX];
	size_t len = artifact_name_show(name, m->name.data, m->name.len);
	int to;

	if (!all && output != NULL && strcmp(output, "-") == 0)
		to = dup(STDOUT_FILENO);
	else if (!all && output != NULL)
		to = open(
		    output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	else
		to = own_file(m);
	if (to == -1 || fd == -1 || copy(m, fd, to) == -1) {
		fprintf(stderr, "takoctl: artifacts: %s: %s\n",
		    log_escape(safe, sizeof(safe), name, len),
		    errno == EBADMSG ? "not the bytes that were recorded"
				     : strerror(errno));
		failed = 1;
	}
	close_fd(&to);
	close_fd(&fd);
}

int
artifacts_failed(void)
{
	return (failed);
}
