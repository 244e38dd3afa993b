/*
 * docker_api.c: an HTTP client for one unix socket. Runs in takod. The engine
 * is trusted to be the engine, but not to be well: an answer may be late, cut
 * off, endless, or no JSON, and all of that ends as an error of the one call.
 */
#include <sys/queue.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "curl_loop.h"
#include "docker_api.h"
#include "log.h"
#include "util.h"

struct docker_call {
	struct curl_transfer transfer; /* first: each is the other */
	TAILQ_ENTRY(docker_call) entry;
	struct docker_api *api;
	CURL *curl;
	struct curl_slist *heads;
	char error[CURL_ERROR_SIZE];
	char method[8];
	char path[512];
	char *body; /* JSON text, or NULL */
	int64_t deadline;
	int asking; /* the version is asked for first */
	char *text; /* of the answer */
	size_t len, head_len;
	docker_call_cb cb;
	void *arg;
};

struct docker_api {
	char socket[108];
	int minor; /* of the API's version; -1: not known */
	char version[16];
	struct curl_loop *loop;
	TAILQ_HEAD(, docker_call) calls;
};

int64_t
docker_deadline(int seconds, int64_t limit_us)
{
	int64_t at = time_mono_us() + seconds * INT64_C(1000000);

	return (limit_us != 0 && limit_us < at ? limit_us : at);
}

const char *
docker_api_socket(const struct docker_api *api)
{
	return (api->socket);
}

const char *
docker_api_version(const struct docker_api *api)
{
	return (api->version);
}

/* ---- the end of a call -------------------------------------------------- */

static void
call_free(struct docker_call *call)
{
	struct docker_api *api = call->api;

	TAILQ_REMOVE(&api->calls, call, entry);
	if (call->curl != NULL) {
		curl_loop_remove(api->loop, call->curl);
		curl_easy_cleanup(call->curl);
	}
	curl_slist_free_all(call->heads);
	free(call->body);
	free(call->text);
	free(call);
}

/* What a status says about another try (threats.md T21). */
static enum engine_error
status_error(long status)
{
	if (status < 400)
		return (ENGINE_OK);
	/* 404 and 409: of this one container; 5xx: of this moment. */
	if (status == 404 || status == 409 || status >= 500)
		return (ENGINE_TRANSIENT);
	return (ENGINE_CONFIG);
}

static void
answer_transfer(struct docker_answer *a, struct docker_call *call, CURLcode c)
{
	const char *why =
	    call->error[0] != '\0' ? call->error : curl_easy_strerror(c);

	a->error =
	    c == CURLE_OPERATION_TIMEDOUT ? ENGINE_DEADLINE : ENGINE_AWAY;
	if (c == CURLE_WRITE_ERROR)
		why = "its answer is too long";
	snprintf(a->detail, sizeof(a->detail),
	    "Docker Engine at %s: %s %.120s: %.240s", call->api->socket,
	    call->method, call->path, why);
}

/* The engine's own message; it is no job's text, but may hold any byte. */
static void
answer_status(struct docker_answer *a)
{
	const char *message;
	char clean[320];

	message = json_string_value(json_object_get(a->json, "message"));
	if (message == NULL)
		message = "no reason given";
	log_escape(clean, sizeof(clean), message, strlen(message));
	snprintf(a->detail, sizeof(a->detail), "Docker Engine: status %ld: %s",
	    a->status, clean);
	a->error = status_error(a->status);
}

static void
answer_body(struct docker_answer *a, struct docker_call *call)
{
	json_error_t error;

	if (call->len == 0 || call->asking || strcmp(call->path, "/_ping") == 0)
		return;
	a->json =
	    json_loadb(call->text, call->len, JSON_REJECT_DUPLICATES, &error);
	if (a->json == NULL && a->status < 400) {
		a->error = ENGINE_AWAY;
		a->status = 0;
		snprintf(a->detail, sizeof(a->detail),
		    "Docker Engine: answer to %s %.120s is no JSON",
		    call->method, call->path);
	}
}

static void call_begin(struct docker_call *);

/* Takes the call off libcurl and says how it ended. */
static void
call_done(struct curl_transfer *t, CURLcode code)
{
	struct docker_call *call = (struct docker_call *)(void *)t;
	struct docker_answer a = { .error = ENGINE_OK };
	docker_call_cb cb = call->cb;
	void *arg = call->arg;

	if (code == CURLE_OK)
		curl_easy_getinfo(
		    call->curl, CURLINFO_RESPONSE_CODE, &a.status);
	if (code != CURLE_OK)
		answer_transfer(&a, call, code);
	else {
		answer_body(&a, call);
		if (a.status >= 400)
			answer_status(&a);
	}
	if (a.error == ENGINE_OK && call->api->minor < DOCKER_API_MIN) {
		a.error = ENGINE_CONFIG;
		snprintf(a.detail, sizeof(a.detail),
		    "%s: no Docker Engine of API version 1.%d or later",
		    call->api->socket, DOCKER_API_MIN);
	}
	if (a.error == ENGINE_OK && call->asking) {
		json_decref(a.json);
		call->asking = 0;
		call_begin(call);
		return;
	}
	call_free(call);
	cb(&a, arg);
	json_decref(a.json);
}

/* ---- libcurl's hooks ---------------------------------------------------- */

static size_t
call_body(char *data, size_t size, size_t n, void *arg)
{
	struct docker_call *call = arg;
	char *text;

	if (call->len + size * n > DOCKER_MAX_ANSWER ||
	    (text = realloc(call->text, call->len + size * n)) == NULL)
		return (0);
	memcpy(text + call->len, data, size * n);
	call->text = text;
	call->len += size * n;
	return (size * n);
}

static size_t
call_head(char *data, size_t size, size_t n, void *arg)
{
	struct docker_call *call = arg;
	struct docker_api *api = call->api;
	unsigned major, minor;
	char line[64];

	if ((call->head_len += size * n) > DOCKER_MAX_HEAD)
		return (0);
	if (size * n >= sizeof(line))
		return (size * n);
	memcpy(line, data, size * n);
	line[size * n] = '\0';
	if (strncasecmp(line, "api-version:", 12) != 0 ||
	    sscanf(line + 12, " %u.%u", &major, &minor) != 2 || major != 1)
		return (size * n);
	api->minor = minor > DOCKER_API_MAX ? DOCKER_API_MAX : (int)minor;
	snprintf(api->version, sizeof(api->version), "v1.%d", api->minor);
	return (size * n);
}

/* ---- the start of a call ------------------------------------------------ */

/*
 * Hands the call to libcurl, once for the version and once for itself. The
 * loop does the rest: an error found here comes out as a finished transfer.
 */
static void
call_begin(struct docker_call *call)
{
	struct docker_api *api = call->api;
	char url[600];
	int64_t left;
	CURL *curl = call->curl;

	if (call->asking || strcmp(call->path, "/_ping") == 0)
		snprintf(url, sizeof(url), "http://docker/_ping");
	else
		snprintf(url, sizeof(url), "http://docker/%s%s", api->version,
		    call->path);
	curl_loop_remove(api->loop, curl);
	curl_easy_reset(curl);
	call->len = call->head_len = 0;
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, api->socket);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, call->error);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, call_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, call);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, call_head);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, call);
	if (call->deadline != 0) {
		left = (call->deadline - time_mono_us()) / 1000;
		curl_easy_setopt(
		    curl, CURLOPT_TIMEOUT_MS, left < 1 ? 1L : (long)left);
	}
	if (!call->asking) {
		if (call->body != NULL || strcmp(call->method, "POST") == 0) {
			curl_easy_setopt(curl, CURLOPT_POSTFIELDS,
			    call->body != NULL ? call->body : "");
			curl_easy_setopt(curl, CURLOPT_HTTPHEADER, call->heads);
		}
		curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call->method);
	}
	curl_loop_add(api->loop, curl, &call->transfer);
}

struct docker_call *
docker_api_call(struct docker_api *api, const char *method, const char *path,
    json_t *body, int64_t deadline_us, docker_call_cb cb, void *arg)
{
	struct docker_call *call;

	if ((call = calloc(1, sizeof(*call))) == NULL) {
		json_decref(body);
		return (NULL);
	}
	call->transfer.done = call_done;
	call->api = api;
	call->cb = cb;
	call->arg = arg;
	call->deadline = deadline_us;
	call->asking = api->minor == -1 && strcmp(path, "/_ping") != 0;
	TAILQ_INSERT_TAIL(&api->calls, call, entry);
	if (strlcpy(call->method, method, sizeof(call->method)) >=
		sizeof(call->method) ||
	    strlcpy(call->path, path, sizeof(call->path)) >=
		sizeof(call->path) ||
	    (body != NULL &&
		(call->body = json_dumps(body, JSON_COMPACT)) == NULL) ||
	    (call->curl = curl_easy_init()) == NULL ||
	    (call->heads = curl_slist_append(
		 NULL, body != NULL ? "Content-Type: application/json"
				    : "Content-Type:")) == NULL) {
		json_decref(body);
		call_free(call);
		return (NULL);
	}
	json_decref(body);
	call_begin(call);
	return (call);
}

void
docker_api_cancel(struct docker_call *call)
{
	if (call != NULL)
		call_free(call);
}

/* ---- life --------------------------------------------------------------- */

struct docker_api *
docker_api_open(
    struct event_base *base, const char *host, char *detail, size_t len)
{
	struct docker_api *api;

	if (host == NULL || strncmp(host, "unix:///", 8) != 0) {
		snprintf(detail, len, "docker_host must begin with unix:///");
		return (NULL);
	}
	if ((api = calloc(1, sizeof(*api))) == NULL)
		return (NULL);
	api->minor = -1;
	TAILQ_INIT(&api->calls);
	if (strlcpy(api->socket, host + 7, sizeof(api->socket)) >=
	    sizeof(api->socket)) {
		snprintf(detail, len,
		    "docker_host is longer than a socket's "
		    "name can be");
		free(api);
		return (NULL);
	}
	if ((api->loop = curl_loop_new(base, MAX_WORKERS)) == NULL) {
		snprintf(detail, len, "libcurl could not be started");
		docker_api_close(api);
		return (NULL);
	}
	return (api);
}

void
docker_api_close(struct docker_api *api)
{
	struct docker_call *call;

	while ((call = TAILQ_FIRST(&api->calls)) != NULL)
		call_free(call);
	curl_loop_free(api->loop);
	free(api);
}
