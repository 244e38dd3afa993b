/*
 * conf_int.h: what the files of common/conf share and nobody else sees: the
 * table's form, scalars, the document read, and the state of one loading.
 */
#ifndef CONF_INT_H
#define CONF_INT_H

#include "conf.h"

#define CONF_MAX_FILE	 (1024 * 1024) /* bytes */
#define CONF_MAX_NODES	 65536	       /* of a document, aliases followed */
#define CONF_MAX_DEPTH	 64	       /* of nested lists and mappings */
#define CONF_MAX_PAIRS	 1024	       /* of one mapping, merged ones in */
#define CONF_MAX_ANCHORS 1000
#define CONF_MAX_ITEMS	 1000 /* of a list */
#define CONF_MAX_ERRORS	 100  /* reported at once; the rest is counted */
#define CONF_MAX_PATH	 256  /* of a dotted key path in a message */

/* What a key holds; the C type of its field in struct conf. */
enum conf_type {
	CONF_BOOL,   /* int 0 or 1 */
	CONF_INT,    /* int */
	CONF_SIZE,   /* uint64_t: a plain number of bytes */
	CONF_FLOAT,  /* double */
	CONF_MS,     /* int, milliseconds; seconds in the file */
	CONF_BYTES,  /* uint64_t; text such as "512m" in the file */
	CONF_TEXT,   /* char * */
	CONF_ENUM,   /* int, one of values */
	CONF_TEXTS,  /* struct conf_list */
	CONF_PAIRS,  /* struct conf_env */
	CONF_FIELDS, /* a struct that has the keys of fields */
	CONF_TYPES,  /* job_types: an array of such structs */
	CONF_KEYS    /* api_keys: likewise; an item may be the key alone */
};

#define CK_NULL	    0x01 /* null is allowed and means: not given */
#define CK_SECRET   0x02 /* masked where it is printed */
#define CK_REQUIRED 0x04
#define CK_ANYCASE  0x08  /* an enumeration in any case */
#define CK_TRIM	    0x10  /* space around a text does not count */
#define CK_LINE	    0x20  /* text without control characters, not empty */
#define CK_MEGA	    0x40  /* CONF_BYTES: whole m or g only */
#define CK_UNSET    0x80  /* an int that is -1 until somebody says */
#define CK_OWN	    0x100 /* a key that Tako VM 0.3 does not have */

enum conf_reload {
	RELOAD_LIVE,   /* takes effect by a reload */
	RELOAD_RESTART /* needs a new start */
};

struct conf_name {
	const char *name;
	int value;
};

/* One row of the table: everything there is to know about a key. */
struct conf_key {
	const char *name;
	const char *also; /* another name that 0.3 takes; NULL: none */
	enum conf_type type;
	size_t offset;	 /* of the field in its struct */
	const char *def; /* as it would stand in the file; NULL: none */
	/* Bounds, both included: of the number, of seconds (CONF_MS), of MiB
	 * (CONF_BYTES) or of the number of items (lists). */
	double min, max;
	const char *env;
	unsigned flags;
	enum conf_reload reload;
	const char *text; /* one line for people */
	const struct conf_name *values;
	const struct conf_key *fields;
	/* Checks and may shorten or replace a text, each item of a list
	 * alike; says what is wrong with it, or NULL. */
	const char *(*check)(char **);
};

/* Tables end with a row without a name. */
extern const struct conf_key conf_keys[], conf_limit_keys[],
    conf_job_type_keys[], conf_gpu_keys[], conf_tenant_keys[],
    conf_api_key_keys[];
const struct conf_key *conf_key_find(const struct conf_key *, const char *);
const struct conf_key *conf_key_near(const struct conf_key *, const char *);
/*
 * The number of a key of conf_keys, or of the mappings in it, in conf.origins.
 * conf_key_counted: is it one of those tables?
 */
size_t conf_key_number(const struct conf_key *);
size_t conf_key_count(void);
int conf_key_counted(const struct conf_key *table);
/* One key's value as JSON, secrets masked; the caller's to free. */
char *conf_print_key(const struct conf *, const struct conf_key *);

/* conf_scalar.c: a scalar as PyYAML's safe loader constructs it. */
enum conf_kind {
	VALUE_TEXT,
	VALUE_NULL,
	VALUE_BOOL,
	VALUE_INT,   /* i, held at the ends of its range */
	VALUE_FLOAT, /* f */
	VALUE_TIME,  /* a date: no key takes one */
	VALUE_MERGE, /* << */
	VALUE_BAD    /* what the loader refuses */
};
struct conf_value {
	enum conf_kind kind;
	int64_t i;
	double f;
};
/* plain: the scalar's tag is to be resolved; else tag (NULL: a text). */
struct conf_value conf_resolve(const char *text, int plain, const char *tag);
/* The conversions of 0.3 (pydantic's lax mode); -1: no such value. */
int conf_to_bool(const struct conf_value *, const char *text, int *);
int conf_to_int(const struct conf_value *, const char *text, int64_t *);
int conf_to_float(const struct conf_value *, const char *text, double *);
int conf_text_int(const char *, int64_t *); /* as Python's int() */
int conf_text_bytes(const char *, int mega, uint64_t *);
/* Cuts white space at both ends, in place. */
void conf_trim(char *);
void conf_lower(char *);

/* conf_yaml.c: one document as an array of nodes. */
enum node_kind {
	NODE_SCALAR,
	NODE_LIST,
	NODE_MAP, /* children: key, value, key, value ... */
	NODE_ALIAS,
	NODE_BAD_TAG
};
struct conf_node {
	enum node_kind kind;
	unsigned line, column; /* from 1 */
	unsigned first, next;  /* node numbers; 0: none */
	unsigned target;       /* of an alias */
	unsigned n;	       /* children */
	char *text;	       /* of a scalar, ended by a NUL */
	size_t len;	       /* without that NUL */
	struct conf_value value;
};
struct conf_doc {
	struct conf_node *nodes; /* [0] is not used, [1] the root */
	size_t n, size;
};
struct conf_loading;
/* data is of len bytes; -1 with at least one error. Empty: n is 0. */
int conf_doc_read(struct conf_loading *, const char *data, size_t len);
void conf_doc_free(struct conf_doc *);
/* The node, or the one that an alias stands for. */
const struct conf_node *conf_doc_node(const struct conf_doc *, unsigned);

/* One loading. */
struct conf_loading {
	struct conf *conf;
	struct conf_doc doc;
	struct conf_errors *errors, *warnings;
	unsigned visits; /* nodes looked at: what aliases may cost */
};
void conf_error_add(struct conf_errors *, const char *file, unsigned line,
    unsigned column, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
/* An error at a node of the file. */
#define conf_error_at(ld, node, key, ...)                                      \
	conf_error_add((ld)->errors, (ld)->conf->path, (node)->line,           \
	    (node)->column, (key), __VA_ARGS__)

/* conf_set.c */
struct conf_pair {
	unsigned key, value; /* node numbers */
};
/* Defaults of every key that has one. */
void conf_set_defaults(const struct conf_key *, void *base);
void conf_set_document(struct conf_loading *);
/* A single value into its field; NULL, or what is wrong (in msg). */
const char *conf_set_scalar(const struct conf_key *, void *base,
    const struct conf_value *, const char *text, char *msg, size_t len);
void conf_set_free(const struct conf_key *, void *base);
void conf_list_add(struct conf_list *, char *item); /* takes item */
void conf_set_builtin(struct conf *);
void conf_keys_free(struct conf *);
void conf_keys_add(struct conf *, char *key);		       /* takes key */
void conf_keys_add_file(struct conf *, char *key, char *name); /* both */

/* conf_keys.c: those of api_key_files, behind all others. */
void conf_keys_read(struct conf_loading *);

/* conf_env.c */
void conf_env_read(struct conf_loading *);

/* conf_check.c: rules between keys, and warnings. */
void conf_check(struct conf_loading *);
const char *conf_check_host(char **);
const char *conf_check_header(char **);
const char *conf_check_key(char **);
const char *conf_check_name(char **);
const char *conf_check_device(char **);
const char *conf_check_index(char **);
const char *conf_check_module(char **);
const char *conf_check_s3_endpoint(char **);
const char *conf_check_s3_bucket(char **);
const char *conf_check_s3_region(char **);
const char *conf_check_s3_prefix(char **);
const char *conf_check_docker_host(char **);
const char *conf_check_hostname(char **);
const char *conf_check_node(char **);
const char *conf_check_listen(char **);
const char *conf_check_network(char **);
const char *conf_check_origin(char **);
const char *conf_check_allowed(char **);
const char *conf_check_range(char **);
int conf_key_masked(const char *); /* a key as conf_print writes it */

/* conf_url.c */
const char *conf_check_database(char **);
const char *conf_check_proxy(char **);
/* The URL without its password; the caller's. */
char *conf_url_mask(const char *);

#endif
