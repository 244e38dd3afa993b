/*
 * python.c: the Pythons that images are made with: those of Debian's releases.
 */
#include <stdio.h>
#include <string.h>

#include "python.h"
#include "util.h"

#define TAG ":python"

static const struct {
	const char *version, *suite;
} pythons[] = {
	{ "3.9", "bullseye" },
	{ PYTHON_DEFAULT, "bookworm" },
	{ "3.13", "trixie" },
};

const char *
python_version(size_t i)
{
	return (i < nitems(pythons) ? pythons[i].version : NULL);
}

const char *
python_suite(const char *version)
{
	size_t i;

	for (i = 0; i < nitems(pythons); i++)
		if (strcmp(pythons[i].version, version) == 0)
			return (pythons[i].suite);
	return (NULL);
}

/* Of the name without its tag; a port before a slash is none. */
static size_t
name_length(const char *image)
{
	const char *colon = strrchr(image, ':');

	return (colon != NULL && strchr(colon, '/') == NULL
		    ? (size_t)(colon - image)
		    : strlen(image));
}

const char *
python_image(const struct conf *conf, const char *base_image,
    const char *version, char buf[PYTHON_IMAGE])
{
	char *p;

	if (base_image != NULL)
		return (base_image);
	if (strcmp(version, PYTHON_DEFAULT) == 0)
		return (conf->docker_image);
	/* No such version has these letters; a name must not either. */
	snprintf(buf, PYTHON_IMAGE, "%.*s" TAG,
	    (int)name_length(conf->docker_image), conf->docker_image);
	p = buf + strlen(buf);
	strlcat(buf, version, PYTHON_IMAGE);
	for (; (p += strspn(p, "0123456789.abcdefghijklmnopqrstuvwxyz"),
		 *p != '\0');
	     p++)
		*p = '_';
	return (buf);
}

const char *
python_of_image(const struct conf *conf, const char *image)
{
	size_t n;

	if (conf->docker_image == NULL)
		return (NULL);
	n = name_length(conf->docker_image);
	if (strncmp(image, conf->docker_image, n) != 0 ||
	    strncmp(image + n, TAG, strlen(TAG)) != 0)
		return (NULL);
	return (image + n + strlen(TAG));
}
