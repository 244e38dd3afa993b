/*
 * versions.c: the versions of the libraries, runtime and engine that takod
 * stands on. Runs in the parent, at start and when a runtime was tried.
 *
 * The table names what a job or a peer could use against takod's walls, and
 * nothing else. A distribution mends old versions without another number, so
 * a row is a reason to look, not to refuse.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <event2/event.h>
#include <jansson.h>
#include <libpq-fe.h>
#include <msgpack.h>
#include <openssl/crypto.h>
#include <seccomp.h>
#include <sqlite3.h>
#include <yaml.h>

#include "log.h"
#include "util.h"
#include "versions.h"

#define PARTS 3

/* Bad from one version on, and before the other. */
static const struct {
	const char *name;
	const char *from;
	const char *fixed;
	const char *why;
} bad[] = {
	{ "runc", "0.0", "1.2.8",
	    "a container may write to the host's /proc "
	    "(CVE-2025-31133, CVE-2025-52565, CVE-2025-52881)" },
	{ "runc", "1.3.0", "1.3.3",
	    "a container may write to the host's /proc "
	    "(CVE-2025-31133, CVE-2025-52565, CVE-2025-52881)" },
	{ "Docker Engine", "0.0", "29.5.1",
	    "the holes that its release notes name since (CVE-2024-41110, "
	    "CVE-2024-29018 and later ones)" },
};

/* The first number with a dot in a text; 0 if there is none. */
static int
version_parse(const char *text, long part[PARTS])
{
	const char *p = text;
	char *end;
	int i;

	for (;;) {
		while (*p != '\0' && !isdigit((unsigned char)*p))
			p++;
		if (*p == '\0')
			return (0);
		memset(part, 0, PARTS * sizeof(*part));
		for (i = 0; i < PARTS; i++) {
			part[i] = strtol(p, &end, 10);
			p = end;
			if (p[0] != '.' || !isdigit((unsigned char)p[1]))
				break;
			p++;
		}
		if (i > 0)
			return (1);
	}
}

static int
version_cmp(const long a[PARTS], const char *text)
{
	long b[PARTS] = { 0 };
	int i;

	version_parse(text, b);
	for (i = 0; i < PARTS; i++)
		if (a[i] != b[i])
			return (a[i] < b[i] ? -1 : 1);
	return (0);
}

const char *
versions_bad(const char *name, const char *text, const char **fixed)
{
	long has[PARTS];
	size_t i;

	if (!version_parse(text, has))
		return (NULL);
	for (i = 0; i < nitems(bad); i++)
		if (strcmp(bad[i].name, name) == 0 &&
		    version_cmp(has, bad[i].from) >= 0 &&
		    version_cmp(has, bad[i].fixed) < 0) {
			*fixed = bad[i].fixed;
			return (bad[i].why);
		}
	return (NULL);
}

void
versions_warn(const char *name, const char *text)
{
	const char *fixed, *why = versions_bad(name, text, &fixed);

	if (why != NULL)
		log_warnx("%s is older than %s: %s; see that its package has "
			  "the mend, or take a newer one",
		    text, fixed, why);
}

void
versions_log(void)
{
	const struct scmp_version *sc = seccomp_version();
	const char *curl = curl_version_info(CURLVERSION_NOW)->version;
	int pq = PQlibVersion();

	log_info("libraries: libevent %s, SQLite %s, libpq %d.%d, libcurl %s, "
		 "%s, libyaml %s, jansson %s, libseccomp %u.%u.%u, "
		 "msgpack-c %s",
	    event_get_version(), sqlite3_libversion(), pq / 10000, pq % 10000,
	    curl, OpenSSL_version(OPENSSL_VERSION), yaml_get_version_string(),
	    jansson_version_str(), sc->major, sc->minor, sc->micro,
	    msgpack_version());
}
