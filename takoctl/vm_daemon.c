/*
 * vm_daemon.c: the commands of tako-vm that start a daemon or ask one over
 * HTTP. Runs as the caller; what a server answers is hostile text.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http.h"
#include "log.h"
#include "takoctl.h"
#include "util.h"

#define STATUS_TIMEOUT 5L /* s */

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

char *
vm_url(const struct conf *conf)
{
	struct conf_listen l;
	const char *host = l.host;
	size_t i = 0;

	/* The first one that a URL can name. */
	do
		conf_listen_get(conf, i, &l);
	while (l.kind != LISTEN_TCP && ++i < conf_listen_count(conf));
	if (l.kind != LISTEN_TCP)
		return (xstrdup("http://localhost:8000"));
	if (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0)
		host = "localhost";
	return (xasprintf(
	    strchr(host, ':') != NULL ? "http%s://[%s]:%d" : "http%s://%s:%d",
	    l.tls ? "s" : "", host, l.port));
}

/* Where the configuration says that takod listens; the caller's to free. */
static char *
url_configured(const char *config)
{
	struct conf_errors errors, warnings;
	struct conf *conf;
	char *url = NULL;

	if ((conf = conf_load(config, &errors, &warnings)) != NULL)
		url = vm_url(conf);
	conf_free(conf);
	conf_errors_free(&errors);
	conf_errors_free(&warnings);
	return (url != NULL ? url : xstrdup("http://localhost:8000"));
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
	struct http_request r = { .seconds = STATUS_TIMEOUT };
	struct http_answer *a = xcalloc(1, sizeof(*a));
	char body[640], *path;
	json_t *o = NULL;
	int ret = 1;

	while (url[0] != '\0' && url[strlen(url) - 1] == '/')
		url[strlen(url) - 1] = '\0';
	r.url = path = xasprintf("%s/health", url);
	http_call(&r, a);
	if (a->status != 0)
		o = json_loadb(a->text, a->len, JSON_REJECT_DUPLICATES, NULL);
	if (a->status == 0)
		fprintf(stderr, "Error: cannot ask %s: %s\n", url, a->error);
	else if (!json_is_object(o) && a->status < 400)
		fprintf(stderr, "Error: invalid JSON from %s/health\n", url);
	else if (json_object_get(o, "status") != NULL)
		/* Unhealthy is 503 with the same body. */
		ret = health_show(o, json);
	else {
		log_escape(
		    body, sizeof(body), a->text, a->len < 500 ? a->len : 500);
		fprintf(stderr, "Error: server returned HTTP %ld\n  %s\n",
		    a->status, body);
	}
	json_decref(o);
	free(a);
	free(path);
	free(url);
	return (ret);
}
