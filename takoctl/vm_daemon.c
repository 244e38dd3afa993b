/*
 * vm_daemon.c: the commands of tako-vm that start a daemon or ask one over
 * HTTP. Runs as the caller; what a server answers is hostile text.
 */
#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "takoctl.h"
#include "util.h"

#define STATUS_TIMEOUT 5L /* s */
#define MAX_HEALTH     65536

int
vm_server(const char *config, const char *host, const char *port)
{
	char path[4096];
	char name[] = "takod", flag[] = "-c";
	char *file = config != NULL ? xstrdup(config) : NULL;
	char *argv[] = { name, file != NULL ? flag : NULL, file, NULL };

	if ((host != NULL && setenv("TAKO_VM_SERVER_HOST", host, 1) == -1) ||
	    (port != NULL && setenv("TAKO_VM_SERVER_PORT", port, 1) == -1))
		fatal("setenv");
	if (program_path(path, sizeof(path), "takod") == 0)
		execv(path, argv);
	fprintf(stderr, "Error: takod: %s\n", strerror(errno));
	return (1);
}

/* Where the configuration says that takod listens; the caller's to free. */
static char *
url_configured(const char *config)
{
	struct conf_errors errors, warnings;
	struct conf *conf;
	const char *host;
	char *url = NULL;

	if ((conf = conf_load(config, &errors, &warnings)) != NULL) {
		host = conf->server_host;
		if (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0)
			host = "localhost";
		url = xasprintf(strchr(host, ':') != NULL ? "http://[%s]:%d"
							  : "http://%s:%d",
		    host, conf->server_port);
	}
	conf_free(conf);
	conf_errors_free(&errors);
	conf_errors_free(&warnings);
	return (url != NULL ? url : xstrdup("http://localhost:8000"));
}

struct answer {
	char text[MAX_HEALTH];
	size_t len;
};

static size_t
answer_add(char *data, size_t size, size_t n, void *arg)
{
	struct answer *a = arg;

	if (size * n > sizeof(a->text) - a->len)
		return (0);
	memcpy(a->text + a->len, data, size * n);
	a->len += size * n;
	return (size * n);
}

/* The status of GET url/health, or 0 with error filled. */
static long
health_get(const char *url, struct answer *a, char error[CURL_ERROR_SIZE])
{
	char *path = xasprintf("%s/health", url);
	CURLcode code = CURLE_FAILED_INIT;
	CURL *curl;
	long status = 0;

	error[0] = '\0';
	if ((curl = curl_easy_init()) != NULL) {
		curl_easy_setopt(curl, CURLOPT_URL, path);
		curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
		curl_easy_setopt(curl, CURLOPT_PROXY, "");
		curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
		curl_easy_setopt(curl, CURLOPT_TIMEOUT, STATUS_TIMEOUT);
		curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
		curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, answer_add);
		curl_easy_setopt(curl, CURLOPT_WRITEDATA, a);
		if ((code = curl_easy_perform(curl)) == CURLE_OK)
			curl_easy_getinfo(
			    curl, CURLINFO_RESPONSE_CODE, &status);
	}
	if (code != CURLE_OK && error[0] == '\0')
		strlcpy(error, curl_easy_strerror(code), CURL_ERROR_SIZE);
	curl_easy_cleanup(curl);
	free(path);
	return (code == CURLE_OK ? status : 0);
}

static const char *
text_of(json_t *o, const char *key, char *buf, size_t len)
{
	const char *s = json_string_value(json_object_get(o, key));

	if (s == NULL)
		return ("unknown");
	log_escape(buf, len, s, strlen(s));
	return (buf);
}

static int
health_show(json_t *o, int json)
{
	const char *status = json_string_value(json_object_get(o, "status"));
	char buf[256];

	if (json) {
		json_dumpf(o, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		printf("Status: %s\n", text_of(o, "status", buf, sizeof(buf)));
		printf("Engine: %s\n",
		    json_is_true(json_object_get(o, "docker_available"))
			? "available"
			: "unavailable");
		printf(
		    "Version: %s\n", text_of(o, "version", buf, sizeof(buf)));
	}
	return (status != NULL && strcmp(status, "healthy") == 0 ? 0 : 1);
}

int
vm_status(const char *config, const char *named, int json)
{
	char *url = named != NULL ? xstrdup(named) : url_configured(config);
	char error[CURL_ERROR_SIZE], body[640];
	struct answer *a = xcalloc(1, sizeof(*a));
	long status;
	json_t *o = NULL;
	int ret = 1;

	while (url[0] != '\0' && url[strlen(url) - 1] == '/')
		url[strlen(url) - 1] = '\0';
	status = health_get(url, a, error);
	if (status != 0)
		o = json_loadb(a->text, a->len, JSON_REJECT_DUPLICATES, NULL);
	if (status == 0)
		fprintf(stderr, "Error: cannot ask %s: %s\n", url, error);
	else if (!json_is_object(o) && status < 400)
		fprintf(stderr, "Error: invalid JSON from %s/health\n", url);
	else if (json_object_get(o, "status") != NULL)
		/* Unhealthy is 503 with the same body. */
		ret = health_show(o, json);
	else {
		log_escape(
		    body, sizeof(body), a->text, a->len < 500 ? a->len : 500);
		fprintf(stderr, "Error: server returned HTTP %ld\n  %s\n",
		    status, body);
	}
	json_decref(o);
	free(a);
	free(url);
	return (ret);
}
