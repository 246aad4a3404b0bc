/*
 * Comparing and hashing pages (tmem/content.h).
 */
#include "tmem/content.h"

#include "tmem/port.h"

bool content_is_filled(const void *page, u64 *word)
{
	const u64 *words = page;
	const u64 first = READ_ONCE(words[0]);

	/* A line at a time, as in content_equals(). */
	for (u64 i = 0; i < PAGE_WORDS; i += 8) {
		u64 difference = 0;

		for (u64 j = i; j < i + 8; j++)
			difference |= READ_ONCE(words[j]) ^ first;
		if (difference)
			return false;
	}
	*word = first;
	return true;
}

void content_fill(void *page, u64 word)
{
	u64 *words = page;

	for (u64 i = 0; i < PAGE_WORDS; i++)
		words[i] = word;
}

bool content_equals(const void *one, const void *other)
{
	const u64 *a = one, *b = other;

	/* A line at a time: equal pages, the usual case after equal hashes, cost no branch a word.
	 */
	for (u64 i = 0; i < PAGE_WORDS; i += 8) {
		u64 difference = 0;

		for (u64 j = i; j < i + 8; j++)
			difference |= a[j] ^ b[j];
		if (difference)
			return false;
	}
	return true;
}

void content_key_init(struct content_key *key, void *page)
{
	key->words = page;
	for (u64 i = 0; i < PAGE_WORDS; i++)
		key->words[i] = tmem_port_random();
	for (u64 i = 0; i < ARRAY_SIZE(key->fold); i++)
		key->fold[i] = tmem_port_random();
}

/*
 * NH (Black, Halevi, Krawczyk, Krovetz, Rogaway: UMAC, CRYPTO 1999), with words of 64 bits and sums
 * modulo 2^128: of each pair of words, with a secret number added to both, the product is added up.
 * Two different pages have the same sum with probability 2^-64 at most. The sum is folded to 64
 * bits by multiplication with secret numbers modulo 2^128, of which the upper half is kept
 * (Dietzfelbinger, 1996): 2^-63 more. XXH3 without vector registers takes ten times as long
 * (docs/tmem.md).
 */
u64 content_hash(const struct content_key *key, const void *page)
{
	typedef unsigned __int128 u128;
	const u64 *words = page, *secret = key->words, *fold = key->fold;
	u128 sum = 0;

	for (u64 i = 0; i < PAGE_WORDS; i += 2)
		sum += (u128)(words[i] + secret[i]) * (words[i + 1] + secret[i + 1]);
	return (u64)((((u128)fold[1] << 64 | fold[0]) * (u64)sum +
			     ((u128)fold[3] << 64 | fold[2]) * (u64)(sum >> 64)) >>
		     64);
}
