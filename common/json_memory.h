/*
 * json_memory.h: what jansson does without memory.
 */
#ifndef JSON_MEMORY_H
#define JSON_MEMORY_H

/*
 * Of each program that uses jansson, the first thing. From then on an
 * allocation of it that fails ends the process, cleanly.
 */
void json_memory_init(void);

#endif
