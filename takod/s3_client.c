/*
 * s3_client.c: one bucket of an S3 service. Runs in takod. The service is
 * trusted with what is stored there, but not to be well: it may be away, late,
 * or answer nonsense, all of which ends as ARTIFACT_AWAY.
 *
 * The access key is read from its file, and again when that has changed. It is
 * given to libcurl and to nobody else: no child, no log, no argument.
 */
#include <sys/queue.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "curl_loop.h"
#include "event_arm.h"
#include "log.h"
#include "s3_client.h"
#include "util.h"

#define CONNECT_MS  5000L
#define SLOW_BYTES  1024L /* a second, over */
#define SLOW_S	    20L	  /* so long: it hangs */
#define TRIES	    3
#define BACKOFF_MS  200
#define ANSWER_MAX  (4 << 20) /* a list; objects go elsewhere */
#define CONNECTIONS 16
#define KEY_FILE    65536

struct s3_request {
	struct curl_transfer transfer; /* first: each is the other */
	LIST_ENTRY(s3_request) entry;
	struct s3_client *client;
	CURL *curl;
	struct curl_slist *heads;
	char error[CURL_ERROR_SIZE];
	struct event *again;
	int tries;
	char method[8];
	char *url, *body;
	int fd; /* the caller's */
	uint64_t off, len, sent;
	char sha256[2 * TAKO_SHA256 + 1]; /* or that it is not signed */
	int wants_sink;
	struct artifact_sink *sink;
	char *text;
	size_t text_len;
	char etag[130];
	s3_cb cb;
	void *arg;
};

struct s3_client {
	struct event_base *base;
	struct curl_loop *loop;
	LIST_HEAD(, s3_request) requests;
	char *bucket_url; /* endpoint/bucket/ */
	char *prefix;
	char *sigv4; /* CURLOPT_AWS_SIGV4 */
	char *key_file;
	struct stat key_stat;
	char *key, *secret, *token; /* NULL: not read, or none */
	int away;		    /* as it was logged */
};

/* ---- the access key ---------------------------------------------------------
 */

static void
secret_free(char **s)
{
	if (*s != NULL)
		freezero(*s, strlen(*s));
	*s = NULL;
}

/* Values of the section [default], in the form of AWS's own files. */
static void
key_parse(struct s3_client *c, char *text)
{
	static const char *const names[] = { "aws_access_key_id",
		"aws_secret_access_key", "aws_session_token" };
	char **const values[] = { &c->key, &c->secret, &c->token };
	char *line, *value;
	int ours = 1;
	size_t i;

	while ((line = strsep(&text, "\n")) != NULL) {
		line += strspn(line, " \t\r");
		if (*line == '[')
			ours = strncmp(line, "[default]", 9) == 0;
		if (!ours || (value = strchr(line, '=')) == NULL)
			continue;
		for (i = 0; i < nitems(names); i++) {
			if (strncmp(line, names[i], strlen(names[i])) != 0 ||
			    strchr(" \t=", line[strlen(names[i])]) == NULL)
				continue;
			value += 1 + strspn(value + 1, " \t");
			value[strcspn(value, " \t\r")] = '\0';
			secret_free(values[i]);
			*values[i] = xstrdup(value);
		}
	}
}

/* Reads the file if it is another than before. -1 with detail. */
static int
key_read(struct s3_client *c, char *detail, size_t len)
{
	struct stat st;
	char *text;
	size_t n;

	if (stat(c->key_file, &st) == -1) {
		snprintf(detail, len, "%s: %s", c->key_file, strerror(errno));
		return (c->key == NULL ? -1 : 0);
	}
	if (c->key != NULL && st.st_ino == c->key_stat.st_ino &&
	    st.st_size == c->key_stat.st_size &&
	    memcmp(&st.st_mtim, &c->key_stat.st_mtim, sizeof(st.st_mtim)) == 0)
		return (0);
	if (!S_ISREG(st.st_mode) || (st.st_mode & (S_IROTH | S_IWOTH)) != 0) {
		snprintf(detail, len,
		    "%s: must be a file that others can neither read nor "
		    "write (chmod o-rw)",
		    c->key_file);
		return (-1);
	}
	if ((text = read_file(AT_FDCWD, c->key_file, KEY_FILE, &n)) == NULL) {
		snprintf(detail, len, "%s: %s", c->key_file, strerror(errno));
		return (-1);
	}
	secret_free(&c->key);
	secret_free(&c->secret);
	secret_free(&c->token);
	key_parse(c, text);
	freezero(text, n);
	if (c->key == NULL || c->secret == NULL) {
		secret_free(&c->key);
		snprintf(detail, len,
		    "%s: aws_access_key_id or aws_secret_access_key is "
		    "missing in [default]",
		    c->key_file);
		return (-1);
	}
	c->key_stat = st;
	return (0);
}

/* ---- the end of a request ---------------------------------------------------
 */

static void
request_free(struct s3_request *r)
{
	LIST_REMOVE(r, entry);
	if (r->curl != NULL) {
		curl_loop_remove(r->client->loop, r->curl);
		curl_easy_cleanup(r->curl);
	}
	if (r->again != NULL)
		event_free(r->again);
	curl_slist_free_all(r->heads);
	artifact_sink_free(r->sink);
	free(r->url);
	free(r->body);
	free(r->text);
	free(r);
}

/* The store's state is logged as it changes, not once a request. */
static void
state(struct s3_client *c, int away, const char *detail)
{
	char clean[512];

	if (away == c->away)
		return;
	c->away = away;
	if (away)
		log_warnx("artifact store s3 is away: %s",
		    log_escape(clean, sizeof(clean), detail, strlen(detail)));
	else
		log_info("artifact store s3 is up");
}

static void
request_end(struct s3_request *r, enum artifact_result result)
{
	struct s3_answer a = { result, "", "", NULL };
	s3_cb cb = r->cb;
	void *arg = r->arg;
	char *text = r->text;
	char etag[sizeof(r->etag)];

	strlcpy(etag, r->etag, sizeof(etag));
	if (result == ARTIFACT_OK) {
		a.sink = r->sink;
		r->sink = NULL;
	}
	if (text != NULL)
		a.text = text;
	a.etag = etag;
	r->text = NULL;
	request_free(r);
	cb(&a, arg);
	free(text);
}

/* What is between <tag> and </tag>, as far as it fits. */
static void
tag_text(char *dst, size_t size, const char *text, const char *tag)
{
	char open[32];
	const char *p;
	size_t len;

	*dst = '\0';
	snprintf(open, sizeof(open), "<%s>", tag);
	if ((p = strstr(text, open)) == NULL)
		return;
	p += strlen(open);
	len = strcspn(p, "<");
	snprintf(dst, size, "%.*s", (int)len, p);
}

static void
request_again(struct s3_request *r, const char *detail)
{
	int ms = BACKOFF_MS << r->tries;
	struct timeval tv = { 0, 0 };

	if (++r->tries >= TRIES) {
		state(r->client, 1, detail);
		request_end(r, ARTIFACT_AWAY);
		return;
	}
	ms += (int)arc4random_uniform((unsigned)ms / 2);
	tv.tv_sec = ms / 1000;
	tv.tv_usec = ms % 1000 * 1000;
	event_arm(r->again, &tv);
}

static void
request_done(struct curl_transfer *t, CURLcode code)
{
	struct s3_request *r = (struct s3_request *)(void *)t;
	char detail[512], word[128];
	long status = 0;

	curl_loop_remove(r->client->loop, r->curl);
	if (code != CURLE_OK) {
		snprintf(detail, sizeof(detail), "%s: %s", r->method,
		    r->error[0] != '\0' ? r->error : curl_easy_strerror(code));
		request_again(r, detail);
		return;
	}
	curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
	tag_text(word, sizeof(word), r->text != NULL ? r->text : "", "Code");
	snprintf(detail, sizeof(detail), "%s: status %ld %s", r->method, status,
	    word);
	/* An upload's completion may fail with 200. */
	if (status / 100 == 2 && strcmp(word, "") == 0) {
		state(r->client, 0, "");
		request_end(r, ARTIFACT_OK);
	} else if (status == 404 && strcmp(word, "NoSuchBucket") != 0) {
		state(r->client, 0, "");
		request_end(r, ARTIFACT_NOT_FOUND);
	} else if (strcmp(word, "EntityTooLarge") == 0) {
		log_warnx("artifact store s3: %s", word);
		request_end(r, ARTIFACT_FAILED);
	} else if (status / 100 == 4 && status != 429 && status != 408 &&
		   strcmp(word, "RequestTimeout") != 0) {
		/* Somebody has to mend it: no use in asking at once. */
		state(r->client, 1, detail);
		request_end(r, ARTIFACT_AWAY);
	} else
		request_again(r, detail);
}

/* ---- libcurl's hooks --------------------------------------------------------
 */

static size_t
on_body(char *data, size_t size, size_t n, void *arg)
{
	struct s3_request *r = arg;
	long status = 0;
	char *text;

	size *= n;
	curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
	if (r->sink != NULL && status == 200)
		return (
		    artifact_sink_add(r->sink, data, size) == -1 ? 0 : size);
	if (r->text_len + size > ANSWER_MAX ||
	    (text = realloc(r->text, r->text_len + size + 1)) == NULL)
		return (0);
	memcpy(text + r->text_len, data, size);
	r->text = text;
	r->text_len += size;
	text[r->text_len] = '\0';
	return (size);
}

static size_t
on_head(char *data, size_t size, size_t n, void *arg)
{
	struct s3_request *r = arg;
	size_t i = 0;

	size *= n;
	if (size > 5 && size < sizeof(r->etag) &&
	    strncasecmp(data, "etag:", 5) == 0) {
		data += 5;
		while (*data == ' ')
			data++;
		while (data[i] != '\r' && data[i] != '\n')
			i++;
		memcpy(r->etag, data, i);
		r->etag[i] = '\0';
	}
	return (size);
}

static size_t
on_read(char *data, size_t size, size_t n, void *arg)
{
	struct s3_request *r = arg;
	uint64_t left = r->len - r->sent;
	ssize_t got;

	size *= n;
	if (left < size)
		size = (size_t)left;
	got = pread(r->fd, data, size, (off_t)(r->off + r->sent));
	if (got == -1 || (got == 0 && size > 0))
		return (CURL_READFUNC_ABORT);
	r->sent += (uint64_t)got;
	return ((size_t)got);
}

/* When the connection that was used first is found closed. */
static int
on_seek(void *arg, curl_off_t off, int origin)
{
	struct s3_request *r = arg;

	if (origin != SEEK_SET || off < 0 || (uint64_t)off > r->len)
		return (CURL_SEEKFUNC_FAIL);
	r->sent = (uint64_t)off;
	return (CURL_SEEKFUNC_OK);
}

/* ---- the start --------------------------------------------------------------
 */

static void
head_add(struct s3_request *r, const char *name, const char *value)
{
	char *line = xasprintf("%s: %s", name, value);
	struct curl_slist *list = curl_slist_append(r->heads, line);

	freezero(line, strlen(line));
	if (list == NULL)
		fatal(NULL);
	r->heads = list;
}

static void
request_heads(struct s3_request *r)
{
	curl_slist_free_all(r->heads);
	r->heads = NULL;
	head_add(r, "x-amz-content-sha256", r->sha256);
	if (strcmp(r->method, "POST") == 0)
		head_add(r, "content-type", "application/xml");
	if (r->client->token != NULL)
		head_add(r, "x-amz-security-token", r->client->token);
}

/* What the signature says of the body: a file's digest, or a text's. */
static void
request_digest(struct s3_request *r, const struct s3_ask *ask)
{
	uint8_t digest[TAKO_SHA256];

	if (ask->fd != -1 && ask->sha256 == NULL)
		strlcpy(r->sha256, "UNSIGNED-PAYLOAD", sizeof(r->sha256));
	else if (ask->fd != -1)
		hex_encode(r->sha256, ask->sha256, TAKO_SHA256);
	else {
		sha256(digest, r->body, strlen(r->body));
		hex_encode(r->sha256, digest, TAKO_SHA256);
	}
}

static void
request_begin(struct s3_request *r)
{
	struct s3_client *c = r->client;
	CURL *curl = r->curl;
	char detail[512];

	if (key_read(c, detail, sizeof(detail)) == -1) {
		request_again(r, detail);
		return;
	}
	request_heads(r);
	free(r->text);
	r->text = NULL;
	r->text_len = 0;
	r->etag[0] = r->error[0] = '\0';
	r->sent = 0;
	if (r->wants_sink) {
		artifact_sink_free(r->sink);
		if ((r->sink = artifact_sink_new()) == NULL) {
			request_again(r, strerror(errno));
			return;
		}
	}
	curl_easy_reset(curl);
	curl_easy_setopt(curl, CURLOPT_URL, r->url);
	curl_easy_setopt(curl, CURLOPT_AWS_SIGV4, c->sigv4);
	curl_easy_setopt(curl, CURLOPT_USERNAME, c->key);
	curl_easy_setopt(curl, CURLOPT_PASSWORD, c->secret);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, r->heads);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(
	    curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, SLOW_BYTES);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, SLOW_S);
	curl_easy_setopt(curl, CURLOPT_EXPECT_100_TIMEOUT_MS, 100L);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, r->error);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, r);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_head);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, r);
	if (strcmp(r->method, "PUT") == 0) {
		curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(
		    curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)r->len);
		curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_read);
		curl_easy_setopt(curl, CURLOPT_READDATA, r);
		curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_seek);
		curl_easy_setopt(curl, CURLOPT_SEEKDATA, r);
	} else if (strcmp(r->method, "POST") == 0)
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, r->body);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, r->method);
	curl_loop_add(c->loop, curl, &r->transfer);
}

static void
on_again(evutil_socket_t fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	request_begin(arg);
}

void
s3_client_ask(
    struct s3_client *c, const struct s3_ask *ask, s3_cb cb, void *arg)
{
	static const struct timeval at_once = { 0, 0 };
	struct s3_request *r = xcalloc(1, sizeof(*r));

	r->transfer.done = request_done;
	r->client = c;
	r->cb = cb;
	r->arg = arg;
	r->fd = ask->fd;
	r->off = ask->off;
	r->len = ask->len;
	r->wants_sink = ask->sink;
	strlcpy(r->method, ask->method, sizeof(r->method));
	r->url = xasprintf("%s%s%s%s%s", c->bucket_url,
	    ask->key[0] != '\0' ? c->prefix : "", ask->key,
	    ask->query[0] != '\0' ? "?" : "", ask->query);
	r->body = xstrdup(ask->text != NULL ? ask->text : "");
	request_digest(r, ask);
	LIST_INSERT_HEAD(&c->requests, r, entry);
	r->again = evtimer_new(c->base, on_again, r);
	if (r->again == NULL || (r->curl = curl_easy_init()) == NULL)
		fatal(NULL);
	event_arm(r->again, &at_once);
}

char *
s3_encode(char *dst, const char *src)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789-._~";
	char *p = dst;

	for (; *src != '\0'; src++)
		if (strchr(plain, *src) != NULL)
			*p++ = *src;
		else
			p += sprintf(p, "%%%02X", (unsigned char)*src);
	*p = '\0';
	return (dst);
}

/* ---- life -------------------------------------------------------------------
 */

struct s3_client *
s3_client_open(
    struct event_base *base, const struct conf *conf, char *detail, size_t len)
{
	struct s3_client *c = xcalloc(1, sizeof(*c));
	char text[400], *endpoint;

	c->base = base;
	LIST_INIT(&c->requests);
	endpoint =
	    conf->s3_endpoint != NULL
		? xstrdup(conf->s3_endpoint)
		: xasprintf("https://s3.%s.amazonaws.com", conf->s3_region);
	c->bucket_url = xasprintf("%s/%s/", endpoint, conf->s3_bucket);
	free(endpoint);
	c->prefix = xstrdup(conf->s3_prefix);
	c->sigv4 = xasprintf("aws:amz:%s:s3", conf->s3_region);
	c->key_file = xstrdup(conf->s3_credentials_file);
	if (key_read(c, text, sizeof(text)) == -1) {
		snprintf(detail, len, "s3_credentials_file: %s", text);
		s3_client_close(c);
		return (NULL);
	}
	if ((c->loop = curl_loop_new(base, CONNECTIONS)) == NULL) {
		snprintf(detail, len, "libcurl could not be started");
		s3_client_close(c);
		return (NULL);
	}
	return (c);
}

void
s3_client_close(struct s3_client *c)
{
	struct s3_request *r;

	if (c == NULL)
		return;
	while ((r = LIST_FIRST(&c->requests)) != NULL)
		request_free(r);
	curl_loop_free(c->loop);
	secret_free(&c->key);
	secret_free(&c->secret);
	secret_free(&c->token);
	free(c->bucket_url);
	free(c->prefix);
	free(c->sigv4);
	free(c->key_file);
	free(c);
}
