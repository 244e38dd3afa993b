/*
 * image_docker.c: puts a built tree into a Docker engine over its API. Runs in
 * takoctl, which may wait: blocking calls, one connection each. Which tree an
 * image was made from is a label of the image, so that nothing is sent twice.
 */
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>
#include <jansson.h>

#include "image.h"
#include "log.h"
#include "util.h"

#define LABEL_KEY      "takod.key"
#define MAX_ANSWER     (1 << 20)
#define CALL_TIMEOUT   20L  /* s */
#define IMPORT_TIMEOUT 600L /* s */

struct answer {
	long status;
	size_t len;
	char *text; /* NUL after it; the caller frees */
	char version[16];
};

static size_t
answer_body(char *data, size_t size, size_t n, void *arg)
{
	struct answer *a = arg;
	char *text;

	if (a->len + size * n > MAX_ANSWER)
		return (0);
	if ((text = realloc(a->text, a->len + size * n + 1)) == NULL)
		return (0);
	memcpy(text + a->len, data, size * n);
	a->text = text;
	a->len += size * n;
	a->text[a->len] = '\0';
	return (size * n);
}

static size_t
answer_head(char *data, size_t size, size_t n, void *arg)
{
	struct answer *a = arg;
	unsigned major, minor;
	char line[64];

	strlcpy(line, data, size * n < sizeof(line) ? size * n : sizeof(line));
	if (strncasecmp(line, "api-version:", 12) == 0 &&
	    sscanf(line + 12, " %u.%u", &major, &minor) == 2)
		snprintf(a->version, sizeof(a->version), "v%u.%u", major % 100,
		    minor % 1000);
	return (size * n);
}

/* What is sent as a stream: the output of a child. */
struct source {
	pid_t pid;
	int fd;
	int failed;
};

/* At its end the child must have done all of its work: a tree that was cut off
 * must not become an image. */
static size_t
source_read(char *data, size_t size, size_t n, void *arg)
{
	struct source *src = arg;
	ssize_t got;
	int status;

	do {
		got = read(src->fd, data, size * n);
	} while (got == -1 && errno == EINTR);
	if (got > 0)
		return ((size_t)got);
	while (waitpid(src->pid, &status, 0) == -1)
		if (errno != EINTR) {
			status = -1;
			break;
		}
	src->pid = -1;
	src->failed = got == -1 || status != 0;
	return (src->failed ? CURL_READFUNC_ABORT : 0);
}

/*
 * One call; body is sent as a stream, if there is one. Returns 0
 * with the answer filled (free its text), or -1 with detail.
 */
static int
call(const struct conf *conf, const char *method, const char *path,
    struct source *body, struct answer *a, char *detail, size_t len)
{
	const char *sock = conf->docker_host;
	char url[2048], error[CURL_ERROR_SIZE] = "";
	struct curl_slist *heads = NULL;
	CURLcode code;
	CURL *curl;

	memset(a, 0, sizeof(*a));
	if (sock == NULL || strncmp(sock, "unix://", 7) != 0) {
		snprintf(detail, len, "docker_host must begin with unix://");
		return (-1);
	}
	if ((size_t)snprintf(url, sizeof(url), "http://docker%s", path) >=
		sizeof(url) ||
	    (curl = curl_easy_init()) == NULL) {
		snprintf(detail, len, "%s", strerror(ENOMEM));
		return (-1);
	}
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, sock + 7);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, answer_head);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, a);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, answer_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, a);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, CALL_TIMEOUT);
	if (body != NULL) {
		heads =
		    curl_slist_append(heads, "Content-Type: application/x-tar");
		heads = curl_slist_append(heads, "Transfer-Encoding: chunked");
		heads = curl_slist_append(heads, "Expect:");
		curl_easy_setopt(curl, CURLOPT_POST, 1L);
		curl_easy_setopt(curl, CURLOPT_READFUNCTION, source_read);
		curl_easy_setopt(curl, CURLOPT_READDATA, body);
		curl_easy_setopt(curl, CURLOPT_TIMEOUT, IMPORT_TIMEOUT);
		curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, 524288L);
	}
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, heads);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	code = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &a->status);
	curl_slist_free_all(heads);
	curl_easy_cleanup(curl);
	if (code == CURLE_OK)
		return (0);
	snprintf(detail, len, "Docker Engine at %s: %s", sock,
	    error[0] != '\0' ? error : curl_easy_strerror(code));
	free(a->text);
	a->text = NULL;
	return (-1);
}

/* The engine's own words for what went wrong, escaped. */
static void
answer_detail(const struct answer *a, char *detail, size_t len)
{
	json_t *json;
	const char *message;
	char clean[400];

	json = a->text == NULL
		   ? NULL
		   : json_loads(a->text, JSON_DISABLE_EOF_CHECK, NULL);
	message = json_string_value(json_object_get(json, "message"));
	if (message == NULL)
		message = "no reason given";
	log_escape(clean, sizeof(clean), message, strlen(message));
	snprintf(
	    detail, len, "Docker Engine: status %ld: %s", a->status, clean);
	json_decref(json);
}

int
image_docker_version(
    const struct conf *conf, char version[16], char *detail, size_t len)
{
	struct answer a;

	if (call(conf, "GET", "/_ping", NULL, &a, detail, len) == -1)
		return (-1);
	free(a.text);
	if (a.status != 200 || a.version[0] == '\0') {
		snprintf(detail, len, "%s does not answer as a Docker Engine",
		    conf->docker_host);
		return (-1);
	}
	strlcpy(version, a.version, 16);
	return (0);
}

/* A name of an image goes into a path: only what such a name can hold. */
static int
name_valid(const char *name)
{
	static const char ok[] = "abcdefghijklmnopqrstuvwxyz"
				 "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@";

	return (name[0] != '\0' && name[0] != '/' && strlen(name) <= 255 &&
		strspn(name, ok) == strlen(name) && strstr(name, "..") == NULL);
}

static int
call_image(const struct conf *conf, const char *method, const char *name,
    const char *suffix, struct answer *a, char *detail, size_t len)
{
	char version[16], path[512];

	if (!name_valid(name)) {
		snprintf(detail, len, "docker_image is no name of an image");
		return (-1);
	}
	if (image_docker_version(conf, version, detail, len) == -1)
		return (-1);
	snprintf(path, sizeof(path), "/%s/images/%s%s", version, name, suffix);
	return (call(conf, method, path, NULL, a, detail, len));
}

int
image_docker_key(const struct conf *conf, char key[IMAGE_KEY_LEN + 1],
    unsigned long long *size, char *detail, size_t len)
{
	struct answer a;
	json_t *json = NULL;
	const char *label;
	int r = 0;

	key[0] = '\0';
	*size = 0;
	if (call_image(conf, "GET", conf->docker_image, "/json", &a, detail,
		len) == -1)
		return (-1);
	if (a.status == 200 && a.text != NULL &&
	    (json = json_loads(a.text, JSON_REJECT_DUPLICATES, NULL)) != NULL) {
		label = json_string_value(json_object_get(
		    json_object_get(json_object_get(json, "Config"), "Labels"),
		    LABEL_KEY));
		if (label != NULL)
			strlcpy(key, label, IMAGE_KEY_LEN + 1);
		*size = (unsigned long long)json_integer_value(
		    json_object_get(json, "Size"));
	} else if (a.status != 404) {
		answer_detail(&a, detail, len);
		r = -1;
	}
	json_decref(json);
	free(a.text);
	return (r);
}

/* tar of rootfs. It may not outlive its reader: then it gets SIGPIPE. */
static int
tar_start(const char *rootfs, struct source *src)
{
	int p[2];

	src->failed = 0;
	if (pipe2(p, O_CLOEXEC) == -1)
		return (-1);
	if ((src->pid = fork()) == 0) {
		if (dup2(p[1], STDOUT_FILENO) == -1)
			_exit(127);
		execlp("tar", "tar", "--numeric-owner", "-C", rootfs, "-c", ".",
		    (char *)NULL);
		_exit(127);
	}
	close_fd(&p[1]);
	src->fd = p[0];
	if (src->pid == -1)
		close_fd(&src->fd);
	return (src->pid == -1 ? -1 : 0);
}

/* Ends what the transfer left: it may have stopped half way. */
static void
tar_stop(struct source *src)
{
	close_fd(&src->fd);
	while (src->pid != -1 && waitpid(src->pid, NULL, 0) == -1)
		if (errno != EINTR)
			break;
}

/* repo and tag of NAME[:TAG]; a port before a slash is no tag. */
static void
name_split(const char *name, char repo[256], const char **tag)
{
	const char *colon = strrchr(name, ':');

	strlcpy(repo, name, 256);
	*tag = "latest";
	if (colon != NULL && strchr(colon, '/') == NULL) {
		repo[colon - name] = '\0';
		*tag = colon + 1;
	}
}

static int
import_stream(const struct conf *conf, const char *key, struct source *src,
    struct answer *a, char *detail, size_t len)
{
	char version[16], repo[256], path[1024];
	const char *tag;

	if (image_docker_version(conf, version, detail, len) == -1)
		return (-1);
	name_split(conf->docker_image, repo, &tag);
	snprintf(path, sizeof(path),
	    "/%s/images/create?fromSrc=-&repo=%s&tag=%s"
	    "&changes=LABEL%%20" LABEL_KEY "%%3D%s",
	    version, repo, tag, key);
	return (call(conf, "POST", path, src, a, detail, len));
}

int
image_docker_import(const struct conf *conf, const char *rootfs,
    const char *key, char *detail, size_t len)
{
	char have[IMAGE_KEY_LEN + 1];
	unsigned long long size;
	struct answer a = { 0 };
	struct source src;
	int r;

	if (!name_valid(conf->docker_image)) {
		snprintf(detail, len, "docker_image is no name of an image");
		return (-1);
	}
	if (tar_start(rootfs, &src) == -1) {
		snprintf(detail, len, "tar: %s", strerror(errno));
		return (-1);
	}
	r = import_stream(conf, key, &src, &a, detail, len);
	tar_stop(&src);
	if (src.failed)
		snprintf(detail, len, "tar of %s failed", rootfs);
	if (r == -1)
		return (-1);
	if (a.status != 200) {
		answer_detail(&a, detail, len);
		r = -1;
	}
	free(a.text);
	/* The status is sent before the work: only the label proves it. */
	if (r == 0 &&
	    (r = image_docker_key(conf, have, &size, detail, len)) == 0 &&
	    strcmp(have, key) != 0) {
		snprintf(detail, len,
		    "Docker Engine did not keep the image: see its log");
		r = -1;
	}
	return (r);
}

int
image_docker_remove(
    const struct conf *conf, const char *name, char *detail, size_t len)
{
	struct answer a;
	int r = 0;

	if (call_image(conf, "DELETE", name, "", &a, detail, len) == -1)
		return (-1);
	if (a.status != 200) {
		answer_detail(&a, detail, len);
		r = -1;
	}
	free(a.text);
	return (r);
}
