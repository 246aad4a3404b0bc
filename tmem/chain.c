/*
 * Entries and lines of one chain (tmem/chain.h): whatever a bucket of a table holds.
 */
#include "tmem/chain.h"

u32 chain_add(struct table *table, struct line *line, u8 tag, u32 entry)
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
			line_clear(further);
			further->base = line->base;
		}
	}
}

void chain_unlink(struct tmem *tmem, struct table *table, struct line *line)
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

bool chain_take(struct tmem *tmem, struct table *table, struct line *first, u8 tag, u32 id)
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

bool chain_next(const struct table *table, struct line **line, u32 *place)
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
