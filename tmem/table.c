/*
 * Inserting into and removing from hash tables (tmem/table.h): what an entry does to its chain, and
 * when buckets come, go or move for it.
 */
#include "tmem/table.h"

#include "tmem/arena.h"
#include "tmem/chain.h"
#include "tmem/table_grow.h"

COLD void table_init(struct table *table, struct slab *lines, const u64 keys[6],
	table_rehash rehash, const void *owner)
{
	memset(table, 0, sizeof(*table));
	part_clear(&table->now);
	part_clear(&table->old);
	memcpy(table->now.keys, keys, sizeof(table->now.keys));
	table->lines = lines;
	table->rehash = rehash;
	table->owner = owner;
}

void table_insert(struct tmem *tmem, struct table *table, u64 hash, u32 id)
{
	struct table_part *part = &table->now;
	bool splits = true;
	struct line *line;
	u32 length;

	if (table_wants_bucket(table) || part->buckets == 0)
		splits = table_split(tmem, table);
	/* Only now may the keys change: @hash is under these. */
	line = table_line(part, table_bucket(part, hash));
	if (likely(splits && table_insert_at(table, line, hash, id)))
		return;
	length = chain_add(table, line, table_tag(hash), table_entry(line, hash, id));
	table->entries++;

	if (table_is_moving(table))
		table_keep_moving(tmem, table);
	else if (unlikely(!splits) ||
		 (unlikely(length > CHAIN_LINES_MAX) &&
			 table->entries < part->buckets * 2UL * TABLE_LOAD_MAX &&
			 !table_wants_bucket(table)))
		table_start_moving(tmem, table);
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
		table_keep_moving(tmem, table);
	else if (table->now.buckets > 1 &&
		 table->entries < (table->now.buckets - 1) * (u64)TABLE_LOAD_MIN)
		table_merge(tmem, table);
}

COLD void table_visit(
	const struct table *table, void (*visit)(void *page, void *argument), void *argument)
{
	part_visit(&table->now, visit, argument);
	part_visit(&table->old, visit, argument);
	if (table->spare)
		visit(table->spare, argument);
}

COLD void table_destroy(struct tmem *tmem, struct table *table)
{
	for (u32 i = 0; i < 2; i++) {
		struct table_part *part = i ? &table->old : &table->now;

		while (part->buckets)
			part_pop(tmem, part);
		part_drop_middles(tmem, part);
	}
	if (table->spare)
		metadata_free(tmem, table->spare);
	table->spare = NULL;
	table->entries = 0;
	table_set_reserve(table);
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
