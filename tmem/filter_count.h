/*
 * Which pages a part of a miss filter counts (tmem/filter.h): one bit of a block, which the guest
 * reads, for "one at least", and four that it does not see: one for "two at least", and three that
 * count what is more. Most bits that a page sets or clears are its own alone, and then nothing but
 * the first, or the first two, is looked at: a line each.
 */
#ifndef TMEM_FILTER_COUNT_H
#define TMEM_FILTER_COUNT_H

#include <abi/filter.h>

#include "lib/types.h"
#include "tmem/filter.h"

#define FILTER_LINE_WORDS (TMEM_FILTER_BLOCK_BITS / 64)
#define FILTER_COUNT_MAX  9U /* what reaches it is not known any more, and stays */
#define FILTER_MORE_BITS  3U

/* Of one block, bit by bit as its line. Invariant: what is set in @more is set in @twice, and that
 * in the line. */
struct filter_counts {
	u64 twice[FILTER_LINE_WORDS];
	u64 more[FILTER_MORE_BITS][FILTER_LINE_WORDS]; /* from the lowest bit on */
};

#define FILTER_BIT_BLOCKS   (u32)(PAGE_SIZE * 8 / TMEM_FILTER_BLOCK_BITS) /* in a page of bits */
#define FILTER_COUNT_BLOCKS (u32)(PAGE_SIZE / sizeof(struct filter_counts))

static inline u64 *filter_line(const struct filter_part *part, u32 block)
{
	u64 *page = directory_leaf(&part->bits, block / FILTER_BIT_BLOCKS);

	return page + block % FILTER_BIT_BLOCKS * FILTER_LINE_WORDS;
}

static inline struct filter_counts *filter_counts(const struct filter_part *part, u32 block)
{
	struct filter_counts *page = directory_leaf(&part->counters, block / FILTER_COUNT_BLOCKS);

	return page + block % FILTER_COUNT_BLOCKS;
}

static inline struct filter_part *filter_part_now(struct filter *filter)
{
	struct filter_part *now = &filter->parts[filter->now];

	HIDE_FROM_COMPILER(now); /* it would compute the address for each use */
	return now;
}

/* The bits that three pages at least have. */
static inline u64 filter_more(const struct filter_counts *counts, u32 word)
{
	return counts->more[0][word] | counts->more[1][word] | counts->more[2][word];
}

/* A word changes in one store: guests read it at any time. */
static inline void filter_store_word(u64 *word, u64 value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

/* The word of a line that the next probe is in; and whether its bit is set there. */
static inline u32 filter_word_of(u64 bits)
{
	return tmem_filter_bit(bits, 0) / 64;
}
static inline bool filter_is_set(u64 word, u64 bits)
{
	return word >> bits % 64 & 1;
}

/* The next @probes, by the lowest bits of @bits on, of a page that comes to a block of the part, or
 * leaves it. Of a page with a hash, all are in its bits. */
#define FILTER_PROBE_BITS 9U
_Static_assert(1U << FILTER_PROBE_BITS == TMEM_FILTER_BLOCK_BITS, "a probe's part of a hash");
enum filter_change { FILTER_ADDS, FILTER_REMOVES }; /* what the page does */
void filter_count(const struct filter_part *part, u32 block, u64 bits, unsigned probes,
	enum filter_change change);
COLD void filter_count_all(const struct filter_part *part, u64 hash, enum filter_change change);

/* filter_add() and filter_remove() for pages that the other part may count, too. */
COLD void filter_count_while_building(
	struct filter *filter, u64 hash, u32 id, enum filter_change change);

/* For the audit: whether all bits of @hash are set. */
COLD bool filter_part_finds(const struct filter_part *part, u64 hash);

#endif
