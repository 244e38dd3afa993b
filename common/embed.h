/*
 * embed.h: files of the source that a program carries.
 */
#ifndef EMBED_H
#define EMBED_H

#include <stdint.h>

/* A file of the source as constant bytes, from name to name##_end. */
#define EMBED(name, path)                                                      \
	__asm__(".pushsection .rodata\n"                                       \
		".global " #name ", " #name "_end\n" #name ":\n"               \
		".incbin \"" path "\"\n" #name "_end:\n"                       \
		".popsection\n");                                              \
	extern const uint8_t name[], name##_end[];

#endif
