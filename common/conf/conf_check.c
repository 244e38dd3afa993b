/*
 * conf_check.c: what the table's types and bounds cannot say: the forms of
 * single texts, the rules between keys, and the warnings. Used by takod (the
 * parent) and takoctl.
 */
#include <sys/stat.h>

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf_int.h"
#include "util.h"

#define NAME_CHARS                                                             \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
#define MIN_KEY 16 /* characters */

/* ---- single texts (conf_key.check) --------------------------------------- */

const char *
conf_check_host(char **text)
{
	const char *p;

	conf_trim(*text);
	if (**text == '\0')
		return ("must be an address or a name");
	for (p = *text; *p != '\0'; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f)
			return ("must not contain spaces or control "
				"characters");
	/* One colon, or what follows brackets, is before a port. */
	if (strchr(*text, '/') != NULL || (**text == '[' && p[-1] != ']') ||
	    ((p = strchr(*text, ':')) != NULL && strchr(p + 1, ':') == NULL))
		return ("must be an address or a name alone, without scheme "
			"and port");
	return (NULL);
}

const char *
conf_check_hostname(char **text)
{
	conf_trim(*text);
	conf_lower(*text);
	if (**text == '\0' || strlen(*text) > 253 ||
	    (*text)[strspn(*text, NAME_CHARS ".")] != '\0')
		return ("must be a host name");
	return (NULL);
}

const char *
conf_check_node(char **text)
{
	conf_trim(*text);
	if (**text == '\0' || strlen(*text) > MAX_NODE ||
	    (*text)[strspn(*text, NAME_CHARS ".@")] != '\0')
		return ("must be 1 to 128 letters, digits, -, _, . and @");
	return (NULL);
}

const char *
conf_check_header(char **text)
{
	conf_trim(*text);
	if (**text == '\0')
		return ("must not be empty");
	if ((*text)[strspn(*text, NAME_CHARS)] != '\0')
		return ("must consist of letters, digits, - and _");
	return (NULL);
}

/* Characters, not bytes, of well-formed UTF-8. */
static size_t
characters(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		if (((unsigned char)*s & 0xc0) != 0x80)
			n++;
	return (n);
}

int
conf_key_masked(const char *key)
{
	return (strncmp(key, "***", 3) == 0);
}

const char *
conf_check_key(char **text)
{
	const char *p;

	conf_trim(*text);
	for (p = *text; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return ("must not contain control characters");
	if (characters(*text) < MIN_KEY)
		return ("must be at least 16 characters long");
	return (NULL);
}

const char *
conf_check_name(char **text)
{
	size_t len = strlen(*text);

	if (len < 1 || len > MAX_JOB_TYPE_NAME)
		return ("must be 1 to 64 characters long");
	if ((*text)[strspn(*text, NAME_CHARS)] != '\0' ||
	    strspn(*text, "-_") == len)
		return ("must consist of letters, digits, - and _");
	return (NULL);
}

const char *
conf_check_device(char **text)
{
	conf_trim(*text);
	if (**text == '\0')
		return ("must not be empty");
	if (strchr(*text, ',') != NULL)
		return ("must not contain a comma");
	return (NULL);
}

/* A dotted name as an import statement has it; ASCII alone. */
const char *
conf_check_module(char **text)
{
	static const char digits[] = "0123456789";
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
	const char *p = *text;
	size_t n;

	if (strlen(p) > CONF_MAX_MODULE)
		return ("must be at most 128 characters long");
	for (;; p++) {
		n = strspn(p, letters);
		if (n == 0 || strchr(digits, *p) != NULL ||
		    (p[n] != '.' && p[n] != '\0'))
			return ("must be a module's name, such as os.path");
		p += n;
		if (*p == '\0')
			return (NULL);
	}
}

const char *
conf_check_docker_host(char **text)
{
	/* sun_path holds 107 bytes and a NUL */
	if (strncmp(*text, "unix:///", 8) != 0 || (*text)[8] == '\0')
		return ("must be unix:///path");
	if (strlen(*text + 7) > 107)
		return ("must be a path of at most 107 bytes");
	return (NULL);
}

const char *
conf_check_s3_endpoint(char **text)
{
	const char *p = *text;

	conf_trim(*text);
	if (strncmp(p, "https://", 8) == 0)
		p += 8;
	else if (strncmp(p, "http://", 7) == 0)
		p += 7;
	else
		return ("must be http://host[:port] or https://host[:port]");
	if (*p == '\0' || strlen(p) > 300 ||
	    p[strspn(p, NAME_CHARS ".:[]")] != '\0')
		return ("must have a host and, if need be, a port; no path, no "
			"user");
	return (NULL);
}

const char *
conf_check_s3_bucket(char **text)
{
	size_t len = strlen(*text);

	if (len < 3 || len > 63 ||
	    (*text)[strspn(*text, "abcdefghijklmnopqrstuvwxyz0123456789.-")] !=
		'\0' ||
	    strchr(".-", **text) != NULL)
		return ("must be a bucket's name: 3 to 63 small letters, "
			"digits, . and -");
	return (NULL);
}

const char *
conf_check_s3_region(char **text)
{
	size_t len = strlen(*text);

	if (len < 1 || len > 64 || (*text)[strspn(*text, NAME_CHARS)] != '\0')
		return ("must consist of letters, digits, - and _");
	return (NULL);
}

const char *
conf_check_s3_prefix(char **text)
{
	if (strlen(*text) > 200 || **text == '/' ||
	    (*text)[strspn(*text, NAME_CHARS "./")] != '\0')
		return ("must be at most 200 letters, digits, -, _, . and /, "
			"and not begin with /");
	return (NULL);
}

/* ---- rules between keys ---------------------------------------------------
 */

/* The value of a key in a mapping of the document; 0: not there. */
static unsigned
doc_find(const struct conf_doc *doc, unsigned map, const char *name)
{
	const struct conf_node *m = conf_doc_node(doc, map), *key;
	unsigned number;

	if (m->kind != NODE_MAP)
		return (0);
	for (number = m->first; number != 0;
	     number = doc->nodes[doc->nodes[number].next].next) {
		key = conf_doc_node(doc, number);
		if (key->kind == NODE_SCALAR && strcmp(key->text, name) == 0)
			return (doc->nodes[number].next);
	}
	return (0);
}

/* The nearest node of a dotted path, for the place of a message. *there is 1
 * when it is the path's own. */
static const struct conf_node *
doc_place(const struct conf_doc *doc, const char *path, int *there)
{
	char name[80];
	const struct conf_node *node;
	unsigned at = 1, next, i;
	size_t len;

	*there = 0;
	if (doc->n == 0)
		return (NULL);
	for (; *path != '\0'; path += len + (path[len] == '.')) {
		len = strcspn(path, ".");
		snprintf(name, sizeof(name), "%.*s", (int)len, path);
		node = conf_doc_node(doc, at);
		if (node->kind == NODE_LIST) {
			next = node->first;
			for (i = (unsigned)atoi(name); i > 0 && next != 0; i--)
				next = doc->nodes[next].next;
		} else
			next = doc_find(doc, at, name);
		if (next == 0)
			break;
		at = next;
	}
	*there = *path == '\0';
	return (at == 1 ? NULL : &doc->nodes[at]);
}

/* Something at or below that key is wrong already: no rule can judge it. */
static int
known_bad(const struct conf_loading *ld, const char *path)
{
	const struct conf_key *key = conf_key_find(conf_keys, path);
	const char *bad;
	size_t i, len = strlen(path);

	for (i = 0; i < ld->errors->n; i++) {
		if ((bad = ld->errors->items[i].key) == NULL)
			continue;
		if (strncmp(bad, path, len) == 0 &&
		    (bad[len] == '\0' || bad[len] == '.'))
			return (1);
		if (key != NULL && key->env != NULL &&
		    strcmp(bad, key->env) == 0)
			return (1);
	}
	return (0);
}

/* The default of the key at a dotted path, or NULL. */
static const char *
path_default(const char *path)
{
	const struct conf_key *keys = conf_keys, *key;
	const char *name = strrchr(path, '.');

	if (strncmp(path, "container_limits.", 17) == 0)
		keys = conf_limit_keys;
	else if (name != NULL)
		keys = conf_job_type_keys;
	key = conf_key_find(keys, name != NULL ? name + 1 : path);
	return (key != NULL ? key->def : NULL);
}

/*
 * An error of the keys at path, and of others that the text names: placed at
 * the first of path and other that the file or a variable sets. A value that
 * nobody set is told: it stands in no file.
 */
static void
rule(struct conf_loading *ld, const char *path, const char *other,
    const char *text)
{
	const char *paths[2] = { path, other };
	const struct conf_node *node;
	const struct conf_key *key;
	const char *def = NULL;
	char full[256];
	size_t i;
	int there, named;

	if (known_bad(ld, path) || (other != NULL && known_bad(ld, other)))
		return;
	doc_place(&ld->doc, path, &there);
	key = conf_key_find(conf_keys, path);
	if (!there &&
	    (key == NULL || ld->conf->origins[conf_key_number(key)].from ==
				CONF_FROM_DEFAULT))
		def = path_default(path);
	snprintf(full, sizeof(full), "%s%s%s", text,
	    def != NULL ? "; by default it is " : "", def != NULL ? def : "");
	for (i = 0; i < 2 && paths[i] != NULL; i++) {
		/* The other's variable does not say which key it is about. */
		named = i > 0 && strncmp(path, other, strlen(other)) != 0;
		key = conf_key_find(conf_keys, paths[i]);
		if (key != NULL &&
		    ld->conf->origins[conf_key_number(key)].from ==
			CONF_FROM_VARIABLE) {
			conf_error_add(ld->errors, NULL, 0, 0, key->env,
			    "%s%s%s", named ? path : "", named ? " " : "",
			    full);
			return;
		}
		node = doc_place(&ld->doc, paths[i], &there);
		if (node != NULL) {
			conf_error_at(ld, node, path, "%s", full);
			return;
		}
	}
	conf_error_add(ld->errors, ld->conf->path, 0, 0, path, "%s", full);
}

static void
warn(struct conf_loading *ld, const char *key, const char *text)
{
	const struct conf_node *node;
	int there;

	node = doc_place(&ld->doc, key, &there);
	conf_error_add(ld->warnings, node != NULL ? ld->conf->path : NULL,
	    node != NULL ? node->line : 0, node != NULL ? node->column : 0, key,
	    "%s", text);
}

static void
check_unique(struct conf_loading *ld, const char *path,
    const struct conf_list *list, int anycase)
{
	char buf[CONF_MAX_PATH];
	size_t i, j;

	for (i = 1; i < list->n; i++)
		for (j = 0; j < i; j++)
			if ((anycase ? strcasecmp : strcmp)(
				list->items[i], list->items[j]) == 0) {
				snprintf(buf, sizeof(buf), "%s.%zu", path, i);
				rule(ld, buf, path, "stands here twice");
				break;
			}
}

static void
check_api_key(struct conf_loading *ld, size_t i)
{
	char path[CONF_MAX_PATH];
	const struct conf_api_key *all = ld->conf->api_keys, *k = &all[i];
	size_t j;

	for (j = 0; j < i; j++) {
		if (memcmp(all[j].digest, k->digest, TAKO_SHA256) == 0) {
			snprintf(path, sizeof(path), "api_keys.%zu", i);
			rule(ld, path, "api_keys", "stands here twice");
			return;
		}
		if (k->name != NULL && all[j].name != NULL &&
		    strcmp(all[j].name, k->name) == 0) {
			snprintf(path, sizeof(path), "api_keys.%zu.name", i);
			rule(ld, path, "api_keys", "another key has this name");
			return;
		}
	}
}

static void
check_gpu(struct conf_loading *ld, const struct conf_gpu *gpu, size_t i)
{
	char path[64], at[80];
	const char *text = NULL;

	snprintf(path, sizeof(path), "job_types.%zu.gpu", i);
	if (!gpu->enabled) {
		if (gpu->vendor != GPU_NONE || gpu->count != 0 ||
		    gpu->device_ids.n > 0)
			text = "vendor, count and device_ids need "
			       "enabled: true";
	} else if (gpu->vendor == GPU_NONE)
		text = "enabled: true needs a vendor";
	else if (gpu->count != 0 && gpu->device_ids.n > 0)
		text = "count and device_ids exclude each other";
	else if (gpu->count != 0 && gpu->vendor == GPU_AMD)
		text = "count is for the vendor nvidia only";
	if (text != NULL)
		rule(ld, path, NULL, text);
	snprintf(at, sizeof(at), "%s.device_ids", path);
	check_unique(ld, at, &gpu->device_ids, 1);
}

/*
 * A path of shared_code, by its letters alone: it must stay below the folder
 * that the file is in. What it really is, symbolic links and all, is looked
 * at when it is copied.
 */
static int
path_inside(const char *folder, const char *path)
{
	size_t len = strlen(folder);
	int depth = 0;
	size_t n;

	if (*path == '/') {
		if (strncmp(path, folder, len) != 0 ||
		    (path[len] != '/' && path[len] != '\0' &&
			strcmp(folder, "/") != 0))
			return (0);
		path += len;
	}
	while (*path != '\0') {
		n = strcspn(path, "/");
		if (n == 2 && strncmp(path, "..", 2) == 0)
			depth--;
		else if (n > 0 && !(n == 1 && *path == '.'))
			depth++;
		if (depth < 0)
			return (0);
		path += n + (path[n] == '/');
	}
	return (1);
}

static void
check_shared_code(
    struct conf_loading *ld, const struct conf_list *list, size_t i)
{
	char path[CONF_MAX_PATH];
	char *folder, *slash, *file;
	size_t j;

	if (list->n == 0 || ld->conf->path == NULL)
		return;
	folder = realpath(ld->conf->path, NULL);
	if (folder == NULL)
		folder = xstrdup("/");
	if ((slash = strrchr(folder, '/')) != NULL)
		slash[slash == folder] = '\0';
	for (j = 0; j < list->n; j++) {
		snprintf(
		    path, sizeof(path), "job_types.%zu.shared_code.%zu", i, j);
		if (!path_inside(folder, list->items[j])) {
			rule(ld, path, NULL,
			    "must stay below the folder of this file");
			continue;
		}
		file = list->items[j][0] == '/'
			   ? xstrdup(list->items[j])
			   : xasprintf("%s/%s", folder, list->items[j]);
		if (access(file, F_OK) == -1)
			warn(ld, path, "is not there: takod would not start");
		free(file);
	}
	free(folder);
}

static void
check_job_type(struct conf_loading *ld, size_t i)
{
	char path[CONF_MAX_PATH];
	const struct conf *conf = ld->conf;
	const struct conf_job_type *jt = &conf->job_types[i];
	size_t j;

	for (j = 0; j < i && jt->name != NULL; j++)
		if (conf->job_types[j].name != NULL &&
		    strcmp(conf->job_types[j].name, jt->name) == 0) {
			snprintf(path, sizeof(path), "job_types.%zu.name", i);
			rule(ld, path, NULL, "another job type has this name");
			break;
		}
	if (jt->timeout > conf->max_timeout) {
		snprintf(path, sizeof(path), "job_types.%zu.timeout", i);
		rule(ld, path, "max_timeout", "must not exceed max_timeout");
	}
	if (jt->allowed_hosts.n > 0 && !jt->network_enabled) {
		snprintf(path, sizeof(path), "job_types.%zu.allowed_hosts", i);
		rule(ld, path, NULL, "needs network_enabled: true");
	}
	check_gpu(ld, &jt->gpu, i);
	check_shared_code(ld, &jt->shared_code, i);
}

static void
check_limits(struct conf_loading *ld)
{
	const struct conf_limits *l = &ld->conf->container_limits;

	if (l->nofile_hard < l->nofile_soft)
		rule(ld, "container_limits.nofile_hard",
		    "container_limits.nofile_soft",
		    "must be at least nofile_soft");
	if (l->nproc_hard < l->nproc_soft)
		rule(ld, "container_limits.nproc_hard",
		    "container_limits.nproc_soft",
		    "must be at least nproc_soft");
}

static void
check_listen(struct conf_loading *ld)
{
	const struct conf *conf = ld->conf;
	struct conf_listen l;
	char path[CONF_MAX_PATH];
	size_t i;

	if ((conf->tls_certificate_file == NULL) !=
	    (conf->tls_key_file == NULL))
		rule(ld,
		    conf->tls_key_file == NULL ? "tls_key_file"
					       : "tls_certificate_file",
		    conf->tls_key_file == NULL ? "tls_certificate_file"
					       : "tls_key_file",
		    "must be given too: a certificate needs its key");
	for (i = 0; i < conf->server_listen.n; i++) {
		conf_listen_get(conf, i, &l);
		snprintf(path, sizeof(path), "server_listen.%zu", i);
		if (l.tls && conf->tls_certificate_file == NULL)
			rule(ld, path, "server_listen",
			    "tls needs tls_certificate_file and tls_key_file");
		if (l.proxy && conf->trusted_proxies.n == 0)
			rule(ld, path, "server_listen",
			    "proxy needs trusted_proxies: nobody else may "
			    "connect there");
	}
	check_unique(ld, "server_listen", &conf->server_listen, 0);
}

static int
host_loopback(const char *host)
{
	struct in_addr in;

	if (inet_pton(AF_INET, host, &in) == 1)
		return (ntohl(in.s_addr) >> 24 == 127);
	return (strcasecmp(host, "localhost") == 0 ||
		strcmp(host, "::1") == 0 || strcmp(host, "[::1]") == 0);
}

static void
check_warnings(struct conf_loading *ld)
{
	const struct conf *conf = ld->conf;
	const struct conf_node *node;
	struct conf_listen l;
	struct stat st;
	size_t i;
	int there, open = 0;

	for (i = 0; i < conf_listen_count(conf); i++) {
		conf_listen_get(conf, i, &l);
		if (l.kind == LISTEN_TCP && !host_loopback(l.host))
			open = 1;
	}
	if (!conf->api_auth_enabled && open)
		warn(ld,
		    conf->server_listen.n > 0 ? "server_listen" : "server_host",
		    conf->allow_unauthenticated_network_access
			? "other hosts are served without a key: "
			  "allow_unauthenticated_network_access says that "
			  "something else guards this port"
			: "protected mode: without api_auth_enabled only this "
			  "host is served without a key; others need the one "
			  "in data_dir/api_key");
	if (conf->security_mode == SECURITY_PERMISSIVE)
		warn(ld, "security_mode",
		    "permissive: jobs run under runc, which isolates less, "
		    "where gVisor does not work");
	node = doc_place(&ld->doc, "data_dir", &there);
	if (node != NULL && node->kind == NODE_SCALAR &&
	    strpbrk(node->text, "~$") != NULL)
		warn(ld, "data_dir",
		    "~ and $ stand for themselves: no home folder and no "
		    "variable is put in");
	for (i = 0; i < conf->n_api_keys; i++)
		if (conf->api_keys[i].key != NULL &&
		    conf_key_masked(conf->api_keys[i].key)) {
			warn(ld, "api_keys",
			    "a key that begins with *** is one that was "
			    "masked: nobody can use it");
			break;
		}
	if (conf->path != NULL && stat(conf->path, &st) == 0 &&
	    (st.st_mode & S_IWOTH))
		conf_error_add(ld->warnings, conf->path, 0, 0, NULL,
		    "everybody can write to this file");
}

void
conf_check(struct conf_loading *ld)
{
	const struct conf *conf = ld->conf;
	size_t i;

	if (conf->default_timeout > conf->max_timeout)
		rule(ld, "default_timeout", "max_timeout",
		    "must not exceed max_timeout");
	if (conf->default_startup_timeout > conf->max_startup_timeout)
		rule(ld, "default_startup_timeout", "max_startup_timeout",
		    "must not exceed max_startup_timeout");
	if (conf->session_idle_timeout_seconds > conf->session_max_ttl_seconds)
		rule(ld, "session_idle_timeout_seconds",
		    "session_max_ttl_seconds",
		    "must not exceed session_max_ttl_seconds");
	if (conf->api_auth_enabled && conf->n_api_keys == 0)
		rule(ld, "api_keys", "api_auth_enabled",
		    "must have at least one key where api_auth_enabled is "
		    "true");
	for (i = 1; i < conf->n_api_keys; i++)
		check_api_key(ld, i);
	if (conf->container_runtime == RUNTIME_RUNC &&
	    conf->security_mode == SECURITY_STRICT)
		rule(ld, "container_runtime", "security_mode",
		    "runc needs security_mode: permissive; strict is for "
		    "runsc");
	if (conf->api_max_connections_per_source > conf->api_max_connections)
		rule(ld, "api_max_connections_per_source",
		    "api_max_connections",
		    "must not exceed api_max_connections");
	if (conf->artifact_store == ARTIFACTS_S3 && conf->s3_bucket == NULL)
		rule(ld, "s3_bucket", "artifact_store",
		    "must name a bucket where artifact_store is s3");
	if (conf->s3_bucket != NULL && conf->s3_credentials_file == NULL)
		rule(ld, "s3_credentials_file", "s3_bucket",
		    "must name the file with the access key where s3_bucket "
		    "is given");
	check_listen(ld);
	check_limits(ld);
	for (i = 0; i < conf->n_job_types; i++)
		check_job_type(ld, i);
	check_warnings(ld);
}
