/*
 * The digest over an application's results: 64-bit FNV-1a with a final mix. Not cryptographic: it
 * tells a wrong page, not a forged one.
 */
#ifndef APPS_DIGEST_H
#define APPS_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define DIGEST_START 0xcbf29ce484222325ull

static inline uint64_t digest_bytes(uint64_t digest, const void *bytes, size_t count)
{
	const unsigned char *byte = bytes;

	for (size_t i = 0; i < count; i++)
		digest = (digest ^ byte[i]) * 0x100000001b3ull;
	return digest;
}

/* A word at a time, for large amounts: multiply and rotate. */
static inline uint64_t digest_word(uint64_t digest, uint64_t word)
{
	digest ^= word * 0x9e3779b97f4a7c15ull;
	return (digest << 29 | digest >> 35) * 0xbf58476d1ce4e5b9ull;
}

#endif
