/*
 * Comparing and hashing pages (tmem/content.h).
 */
#include "tmem/content.h"

#include "tmem/port.h"

/* Loops do a line a turn, unrolled, and no branch a word: what they cost beside reading memory. */
#define LINE_WORDS 8U

/* Asks for the line that comes up later than the one that begins with word @i; at the end of a page
 * for those of the next, which is often the one that is read next, as the processor would itself if
 * it were not asked. Nothing is read, so it need not be there. */
static inline void ask_ahead(const u64 *words, u64 i)
{
	__builtin_prefetch(words + i + CONTENT_LINES_AHEAD * LINE_WORDS);
}

bool content_is_filled(const void *page, u64 *word)
{
	const u64 *words = page;
	const u64 first = READ_ONCE(words[0]);

	for (u64 i = 0; i < PAGE_WORDS; i += LINE_WORDS) {
		u64 difference = 0;

		ask_ahead(words, i);
#pragma GCC unroll 8
		for (u64 j = 0; j < LINE_WORDS; j++)
			difference |= READ_ONCE(words[i + j]) ^ first;
		if (difference)
			return false;
	}
	*word = first;
	return true;
}

void content_fill(void *page, u64 word)
{
	u64 *words = page;

	for (u64 i = 0; i < PAGE_WORDS; i += LINE_WORDS) {
#pragma GCC unroll 8
		for (u64 j = 0; j < LINE_WORDS; j++)
			words[i + j] = word;
	}
}

bool content_equals(const void *one, const void *other)
{
	const u64 *a = one, *b = other;

	content_prefetch(one);
	for (u64 i = 0; i < PAGE_WORDS; i += LINE_WORDS) {
		u64 difference = 0;

		ask_ahead(a, i);
#pragma GCC unroll 8
		for (u64 j = 0; j < LINE_WORDS; j++)
			difference |= a[i + j] ^ READ_ONCE(b[i + j]);
		if (difference)
			return false;
	}
	return true;
}

COLD void content_key_init(struct content_key *key, void *page)
{
	key->words = page;
	tmem_port_random(key->words, PAGE_WORDS);
	tmem_port_random(key->fold, ARRAY_SIZE(key->fold));
}

/*
 * NH (Black, Halevi, Krawczyk, Krovetz, Rogaway: UMAC, CRYPTO 1999), with words of 64 bits and sums
 * modulo 2^128: of each pair of words, with a secret number added to both, the product is added up.
 * Two different pages have the same sum with probability 2^-64 at most. The sum is folded to 64
 * bits by multiplication with secret numbers modulo 2^128, of which the upper half is kept
 * (Dietzfelbinger, 1996): 2^-63 more. XXH3 without vector registers takes ten times as long
 * (docs/tmem.md).
 */
u64 content_copy(const struct content_key *key, void *to, const void *page)
{
	typedef unsigned __int128 u128;
	const u64 *words = page, *secret = key->words, *fold = key->fold;
	u64 *copy = to;
	u128 sum = 0;

	for (u64 i = 0; i < PAGE_WORDS; i += LINE_WORDS) {
		ask_ahead(words, i);
#pragma GCC unroll 4
		for (u64 j = i; j < i + LINE_WORDS; j += 2) {
			u64 even = READ_ONCE(words[j]), odd = READ_ONCE(words[j + 1]);

			copy[j] = even;
			copy[j + 1] = odd;
			sum += (u128)(even + secret[j]) * (odd + secret[j + 1]);
		}
	}
	return (u64)((((u128)fold[1] << 64 | fold[0]) * (u64)sum +
			     ((u128)fold[3] << 64 | fold[2]) * (u64)(sum >> 64)) >>
		     64);
}
