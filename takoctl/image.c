/*
 * image.c: builds the root file system of the job containers from Debian's
 * archive, without an image registry. Runs in takoctl as root, alone with its
 * children (mmdebstrap, sh, dpkg-query); nothing here is reachable by a job.
 *
 * data_dir/images/
 *	lock			held by a build and by all its children
 *	.tmp-XXXXXX/		a build under way, or what is left of one
 *	<key>/rootfs		a finished tree: never changed again
 *	<key>/manifest.json	what went in
 *	current -> <key>	what takod uses
 *	pythonX.Y -> <key>	for job types of another python_version
 *
 * The key is a digest of the inputs, so a tree is built once. A tree comes
 * into being by one rename, and "current" moves by another: whatever moment a
 * build is killed at, what is under a key is whole.
 */
#include <sys/file.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "image.h"
#include "python.h"
#include "takod/data_dir.h"
#include "takod/engine.h"
#include "util.h"

/* Grows by one with each change of what a build does. */
#define IMAGE_RECIPE  2
#define IMAGE_INCLUDE "python3"

/*
 * What is done to the tree after its packages are in; $1 is the tree. Nothing
 * is run inside it. The host's apt settings (a proxy may carry a password)
 * must not be in what a job can read.
 */
static const char recipe[] =
    "cd \"$1\"\n"
    "rm -rf etc/apt/sources.list etc/apt/sources.list.d/* \\\n"
    "    etc/apt/apt.conf.d/99mmdebstrap etc/apt/auth.conf.d/* \\\n"
    "    etc/apt/trusted.gpg.d/* var/lib/apt/lists/* var/cache/*/* \\\n"
    "    var/log/* var/backups/* usr/share/doc usr/share/man \\\n"
    "    usr/share/info usr/share/locale usr/share/lintian dev/* run/* \\\n"
    "    tmp/* etc/hostname etc/resolv.conf etc/machine-id- etc/*- \n"
    ": >etc/machine-id\n"
    "mkdir -p code input output app .tako/packages\n"
    "chmod 755 . code input output app .tako .tako/packages\n"
    "chmod 1777 tmp\n"
    "rm -f .tako/init\n"
    ": >.tako/init\n"
    /* What a container with a network finds its own mounted on. */
    ": >etc/resolv.conf\n"
    ": >etc/hosts\n"
    "echo 'sandbox:x:1000:1000:sandbox:/tmp:/bin/sh' >>etc/passwd\n"
    "echo 'sandbox:x:1000:' >>etc/group\n"
    "echo 'sandbox:!:1::::::' >>etc/shadow\n"
    "echo 'sandbox:!::' >>etc/gshadow\n"
    "find . -xdev -type f -perm /6000 -exec chmod ug-s {} +\n"
    "find . -xdev -type f -perm /2 -exec chmod o-w {} +\n"
    "find . -xdev -type d -perm -2 ! -perm -1000 -exec chmod o-w {} +\n"
    /* A read-only root can keep no bytecode: it has to be there. */
    "test -x usr/bin/python3\n"
    "test -n \"$(find usr/lib/python3* -name 'os.*.pyc')\"\n"
    "test -n \"$(find usr/lib/python3*/encodings -name '*.pyc')\"\n";

/* ---- inputs ------------------------------------------------------------- */

/*
 * The host's own apt sources of this Debian release, one "deb" line each, so
 * that mirrors and caches set up on the host are used; apt itself reads them,
 * in whatever form they are written. Empty when the host has none (another
 * release): then mmdebstrap takes its default.
 */
static char *
host_sources(const char *suite)
{
	static char *const argv[] = { "apt-get", "indextargets", "--format",
		"deb $(REPO_URI) $(RELEASE) $(COMPONENT)",
		"Created-By: Packages", NULL };
	char *all, *line, *save = NULL, *copy, *out, uri[1024], rel[128];
	char comp[128], base[128];
	size_t len, cap;

	if ((all = image_capture(argv, &len)) == NULL)
		return (xstrdup(""));
	cap = len + 2;
	out = xcalloc(1, cap);
	copy = xstrdup(all);
	for (line = strtok_r(copy, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		if (sscanf(line, "deb %1023s %127s %127s", uri, rel, comp) != 3)
			continue;
		/* Others' archives carry the suite's name, but not "main". */
		if (strcmp(comp, "main") != 0 ||
		    strncmp(rel, suite, strlen(suite)) != 0 ||
		    (strcmp(rel + strlen(suite), "") != 0 &&
			strcmp(rel + strlen(suite), "-updates") != 0 &&
			strcmp(rel + strlen(suite), "-security") != 0))
			continue;
		if (strstr(out, line) != NULL)
			continue; /* once per architecture */
		strlcat(out, line, cap);
		strlcat(out, "\n", cap);
	}
	free(copy);
	free(all);
	snprintf(base, sizeof(base), " %s ", suite);
	if (strstr(out, base) == NULL)
		out[0] = '\0'; /* the base suite itself has to be there */
	return (out);
}

/* How the host's apt fetches: proxies and checks, not what it installs. */
static char *
host_fetch_options(void)
{
	static char *const argv[] = { "apt-config", "dump", "--no-empty",
		"Acquire", NULL };
	static const char *const keep[] = { "Acquire::http::",
		"Acquire::https::", "Acquire::ftp::", "Acquire::Check-",
		"Acquire::Retries", "Acquire::ForceIPv" };
	char *all, *line, *save = NULL, *out;
	size_t len, i;

	if ((all = image_capture(argv, &len)) == NULL)
		return (xstrdup(""));
	out = xcalloc(1, len + 2);
	for (line = strtok_r(all, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save))
		for (i = 0; i < nitems(keep); i++)
			if (strncmp(line, keep[i], strlen(keep[i])) == 0) {
				strlcat(out, line, len + 2);
				strlcat(out, "\n", len + 2);
			}
	free(all);
	return (out);
}

static void
image_key(char key[IMAGE_KEY_LEN + 1], const char *suite, const char *sources)
{
	char *all;
	uint8_t digest[TAKO_SHA256];

	all = xasprintf("recipe %d\nsuite %s\ninclude %s\n%s%s", IMAGE_RECIPE,
	    suite, IMAGE_INCLUDE, recipe, sources);
	sha256(digest, all, strlen(all));
	free(all);
	hex_encode(key, digest, sizeof(digest));
}

/* ---- trees -------------------------------------------------------------- */

/* Removes a tree of one file system; a tree that is not there is removed. */
static int
tree_remove(const char *path)
{
	char *const roots[] = { xstrdup(path), NULL };
	FTS *fts;
	FTSENT *e;
	int error = 0;

	fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	while (fts != NULL && (e = fts_read(fts)) != NULL) {
		if (e->fts_info == FTS_D)
			continue;
		if (e->fts_info == FTS_DP ? rmdir(e->fts_path) == -1
					  : unlink(e->fts_path) == -1)
			if (errno != ENOENT)
				error = errno;
	}
	if (fts == NULL)
		error = errno;
	else
		fts_close(fts);
	free(roots[0]);
	errno = error;
	return (error == 0 ? 0 : -1);
}

/* Bytes on disk. */
static int64_t
tree_size(const char *path)
{
	char *const roots[] = { xstrdup(path), NULL };
	FTS *fts;
	FTSENT *e;
	int64_t size = 0;

	if ((fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL)) != NULL) {
		while ((e = fts_read(fts)) != NULL)
			if (e->fts_info != FTS_DP && e->fts_statp != NULL)
				size += (int64_t)e->fts_statp->st_blocks * 512;
		fts_close(fts);
	}
	free(roots[0]);
	return (size);
}

/* What builds that were killed left; the lock is held. */
static void
remove_stale(const char *images)
{
	DIR *d;
	struct dirent *e;
	char *path;

	if ((d = opendir(images)) == NULL)
		return;
	while ((e = readdir(d)) != NULL) {
		if (strncmp(e->d_name, ".tmp-", 5) != 0)
			continue;
		path = xasprintf("%s/%s", images, e->d_name);
		if (tree_remove(path) == -1)
			image_say("%s: %s", path, strerror(errno));
		free(path);
	}
	closedir(d);
}

/* ---- links --------------------------------------------------------------- */

#define IMAGE_LINK 64

/* The link to the tree that has that Python. */
static void
link_name(char link[IMAGE_LINK], const char *python)
{
	if (strcmp(python, PYTHON_DEFAULT) == 0)
		strlcpy(link, "current", IMAGE_LINK);
	else
		snprintf(link, IMAGE_LINK, "python%s", python);
}

/* The key that a link names, or "". */
static void
link_key(const char *images, const char *name, char key[IMAGE_KEY_LEN + 1])
{
	char *link = xasprintf("%s/%s", images, name);
	ssize_t n;

	n = readlink(link, key, IMAGE_KEY_LEN);
	key[n > 0 ? n : 0] = '\0';
	free(link);
}

/* ---- build -------------------------------------------------------------- */

static int
image_file(const char *dir, const char *name, const char *text)
{
	char *path = xasprintf("%s/%s", dir, name);
	int r =
	    write_file(AT_FDCWD, path, O_CREAT | O_EXCL | O_SYNC, 0644, text);

	free(path); /* errno is kept */
	return (r);
}

/* The installed packages as an object of names and versions. */
static json_t *
tree_versions(const char *rootfs)
{
	char *admin = xasprintf("--admindir=%s/var/lib/dpkg", rootfs);
	char *const argv[] = { "dpkg-query", admin, "-W", "-f",
		"${Package} ${Version}\\n", NULL };
	char *all, *line, *save = NULL, *space;
	json_t *versions;
	size_t len;

	all = image_capture(argv, &len);
	free(admin);
	if (all == NULL || (versions = json_object()) == NULL) {
		free(all);
		return (NULL);
	}
	for (line = strtok_r(all, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		if ((space = strchr(line, ' ')) == NULL)
			continue;
		*space = '\0';
		json_object_set_new(versions, line, json_string(space + 1));
	}
	free(all);
	return (versions);
}

static int
write_manifest(
    const char *tmp, const char *rootfs, const char *suite, const char *key)
{
	json_t *versions, *m;
	char date[40], *text;
	int r;

	if ((versions = tree_versions(rootfs)) == NULL) {
		image_say("the package list of the new tree cannot be read");
		return (-1);
	}
	m = json_pack("{s:s s:i s:s s:[s] s:s s:I s:o}", "key", key, "recipe",
	    IMAGE_RECIPE, "suite", suite, "include", IMAGE_INCLUDE, "built_at",
	    time_iso(date, sizeof(date), time_wall_us()), "size",
	    (json_int_t)tree_size(rootfs), "packages", versions);
	if (m == NULL || (text = json_dumps(m, JSON_INDENT(2))) == NULL) {
		json_decref(m);
		image_say("the manifest cannot be written: no memory");
		return (-1);
	}
	json_decref(m);
	if ((r = image_file(tmp, "manifest.json", text)) == -1)
		image_say("%s/manifest.json: %s", tmp, strerror(errno));
	free(text);
	return (r);
}

static int
run_mmdebstrap(
    const char *tmp, const char *rootfs, const char *suite, const char *sources)
{
	char *list = xasprintf("%s/sources.list", tmp), *options, *text;
	char *aptopt = xasprintf("--aptopt=%s/apt.conf", tmp);
	char *target = xstrdup(rootfs), *release = xstrdup(suite);
	char *const argv[] = { "mmdebstrap", "--mode=root", "--variant=minbase",
		"--format=directory", "--include=" IMAGE_INCLUDE, aptopt,
		"--dpkgopt=path-exclude=/usr/share/doc/*",
		"--dpkgopt=path-exclude=/usr/share/man/*",
		"--dpkgopt=path-exclude=/usr/share/info/*",
		"--dpkgopt=path-exclude=/usr/share/locale/*", release, target,
		sources[0] != '\0' ? list : NULL, NULL };
	int r = -1;

	text = host_fetch_options();
	options = xasprintf("%sAcquire::Languages \"none\";\n", text);
	if (image_file(tmp, "sources.list", sources) == -1 ||
	    image_file(tmp, "apt.conf", options) == -1)
		image_say("%s: %s", tmp, strerror(errno));
	else
		r = image_show(argv);
	free(release);
	free(target);
	free(text);
	free(options);
	free(aptopt);
	free(list);
	return (r);
}

static int
run_recipe(const char *rootfs)
{
	char *const argv[] = { "sh", "-euc", xstrdup(recipe), "recipe",
		xstrdup(rootfs), NULL };
	int r;

	r = image_show(argv);
	free(argv[2]);
	free(argv[4]);
	return (r);
}

/* Makes a link name key, in one step. */
static int
set_link(const char *images, const char *name, const char *key)
{
	char *link = xasprintf("%s/%s", images, name);
	char *tmp = xasprintf("%s/.tmp-current", images);
	int r;

	unlink(tmp);
	if ((r = symlink(key, tmp)) == 0)
		r = rename(tmp, link);
	if (r == -1)
		image_say("%s: %s", link, strerror(errno));
	free(tmp);
	free(link);
	return (r);
}

/* The tree is on disk before its name is. */
static int
rename_synced(const char *from, const char *to)
{
	int fd, r;

	if ((fd = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return (-1);
	if ((r = syncfs(fd)) == 0)
		r = rename(from, to);
	close_fd(&fd);
	return (r);
}

/* A build in tmp, then one rename to its place. */
static int
build_in(const char *images, const char *tmp, const char *suite,
    const char *key, const char *sources)
{
	char *rootfs = xasprintf("%s/rootfs", tmp);
	char *unlinked, *place = xasprintf("%s/%s", images, key);
	static const char *const inputs[] = { "sources.list", "apt.conf" };
	size_t i;
	int r = -1;

	if (run_mmdebstrap(tmp, rootfs, suite, sources) == 0 &&
	    run_recipe(rootfs) == 0 &&
	    write_manifest(tmp, rootfs, suite, key) == 0) {
		for (i = 0; i < nitems(inputs); i++) {
			unlinked = xasprintf("%s/%s", tmp, inputs[i]);
			unlink(unlinked);
			free(unlinked);
		}
		if ((r = rename_synced(tmp, place)) == -1)
			image_say("%s: %s", place, strerror(errno));
	}
	free(place);
	free(rootfs);
	return (r);
}

static int
build_tree(
    const char *images, const char *suite, const char *key, const char *sources)
{
	char *tmp = xasprintf("%s/.tmp-XXXXXX", images);
	int r = EX_SOFTWARE;
	time_t began = time(NULL);

	if (mkdtemp(tmp) == NULL || chmod(tmp, 0755) == -1) {
		image_say("%s: %s", tmp, strerror(errno));
		free(tmp);
		return (EX_CANTCREAT);
	}
	image_say("building %s with %s from %s", suite, IMAGE_INCLUDE,
	    sources[0] != '\0' ? "this host's apt sources" : "Debian's mirror");
	if (build_in(images, tmp, suite, key, sources) == 0) {
		image_say("built %.12s in %lld s", key,
		    (long long)(time(NULL) - began));
		r = EX_OK;
	} else if (tree_remove(tmp) == -1)
		image_say("%s: %s", tmp, strerror(errno));
	free(tmp);
	return (r);
}

/*
 * Takes the lock of the folder. The descriptor stays open in children, so
 * that one which outlives a killed takoctl keeps the next build waiting.
 */
static int
lock_images(const char *images)
{
	char *path = xasprintf("%s/lock", images);
	int fd;

	if ((fd = open(path, O_RDWR | O_CREAT, 0600)) == -1)
		image_say("%s: %s", path, strerror(errno));
	else if (flock(fd, LOCK_EX | LOCK_NB) == -1) {
		image_say("another build is under way: waiting for it");
		while (flock(fd, LOCK_EX) == -1)
			if (errno != EINTR) {
				image_say("%s: %s", path, strerror(errno));
				close_fd(&fd);
				break;
			}
	}
	free(path);
	return (fd);
}

static int
import_docker(const struct conf *conf, const char *rootfs, const char *key)
{
	char have[IMAGE_KEY_LEN + 1], detail[512];
	unsigned long long size;
	time_t began = time(NULL);

	if (image_docker_key(conf, have, &size, detail, sizeof(detail)) == -1) {
		image_say("%s", detail);
		return (EX_UNAVAILABLE);
	}
	if (strcmp(have, key) == 0) {
		image_say(
		    "Docker image %s is there already", conf->docker_image);
		return (EX_OK);
	}
	image_say("importing into Docker as %s", conf->docker_image);
	if (image_docker_import(conf, rootfs, key, detail, sizeof(detail)) ==
	    -1) {
		image_say("%s", detail);
		return (EX_UNAVAILABLE);
	}
	image_say("imported in %lld s", (long long)(time(NULL) - began));
	return (EX_OK);
}

static int
program_there(const char *name)
{
	char *path, *dir, *save = NULL, *full;
	int found = 0;

	path = xstrdup(getenv("PATH") != NULL ? getenv("PATH") : "");
	for (dir = strtok_r(path, ":", &save); dir != NULL && !found;
	     dir = strtok_r(NULL, ":", &save)) {
		full = xasprintf("%s/%s", dir, name);
		found = access(full, X_OK) == 0;
		free(full);
	}
	free(path);
	return (found);
}

static int
image_build(const struct conf *running, const char *images, int docker,
    const char *python)
{
	char key[IMAGE_KEY_LEN + 1], *rootfs, *sources, name[PYTHON_IMAGE];
	struct conf named = *running, *conf = &named;
	const char *suite = python_suite(python);
	char link[IMAGE_LINK];
	int lock, r = EX_OK;

	if (suite == NULL) {
		image_say("there is no Debian with Python %s; there are those "
			  "with " PYTHON_MADE,
		    python);
		return (EX_USAGE);
	}
	link_name(link, python);
	if (geteuid() != 0) {
		image_say(
		    "must be run as root: it installs packages into a new "
		    "root file system");
		return (EX_NOPERM);
	}
	if (data_dir_make(conf->data_dir) == -1) {
		image_say("data_dir: %s: %s", conf->data_dir, strerror(errno));
		return (EX_CANTCREAT);
	}
	if (make_dir(AT_FDCWD, images, 0755) == -1) {
		image_say("%s: %s", images, strerror(errno));
		return (EX_CANTCREAT);
	}
	if ((lock = lock_images(images)) == -1)
		return (EX_CANTCREAT);
	/* Its functions take the name from there. */
	named.docker_image = xstrdup(python_image(running, NULL, python, name));
	remove_stale(images);
	sources = host_sources(suite);
	image_key(key, suite, sources);
	rootfs = xasprintf("%s/%s/rootfs", images, key);
	if (access(rootfs, F_OK) == 0)
		image_say("%.12s is there already", key);
	else if (!program_there("mmdebstrap")) {
		image_say(
		    "mmdebstrap is not installed: apt-get install mmdebstrap");
		r = EX_UNAVAILABLE;
	} else
		r = build_tree(images, suite, key, sources);
	free(sources);
	if (r == EX_OK && set_link(images, link, key) == -1)
		r = EX_CANTCREAT;
	if (r == EX_OK && (docker || engine_choose(conf) == &engine_docker))
		r = import_docker(conf, rootfs, key);
	free(rootfs);
	free(named.docker_image);
	close_fd(&lock);
	return (r);
}

/* ---- list, remove ------------------------------------------------------- */

static int
is_key(const char *name)
{
	return (strlen(name) == IMAGE_KEY_LEN &&
		strspn(name, "0123456789abcdef") == IMAGE_KEY_LEN);
}

/* The Python that a key was built for and is used for; NULL: none. */
static const char *
key_python(const char *images, const char *key)
{
	char link[IMAGE_LINK], linked[IMAGE_KEY_LEN + 1];
	const char *python;
	size_t i;

	for (i = 0; (python = python_version(i)) != NULL; i++) {
		link_name(link, python);
		link_key(images, link, linked);
		if (strcmp(linked, key) == 0)
			break;
	}
	return (python);
}

/* One row of the list: of a tree here, or of the Docker engine. */
static json_t *
list_tree(const char *images, const char *key)
{
	char *manifest = xasprintf("%s/%s/manifest.json", images, key);
	char *rootfs = xasprintf("%s/%s/rootfs", images, key);
	json_t *m, *row = NULL;

	m = json_load_file(manifest, JSON_REJECT_DUPLICATES, NULL);
	if (m != NULL) {
		row = json_pack("{s:s s:s s:s s:s s:b s:s* s:O* s:O* s:O*}",
		    "name", key, "key", key, "engine", "oci", "path", rootfs,
		    "current", key_python(images, key) != NULL, "python",
		    key_python(images, key), "suite",
		    json_object_get(m, "suite"), "built_at",
		    json_object_get(m, "built_at"), "size",
		    json_object_get(m, "size"));
		json_decref(m);
	}
	free(rootfs);
	free(manifest);
	return (row);
}

static void
list_docker(const struct conf *conf, const char *images, json_t *rows)
{
	char key[IMAGE_KEY_LEN + 1], detail[512], name[PYTHON_IMAGE];
	struct conf named = *conf;
	unsigned long long size;
	const char *python, *has;
	size_t i;

	for (i = 0; (python = python_version(i)) != NULL; i++) {
		named.docker_image =
		    xstrdup(python_image(conf, NULL, python, name));
		if (image_docker_key(
			&named, key, &size, detail, sizeof(detail)) == 0 &&
		    key[0] != '\0') {
			has = key_python(images, key);
			json_array_append_new(rows,
			    json_pack("{s:s s:s s:s s:b s:s s:I}", "name",
				named.docker_image, "key", key, "engine",
				"docker", "current",
				has != NULL && strcmp(has, python) == 0,
				"python", python, "size", (json_int_t)size));
		}
		free(named.docker_image);
	}
}

/* The one in use is the first row. */
static json_t *
list_all(const struct conf *conf, const char *images)
{
	char current[IMAGE_KEY_LEN + 1];
	json_t *rows = json_array(), *row;
	struct dirent *e;
	DIR *d;

	link_key(images, "current", current);
	if ((d = opendir(images)) != NULL) {
		while ((e = readdir(d)) != NULL)
			if (is_key(e->d_name) &&
			    (row = list_tree(images, e->d_name)) != NULL)
				json_array_insert_new(rows,
				    strcmp(e->d_name, current) == 0
					? 0
					: json_array_size(rows),
				    row);
		closedir(d);
	}
	if (conf->engine != CONF_ENGINE_OCI)
		list_docker(conf, images, rows);
	return (rows);
}

static int
image_list(const struct conf *conf, const char *images, int json)
{
	json_t *rows = list_all(conf, images), *row, *built, *python;
	const char *name;
	size_t i;

	if (json) {
		json_dumpf(rows, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(rows);
		return (EX_OK);
	}
	if (json_array_size(rows) == 0)
		fputs("no image: takoctl image build\n", stderr);
	else
		printf("%-24s %-7s %-6s %9s  %-19s  %s\n", "IMAGE", "ENGINE",
		    "PYTHON", "SIZE", "BUILT", "STATE");
	json_array_foreach (rows, i, row) {
		name = json_string_value(json_object_get(row, "name"));
		built = json_object_get(row, "built_at");
		python = json_object_get(row, "python");
		printf("%-24.*s %-7s %-6s %6.0f MB  %-19.19s  %s\n",
		    is_key(name) ? 12 : 128, name,
		    json_string_value(json_object_get(row, "engine")),
		    python != NULL ? json_string_value(python) : "-",
		    (double)json_integer_value(json_object_get(row, "size")) /
			1e6,
		    built != NULL ? json_string_value(built) : "-",
		    json_is_true(json_object_get(row, "current")) ? "current"
								  : "-");
	}
	json_decref(rows);
	return (EX_OK);
}

/* The one key that begins with name, in key; how many there are. */
static int
find_key(const char *images, const char *name, char key[IMAGE_KEY_LEN + 1])
{
	struct dirent *e;
	int found = 0;
	DIR *d;

	key[0] = '\0';
	if (strcmp(name, "current") == 0 || strncmp(name, "python", 6) == 0) {
		if (strchr(name, '/') == NULL)
			link_key(images, name, key);
		return (key[0] != '\0');
	}
	if (strlen(name) < 6 || (d = opendir(images)) == NULL)
		return (0);
	while ((e = readdir(d)) != NULL)
		if (is_key(e->d_name) &&
		    strncmp(e->d_name, name, strlen(name)) == 0) {
			strlcpy(key, e->d_name, IMAGE_KEY_LEN + 1);
			found++;
		}
	closedir(d);
	return (found);
}

/* Out of sight by one rename first: no half of a tree is under a key. */
static int
remove_key(const char *images, const char *key)
{
	char name[IMAGE_LINK], *from, *to, *link;
	const char *python;
	int r = EX_OK;

	while ((python = key_python(images, key)) != NULL) {
		link_name(name, python);
		link = xasprintf("%s/%s", images, name);
		if (unlink(link) == -1)
			python = NULL;
		free(link);
		if (python == NULL)
			break;
	}
	from = xasprintf("%s/%s", images, key);
	to = xasprintf("%s/.tmp-%.12s", images, key);
	if (rename(from, to) == -1 || tree_remove(to) == -1) {
		image_say("%s: %s", from, strerror(errno));
		r = EX_IOERR;
	}
	free(to);
	free(from);
	return (r);
}

static int
image_remove(const struct conf *conf, const char *images, const char *name)
{
	char key[IMAGE_KEY_LEN + 1], detail[512];
	int lock, n, r = EX_OK;

	if (strcmp(name, conf->docker_image) == 0 ||
	    python_of_image(conf, name) != NULL) {
		if (image_docker_remove(conf, name, detail, sizeof(detail)) ==
		    0)
			return (EX_OK);
		image_say("%s", detail);
		return (EX_UNAVAILABLE);
	}
	if (access(images, F_OK) == -1 || (lock = lock_images(images)) == -1) {
		image_say("no image %s", name);
		return (EX_NOINPUT);
	}
	if ((n = find_key(images, name, key)) == 1)
		r = remove_key(images, key);
	else {
		image_say(
		    n == 0 ? "no image %s" : "%s names more than one image",
		    name);
		r = EX_NOINPUT;
	}
	close_fd(&lock);
	return (r);
}

static int
usage(void)
{
	fputs("usage: takoctl image build [--docker] [--python X.Y]\n"
	      "       takoctl image list [--json]\n"
	      "       takoctl image remove NAME\n",
	    stderr);
	return (EX_USAGE);
}

int
image_main(int argc, char **argv, const struct conf *conf)
{
	const char *verb = argc > 1 ? argv[1] : "", *python = PYTHON_DEFAULT;
	int build = strcmp(verb, "build") == 0, docker = 0, json = 0, i, r;
	char *images;

	for (i = 2; i < argc; i++) {
		if (build && strcmp(argv[i], "--docker") == 0)
			docker = 1;
		else if (build && strcmp(argv[i], "--python") == 0 &&
			 i + 1 < argc)
			python = argv[++i];
		else if (strcmp(verb, "list") == 0 &&
			 strcmp(argv[i], "--json") == 0)
			json = 1;
		else
			break;
	}
	images = xasprintf("%s/images", conf->data_dir);
	if (build && i == argc)
		r = image_build(conf, images, docker, python);
	else if (strcmp(verb, "list") == 0 && i == argc)
		r = image_list(conf, images, json);
	else if (strcmp(verb, "remove") == 0 && argc == 3)
		r = image_remove(conf, images, argv[2]);
	else
		r = usage();
	free(images);
	return (r);
}
