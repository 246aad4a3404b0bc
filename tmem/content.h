/*
 * What is in a page: one word throughout, the same as in another page, something that a hash stands
 * for. Callers pass the hypervisor's own copy, since a guest's page can change meanwhile; but for
 * content_is_filled().
 */
#ifndef TMEM_CONTENT_H
#define TMEM_CONTENT_H

#include "lib/types.h"

#define PAGE_WORDS (PAGE_SIZE / sizeof(u64))

/* Lines of a page that is about to be read are asked for so far ahead of being used. */
#define CONTENT_LINES_AHEAD 32U
#define LINE_BYTES          64U

/* A page will be read from its beginning soon. */
static inline void content_prefetch(const void *page)
{
#pragma GCC unroll 8
	for (u32 i = 0; i < CONTENT_LINES_AHEAD; i++)
		__builtin_prefetch((const u8 *)page + i * LINE_BYTES);
}

/* Whether all 64-bit words of a page are equal; then @word is what they are. Gives up at the first
 * line with another. Of a page that changes meanwhile it says what a copy made now could hold. */
bool content_is_filled(const void *page, u64 *word);
/* Makes such a page. */
void content_fill(void *page, u64 word);

/* Whether two pages hold the same; 8-byte aligned. The first is expected to be in no cache; the
 * second may be a guest's, each word of which is read once. */
bool content_equals(const void *one, const void *other);

/* The secret of one store's hashes: random words, drawn once; as many as a page has, in a page of
 * metadata that is the caller's, and four more. */
struct content_key {
	u64 *words;
	u64 fold[4];
};

/* Draws a key from the port's random numbers into @page. */
void content_key_init(struct content_key *key, void *page);

/*
 * Copies a page, which may be a guest's, and returns a 64-bit hash of what was copied, each word
 * being read once: the multiplications go on while memory is waited for. Two different pages have
 * the same hash with a probability of at most 2^-62, whatever pages a guest chooses, for as long as
 * it does not know the key and sees no hashes. Both are aligned to 8 bytes.
 */
u64 content_copy(const struct content_key *key, void *to, const void *page);

#endif
