/*
 * A hash table moves to new keys (tmem/table_grow.h), since a chain has become longer than chance
 * allows: a few entries at each insertion and removal, while lookups search both parts.
 */
#include "tmem/table_grow.h"

#include "tmem/arena.h"
#include "tmem/chain.h"

/* Entries (or empty buckets) of the old part that go at each insertion and removal. */
#define ENTRIES_MOVED 16U

COLD void table_start_moving(struct tmem *tmem, struct table *table)
{
	void *page = table->spare ? table->spare : metadata_alloc(tmem);
	struct line **middle = part_new_middle(tmem);

	if (!page || !middle) {
		table->spare = page;
		table_set_reserve(table);
		if (middle)
			metadata_free(tmem, middle);
		return;
	}
	table->spare = NULL;
	table->old = table->now;
	part_clear(&table->now);
	table->now.middles[0] = middle;
	part_push(&table->now, page);
	table_set_reserve(table);
	tmem_port_random(table->now.keys, ARRAY_SIZE(table->now.keys));
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
		(void)table_split(tmem, table); /* other keys are on their way */
	}
	id = entry_id(line->entries[place]);
	hash = table->rehash(table->owner, now->keys, id);
	chain_take(tmem, table, from, line->tags[place], id);
	to = table_line(now, table_bucket(now, hash));
	chain_add(table, to, table_tag(hash), table_entry(to, hash, id));
	return true;
}

COLD void table_keep_moving(struct tmem *tmem, struct table *table)
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
