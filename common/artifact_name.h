/*
 * artifact_name.h: how the name of an artifact, which is any bytes but NUL and
 * '/', is written where only text can stand, and read back without loss.
 *
 * A name is shown as it is, but for two things: each byte that is not part of
 * well-formed UTF-8 is shown as '%' and two hex digits, and so is each '%' that
 * two hex digits follow ("%25"), which else would read as such a byte.
 */
#ifndef ARTIFACT_NAME_H
#define ARTIFACT_NAME_H

#include <stddef.h>
#include <stdint.h>

#include "tako.h"

#define ARTIFACT_SHOWN_MAX (3 * MAX_ARTIFACT_NAME + 1)

/* dst holds ARTIFACT_SHOWN_MAX bytes; the length without the closing NUL. */
size_t artifact_name_show(char *dst, const uint8_t *name, size_t len);
/*
 * What a text may mean, in the order in which a name is to be looked for: as it
 * was shown, then as it is. Either may be impossible: 0 bytes.
 */
void artifact_name_read(const char *text, size_t len,
    uint8_t name[MAX_ARTIFACT_NAME], size_t *name_len,
    uint8_t other[MAX_ARTIFACT_NAME], size_t *other_len);

#endif
