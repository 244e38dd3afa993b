/*
 * conf.h: the configuration, read from YAML, the environment and flags, and
 * checked against one table (conf_table.c). Used by takod and takoctl; no
 * other process sees it.
 */
#ifndef CONF_H
#define CONF_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tako.h"

struct conf_list { /* of strings, in the file's order */
	char **items;
	size_t n;
};

struct conf_env { /* names and values, in the file's order */
	char **names;
	char **values;
	size_t n;
};

enum gpu_vendor {
	GPU_NONE,
	GPU_NVIDIA,
	GPU_AMD
};

struct conf_gpu {
	int enabled;
	enum gpu_vendor vendor;
	int count; /* 0: not given */
	struct conf_list device_ids;
};

#define CONF_MAX_PRELOAD 32  /* modules: a bit for each, in messages */
#define CONF_MAX_MODULE	 128 /* characters of a module's name */

struct conf_job_type {
	char *name;
	struct conf_list requirements;
	char *python_version;
	char *base_image; /* NULL: docker_image */
	struct conf_list shared_code;
	struct conf_env environment;
	uint64_t memory_limit; /* bytes */
	double cpu_limit;
	int timeout;
	int startup_timeout;
	int network_enabled;
	struct conf_list allowed_hosts; /* none: every public address */
	int session_enabled;
	struct conf_gpu gpu;
	int warm_pool_size; /* takod; -1: not given */
	struct conf_list preload;
	int builtin;
};

/* What a tenant may have: takod.conf(5), Tenants. 0: no limit. */
struct conf_tenant {
	int weight, priority;
	int max_queued, max_running;
	int jobs_per_window, cpu_seconds_per_window;
};

struct conf_api_key {
	char *name;    /* of the key, and of whoever uses it */
	char *key;     /* NULL once it was forgotten */
	int named;     /* by the file; else the name comes of the key */
	int from_file; /* it is one of api_key_files */
	uint8_t digest[TAKO_SHA256];
	struct conf_tenant own; /* -1: as tenant_defaults has it */
};

struct conf_limits {
	int nofile_soft, nofile_hard;
	int nproc_soft, nproc_hard;
	uint64_t fsize;	     /* bytes */
	uint64_t tmpfs_size; /* bytes */
	int pids_limit;
};

enum conf_security {
	SECURITY_STRICT,
	SECURITY_PERMISSIVE
};
enum conf_engine {
	CONF_ENGINE_AUTO,
	CONF_ENGINE_OCI,
	CONF_ENGINE_DOCKER
};
enum conf_log_format {
	LOG_FORMAT_TEXT,
	LOG_FORMAT_JSON
};

enum conf_artifacts {
	ARTIFACTS_LOCAL,
	ARTIFACTS_DATABASE,
	ARTIFACTS_S3
};

enum conf_from {
	CONF_FROM_DEFAULT,
	CONF_FROM_FILE,
	CONF_FROM_VARIABLE
};

struct conf_origin { /* where an effective value came from */
	enum conf_from from;
	unsigned line; /* in the file, from 1 */
};

/* Every key of takod.conf(5), under its own name. */
struct conf {
	char *path; /* the file read; NULL: defaults only */
	/* One a key (conf_origin); for conf_print and messages. */
	struct conf_origin *origins;

	int production_mode;
	int log_level; /* enum log_level */
	char *server_host;
	int server_port;
	int allow_unauthenticated_network_access;
	uint64_t api_max_payload_bytes;
	int api_auth_enabled;
	struct conf_api_key *api_keys;
	size_t n_api_keys; /* those of api_key_files included */
	struct conf_list api_key_files;
	int api_auth_failures;
	char *api_auth_header;
	int api_rate_limit_enabled;
	int api_rate_limit_requests;
	int api_rate_limit_window_seconds;
	int max_retry_attempts;
	double retry_base_delay;
	double queue_wait_timeout;
	char *data_dir; /* absolute once loaded */
	char *database_url;
	int database_url_default;   /* nobody named one */
	char *seccomp_profile_path; /* NULL: the installed one */
	int max_workers;
	int max_queue_size;
	uint64_t max_stdout_bytes, max_stderr_bytes;
	uint64_t max_artifact_bytes, max_total_artifacts_bytes;
	uint64_t max_input_bytes, max_code_bytes;
	int default_timeout, max_timeout;
	int default_startup_timeout, max_startup_timeout;
	int execution_record_ttl_days, dlq_ttl_days;
	char *docker_image;
	int enable_seccomp, enable_cap_restrictions;
	int enable_userns;		/* -1: nobody said; takod decides */
	enum runtime container_runtime; /* runsc or runc */
	enum conf_security security_mode;
	struct conf_limits container_limits;
	int allow_runtime_requirements;
	char *dependency_proxy_url;
	int enable_runtime_dependency_cache;
	int sessions_enabled;
	int session_idle_timeout_seconds;
	int session_max_ttl_seconds;
	int session_max_concurrent;
	struct conf_job_type *job_types; /* built-in ones included */
	size_t n_job_types;

	/* takod's own */
	enum conf_engine engine;
	char *docker_host;			/* unix:///path */
	char *runsc_path, *runc_path;		/* name or path */
	struct conf_list runsc_args, runc_args; /* before the command */
	char *rootfs;				/* NULL: the built image */
	int warm_pool_size; /* of the default type; -1: not given */
	int warm_pool_idle_seconds;
	char *api_user; /* NULL: as takod.8 says */
	char *worker_user;
	uint64_t uid_base; /* first numeric id; 0: chosen */
	char *node_name;   /* NULL: <instance>@<host name> */
	int lease_seconds; /* 30 */
	enum conf_artifacts artifact_store;
	char *s3_endpoint; /* http[s]://host[:port]; NULL: AWS's */
	char *s3_bucket;   /* NULL: no S3 */
	char *s3_region, *s3_prefix;
	char *s3_credentials_file;
	char *control_socket; /* NULL: data_dir/takod.sock */
	char *control_group;  /* NULL: root's */
	enum conf_log_format log_format;
	int drain_timeout; /* s: 30 */
	int require_landlock;
	struct conf_tenant tenant_defaults;
	int budget_window_seconds;
	int priority_ageing_seconds;
	struct conf_list api_hostnames;
	int api_max_connections, api_max_connections_per_source;
	int api_header_timeout_ms, api_body_timeout_ms;
	int api_idle_timeout_ms, api_write_timeout_ms;
	int api_min_rate_bytes;
	int api_pipeline_depth;
	int api_max_request_line_bytes, api_max_header_bytes;
	int api_max_header_fields;
	uint64_t api_max_memory_bytes;
	struct conf_list server_listen;
	struct conf_list trusted_proxies;
	char *tls_certificate_file, *tls_key_file; /* NULL: no TLS */
	struct conf_list cors_origins;
	char *package_index_url;
	struct conf_list package_extra_index_urls, package_hosts;
	char *package_netrc_file;	 /* NULL: no credentials */
	char *package_certificates_file; /* NULL: the host's */
	char *package_pip_wheel;	 /* NULL: the host's newest */
	int package_source_builds;
	uint64_t layer_max_bytes, layer_cache_bytes;
	int layer_timeout; /* s */
	struct conf_list network_allow, network_deny;
};

enum listen_kind {
	LISTEN_TCP,
	LISTEN_UNIX,
	LISTEN_SYSTEMD
};

/* One item of server_listen. */
struct conf_listen {
	enum listen_kind kind;
	char host[256];
	int port;
	char path[108]; /* systemd: the socket's name; "": all of them */
	unsigned mode;
	char group[64]; /* "": as it comes */
	int tls, proxy;
};
/* NULL, or what is wrong with it. */
const char *conf_listen_parse(const char *, struct conf_listen *);
/* The listeners: of server_listen, else the one of server_host. */
size_t conf_listen_count(const struct conf *);
void conf_listen_get(const struct conf *, size_t, struct conf_listen *);

/* One item of trusted_proxies; IPv4 as ::ffff:0:0/96. */
struct conf_network {
	uint8_t prefix[16];
	unsigned bits;
	int local; /* unix: whoever comes over a Unix socket */
};
const char *conf_network_parse(const char *, struct conf_network *);

/* One item of allowed_hosts: a name, or addresses. */
struct conf_host {
	char name[256];		/* "": it is to */
	struct conf_network to; /* which no name has */
	int port;		/* 0: those of HTTP and HTTPS */
};
/* host:port of a URL that was checked, as such an item; the caller's. */
char *conf_url_host(const char *url);
/* NULL, or what is wrong with it. */
const char *conf_host_parse(const char *, struct conf_host *);
/* Whether a job type has a network. */
int conf_networks(const struct conf *);
/* That, or whether what installs packages may need one. */
int conf_may_network(const struct conf *);

/* What is wrong with a file or a variable; printed one a line. */
struct conf_error {
	char *file;	       /* NULL: a variable */
	unsigned line, column; /* from 1; 0: of no one place */
	char *key;	       /* dotted path, or the variable's name */
	char *text;	       /* never a value */
};

struct conf_errors {
	struct conf_error *items;
	size_t n;
};

/*
 * Finds and reads the configuration as takod.conf(5) says: path (from -c)
 * wins, NULL searches. Returns a conf that conf_free ends, or NULL with at
 * least one error. Warnings (protected mode ...) go to warnings. Both lists
 * are set by the call (what they held is lost) and freed by conf_errors_free.
 */
struct conf *conf_load(
    const char *path, struct conf_errors *errors, struct conf_errors *warnings);
/*
 * The file that conf_load(NULL) would read, the caller's to free; NULL when
 * there is none. *named is 1 when TAKO_VM_CONFIG names it (then it may be
 * missing).
 */
char *conf_find(int *named);
void conf_free(struct conf *); /* NULL is allowed */
void conf_errors_free(struct conf_errors *);
/* "file:line:column: key: text" */
void conf_error_print(FILE *, const struct conf_error *);

#define CONF_PRINT_JSON	    0x01 /* one object instead of YAML */
#define CONF_PRINT_DEFAULTS 0x02 /* comments: the default, and restarts too */
#define CONF_PRINT_SECRETS  0x04 /* as they are instead of masked */
/*
 * Prints every key with its effective value; in YAML with a comment that says
 * where each came from. Both forms load again. Returns -1 when writing failed.
 */
int conf_print(FILE *, const struct conf *, unsigned flags);
/* Writes s as a JSON string, quotes included (valid YAML also). */
void conf_print_string(FILE *, const char *s);

/* A key whose values differ: as JSON, secrets masked; job types by name. */
struct conf_change {
	const char *key;
	char *before, *after;
	int restart; /* it needs a restart */
};
/* *list is the caller's, for conf_changes_free. Returns their number. */
size_t conf_changes(const struct conf *running, const struct conf *fresh,
    struct conf_change **list);
void conf_changes_free(struct conf_change *, size_t n);
/* Exchanges the values of all keys that need a restart. */
void conf_keep_fixed(struct conf *fresh, struct conf *running);

/* Keeps the digests of API keys alone: who only compares needs no more. */
void conf_forget_keys(struct conf *);

/* The job type of that name (an @version is ignored), or NULL. */
const struct conf_job_type *conf_job_type(
    const struct conf *, const char *name);

#endif
