/*
 * Buckets of a hash table come and go (tmem/table_grow.h): each split or merge deals with one, and
 * tells by the marks beside the entries, mostly, which of them move. Readers without the lock may
 * be following the pointers meanwhile.
 */
#include "tmem/table_grow.h"

#include <abi/errno.h>

#include "tmem/arena.h"
#include "tmem/chain.h"

/* Where pointers lead that have no page of pointers, or no leaf. Nobody writes there, though the
 * tables' pointers do not say so. */
static const struct line empty_leaf[LINES_PER_LEAF];
static struct line *const empty_middle[TABLE_POINTERS] = {
	[0 ... TABLE_POINTERS - 1] = (struct line *)empty_leaf,
};
#define EMPTY_LEAF   ((struct line *)empty_leaf)
#define EMPTY_MIDDLE ((struct line **)empty_middle)

/* ---- Buckets of a part -------------------------------------------------------------- */

/* By plain stores, which others see in order: not by memset() (see metadata_alloc()). */
void part_clear(struct table_part *part)
{
	WRITE_ONCE(part->buckets, 0);
	WRITE_ONCE(part->mask, 0);
	for (u32 i = 0; i < TABLE_MIDDLES; i++)
		WRITE_ONCE(part->middles[i], EMPTY_MIDDLE);
}

struct line **part_new_middle(struct tmem *tmem)
{
	struct line **middle = metadata_alloc(tmem);

	for (u32 i = 0; middle && i < TABLE_POINTERS; i++)
		middle[i] = EMPTY_LEAF;
	return middle;
}

void part_drop_middles(struct tmem *tmem, struct table_part *part)
{
	part->mask = 0;
	for (u32 i = 0; i < TABLE_MIDDLES && part->middles[i] != EMPTY_MIDDLE; i++) {
		struct line **middle = part->middles[i];

		WRITE_ONCE(part->middles[i], EMPTY_MIDDLE);
		metadata_retire(tmem, middle);
	}
}

static bool part_has_room(const struct table_part *part)
{
	return part->buckets % LINES_PER_LEAF != 0;
}

struct line *part_push(struct table_part *part, void *page)
{
	struct line *line;

	if (!part_has_room(part))
		*table_leaf(part, part->buckets / LINES_PER_LEAF) = page;
	line = table_line(part, part->buckets);
	line_clear(line);
	if (part->buckets > part->mask)
		part->mask = part->mask << 1 | 1;
	part->buckets++;
	return line;
}

void part_pop(struct tmem *tmem, struct table_part *part)
{
	part->buckets--;
	if (part->buckets && part->buckets - 1 <= part->mask >> 1)
		part->mask >>= 1;
	if (!part_has_room(part)) {
		struct line **place = table_leaf(part, part->buckets / LINES_PER_LEAF);

		metadata_free(tmem, *place);
		*place = EMPTY_LEAF;
	}
	if (part->buckets == 0)
		part_drop_middles(tmem, part);
}

COLD void part_visit(
	const struct table_part *part, void (*visit)(void *page, void *argument), void *argument)
{
	for (u32 i = 0; i < part->buckets; i += LINES_PER_LEAF)
		visit(*table_leaf(part, i / LINES_PER_LEAF), argument);
	for (u32 i = 0; i < TABLE_MIDDLES && part->middles[i] != EMPTY_MIDDLE; i++)
		visit(part->middles[i], argument);
}

/* ---- Growing and shrinking ---------------------------------------------------------- */

int table_reserve(struct tmem *tmem, struct table *table)
{
	u32 leaf = table->now.buckets / LINES_PER_LEAF;
	struct line ***place = &table->now.middles[leaf / TABLE_POINTERS];

	if (table_is_ready(table))
		return 0;
	if (leaf >= TABLE_LEAVES)
		return -SLUICE_ENOMEM;
	if (*place == EMPTY_MIDDLE) {
		struct line **middle = part_new_middle(tmem);

		if (!middle)
			return -SLUICE_ENOMEM;
		__atomic_store_n(place, middle, __ATOMIC_RELEASE);
	}
	table->spare = metadata_alloc(tmem);
	table_set_reserve(table);
	return table->spare ? 0 : -SLUICE_ENOMEM;
}

/* Whether there are lines for the entries of a chain wherever they go, and then for the insertions
 * of a put. */
static inline bool lines_suffice(const struct table *table, const struct line *line)
{
	u32 needed = 1 + TABLE_SPARE_LINES;

	for (; unlikely(line->next); line = table_next_line(table, line))
		needed++;
	return table->lines->available >= needed;
}

/* Whether a chain is longer than chance and the table's load allow, so that it must go entry by
 * entry, to new keys. */
static bool chain_is_too_long(const struct table *table, const struct line *line)
{
	u32 lines;

	if (likely(!line->next))
		return false;
	lines = CHAIN_LINES_MAX + 2 * (table->entries / table->now.buckets / LINE_PLACES);
	for (; line->next && lines; lines--)
		line = table_next_line(table, line);
	return !lines;
}

/* The entries of @from whose hash has bit @split set move to @to. All hashes are asked for, and the
 * marks become those from the next bit on, by which the buckets can be split some times more. */
static __attribute__((noinline)) void split_by_hash(
	struct table *table, struct line *from, struct line *to, u32 split)
{
	u32 filled = 0;

	to->base = (u8)(split + 1);
	from->present = 0;
	for (struct line *line = from;; line = table_next_line(table, line)) {
		line->base = to->base;
		for (u32 place = 0; place < LINE_PLACES; place++) {
			u8 tag = line->tags[place];
			u32 id = entry_id(line->entries[place]), entry;
			u64 hash;

			if (tag == 0)
				continue;
			hash = table->rehash(table->owner, table->now.keys, id);
			entry = table_entry(line, hash, id);
			if (!(hash >> split & 1)) {
				line->entries[place] = entry;
				from->present |= BIT(tag_bit(tag));
				continue;
			}
			if (likely(filled < LINE_PLACES)) {
				to->tags[filled] = tag;
				to->entries[filled++] = entry;
				to->present |= BIT(tag_bit(tag));
			} else {
				chain_add(table, to, tag, entry);
			}
			line->tags[place] = 0;
		}
		if (!line->next)
			break;
	}
}

/* The tags of @line from place @count on become 0. */
static void clear_tags(struct line *line, u32 count)
{
	if (count < 8) {
		line->first_tags &= (1UL << 8 * count) - 1;
		line->more_tags = 0;
	} else {
		line->more_tags &= (u16)((1U << 8 * (count - 8)) - 1);
	}
}

/* The same by the marks alone, of a bucket with one line. Where an entry goes is as good as random,
 * so there is no branch about it: each is written to the end of one of the two lines, and what is
 * free there too, but not counted. */
static void split_by_marks(struct line *from, struct line *to, u32 split)
{
	const u32 shift = ENTRY_ID_BITS + split - from->base;
	struct line *lines[2] = {from, to};
	u64 present[2] = {0};
	u32 count[2] = {0};

	to->base = from->base;
#pragma GCC unroll 1
	for (u32 place = 0; place < LINE_PLACES; place++) {
		u32 entry = from->entries[place], side = entry >> shift & 1;
		u8 tag = from->tags[place];
		bool used = tag != 0;

		lines[side]->tags[count[side]] = tag;
		lines[side]->entries[count[side]] = entry;
		present[side] |= (u64)used << tag_bit(tag);
		count[side] += used;
	}
	clear_tags(from, count[0]);
	from->present = present[0];
	to->present = present[1];
}

bool table_split(struct tmem *tmem, struct table *table)
{
	struct table_part *part = &table->now;
	struct line *from, *to;
	u32 target = part->buckets, split;

	if (!part_has_room(part) && !table->spare)
		return true;
	if (target == 0) {
		part_push(part, table->spare);
		table->spare = NULL;
		table_set_reserve(table);
		return true;
	}
	split = table_split_bit(table);
	from = table_line(part, target - (1U << split));
	if (unlikely(chain_is_too_long(table, from)))
		return false;
	if (from->next && !lines_suffice(table, from))
		return true;
	to = part_push(part, table->spare);
	if (target % LINES_PER_LEAF == 0)
		table->spare = NULL;
	table_set_reserve(table);

	/* It will be the next. */
	__builtin_prefetch(from + 1, 1);
	if (likely(!from->next && line_marks_tell(from, split))) {
		split_by_marks(from, to, split);
		return true;
	}
	split_by_hash(table, from, to, split);
	for (struct line *line = from; line->next;) {
		if (line_is_empty(table_next_line(table, line)))
			chain_unlink(tmem, table, line);
		else
			line = table_next_line(table, line);
	}
	return true;
}

void table_merge(struct tmem *tmem, struct table *table)
{
	struct table_part *part = &table->now;
	u32 last = part->buckets - 1;
	struct line *from = table_line(part, last);
	u32 place = 0;
	struct line *to;

	if (!lines_suffice(table, from))
		return;
	to = table_line(part, last & part->mask >> 1);
	for (struct line *line = from; chain_next(table, &line, &place); place++) {
		u32 entry = line->entries[place], id = entry_id(entry);

		/* One of them may have been split since they were one. */
		if (unlikely(from->base != to->base))
			entry = table_entry(to, table->rehash(table->owner, part->keys, id), id);
		chain_add(table, to, line->tags[place], entry);
	}
	while (from->next)
		chain_unlink(tmem, table, from);
	part_pop(tmem, part);
	table_set_reserve(table);
}
