/*
 * Contents of pages that say whose they are, and that nothing compresses.
 */
#ifndef PATTERN_H
#define PATTERN_H

#include <stdbool.h>
#include <stdint.h>

#define PAGE_BYTES 4096ul
#define PAGE_WORDS (PAGE_BYTES / 8)

/* The finalizer of MurmurHash3 in D. Stafford's variant 13. */
static inline uint64_t pattern_word(uint64_t page, uint64_t generation, uint64_t i)
{
	uint64_t word = (page << 24 ^ generation << 16 ^ i) + 0x9e3779b97f4a7c15u;

	word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9u;
	word = (word ^ word >> 27) * 0x94d049bb133111ebu;
	return word ^ word >> 31;
}

static inline void pattern_write(uint64_t *to, uint64_t page, uint64_t generation)
{
	for (uint64_t i = 0; i < PAGE_WORDS; i++)
		to[i] = pattern_word(page, generation, i);
}

static inline bool pattern_is(const uint64_t *at, uint64_t page, uint64_t generation)
{
	for (uint64_t i = 0; i < PAGE_WORDS; i++)
		if (at[i] != pattern_word(page, generation, i))
			return false;
	return true;
}

static inline bool is_zero(const uint64_t *at)
{
	for (uint64_t i = 0; i < PAGE_WORDS; i++)
		if (at[i])
			return false;
	return true;
}

#endif
