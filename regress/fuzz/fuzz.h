/*
 * fuzz.h: what the fuzz targets have in common. A target is a file here with
 * LLVMFuzzerTestOneInput, which replay.c or a fuzzer's own main calls.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* What has to hold for every input. */
static inline void
need(int truth)
{
	if (!truth)
		abort();
}

#endif
