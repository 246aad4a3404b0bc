/*
 * Inserting, removing, growing and rekeying of hash tables (tmem/table.h).
 */
#include "tmem/table.h"

#include <abi/errno.h>

#include "tmem/arena.h"
#include "tmem/port.h"

/* A chain of this many lines in a table of normal load does not happen by chance: 50 entries where
 * 16 are the most to be expected, less than once in 10^15 buckets. */
#define CHAIN_LINES_MAX 5U

/* Entries (or empty buckets) of the old part that go at each insertion and removal. */
#define ENTRIES_MOVED 16U

/* Where pointers lead that have no page of pointers, or no leaf. Nobody writes there, though the
 * tables' pointers do not say so. */
static const struct line empty_leaf[LINES_PER_LEAF];
static struct line *const empty_middle[TABLE_POINTERS] = {
	[0 ... TABLE_POINTERS - 1] = (struct line *)empty_leaf,
};
#define EMPTY_LEAF   ((struct line *)empty_leaf)
#define EMPTY_MIDDLE ((struct line **)empty_middle)

/* To be called when buckets or @spare have changed. */
static void set_reserve(struct table *table)
{
	bool page_needed = table->now.buckets % LINES_PER_LEAF == 0 && !table->spare;

	table->reserve_at = page_needed ? table->now.buckets * TABLE_LOAD_MAX : ~0U;
}

/* By plain stores, which others see in order: not by memset() (see metadata_alloc()). */
static void clear_part(struct table_part *part)
{
	WRITE_ONCE(part->buckets, 0);
	WRITE_ONCE(part->mask, 0);
	for (u32 i = 0; i < TABLE_MIDDLES; i++)
		WRITE_ONCE(part->middles[i], EMPTY_MIDDLE);
}

COLD void table_init(struct table *table, struct slab *lines, const u64 keys[6],
	table_rehash rehash, const void *owner)
{
	memset(table, 0, sizeof(*table));
	clear_part(&table->now);
	clear_part(&table->old);
	memcpy(table->now.keys, keys, sizeof(table->now.keys));
	table->lines = lines;
	table->rehash = rehash;
	table->owner = owner;
}

/* ---- Buckets of a part -------------------------------------------------------------- */

/* A page of pointers, none of which has a leaf; NULL without memory. */
static struct line **new_middle(struct tmem *tmem)
{
	struct line **middle = metadata_alloc(tmem);

	for (u32 i = 0; middle && i < TABLE_POINTERS; i++)
		middle[i] = EMPTY_LEAF;
	return middle;
}

static void drop_middles(struct tmem *tmem, struct table_part *part)
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

/* Adds an empty bucket at the end; @page becomes its leaf if it is the first of one. */
static struct line *part_push(struct table_part *part, void *page)
{
	struct line *line;

	if (!part_has_room(part))
		*table_leaf(part, part->buckets / LINES_PER_LEAF) = page;
	line = table_line(part, part->buckets);
	memset(line, 0, sizeof(*line));
	if (part->buckets > part->mask)
		part->mask = part->mask << 1 | 1;
	part->buckets++;
	return line;
}

/* Drops the last bucket and what is in it. */
static void part_pop(struct tmem *tmem, struct table_part *part)
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
		drop_middles(tmem, part);
}

/* Adds an entry to the chain that begins with @line; returns the chain's length in lines. */
static u32 chain_add(struct table *table, struct line *line, u8 tag, u32 entry)
{
	line->present |= BIT(tag_bit(tag));
	for (u32 length = 1;; length++, line = table_next_line(table, line)) {
		u64 first, rest;

		if (line_match(line, 0, &first, &rest)) {
			u32 place = first ? (u32)__builtin_ctzl(first) / 8
					  : 8 + (u32)__builtin_ctzl(rest) / 8;

			line->tags[place] = tag;
			line->entries[place] = entry;
			return length;
		}
		if (!line->next) {
			struct line *further;

			line->next = slab_take(table->lines, sizeof(*further), (void **)&further);
			memset(further, 0, sizeof(*further));
			further->base = line->base;
		}
	}
}

static bool line_is_empty(const struct line *line)
{
	return line->first_tags == 0 && line->more_tags == 0;
}

/* Takes the line that follows @line out of its chain. */
static void chain_unlink(struct tmem *tmem, struct table *table, struct line *line)
{
	u32 id = line->next;
	struct line *further = table_next_line(table, line);

	line->next = further->next;
	slab_put(tmem, table->lines, LINE_SHIFT, id, further);
}

static bool has_zero_byte(u64 word)
{
	return (word - 0x0101010101010101UL) & ~word & 0x8080808080808080UL;
}

/* Whether an entry of the chain has the bit of @tag; a free place seems to have bit 0. */
static bool chain_has_bit(const struct table *table, const struct line *line, u8 tag)
{
	const u64 mask = 0xfcfcfcfcfcfcfcfcUL, pattern = tag * 0x0101010101010101UL;

	for (;; line = table_next_line(table, line)) {
		u64 first = (line->first_tags ^ pattern) & mask;
		u64 more = ((line->more_tags ^ pattern) & mask) | ~0xffffUL;

		if (has_zero_byte(first) || has_zero_byte(more))
			return true;
		if (!line->next)
			return false;
	}
}

/* The place of @id in @line, or LINE_PLACES. */
static u32 line_find(const struct line *line, u8 tag, u32 id)
{
	u64 first;
	u64 rest;

	line_match(line, tag, &first, &rest);
	for (; first; first &= first - 1) {
		u32 place = (u32)__builtin_ctzl(first) / 8;

		if (entry_id(line->entries[place]) == id)
			return place;
	}
	for (; rest; rest &= rest - 1) {
		u32 place = 8 + (u32)__builtin_ctzl(rest) / 8;

		if (entry_id(line->entries[place]) == id)
			return place;
	}
	return LINE_PLACES;
}

/* Takes @id out of a chain; false if it is not there. A further line that became empty leaves it.
 */
static bool chain_take(struct tmem *tmem, struct table *table, struct line *first, u8 tag, u32 id)
{
	struct line *line = first, *before = NULL;

	for (;;) {
		u32 place = line_find(line, tag, id);

		if (likely(place < LINE_PLACES)) {
			line->tags[place] = 0;
			if (unlikely(before && line_is_empty(line)))
				chain_unlink(tmem, table, before);
			if (!chain_has_bit(table, first, tag))
				first->present &= ~BIT(tag_bit(tag));
			return true;
		}
		if (!line->next)
			return false;
		before = line;
		line = table_next_line(table, line);
	}
}

static u32 chain_lines(const struct table *table, const struct line *line)
{
	u32 count = 1;

	for (; line->next; line = table_next_line(table, line))
		count++;
	return count;
}

/* The next entry of a chain at or after (*@line, *@place); false at the end. */
static bool chain_next(const struct table *table, struct line **line, u32 *place)
{
	for (;; ++*place) {
		if (*place == LINE_PLACES) {
			if (!(*line)->next)
				return false;
			*line = table_next_line(table, *line);
			*place = 0;
		}
		if ((*line)->tags[*place])
			return true;
	}
}

/* Frees the further lines of a chain and empties the first. */
static void chain_clear(struct tmem *tmem, struct table *table, struct line *first)
{
	while (first->next)
		chain_unlink(tmem, table, first);
	memset(first->tags, 0, sizeof(first->tags));
	first->present = 0;
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
		struct line **middle = new_middle(tmem);

		if (!middle)
			return -SLUICE_ENOMEM;
		__atomic_store_n(place, middle, __ATOMIC_RELEASE);
	}
	table->spare = metadata_alloc(tmem);
	set_reserve(table);
	return table->spare ? 0 : -SLUICE_ENOMEM;
}

/* Whether a chain is longer than chance and the table's load allow, so that it must go entry by
 * entry, to new keys. */
static bool chain_is_too_long(const struct table *table, const struct line *line)
{
	u32 lines = CHAIN_LINES_MAX + 2 * (table->entries / table->now.buckets / LINE_PLACES);

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

/*
 * Adds a bucket and moves to it what now belongs there out of the bucket that it splits. Put off
 * when lines or a page are missing: the table only becomes slower. False: that bucket cannot be
 * split at once, the table should take other keys.
 */
static bool split_bucket(struct tmem *tmem, struct table *table)
{
	struct table_part *part = &table->now;
	struct line *from, *to;
	u32 target = part->buckets, split;

	if (!part_has_room(part) && !table->spare)
		return true;
	if (target == 0) {
		part_push(part, table->spare);
		table->spare = NULL;
		set_reserve(table);
		return true;
	}
	split = table_split_bit(table);
	from = table_line(part, target - (1U << split));
	if (unlikely(chain_is_too_long(table, from)))
		return false;
	if (from->next && table->lines->available < chain_lines(table, from) + TABLE_SPARE_LINES)
		return true;
	to = part_push(part, table->spare);
	if (target % LINES_PER_LEAF == 0)
		table->spare = NULL;
	set_reserve(table);

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

/* Undoes the last split. Put off when lines are missing. */
static void merge_bucket(struct tmem *tmem, struct table *table)
{
	struct table_part *part = &table->now;
	u32 last = part->buckets - 1;
	struct line *from = table_line(part, last);
	u32 place = 0;
	struct line *to;

	if (table->lines->available < chain_lines(table, from) + TABLE_SPARE_LINES)
		return;
	to = table_line(part, last & part->mask >> 1);
	for (struct line *line = from; chain_next(table, &line, &place); place++) {
		u32 entry = line->entries[place], id = entry_id(entry);

		/* One of them may have been split since they were one. */
		if (unlikely(from->base != to->base))
			entry = table_entry(to, table->rehash(table->owner, part->keys, id), id);
		chain_add(table, to, line->tags[place], entry);
	}
	chain_clear(tmem, table, from);
	part_pop(tmem, part);
	set_reserve(table);
}

/* ---- Moving to new keys ------------------------------------------------------------- */

/* Put off when there is no page for the first bucket. */
static COLD void start_moving(struct tmem *tmem, struct table *table)
{
	void *page = table->spare ? table->spare : metadata_alloc(tmem);
	struct line **middle = new_middle(tmem);

	if (!page || !middle) {
		table->spare = page;
		set_reserve(table);
		if (middle)
			metadata_free(tmem, middle);
		return;
	}
	table->spare = NULL;
	table->old = table->now;
	clear_part(&table->now);
	table->now.middles[0] = middle;
	part_push(&table->now, page);
	set_reserve(table);
	for (unsigned i = 0; i < ARRAY_SIZE(table->now.keys); i++)
		table->now.keys[i] = tmem_port_random();
	table->rekeys++;
}

/* Moves one entry of the old part's last bucket over; false when that bucket is empty, or when
 * lines or a page are missing, which puts it off. */
static bool move_entry(struct tmem *tmem, struct table *table)
{
	struct table_part *now = &table->now;
	struct line *from = table_line(&table->old, table->old.buckets - 1);
	struct line *line = from, *to;
	u32 place = 0;
	u32 id;
	u64 hash;

	if (!chain_next(table, &line, &place) || table->lines->available <= TABLE_SPARE_LINES)
		return false;
	if (table_wants_bucket(table)) {
		if (table_reserve(tmem, table))
			return false;
		(void)split_bucket(tmem, table); /* other keys are on their way */
	}
	id = entry_id(line->entries[place]);
	hash = table->rehash(table->owner, now->keys, id);
	chain_take(tmem, table, from, line->tags[place], id);
	to = table_line(now, table_bucket(now, hash));
	chain_add(table, to, table_tag(hash), table_entry(to, hash, id));
	return true;
}

static COLD void keep_moving(struct tmem *tmem, struct table *table)
{
	for (unsigned moved = 0; moved < ENTRIES_MOVED && table->old.buckets;) {
		struct line *last = table_line(&table->old, table->old.buckets - 1);

		if (move_entry(tmem, table)) {
			moved++;
			continue;
		}
		if (last->next || !line_is_empty(last))
			return;
		part_pop(tmem, &table->old);
		moved++;
	}
}

/* ---- The interface ------------------------------------------------------------------ */

void table_insert(struct tmem *tmem, struct table *table, u64 hash, u32 id)
{
	struct table_part *part = &table->now;
	bool splits = true;
	struct line *line;
	u32 length;

	if (table_wants_bucket(table) || part->buckets == 0)
		splits = split_bucket(tmem, table);
	/* Only now may the keys change: @hash is under these. */
	line = table_line(part, table_bucket(part, hash));
	if (likely(splits && table_insert_at(table, line, hash, id)))
		return;
	length = chain_add(table, line, table_tag(hash), table_entry(line, hash, id));
	table->entries++;

	if (table_is_moving(table))
		keep_moving(tmem, table);
	else if (unlikely(!splits) ||
		 (unlikely(length > CHAIN_LINES_MAX) &&
			 table->entries < part->buckets * 2UL * TABLE_LOAD_MAX &&
			 !table_wants_bucket(table)))
		start_moving(tmem, table);
}

void table_remove(struct tmem *tmem, struct table *table, u64 hash, u32 id)
{
	struct table_part *part = &table->now;
	bool found = chain_take(
		tmem, table, table_line(part, table_bucket(part, hash)), table_tag(hash), id);

	if (unlikely(!found) && table_is_moving(table)) {
		part = &table->old;
		hash = table->rehash(table->owner, part->keys, id);
		found = chain_take(tmem, table, table_line(part, table_bucket(part, hash)),
			table_tag(hash), id);
	}
	if (unlikely(!found))
		tmem_port_complain("tmem: entry %u is not in its table", id);
	table->entries--;
	if (table_is_moving(table))
		keep_moving(tmem, table);
	else if (table->now.buckets > 1 &&
		 table->entries < (table->now.buckets - 1) * (u64)TABLE_LOAD_MIN)
		merge_bucket(tmem, table);
}

static COLD void visit_leaves(
	const struct table_part *part, void (*visit)(void *page, void *argument), void *argument)
{
	for (u32 i = 0; i < part->buckets; i += LINES_PER_LEAF)
		visit(*table_leaf(part, i / LINES_PER_LEAF), argument);
	for (u32 i = 0; i < TABLE_MIDDLES && part->middles[i] != EMPTY_MIDDLE; i++)
		visit(part->middles[i], argument);
}

COLD void table_visit(
	const struct table *table, void (*visit)(void *page, void *argument), void *argument)
{
	visit_leaves(&table->now, visit, argument);
	visit_leaves(&table->old, visit, argument);
	if (table->spare)
		visit(table->spare, argument);
}

COLD void table_destroy(struct tmem *tmem, struct table *table)
{
	for (u32 i = 0; i < 2; i++) {
		struct table_part *part = i ? &table->old : &table->now;

		while (part->buckets)
			part_pop(tmem, part);
		drop_middles(tmem, part);
	}
	if (table->spare)
		metadata_free(tmem, table->spare);
	table->spare = NULL;
	table->entries = 0;
	set_reserve(table);
}

static COLD bool check_part(const struct table *table, const struct table_part *part, u64 *found,
	bool (*check)(void *argument, u32 id), void *argument)
{
	for (u32 bucket = 0; bucket < part->buckets; bucket++) {
		const struct line *first = table_line(part, bucket);
		struct line *line = table_line(part, bucket);

		for (u32 place = 0; chain_next(table, &line, &place); place++) {
			u32 id = entry_id(line->entries[place]);
			u64 hash = table->rehash(table->owner, part->keys, id);

			if (table_bucket(part, hash) != bucket ||
				table_tag(hash) != line->tags[place] || line->base != first->base ||
				!entry_has_mark(line, line->entries[place], hash) ||
				!(first->present >> table_bit(hash) & 1) || !check(argument, id))
				return false;
			++*found;
		}
	}
	return true;
}

COLD u64 table_check(
	const struct table *table, bool (*check)(void *argument, u32 id), void *argument)
{
	u64 found = 0;

	if (!check_part(table, &table->now, &found, check, argument) ||
		!check_part(table, &table->old, &found, check, argument))
		return ~0UL;
	return found;
}
