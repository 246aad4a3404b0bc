/*
 * What is in a page: one word throughout, the same as in another page, something that a hash stands
 * for. Callers pass the hypervisor's own copy, since a guest's page can change meanwhile; but for
 * content_is_filled().
 */
#ifndef TMEM_CONTENT_H
#define TMEM_CONTENT_H

#include "lib/types.h"

#define PAGE_WORDS (PAGE_SIZE / sizeof(u64))

/* Whether all 64-bit words of a page are equal; then @word is what they are. Gives up at the first
 * line with another. Of a page that changes meanwhile it says what a copy made now could hold. */
bool content_is_filled(const void *page, u64 *word);
/* Makes such a page. */
void content_fill(void *page, u64 word);

/* Whether two pages hold the same; 8-byte aligned. */
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
 * A 64-bit hash of a page: two different pages have the same one with a probability of at most
 * 2^-62, whatever pages a guest chooses, for as long as it does not know the key and sees no
 * hashes.
 */
u64 content_hash(const struct content_key *key, const void *page);

#endif
