/*
 * python.h: the Pythons that images are made with, and how the image of a job
 * type is called. Used by takod and takoctl.
 */
#ifndef PYTHON_H
#define PYTHON_H

#include "conf.h"

#define PYTHON_DEFAULT "3.11" /* of `takoctl image build` as it is */
#define PYTHON_MADE    "3.9, 3.11 and 3.13" /* for messages */
#define PYTHON_IMAGE   256		    /* bytes of an image's name */

/* The suite of Debian that has it, as "3.13"; NULL: none. In turn with i. */
const char *python_suite(const char *version);
const char *python_version(size_t i); /* NULL: no more */
/*
 * The image that a job type runs in: base_image, else docker_image, which has
 * the tag pythonX.Y where python_version is not the default one. buf is for
 * that name.
 */
const char *python_image(const struct conf *, const char *base_image,
    const char *version, char buf[PYTHON_IMAGE]);
/* What stands behind "python" in the tag of such a name; NULL: it is none. */
const char *python_of_image(const struct conf *, const char *image);

#endif
