/*
 * Random bytes: the block function against RFC 8439, and generators that forget what they gave,
 * that are apart from each other, and that are seeded in time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "fake/machine.h"
#include "kernel/core/random.h"

static int setup(void **state)
{
	(void)state;
	fake_machine_start(MIB(4), 1);
	fake_entropy_is_poor = false;
	random_start();
	fake_entropy_words = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_machine_stop();
	return 0;
}

/* RFC 8439, 2.3.2: key 00 to 1f, nonce 00000009 0000004a 00000000, counter 1. */
static void the_block_of_the_rfc(void **state)
{
	static const u8 expected[64] = {0x10, 0xf1, 0xe7, 0xe4, 0xd1, 0x3b, 0x59, 0x15, 0x50, 0x0f,
		0xdd, 0x1f, 0xa3, 0x20, 0x71, 0xc4, 0xc7, 0xd1, 0xf4, 0xc7, 0x33, 0xc0, 0x68, 0x03,
		0x04, 0x22, 0xaa, 0x9a, 0xc3, 0xd4, 0x6c, 0x4e, 0xd2, 0x82, 0x64, 0x46, 0x07, 0x9f,
		0xaa, 0x09, 0x14, 0xc2, 0xd7, 0x05, 0xd9, 0x8b, 0x02, 0xa2, 0xb5, 0x12, 0x9c, 0xd1,
		0xde, 0x16, 0x4e, 0xb9, 0xcb, 0xd0, 0x83, 0xe8, 0xa2, 0x50, 0x3c, 0x4e};
	struct chacha20 in = {.counter = 1, .nonce = {0x09000000, 0x4a000000, 0}};
	u32 block[CHACHA20_BLOCK_WORDS];

	(void)state;
	for (unsigned i = 0; i < 32; i++)
		((u8 *)in.key)[i] = (u8)i;
	chacha20_block(&in, block);
	assert_memory_equal(block, expected, sizeof(expected));
}

/* RFC 8439, A.1: test vector 1, all zeros. */
static void the_block_of_zeros(void **state)
{
	static const u8 expected[16] = {0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90, 0x40, 0x5d,
		0x6a, 0xe5, 0x53, 0x86, 0xbd, 0x28};
	struct chacha20 in = {0};
	u32 block[CHACHA20_BLOCK_WORDS];

	(void)state;
	chacha20_block(&in, block);
	assert_memory_equal(block, expected, sizeof(expected));
}

/* The stream is that of the key before: its first half block is the next key, the rest comes out,
 * however long. */
static void what_comes_out_is_the_stream_behind_the_next_key(void **state)
{
	static const u64 lengths[] = {1, 31, 32, 33, 95, 96, 97, 160, 4096};
	u8 out[4096 + 8], stream[4096 + 64];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct random random = {.key = {1, 2, 3, i}, .left = KIB(64)};
		struct chacha20 in = {.key = {1, 2, 3, i}};

		for (; in.counter < sizeof(stream) / 64; in.counter++)
			chacha20_block(&in, (u32 *)(stream + 64 * in.counter));
		memset(out, 0xee, sizeof(out));
		random_bytes(&random, out, lengths[i]);
		assert_memory_equal(out, stream + 32, lengths[i]);
		assert_int_equal(out[lengths[i]], 0xee);
		assert_memory_equal(random.key, stream, 32);
		assert_int_equal(random.left, KIB(64) - lengths[i]);
	}
}

static void generators_are_apart(void **state)
{
	struct random one = {0}, two = {0};
	u8 a[64], b[64], c[64];
	u64 words[9];

	(void)state;
	random_seed(&one);
	random_seed(&two);
	assert_memory_not_equal(one.key, two.key, sizeof(one.key));
	random_bytes(&one, a, sizeof(a));
	random_bytes(&two, b, sizeof(b));
	random_bytes(&one, c, sizeof(c));
	assert_memory_not_equal(a, b, sizeof(a));
	assert_memory_not_equal(a, c, sizeof(a));
	/* The machine's, within a call and from one to the next. */
	random_words(words, 8);
	random_words(words + 8, 1);
	for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
		for (unsigned j = 0; j < i; j++)
			assert_int_not_equal(words[i], words[j]);
}

/* A seed is added to what was there, and takes nothing away. */
static void a_seed_counts_with_what_was_there(void **state)
{
	struct random same[2] = {{.key = {7}}, {.key = {7}}}, other = {.key = {8}};

	(void)state;
	random_seed(&same[0]);
	random_seed(&same[1]);
	random_seed(&other);
	assert_memory_not_equal(same[0].key, same[1].key, sizeof(other.key));
	assert_memory_not_equal(same[0].key, other.key, sizeof(other.key));
	assert_int_equal(same[0].left, KIB(64));
}

static void seeds_come_in_time(void **state)
{
	struct random random = {0};
	__aligned_to(8) u8 out[4096];
	u64 words;

	(void)state;
	/* The first use, without a seed; then after each 64 KiB. */
	random_bytes(&random, out, 1);
	assert_int_equal(random.left, KIB(64) - 1);
	for (unsigned i = 0; i < 15; i++)
		random_bytes(&random, out, sizeof(out));
	assert_int_equal(random.left, KIB(4) - 1);
	words = random.key[0];
	random_bytes(&random, out, sizeof(out));
	assert_int_equal(random.left, KIB(60));
	assert_int_not_equal(random.key[0], words);
	/* One longer than that: once. */
	{
		static u8 large[KIB(200)];

		random_bytes(&random, large, sizeof(large));
		assert_int_equal(random.left, 0);
		assert_memory_not_equal(large, large + KIB(100), KIB(100));
	}
	/* The machine's own is stirred likewise: 64 KiB of words, 256 bits each time. */
	fake_entropy_words = 0;
	for (unsigned i = 0; i < 8; i++)
		random_words((u64 *)out, sizeof(out) / 8);
	for (unsigned i = 0; i < KIB(32) / 8; i++)
		random_words(&words, 1);
	assert_int_equal(fake_entropy_words, 4);
}

static void no_source_is_said(void **state)
{
	u64 word;

	(void)state;
	assert_int_equal(fake_log_lines, 0);
	fake_entropy_is_poor = true;
	random_start();
	assert_non_null(strstr(fake_log_text, "neither RDSEED nor RDRAND"));
	assert_int_equal(fake_entropy_words, 4 * 1025);
	random_words(&word, 1);
	assert_int_equal(fake_log_lines, 1);
}

/* No byte is more frequent than chance allows, in any place: 10 sigma. */
static void bytes_are_even(void **state)
{
	static unsigned counts[256];
	struct random random = {0};
	u8 out[1000];

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		random_bytes(&random, out, sizeof(out));
		for (unsigned j = 0; j < sizeof(out); j++)
			counts[out[j]]++;
	}
	for (unsigned i = 0; i < 256; i++)
		assert_in_range(counts[i], 3906 - 625, 3906 + 625);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_block_of_the_rfc),
		TEST(the_block_of_zeros),
		TEST(what_comes_out_is_the_stream_behind_the_next_key),
		TEST(generators_are_apart),
		TEST(a_seed_counts_with_what_was_there),
		TEST(seeds_come_in_time),
		TEST(no_source_is_said),
		TEST(bytes_are_even),
	};

	return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
