/*
 * Counting in miss filters what filter_add.c leaves over (tmem/filter_count.h): bits that several
 * pages have, and both parts while one is being built; and the audit.
 */
#include "tmem/filter_count.h"

/* ---- More than one page ------------------------------------------------------------- */

static inline bool is_full(const struct filter_counts *counts, u32 word, u64 mask)
{
	return counts->more[0][word] & counts->more[1][word] & counts->more[2][word] & mask;
}

/* One page more or less, of two at least. */
static void count_again(struct filter_counts *counts, u32 word, u64 mask, enum filter_change change)
{
	u64 more = filter_more(counts, word), carry = mask;

	if (unlikely(is_full(counts, word, mask)))
		return;
	if (!((change == FILTER_ADDS ? counts->twice[word] : more) & mask)) {
		counts->twice[word] ^= mask;
		return;
	}
	for (unsigned i = 0; carry; i++) {
		u64 old = counts->more[i][word];

		counts->more[i][word] = old ^ carry;
		carry &= change == FILTER_ADDS ? old : ~old;
	}
}

void filter_count(const struct filter_part *part, u32 block, u64 bits, unsigned probes,
	enum filter_change change)
{
	struct filter_counts *counts = filter_counts(part, block);
	u64 *line = filter_line(part, block);

	for (; probes; probes--, bits >>= FILTER_PROBE_BITS) {
		u32 word = filter_word_of(bits);
		u64 others = change == FILTER_ADDS ? line[word] : counts->twice[word];

		if (filter_is_set(others, bits))
			count_again(counts, word, BIT(bits % 64), change);
		else
			filter_store_word(&line[word], line[word] ^ BIT(bits % 64));
	}
}

/* ---- Both parts --------------------------------------------------------------------- */

COLD void filter_count_all(const struct filter_part *part, u64 hash, enum filter_change change)
{
	filter_count(part, tmem_filter_block(hash, part->blocks), hash, TMEM_FILTER_PROBES, change);
}

/* The other part counts pages below the cursor, which stands at 0 unless that is being filled.
 * While the header names no part, the number of pages is what the other one counts. */
COLD void filter_count_while_building(
	struct filter *filter, u64 hash, u32 id, enum filter_change change)
{
	const struct filter_part *now = filter_part_now(filter);

	if (id < filter->cursor)
		filter_count_all(&filter->parts[!filter->now], hash, change);
	if (now->blocks)
		filter_count_all(now, hash, change);
	if (now->blocks || id < filter->cursor)
		filter->entries += change == FILTER_ADDS ? 1 : -1UL;
}

/* ---- Audit -------------------------------------------------------------------------- */

COLD bool filter_part_finds(const struct filter_part *part, u64 hash)
{
	const u64 *line = filter_line(part, tmem_filter_block(hash, part->blocks));

	for (unsigned probe = 0; probe < TMEM_FILTER_PROBES; probe++) {
		u32 bit = tmem_filter_bit(hash, probe);

		if (!(line[bit / 64] >> bit % 64 & 1))
			return false;
	}
	return true;
}

static COLD __attribute__((noinline)) u64 ones(u64 word)
{
	u64 count = 0;

	for (; word; word &= word - 1)
		count++;
	return count;
}

COLD bool filter_is_sound(const struct filter *filter)
{
	const struct filter_part *part = &filter->parts[filter->now];
	u64 sum = 0, full = 0;

	for (u32 n = 0; n < part->blocks * FILTER_LINE_WORDS; n++) {
		u32 block = n / FILTER_LINE_WORDS, word = n % FILTER_LINE_WORDS;
		const struct filter_counts *counts = filter_counts(part, block);
		u64 line = filter_line(part, block)[word], twice = counts->twice[word];
		u64 all = 0, any = 0;

		for (unsigned i = 0; i < FILTER_MORE_BITS; i++) {
			u64 more = counts->more[i][word];

			sum += ones(more) << i;
			all = i ? all & more : more;
			any |= more;
		}
		if ((any & ~twice) | (twice & ~line))
			return false;
		sum += ones(line) + ones(twice);
		full |= all;
	}
	return !part->blocks || full || sum == filter->entries * TMEM_FILTER_PROBES;
}
