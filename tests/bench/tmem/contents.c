/*
 * What is in the guest's pages, and what its pools do with that.
 */
#include "tests/bench/tmem/bench.h"

#include <string.h>

#include <abi/hypercall.h>

static void fill_words(u64 *words, u64 count, u64 state)
{
	for (u64 i = 0; i < count; i++) {
		state = state * 6364136223846793005UL + 1442695040888963407UL;
		words[i] = state ^ state >> 29;
	}
}

static void fill_random(u64 *words, u64 page)
{
	fill_words(words, PAGE_SIZE / 8, page);
}

static void fill_zero(u64 *words, u64 page)
{
	(void)page;
	memset(words, 0, PAGE_SIZE);
}

/* Each page of the second half is one of the first. */
static void fill_half_equal(u64 *words, u64 page)
{
	fill_words(words, PAGE_SIZE / 8, page % (pages / 2));
}

/* Compresses to little more than a half. */
static void fill_half_random(u64 *words, u64 page)
{
	memset(words, 0, PAGE_SIZE);
	fill_words(words, PAGE_SIZE / 16, page);
}

const struct mode modes[MODES] = {
	{"plain", 0, false, fill_random},
	{"zero", TMEM_MODE_FILLED, false, fill_zero},
	{"dedup", TMEM_MODE_DEDUP, false, fill_half_equal},
	{"lz4", TMEM_MODE_COMPRESS, false, fill_half_random},
	{"default", TMEM_MODE_FILLED, true, fill_random},
};

const struct mode *mode = &modes[0];

void fill_pages(void)
{
	for (u64 page = 0; page < pages; page++)
		mode->fill((u64 *)(guest + page * PAGE_SIZE), page);
}
