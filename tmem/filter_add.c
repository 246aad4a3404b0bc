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

/* Nothing has to be kept over a call here: each is the last thing done. What up to two pages have
 * is counted without one. */
void filter_add(struct filter *filter, u64 hash, u32 id, bool *due)
{
	const struct filter_part *now = filter_part_now(filter);
	struct filter_counts *counts;
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
	counts = filter_counts(now, block);
	for (unsigned probes = TMEM_FILTER_PROBES; probes; probes--, hash >>= FILTER_PROBE_BITS) {
		u32 word = filter_word_of(hash);

		if (likely(!filter_is_set(line[word], hash))) {
			filter_store_word(&line[word], line[word] | BIT(hash % 64));
		} else if (likely(!filter_is_set(counts->twice[word], hash))) {
			counts->twice[word] |= BIT(hash % 64);
		} else {
			filter_count(now, block, hash, probes, FILTER_ADDS);
			return;
		}
	}
}

void filter_remove(struct filter *filter, u64 hash, u32 id, bool *due)
{
	const struct filter_part *now = filter_part_now(filter);
	struct filter_counts *counts;
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
	for (unsigned probes = TMEM_FILTER_PROBES; probes; probes--, hash >>= FILTER_PROBE_BITS) {
		u32 word = filter_word_of(hash);
		u64 mask = BIT(hash % 64);

		if (likely(!(counts->twice[word] & mask))) {
			filter_store_word(&line[word], line[word] ^ mask);
		} else if (likely(!(filter_more(counts, word) & mask))) {
			counts->twice[word] ^= mask;
		} else {
			filter_count(now, block, hash, probes, FILTER_REMOVES);
			return;
		}
	}
}
