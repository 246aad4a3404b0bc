/*
 * The compressor on the machine itself: a page comes back whole, what is cut or changed never
 * leaves the page, and all vector registers keep the values that a guest has in them.
 */
#include <string.h>

#include "arch/x86/arch.h"
#include "kernel/core/log.h"
#include "tests/machine/cases.h"

#define GUARD 0xa5

static u8 source[PAGE_SIZE] __aligned_to(PAGE_SIZE);
static u8 target[3][PAGE_SIZE] __aligned_to(PAGE_SIZE); /* the one in the middle is used */
static u8 fragment[2 * PAGE_SIZE];
static u64 state[ARCH_COMPRESSOR_BYTES / sizeof(u64)];
static u64 before[VECTORS_WORDS], after[VECTORS_WORDS];

static u64 next_random(void)
{
	static u64 random = 1;

	random = random * 6364136223846793005UL + 1442695040888963407UL;
	return random >> 33;
}

/* Every @period-th word is random, the others repeat. */
static void fill(u64 period)
{
	for (unsigned i = 0; i < PAGE_SIZE / 4; i++) {
		u32 word = (u32)(i % period ? i / 64 : next_random());

		memcpy(source + (u64)i * 4, &word, 4);
	}
}

static u32 compress(u32 capacity)
{
	u32 length;

	memset(fragment, GUARD, sizeof(fragment));
	memset(state, 0xff, sizeof(state));
	vectors_load(before);
	length = arch_compress_page(fragment, capacity, source, state);
	vectors_store(after);
	EXPECT(memcmp(before, after, sizeof(before)) == 0, "compressing changed vector registers");
	EXPECT(length <= capacity, "%u bytes where %u fit", length, capacity);
	for (u64 i = capacity; i < sizeof(fragment); i++)
		EXPECT(fragment[i] == GUARD, "byte %lu was written, of %u", i, capacity);
	return length;
}

static int decompress(u32 length)
{
	int result;

	memset(target, GUARD, sizeof(target));
	vectors_load(before);
	result = arch_decompress_page(target[1], fragment, length);
	vectors_store(after);
	EXPECT(memcmp(before, after, sizeof(before)) == 0,
		"decompressing changed vector registers");
	for (unsigned i = 0; i < PAGE_SIZE; i++)
		EXPECT(target[0][i] == GUARD && target[2][i] == GUARD,
			"decompressing wrote outside of the page, at %u", i);
	return result;
}

static void check_round_trip(u64 period)
{
	u32 length;

	fill(period);
	length = compress(PAGE_SIZE);
	log_info("test: period %lu: %u bytes", period, length);
	EXPECT(length > 0 || period == 1, "period %lu does not compress", period);
	if (length == 0)
		return;
	EXPECT(decompress(length) == 0, "period %lu does not come back", period);
	EXPECT(memcmp(source, target[1], PAGE_SIZE) == 0, "period %lu comes back changed", period);
	EXPECT(decompress(length - 1) != 0, "a fragment cut short is taken");
	EXPECT(compress(length - 1) == 0, "%u bytes fit into one less", length);
	EXPECT(compress(length) == length, "the same page, another length");
	for (unsigned i = 0; i < 200; i++) {
		fragment[next_random() % length] ^= (u8)(1 + next_random() % 255);
		(void)!decompress(length);
	}
}

void test_compression(void)
{
	static const u64 periods[] = {1, 2, 3, 5, 16, 100, 2000};

	for (unsigned i = 0; i < VECTORS_WORDS; i++)
		before[i] = 0x9e3779b97f4a7c15UL * (i + 1);
	for (unsigned i = 0; i < ARRAY_SIZE(periods); i++)
		check_round_trip(periods[i]);
}
