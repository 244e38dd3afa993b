/*
 * stream.c: what both ends of a container's stream compute. Linked into
 * tako-worker and, statically, into tako-init.
 */
#include <sha2.h>
#include <string.h>

#include "stream.h"

void
stream_tag(uint8_t tag[STREAM_TAG], const uint8_t key[STREAM_KEY],
    uint64_t count, uint8_t type, uint32_t len)
{
	static const uint8_t none[STREAM_KEY];
	uint8_t digest[SHA256_DIGEST_LENGTH];
	SHA2_CTX ctx;

	memset(tag, 0, STREAM_TAG);
	if (memcmp(key, none, STREAM_KEY) == 0)
		return;
	/* All inputs are of one length: no other one extends it. */
	SHA256Init(&ctx);
	SHA256Update(&ctx, key, STREAM_KEY);
	SHA256Update(&ctx, (const uint8_t *)&count, sizeof(count));
	SHA256Update(&ctx, &type, sizeof(type));
	SHA256Update(&ctx, (const uint8_t *)&len, sizeof(len));
	SHA256Final(digest, &ctx);
	memcpy(tag, digest, STREAM_TAG);
}
