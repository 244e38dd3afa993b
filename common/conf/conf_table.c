/*
 * conf_table.c: the one table of keys. Reading, checking, printing, reload,
 * messages and the manual's check all go by it: a key is added by a row here,
 * its field in conf.h and its entry in takod.conf(5). Used by takod and
 * takoctl.
 */
#include <limits.h>
#include <stddef.h>
#include <string.h>

#include "conf_int.h"
#include "log.h"
#include "util.h"

#define MIB  1024.0  /* of a gigabyte */
#define SOME INT_MAX /* no bound */

static const struct conf_name levels[] = {
	{ "DEBUG", LOG_LEVEL_DEBUG },
	{ "INFO", LOG_LEVEL_INFO },
	{ "WARNING", LOG_LEVEL_WARNING },
	{ "ERROR", LOG_LEVEL_ERROR },
	{ "CRITICAL", LOG_LEVEL_CRITICAL },
	{ NULL, 0 },
};
static const struct conf_name runtimes[] = {
	{ "runsc", RUNTIME_RUNSC },
	{ "runc", RUNTIME_RUNC },
	{ NULL, 0 },
};
static const struct conf_name modes[] = {
	{ "strict", SECURITY_STRICT },
	{ "permissive", SECURITY_PERMISSIVE },
	{ NULL, 0 },
};
static const struct conf_name engines[] = {
	{ "auto", CONF_ENGINE_AUTO },
	{ "oci", CONF_ENGINE_OCI },
	{ "docker", CONF_ENGINE_DOCKER },
	{ NULL, 0 },
};
static const struct conf_name formats[] = {
	{ "text", LOG_FORMAT_TEXT },
	{ "json", LOG_FORMAT_JSON },
	{ NULL, 0 },
};
static const struct conf_name artifact_stores[] = {
	{ "local", ARTIFACTS_LOCAL },
	{ "database", ARTIFACTS_DATABASE },
	{ "s3", ARTIFACTS_S3 },
	{ NULL, 0 },
};
static const struct conf_name vendors[] = {
	{ "nvidia", GPU_NVIDIA },
	{ "amd", GPU_AMD },
	{ NULL, 0 },
};

#define AT(s, f) .name = #f, .offset = offsetof(struct s, f)
#define LIVE	 .reload = RELOAD_LIVE
#define RESTART	 .reload = RELOAD_RESTART
#define ENV(v)	 .env = "TAKO_VM_" v
#define IN(a, b) .min = (a), .max = (b)

/* clang-format off */
const struct conf_key conf_limit_keys[] = {
	{ AT(conf_limits, nofile_soft), .type = CONF_INT, .def = "256",
	    IN(64, 65536), LIVE, .text = "open files of a process, soft" },
	{ AT(conf_limits, nofile_hard), .type = CONF_INT, .def = "256",
	    IN(64, 65536), LIVE, .text = "open files of a process, hard" },
	{ AT(conf_limits, nproc_soft), .type = CONF_INT, .def = "50",
	    IN(10, 1000), LIVE, .text = "processes of the job's user, soft" },
	{ AT(conf_limits, nproc_hard), .type = CONF_INT, .def = "50",
	    IN(10, 1000), LIVE, .text = "processes of the job's user, hard" },
	{ AT(conf_limits, fsize), .type = CONF_SIZE, .def = "104857600",
	    IN(1048576, 1073741824), LIVE, .text = "bytes of one file" },
	{ AT(conf_limits, tmpfs_size), .type = CONF_BYTES, .def = "100m",
	    IN(10, 2 * MIB), LIVE, .text = "size of /tmp" },
	{ AT(conf_limits, pids_limit), .type = CONF_INT, .def = "100",
	    IN(10, 1000), LIVE, .text = "processes and threads of a job" },
	{ .name = NULL },
};

/* What a tenant may have. */
const struct conf_key conf_tenant_keys[] = {
	{ AT(conf_tenant, weight), .type = CONF_INT,
	    .def = "1", IN(1, 1000), LIVE, .flags = CK_OWN,
	    .text = "part of the turns" },
	{ AT(conf_tenant, priority), .type = CONF_INT,
	    .def = "0", IN(0, 9), LIVE, .flags = CK_OWN,
	    .text = "the highest take turns first" },
	{ AT(conf_tenant, max_queued), .type = CONF_INT,
	    .def = "0", IN(0, 10000), LIVE, .flags = CK_OWN,
	    .text = "jobs that may wait" },
	{ AT(conf_tenant, max_running), .type = CONF_INT,
	    .def = "0", IN(0, 10000), LIVE, .flags = CK_OWN,
	    .text = "jobs that may run at once" },
	{ AT(conf_tenant, jobs_per_window), .type = CONF_INT,
	    .def = "0", IN(0, SOME), LIVE, .flags = CK_OWN,
	    .text = "jobs taken in a window" },
	{ AT(conf_tenant, cpu_seconds_per_window), .type = CONF_INT,
	    .def = "0", IN(0, SOME), LIVE, .flags = CK_OWN,
	    .text = "seconds of processor time in a window" },
	{ .name = NULL },
};

/* The same for one key: null is as tenant_defaults has it. */
const struct conf_key conf_api_key_keys[] = {
	{ AT(conf_api_key, name), .type = CONF_TEXT, LIVE,
	    .flags = CK_REQUIRED | CK_OWN, .check = conf_check_name,
	    .text = "its name, and that of whoever uses it" },
	{ AT(conf_api_key, key), .type = CONF_TEXT, LIVE,
	    .flags = CK_REQUIRED | CK_SECRET | CK_OWN, .check = conf_check_key,
	    .text = "the key" },
	{ .name = "weight", .offset = offsetof(struct conf_api_key, own.weight), .type = CONF_INT,
	    IN(1, 1000), LIVE, .flags = CK_OWN | CK_NULL | CK_UNSET,
	    .text = "part of the turns" },
	{ .name = "priority", .offset = offsetof(struct conf_api_key, own.priority), .type = CONF_INT,
	    IN(0, 9), LIVE, .flags = CK_OWN | CK_NULL | CK_UNSET,
	    .text = "the highest take turns first" },
	{ .name = "max_queued", .offset = offsetof(struct conf_api_key, own.max_queued), .type = CONF_INT,
	    IN(0, 10000), LIVE, .flags = CK_OWN | CK_NULL | CK_UNSET,
	    .text = "jobs that may wait" },
	{ .name = "max_running", .offset = offsetof(struct conf_api_key, own.max_running), .type = CONF_INT,
	    IN(0, 10000), LIVE, .flags = CK_OWN | CK_NULL | CK_UNSET,
	    .text = "jobs that may run at once" },
	{ .name = "jobs_per_window", .offset = offsetof(struct conf_api_key, own.jobs_per_window), .type = CONF_INT,
	    IN(0, SOME), LIVE, .flags = CK_OWN | CK_NULL | CK_UNSET,
	    .text = "jobs taken in a window" },
	{ .name = "cpu_seconds_per_window", .offset = offsetof(struct conf_api_key, own.cpu_seconds_per_window), .type = CONF_INT,
	    IN(0, SOME), LIVE, .flags = CK_OWN | CK_NULL | CK_UNSET,
	    .text = "seconds of processor time in a window" },
	{ .name = NULL },
};

const struct conf_key conf_gpu_keys[] = {
	{ AT(conf_gpu, enabled), .type = CONF_BOOL, .def = "false", LIVE,
	    .text = "the job type uses graphics processors" },
	{ AT(conf_gpu, vendor), .type = CONF_ENUM, .values = vendors, LIVE,
	    .flags = CK_NULL | CK_ANYCASE | CK_TRIM, .text = "their maker" },
	{ AT(conf_gpu, count), .type = CONF_INT, IN(1, 16), LIVE,
	    .flags = CK_NULL, .text = "how many of them (nvidia only)" },
	{ AT(conf_gpu, device_ids), .type = CONF_TEXTS, IN(0, 16), LIVE,
	    .check = conf_check_device, .text = "which of them" },
	{ .name = NULL },
};

const struct conf_key conf_job_type_keys[] = {
	{ AT(conf_job_type, name), .type = CONF_TEXT, LIVE,
	    .flags = CK_REQUIRED, .check = conf_check_name,
	    .text = "the name that a request gives" },
	{ AT(conf_job_type, requirements), .type = CONF_TEXTS,
	    IN(0, CONF_MAX_ITEMS), LIVE, .text = "packages that its jobs can import" },
	{ AT(conf_job_type, python_version), .type = CONF_TEXT, LIVE,
	    .def = "3.11", .text = "version of Python of its image" },
	{ AT(conf_job_type, base_image), .type = CONF_TEXT, LIVE,
	    .flags = CK_NULL, .text = "image to build on" },
	{ AT(conf_job_type, shared_code), .type = CONF_TEXTS,
	    IN(0, CONF_MAX_ITEMS), LIVE,
	    .text = "files to put in, below the configuration's folder" },
	{ AT(conf_job_type, environment), .type = CONF_PAIRS,
	    IN(0, CONF_MAX_ITEMS), LIVE,
	    .text = "variables of the job; user code can read them" },
	{ AT(conf_job_type, memory_limit), .type = CONF_BYTES, .def = "512m",
	    IN(64, 32 * MIB), LIVE, .flags = CK_MEGA, .text = "memory" },
	{ AT(conf_job_type, cpu_limit), .type = CONF_FLOAT, .def = "1.0",
	    IN(0.1, 16), LIVE, .text = "processors" },
	{ AT(conf_job_type, timeout), .type = CONF_INT, .def = "30",
	    IN(1, 3600), LIVE, .text = "seconds that the code may run" },
	{ AT(conf_job_type, startup_timeout), .type = CONF_INT, .def = "120",
	    IN(10, 600), LIVE, .text = "seconds that the start may take" },
	{ AT(conf_job_type, network_enabled), .type = CONF_BOOL,
	    .def = "false", LIVE, .text = "network access" },
	{ AT(conf_job_type, allowed_hosts), .type = CONF_TEXTS, IN(0, 64),
	    LIVE, .flags = CK_OWN, .check = conf_check_allowed,
	    .text = "the only hosts to reach; none: all public addresses" },
	{ AT(conf_job_type, session_enabled), .type = CONF_BOOL,
	    .def = "false", LIVE, .text = "may be used for sessions" },
	{ AT(conf_job_type, gpu), .type = CONF_FIELDS, LIVE,
	    .fields = conf_gpu_keys, .text = "graphics processors" },
	{ AT(conf_job_type, warm_pool_size), .type = CONF_INT, IN(0, 64),
	    LIVE, .flags = CK_NULL | CK_UNSET | CK_OWN,
	    .text = "sandboxes of this type kept ready" },
	{ AT(conf_job_type, preload), .type = CONF_TEXTS,
	    IN(0, CONF_MAX_PRELOAD), LIVE, .flags = CK_OWN,
	    .check = conf_check_module,
	    .text = "modules that its interpreter has imported ahead" },
	{ .name = NULL },
};

const struct conf_key conf_keys[] = {
	{ AT(conf, production_mode), .type = CONF_BOOL, .def = "false", LIVE,
	    .text = "only pre-built images; unknown job types are errors" },
	{ AT(conf, log_level), .type = CONF_ENUM, .def = "INFO", LIVE,
	    .values = levels, .flags = CK_ANYCASE, .text = "least level logged" },
	{ AT(conf, server_host), .type = CONF_TEXT, .def = "127.0.0.1", LIVE,
	    ENV("SERVER_HOST"), .check = conf_check_host, .text = "address or name to listen on" },
	{ AT(conf, server_port), .type = CONF_INT, .def = "8000",
	    IN(1, 65535), LIVE, ENV("SERVER_PORT"), .text = "TCP port to listen on" },
	{ AT(conf, allow_unauthenticated_network_access), .type = CONF_BOOL,
	    .def = "false", LIVE,
	    ENV("ALLOW_UNAUTHENTICATED_NETWORK_ACCESS"),
	    .text = "serve other hosts without keys: something else guards" },
	{ AT(conf, api_max_payload_bytes), .type = CONF_SIZE,
	    .def = "2097152", IN(1024, 104857600), LIVE,
	    ENV("API_MAX_PAYLOAD_BYTES"), .text = "bytes of a request body" },
	{ AT(conf, api_auth_enabled), .type = CONF_BOOL, .def = "false", LIVE,
	    ENV("API_AUTH_ENABLED"), .text = "requests need a key" },
	{ AT(conf, api_keys), .type = CONF_KEYS, IN(0, CONF_MAX_ITEMS), LIVE,
	    ENV("API_KEYS"), .flags = CK_SECRET, .check = conf_check_key,
	    .fields = conf_api_key_keys, .text = "the keys" },
	{ AT(conf, api_auth_header), .type = CONF_TEXT, .def = "X-API-Key",
	    LIVE, ENV("API_AUTH_HEADER"), .check = conf_check_header,
	    .text = "header field that carries the key" },
	{ AT(conf, api_rate_limit_enabled), .type = CONF_BOOL, .def = "true",
	    LIVE, ENV("API_RATE_LIMIT_ENABLED"),
	    .text = "limit the requests of each client" },
	{ AT(conf, api_rate_limit_requests), .type = CONF_INT, .def = "120",
	    IN(1, 100000), LIVE, ENV("API_RATE_LIMIT_REQUESTS"),
	    .text = "requests of a client in one window" },
	{ AT(conf, api_rate_limit_window_seconds), .type = CONF_INT,
	    .def = "60", IN(1, 3600), LIVE,
	    ENV("API_RATE_LIMIT_WINDOW_SECONDS"),
	    .text = "seconds of that window" },
	{ AT(conf, max_retry_attempts), .type = CONF_INT, .def = "2",
	    IN(1, 10), LIVE, .text = "attempts in all, for passing faults" },
	{ AT(conf, retry_base_delay), .type = CONF_FLOAT, .def = "1.0",
	    IN(0.1, 60), LIVE, .text = "seconds before the first retry" },
	{ AT(conf, queue_wait_timeout), .type = CONF_FLOAT, .def = "1.0",
	    IN(0.1, 30), LIVE,
	    .text = "seconds between looks at the queue without a wake-up" },
	{ AT(conf, data_dir), .also = "data_dir_str", .type = CONF_TEXT,
	    RESTART, ENV("DATA_DIR"), .flags = CK_LINE,
	    .text = "where takod keeps what it keeps" },
	{ AT(conf, database_url), .type = CONF_TEXT, RESTART,
	    ENV("DATABASE_URL"), .flags = CK_SECRET,
	    .check = conf_check_database, .text = "PostgreSQL or SQLite" },
	{ AT(conf, seccomp_profile_path), .also = "seccomp_profile_path_str",
	    .type = CONF_TEXT, RESTART, .flags = CK_NULL,
	    .text = "system call profile of jobs; null: the installed one" },
	{ AT(conf, max_workers), .type = CONF_INT, .def = "4", IN(1, 64),
	    LIVE, .text = "jobs that run at once" },
	{ AT(conf, max_queue_size), .type = CONF_INT, .def = "100",
	    IN(1, 10000), LIVE, .text = "jobs that may wait" },
	{ AT(conf, max_stdout_bytes), .type = CONF_SIZE, .def = "65536",
	    IN(1024, 104857600), LIVE, .text = "bytes kept of stdout" },
	{ AT(conf, max_stderr_bytes), .type = CONF_SIZE, .def = "65536",
	    IN(1024, 104857600), LIVE, .text = "bytes kept of stderr" },
	{ AT(conf, max_artifact_bytes), .type = CONF_SIZE, .def = "10485760",
	    IN(1024, 1073741824), LIVE, .text = "bytes of one artifact" },
	{ AT(conf, max_total_artifacts_bytes), .type = CONF_SIZE,
	    .def = "52428800", IN(1024, 10737418240.0), LIVE,
	    .text = "bytes of all artifacts of a job" },
	{ AT(conf, max_input_bytes), .type = CONF_SIZE, .def = "1048576",
	    IN(1024, 104857600), LIVE, .text = "bytes of a job's input" },
	{ AT(conf, max_code_bytes), .type = CONF_SIZE, .def = "102400",
	    IN(1024, 10485760), LIVE, .text = "bytes of a job's code" },
	{ AT(conf, default_timeout), .type = CONF_INT, .def = "30",
	    IN(1, 3600), LIVE, .text = "seconds that code may run" },
	{ AT(conf, max_timeout), .type = CONF_INT, .def = "300",
	    IN(1, 86400), LIVE, .text = "the most that a request may ask" },
	{ AT(conf, default_startup_timeout), .type = CONF_INT, .def = "120",
	    IN(10, 600), LIVE, .text = "seconds that a start may take" },
	{ AT(conf, max_startup_timeout), .type = CONF_INT, .def = "600",
	    IN(30, 1800), LIVE, .text = "the most that a request may ask" },
	{ AT(conf, execution_record_ttl_days), .type = CONF_INT, .def = "30",
	    IN(1, 3650), LIVE, .text = "days that a record is kept" },
	{ AT(conf, dlq_ttl_days), .type = CONF_INT, .def = "30",
	    IN(1, 365), LIVE, .text = "days that a dead letter is kept" },
	{ AT(conf, docker_image), .type = CONF_TEXT,
	    .def = "code-executor:latest", LIVE, .flags = CK_LINE,
	    .text = "image that jobs run in" },
	{ AT(conf, enable_seccomp), .type = CONF_BOOL, .def = "true", RESTART,
	    ENV("ENABLE_SECCOMP"), .text = "system call filter of jobs" },
	{ AT(conf, enable_cap_restrictions), .type = CONF_BOOL, .def = "true",
	    LIVE, ENV("ENABLE_CAP_RESTRICTIONS"),
	    .text = "jobs have no capabilities" },
	{ AT(conf, enable_userns), .type = CONF_BOOL, LIVE,
	    .flags = CK_UNSET, .text = "user namespace of a job" },
	{ AT(conf, container_runtime), .type = CONF_ENUM, .def = "runsc",
	    RESTART, ENV("CONTAINER_RUNTIME"), .values = runtimes,
	    .text = "runsc (gVisor) or runc" },
	{ AT(conf, security_mode), .type = CONF_ENUM, .def = "strict",
	    RESTART, ENV("SECURITY_MODE"), .values = modes,
	    .text = "strict needs gVisor; permissive falls back to runc" },
	{ AT(conf, container_limits), .type = CONF_FIELDS, LIVE,
	    .fields = conf_limit_keys, .text = "limits of every container" },
	{ AT(conf, allow_runtime_requirements), .type = CONF_BOOL,
	    .def = "false", LIVE, ENV("ALLOW_RUNTIME_REQUIREMENTS"),
	    .text = "requests may name packages to install" },
	{ AT(conf, dependency_proxy_url), .type = CONF_TEXT, LIVE,
	    ENV("DEPENDENCY_PROXY_URL"), .flags = CK_NULL | CK_SECRET,
	    .check = conf_check_proxy, .text = "proxy of those installs" },
	{ AT(conf, enable_runtime_dependency_cache), .type = CONF_BOOL,
	    .def = "false", LIVE, ENV("ENABLE_RUNTIME_DEPENDENCY_CACHE"),
	    .text = "keep what they installed, while there is room" },
	{ AT(conf, sessions_enabled), .type = CONF_BOOL, .def = "false", LIVE,
	    ENV("SESSIONS_ENABLED"), .text = "long-running sessions" },
	{ AT(conf, session_idle_timeout_seconds), .type = CONF_INT,
	    .def = "1800", IN(30, 86400), LIVE,
	    ENV("SESSION_IDLE_TIMEOUT_SECONDS"),
	    .text = "seconds after which an idle session ends" },
	{ AT(conf, session_max_ttl_seconds), .type = CONF_INT,
	    .def = "86400", IN(60, 604800), LIVE,
	    ENV("SESSION_MAX_TTL_SECONDS"),
	    .text = "seconds after which any session ends" },
	{ AT(conf, session_max_concurrent), .type = CONF_INT, .def = "50",
	    IN(1, SOME), LIVE, ENV("SESSION_MAX_CONCURRENT"),
	    .text = "sessions at once" },
	{ .name = "job_types", .type = CONF_TYPES, IN(0, CONF_MAX_ITEMS),
	    .offset = offsetof(struct conf, job_types), LIVE,
	    .fields = conf_job_type_keys, .text = "job types" },

	{ AT(conf, engine), .type = CONF_ENUM, .def = "auto", RESTART,
	    .values = engines, .flags = CK_OWN,
	    .text = "oci, docker, or auto: Docker where it answers" },
	{ AT(conf, docker_host), .type = CONF_TEXT, RESTART,
	    .def = "unix:///var/run/docker.sock", .flags = CK_OWN,
	    .check = conf_check_docker_host, .text = "Docker's socket" },
	{ AT(conf, runsc_path), .type = CONF_TEXT, .def = "runsc", RESTART,
	    .flags = CK_OWN | CK_LINE, .text = "name or path of runsc" },
	{ AT(conf, runsc_args), .type = CONF_TEXTS, IN(0, 64), RESTART,
	    .flags = CK_OWN, .text = "arguments before its command" },
	{ AT(conf, runc_path), .type = CONF_TEXT, .def = "runc", RESTART,
	    .flags = CK_OWN | CK_LINE, .text = "name or path of runc" },
	{ AT(conf, runc_args), .type = CONF_TEXTS, IN(0, 64), RESTART,
	    .flags = CK_OWN, .text = "arguments before its command" },
	{ AT(conf, rootfs), .type = CONF_TEXT, LIVE,
	    .flags = CK_OWN | CK_NULL | CK_LINE,
	    .text = "root of the OCI engine's jobs; null: the built image" },
	{ AT(conf, warm_pool_size), .type = CONF_INT, IN(0, 64), LIVE,
	    .flags = CK_NULL | CK_UNSET | CK_OWN,
	    .text = "sandboxes of the default type kept ready" },
	{ AT(conf, warm_pool_idle_seconds), .type = CONF_INT, .def = "300",
	    IN(1, 86400), LIVE, .flags = CK_OWN,
	    .text = "seconds after which nobody asks for a type any more" },
	{ AT(conf, api_user), .type = CONF_TEXT, RESTART,
	    .flags = CK_OWN | CK_NULL | CK_LINE,
	    .text = "user of the HTTP front; null: as in takod(8)" },
	{ AT(conf, worker_user), .type = CONF_TEXT, RESTART,
	    .flags = CK_OWN | CK_NULL | CK_LINE,
	    .text = "user of the workers; null: as in takod(8)" },
	{ AT(conf, uid_base), .type = CONF_SIZE, .def = "0",
	    IN(0, 4294000000.0), RESTART, .flags = CK_OWN,
	    .text = "first of the numeric user ids; 0: chosen" },
	{ AT(conf, node_name), .type = CONF_TEXT, RESTART,
	    .flags = CK_OWN | CK_NULL, .check = conf_check_node,
	    .text = "name among the takods of one database; null: as in "
		    "takod(8)" },
	{ AT(conf, lease_seconds), .type = CONF_INT, .def = "30",
	    IN(3, 3600), RESTART, .flags = CK_OWN,
	    .text = "seconds that a job outlives its takod's last sign" },
	{ AT(conf, artifact_store), .type = CONF_ENUM, .def = "local", RESTART,
	    .values = artifact_stores, .flags = CK_OWN,
	    .text = "local (data_dir), database, or s3: where new artifacts go" },
	{ AT(conf, s3_endpoint), .type = CONF_TEXT, RESTART,
	    .flags = CK_OWN | CK_NULL, .check = conf_check_s3_endpoint,
	    .text = "URL of the S3 service; null: AWS's in s3_region" },
	{ AT(conf, s3_bucket), .type = CONF_TEXT, RESTART,
	    .flags = CK_OWN | CK_NULL, .check = conf_check_s3_bucket,
	    .text = "bucket that artifacts go to" },
	{ AT(conf, s3_region), .type = CONF_TEXT, .def = "us-east-1", RESTART,
	    .flags = CK_OWN, .check = conf_check_s3_region,
	    .text = "region that requests are signed for" },
	{ AT(conf, s3_prefix), .type = CONF_TEXT, .def = "", RESTART,
	    .flags = CK_OWN, .check = conf_check_s3_prefix,
	    .text = "what all keys begin with" },
	{ AT(conf, s3_credentials_file), .type = CONF_TEXT, RESTART,
	    .flags = CK_OWN | CK_NULL | CK_LINE,
	    .text = "file with the access key; read again when it changes" },
	{ AT(conf, control_socket), .type = CONF_TEXT, RESTART,
	    .flags = CK_OWN | CK_NULL | CK_LINE,
	    .text = "socket of takoctl(8); null: data_dir/takod.sock" },
	{ AT(conf, control_group), .type = CONF_TEXT, RESTART,
	    .flags = CK_OWN | CK_NULL | CK_LINE,
	    .text = "group that may use it; null: root's" },
	{ AT(conf, log_format), .type = CONF_ENUM, .def = "text", RESTART,
	    .values = formats, .flags = CK_OWN, .text = "text or json" },
	{ AT(conf, require_landlock), .type = CONF_BOOL, .def = "true", RESTART,
	    .flags = CK_OWN, .text = "no start on a kernel without Landlock" },
	{ AT(conf, drain_timeout), .type = CONF_INT, .def = "30",
	    IN(0, 86400), LIVE, .flags = CK_OWN,
	    .text = "seconds that jobs have to end when takod stops" },
	{ AT(conf, tenant_defaults), .type = CONF_FIELDS, LIVE,
	    .flags = CK_OWN, .fields = conf_tenant_keys,
	    .text = "what each key or address may have" },
	{ AT(conf, budget_window_seconds), .type = CONF_INT, .def = "3600",
	    IN(60, 86400), LIVE, .flags = CK_OWN,
	    .text = "seconds of a window of the budgets" },
	{ AT(conf, priority_ageing_seconds), .type = CONF_INT, .def = "60",
	    IN(1, 86400), LIVE, .flags = CK_OWN,
	    .text = "seconds after which a lower priority gets a turn too" },
	{ AT(conf, api_hostnames), .type = CONF_TEXTS, IN(0, 64), LIVE,
	    .flags = CK_OWN, .check = conf_check_hostname,
	    .text = "names by which local clients may call" },
	{ AT(conf, api_max_connections), .type = CONF_INT, .def = "512",
	    IN(1, 65536), LIVE, .flags = CK_OWN, .text = "connections" },
	{ AT(conf, api_max_connections_per_source), .type = CONF_INT,
	    .def = "32", IN(1, 65536), LIVE, .flags = CK_OWN,
	    .text = "connections of one address" },
	{ .name = "api_header_timeout", .type = CONF_MS, .def = "10",
	    .offset = offsetof(struct conf, api_header_timeout_ms),
	    IN(0.1, 3600), LIVE, .flags = CK_OWN,
	    .text = "seconds that a request's head may take" },
	{ .name = "api_body_timeout", .type = CONF_MS, .def = "60",
	    .offset = offsetof(struct conf, api_body_timeout_ms),
	    IN(0.1, 3600), LIVE, .flags = CK_OWN,
	    .text = "seconds that a request's body may take" },
	{ .name = "api_idle_timeout", .type = CONF_MS, .def = "30",
	    .offset = offsetof(struct conf, api_idle_timeout_ms),
	    IN(0.1, 3600), LIVE, .flags = CK_OWN,
	    .text = "seconds between the requests of a connection" },
	{ .name = "api_write_timeout", .type = CONF_MS, .def = "30",
	    .offset = offsetof(struct conf, api_write_timeout_ms),
	    IN(0.1, 3600), LIVE, .flags = CK_OWN,
	    .text = "seconds that a client may take to read" },
	{ AT(conf, api_min_rate_bytes), .type = CONF_INT, .def = "1024",
	    IN(1, 1048576), LIVE, .flags = CK_OWN,
	    .text = "bytes a second at which bodies and answers may go on" },
	{ AT(conf, api_pipeline_depth), .type = CONF_INT, .def = "8",
	    IN(1, 1000), LIVE, .flags = CK_OWN,
	    .text = "requests sent ahead on a connection" },
	{ AT(conf, api_max_request_line_bytes), .type = CONF_INT,
	    .def = "8192", IN(256, 8192), LIVE, .flags = CK_OWN,
	    .text = "bytes of a request line" },
	{ AT(conf, api_max_header_bytes), .type = CONF_INT, .def = "16384",
	    IN(256, 65536), LIVE, .flags = CK_OWN,
	    .text = "bytes of all header fields of a request" },
	{ AT(conf, api_max_header_fields), .type = CONF_INT, .def = "100",
	    IN(8, 1000), LIVE, .flags = CK_OWN,
	    .text = "header fields of a request" },
	{ AT(conf, api_max_memory_bytes), .type = CONF_SIZE,
	    .def = "268435456", IN(1048576, 17179869184.0), LIVE,
	    .flags = CK_OWN,
	    .text = "bytes held of all bodies and unread answers" },
	{ AT(conf, server_listen), .type = CONF_TEXTS, IN(0, 8), LIVE,
	    .flags = CK_OWN, .check = conf_check_listen,
	    .text = "where to listen, instead of server_host" },
	{ AT(conf, trusted_proxies), .type = CONF_TEXTS, IN(0, 64), LIVE,
	    .flags = CK_OWN, .check = conf_check_network,
	    .text = "whose word on a client's address is taken" },
	{ AT(conf, tls_certificate_file), .type = CONF_TEXT, LIVE,
	    .flags = CK_OWN | CK_NULL | CK_LINE,
	    .text = "file with the certificate and its chain; null: no TLS" },
	{ AT(conf, tls_key_file), .type = CONF_TEXT, LIVE,
	    .flags = CK_OWN | CK_NULL | CK_LINE,
	    .text = "file with its private key" },
	{ AT(conf, cors_origins), .type = CONF_TEXTS, IN(0, 64), LIVE,
	    .flags = CK_OWN, .check = conf_check_origin,
	    .text = "web pages that may ask" },
	{ AT(conf, package_index_url), .type = CONF_TEXT, LIVE,
	    .def = "https://pypi.org/simple", .flags = CK_OWN,
	    .check = conf_check_index, .text = "index that packages come from" },
	{ AT(conf, package_extra_index_urls), .type = CONF_TEXTS, IN(0, 16),
	    LIVE, .flags = CK_OWN, .check = conf_check_index,
	    .text = "further indexes" },
	{ AT(conf, package_hosts), .type = CONF_TEXTS, IN(0, 32), LIVE,
	    .flags = CK_OWN, .check = conf_check_allowed,
	    .text = "further hosts that packages are fetched from" },
	{ AT(conf, package_netrc_file), .type = CONF_TEXT, LIVE,
	    .flags = CK_OWN | CK_NULL | CK_LINE,
	    .text = "file with what the indexes ask for, as netrc(5)" },
	{ AT(conf, package_certificates_file), .type = CONF_TEXT, LIVE,
	    .flags = CK_OWN | CK_NULL | CK_LINE,
	    .text = "certificates that they are judged by; null: the host's" },
	{ AT(conf, package_pip_wheel), .type = CONF_TEXT, LIVE,
	    .flags = CK_OWN | CK_NULL | CK_LINE,
	    .text = "pip for images without one; null: python3-pip-whl's" },
	{ AT(conf, package_source_builds), .type = CONF_BOOL, .def = "false",
	    LIVE, .flags = CK_OWN,
	    .text = "packages may be built from source, by their own code" },
	{ AT(conf, layer_max_bytes), .type = CONF_SIZE, .def = "1000000000",
	    IN(1048576, 1000000000), LIVE, .flags = CK_OWN,
	    .text = "bytes of all packages of a job" },
	{ AT(conf, layer_timeout), .type = CONF_INT, .def = "600",
	    IN(10, 3600), LIVE, .flags = CK_OWN,
	    .text = "seconds that their installation may take" },
	{ AT(conf, layer_cache_bytes), .type = CONF_SIZE,
	    .def = "10737418240", IN(0, 1099511627776.0), LIVE,
	    .flags = CK_OWN, .text = "bytes of all layers that are kept" },
	{ AT(conf, api_key_files), .type = CONF_TEXTS,
	    IN(0, CONF_MAX_ITEMS), LIVE, .flags = CK_OWN,
	    .text = "files with a key each, or folders of them" },
	{ AT(conf, api_auth_failures), .type = CONF_INT, .def = "20",
	    IN(1, 100000), LIVE, .flags = CK_OWN,
	    .text = "wrong keys a minute that an address may show" },
	{ AT(conf, network_allow), .type = CONF_TEXTS, IN(0, 64), LIVE,
	    .flags = CK_OWN, .check = conf_check_range,
	    .text = "private addresses that jobs may reach like public ones" },
	{ AT(conf, network_deny), .type = CONF_TEXTS, IN(0, 64), LIVE,
	    .flags = CK_OWN, .check = conf_check_range,
	    .text = "public addresses that no job may reach" },
	{ .name = NULL },
};
/* clang-format on */

#define N_KEYS	  (nitems(conf_keys) - 1)
#define N_LIMITS  (nitems(conf_limit_keys) - 1)
#define N_TENANTS (nitems(conf_tenant_keys) - 1)

size_t
conf_key_count(void)
{
	return (N_KEYS + N_LIMITS + N_TENANTS);
}

int
conf_key_counted(const struct conf_key *table)
{
	return (table == conf_keys || table == conf_limit_keys ||
		table == conf_tenant_keys);
}

size_t
conf_key_number(const struct conf_key *key)
{
	if (key >= conf_keys && key < conf_keys + N_KEYS)
		return ((size_t)(key - conf_keys));
	if (key >= conf_limit_keys && key < conf_limit_keys + N_LIMITS)
		return (N_KEYS + (size_t)(key - conf_limit_keys));
	return (N_KEYS + N_LIMITS + (size_t)(key - conf_tenant_keys));
}

const struct conf_key *
conf_key_find(const struct conf_key *keys, const char *name)
{
	for (; keys->name != NULL; keys++)
		if (strcmp(keys->name, name) == 0 ||
		    (keys->also != NULL && strcmp(keys->also, name) == 0))
			return (keys);
	return (NULL);
}

/*
 * How many letters must be put in, taken out, changed or swapped to make b of
 * a; both shorter than 64, by the two-row method with one row more for swaps.
 */
static unsigned
distance(const char *a, const char *b)
{
	unsigned rows[3][64];
	unsigned *row, *above, *above2, *spare, best;
	size_t la, lb, i, j;

	la = strlen(a);
	lb = strlen(b);
	above2 = rows[0];
	above = rows[1];
	row = rows[2];
	for (j = 0; j <= lb; j++)
		above[j] = (unsigned)j;
	for (i = 1; i <= la; i++) {
		row[0] = (unsigned)i;
		for (j = 1; j <= lb; j++) {
			best = above[j - 1] + (a[i - 1] != b[j - 1]);
			if (above[j] + 1 < best)
				best = above[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1] && above2[j - 2] + 1 < best)
				best = above2[j - 2] + 1;
			row[j] = best;
		}
		spare = above2;
		above2 = above;
		above = row;
		row = spare;
	}
	return (above[lb]);
}

/* name is the key's last words, or its first: port, workers, memory. */
static int
words_of(const char *name, const char *key)
{
	size_t len = strlen(name), all = strlen(key);

	if (all <= len)
		return (0);
	return (
	    (strcmp(key + all - len, name) == 0 && key[all - len - 1] == '_') ||
	    (strncmp(key, name, len) == 0 && key[len] == '_'));
}

/* The key that somebody who wrote name most likely meant, or NULL. */
const struct conf_key *
conf_key_near(const struct conf_key *keys, const char *name)
{
	const struct conf_key *best = NULL, *part = NULL;
	unsigned d, least = 3;
	size_t len;

	len = strlen(name);
	if (len < 3 || len > 60)
		return (NULL);
	if (len < 6)
		least = 2;
	for (; keys->name != NULL; keys++) {
		d = strcasecmp(keys->name, name) == 0
			? 0
			: distance(name, keys->name);
		if (d < least) {
			least = d;
			best = keys;
		}
		if (part == NULL && words_of(name, keys->name))
			part = keys;
	}
	return (best != NULL ? best : part);
}
