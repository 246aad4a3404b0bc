/*
 * Pages that come and go in pools with a miss filter (tmem/filter.h): on the way of each put and
 * removal there.
 */
#include "tmem/filter_count.h"

/* Whether the page is not just one of the part that the header names. */
static inline bool is_building(const struct filter *filter, const struct filter_part *now, u32 id)
{
	return unlikely(id < filter->cursor) || unlikely(!now->blocks);
}

/* Nothing has to be kept over a call here: each is the last thing done. */
void filter_add(struct filter *filter, u64 hash, u32 id, bool *due)
{
	const struct filter_part *now = filter_part_now(filter);
	u32 block;
	u64 *line;

	if (is_building(filter, now, id)) {
		filter_count_while_building(filter, hash, id, FILTER_ADDS);
		return;
	}
	if (unlikely(++filter->entries >= filter->grow_at))
		*due = true;
	block = tmem_filter_block(hash, now->blocks);
	line = filter_line(now, block);
#pragma GCC unroll 4
	for (unsigned probes = TMEM_FILTER_PROBES; probes; probes--, hash >>= FILTER_PROBE_BITS) {
		u32 word = filter_word_of(hash);
		u64 old = line[word];

		if (unlikely(filter_is_set(old, hash))) {
			filter_count(now, block, hash, probes, FILTER_ADDS);
			return;
		}
		filter_store_word(&line[word], old | BIT(hash % 64));
		HIDE_FROM_COMPILER(hash); /* it would shift the first one each time */
	}
}

void filter_remove(struct filter *filter, u64 hash, u32 id, bool *due)
{
	const struct filter_part *now = filter_part_now(filter);
	const struct filter_counts *counts;
	u32 block;
	u64 *line;

	if (is_building(filter, now, id)) {
		filter_count_while_building(filter, hash, id, FILTER_REMOVES);
		return;
	}
	if (unlikely(--filter->entries < filter->shrink_at))
		*due = true;
	block = tmem_filter_block(hash, now->blocks);
	line = filter_line(now, block);
	counts = filter_counts(now, block);
#pragma GCC unroll 4
	for (unsigned probes = TMEM_FILTER_PROBES; probes; probes--, hash >>= FILTER_PROBE_BITS) {
		u32 word = filter_word_of(hash);
		u64 old = line[word];

		if (unlikely(filter_is_set(counts->twice[word], hash))) {
			filter_count(now, block, hash, probes, FILTER_REMOVES);
			return;
		}
		HIDE_FROM_COMPILER(old); /* it would make another of the same instruction */
		old ^= BIT(hash % 64);
		HIDE_FROM_COMPILER(old);
		filter_store_word(&line[word], old);
		HIDE_FROM_COMPILER(hash);
	}
}
