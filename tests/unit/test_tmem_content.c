/*
 * Page contents: same-filled pages, comparison, the hash.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tmem/content.h"
#include "tmem/port.h"

static u64 one[PAGE_WORDS], other[PAGE_WORDS];
static u64 secret[PAGE_WORDS], other_secret[PAGE_WORDS];
static u64 state = 1;

void tmem_port_random(u64 *words, u64 count)
{
	for (u64 i = 0; i < count; i++) {
		/* xorshift64* (Vigna). */
		state ^= state >> 12;
		state ^= state << 25;
		state ^= state >> 27;
		words[i] = state * 0x2545f4914f6cdd1dUL;
	}
}

static void fill_random(u64 *page)
{
	tmem_port_random(page, PAGE_WORDS);
}

/* Copies, and looks whether that is what it did. */
static u64 hash_of(const struct content_key *key, const u64 *page)
{
	static u64 copy[PAGE_WORDS + 2];
	u64 hash;

	copy[0] = copy[PAGE_WORDS + 1] = ~0UL;
	copy[PAGE_WORDS] = ~page[PAGE_WORDS - 1];
	hash = content_copy(key, copy + 1, page);
	assert_memory_equal(copy + 1, page, PAGE_SIZE);
	assert_true(copy[0] == ~0UL && copy[PAGE_WORDS + 1] == ~0UL);
	return hash;
}

static void same_filled_pages_are_seen(void **unused)
{
	static const u64 words[] = {0, 1, ~0UL, 0x0101010101010101UL, 1UL << 63};

	(void)unused;
	for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
		u64 word = 77;

		fill_random(one);
		content_fill(one, words[i]);
		for (u64 j = 0; j < PAGE_WORDS; j++)
			assert_true(one[j] == words[i]);
		assert_true(content_is_filled(one, &word));
		assert_true(word == words[i]);
		/* Any single bit elsewhere is seen. */
		for (u64 j = 0; j < PAGE_WORDS; j++) {
			one[j] ^= 1UL << j % 64;
			assert_false(content_is_filled(one, &word));
			one[j] ^= 1UL << j % 64;
		}
	}
}

static void equal_pages_are_equal_and_others_are_not(void **unused)
{
	(void)unused;
	fill_random(one);
	memcpy(other, one, PAGE_SIZE);
	assert_true(content_equals(one, other));
	for (u64 bit = 0; bit < PAGE_SIZE * 8; bit += 31) {
		other[bit / 64] ^= 1UL << bit % 64;
		assert_false(content_equals(one, other));
		other[bit / 64] ^= 1UL << bit % 64;
	}
	assert_true(content_equals(one, other));
}

static int compare(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return (x > y) - (x < y);
}

/* Pages that differ as little as pages can: no two of a quarter million have a hash in common, nor
 * 40 of its 64 bits more often than chance has it. */
static void hashes_differ(void **unused)
{
	enum { COUNT = 1 << 18 };
	u64 *hashes = calloc(COUNT, sizeof(*hashes));
	struct content_key key;
	u32 equal = 0, upper = 0, lower = 0;

	(void)unused;
	content_key_init(&key, secret);
	memset(one, 0, PAGE_SIZE);
	for (u64 i = 0; i < COUNT; i++) {
		/* Each bit of a page alone; numbers in one word; the same in both words of a pair,
		 * none of them with one bit only. */
		u64 at = i % PAGE_WORDS;
		u64 word = i < PAGE_SIZE * 8 ? 1UL << i / PAGE_WORDS : 2 * i + 3;

		one[at] = word;
		if (i >= COUNT / 2)
			one[at ^ 1] = word ^ at % 2;
		hashes[i] = hash_of(&key, one);
		memset(one, 0, PAGE_SIZE);
	}
	qsort(hashes, COUNT, sizeof(*hashes), compare);
	for (u64 i = 1; i < COUNT; i++) {
		equal += hashes[i] == hashes[i - 1];
		upper += hashes[i] >> 24 == hashes[i - 1] >> 24;
		hashes[i - 1] <<= 24;
	}
	hashes[COUNT - 1] <<= 24;
	qsort(hashes, COUNT, sizeof(*hashes), compare);
	for (u64 i = 1; i < COUNT; i++)
		lower += hashes[i] == hashes[i - 1];
	assert_int_equal(equal, 0);
	/* 2^35 pairs, 2^40 values: 0.03 expected. */
	assert_true(upper <= 1 && lower <= 1);
	free(hashes);
}

static void the_hash_depends_on_everything(void **unused)
{
	struct content_key key, other_key;
	u64 hash;

	(void)unused;
	content_key_init(&key, secret);
	content_key_init(&other_key, other_secret);
	fill_random(one);
	hash = hash_of(&key, one);
	assert_true(hash_of(&key, one) == hash);
	assert_true(hash_of(&other_key, one) != hash);
	for (u64 i = 0; i < PAGE_WORDS; i++) {
		u64 word = one[i];

		one[i] = ~word;
		assert_true(hash_of(&key, one) != hash);
		one[i] = word;
	}
	for (u64 i = 0; i + 1 < PAGE_WORDS; i++) {
		u64 word = one[i];

		one[i] = one[i + 1];
		one[i + 1] = word;
		assert_true(hash_of(&key, one) != hash);
		one[i + 1] = one[i];
		one[i] = word;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(key.fold); i++) {
		key.fold[i] = ~key.fold[i];
		assert_true(hash_of(&key, one) != hash);
		key.fold[i] = ~key.fold[i];
	}
	assert_true(hash_of(&key, one) == hash);
}

/* Against the sum written down as it stands in the paper. */
static void the_hash_is_what_it_says(void **unused)
{
	struct content_key key;

	(void)unused;
	content_key_init(&key, secret);
	for (unsigned round = 0; round < 100; round++) {
		unsigned __int128 sum = 0, low, high;

		fill_random(one);
		for (u64 i = 0; i < PAGE_WORDS; i += 2) {
			u64 a = one[i] + secret[i], b = one[i + 1] + secret[i + 1];

			sum += (unsigned __int128)a * b;
		}
		low = (unsigned __int128)key.fold[1] << 64 | key.fold[0];
		high = (unsigned __int128)key.fold[3] << 64 | key.fold[2];
		sum = low * (u64)sum + high * (u64)(sum >> 64);
		assert_true(hash_of(&key, one) == (u64)(sum >> 64));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_filled_pages_are_seen),
		cmocka_unit_test(equal_pages_are_equal_and_others_are_not),
		cmocka_unit_test(hashes_differ),
		cmocka_unit_test(the_hash_depends_on_everything),
		cmocka_unit_test(the_hash_is_what_it_says),
	};

	return cmocka_run_group_tests_name("tmem_content", tests, NULL, NULL);
}
