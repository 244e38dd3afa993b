/*
 * artifact_name.c: names of artifacts as text. Runs in tako-api and takoctl.
 */
#include <string.h>

#include "artifact_name.h"
#include "util.h"

/* Does it read as a byte that was shown so? -1: no. */
static int
shown_byte(const uint8_t *p, size_t len)
{
	if (len < 3 || p[0] != '%' || hex_digit(p[1]) == -1 ||
	    hex_digit(p[2]) == -1)
		return (-1);
	return (hex_digit(p[1]) << 4 | hex_digit(p[2]));
}

size_t
artifact_name_show(char *dst, const uint8_t *name, size_t len)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t i, good = 0, n = 0;

	for (i = 0; i < len && i < MAX_ARTIFACT_NAME; i++) {
		if (good == 0)
			good = utf8_span(name + i, len - i);
		if (good > 0 && shown_byte(name + i, len - i) == -1)
			dst[n++] = (char)name[i];
		else {
			dst[n++] = '%';
			dst[n++] = digits[name[i] >> 4];
			dst[n++] = digits[name[i] & 15];
		}
		good -= good > 0;
	}
	dst[n] = '\0';
	return (n);
}

void
artifact_name_read(const char *text, size_t len,
    uint8_t name[MAX_ARTIFACT_NAME], size_t *name_len,
    uint8_t other[MAX_ARTIFACT_NAME], size_t *other_len)
{
	const uint8_t *p = (const uint8_t *)text;
	char shown[ARTIFACT_SHOWN_MAX];
	size_t i, n = 0;
	int c;

	*name_len = *other_len = 0;
	for (i = 0; i < len && n < MAX_ARTIFACT_NAME; i++) {
		if ((c = shown_byte(p + i, len - i)) != -1)
			i += 2;
		else
			c = p[i];
		name[n++] = (uint8_t)c;
	}
	/* Only what is shown just so was shown so. */
	if (i == len && artifact_name_show(shown, name, n) == len &&
	    memcmp(shown, text, len) == 0)
		*name_len = n;
	if (len <= MAX_ARTIFACT_NAME) {
		memcpy(other, text, len);
		*other_len = len;
	}
}
