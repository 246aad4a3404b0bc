/*
 * The buckets of a hash table (tmem/table.h), one by one: how they come and go (table_grow.c), and
 * how their entries move to new keys (table_rekey.c). For table.c, which says when.
 */
#ifndef TMEM_TABLE_GROW_H
#define TMEM_TABLE_GROW_H

#include "tmem/table.h"

/* A chain of this many lines in a table of normal load does not happen by chance: 50 entries where
 * 16 are the most to be expected, less than once in 10^15 buckets. */
#define CHAIN_LINES_MAX 5U

/* To be called when buckets or @spare have changed. */
static inline void table_set_reserve(struct table *table)
{
	bool page_needed = table->now.buckets % LINES_PER_LEAF == 0 && !table->spare;

	table->reserve_at = page_needed ? table->now.buckets * TABLE_LOAD_MAX : ~0U;
}

/* Makes a part one without buckets, pointers of which readers without the lock may follow: whatever
 * it had is forgotten. */
void part_clear(struct table_part *part);
/* Adds an empty bucket at the end; @page becomes its leaf if it is the first of one. */
struct line *part_push(struct table_part *part, void *page);
/* Drops the last bucket and what is in it. */
void part_pop(struct tmem *tmem, struct table_part *part);
/* Drops the pages of pointers of a part without buckets. */
void part_drop_middles(struct tmem *tmem, struct table_part *part);
/* Calls @visit for every page of a part. */
void part_visit(
	const struct table_part *part, void (*visit)(void *page, void *argument), void *argument);
/* A page of pointers, none of which has a leaf; NULL without memory. */
struct line **part_new_middle(struct tmem *tmem);

/*
 * Adds a bucket and moves to it what now belongs there out of the bucket that it splits. Put off
 * when lines or a page are missing: the table only becomes slower. False: that bucket cannot be
 * split at once, the table should take other keys.
 */
bool table_split(struct tmem *tmem, struct table *table);
/* Undoes the last split. Put off when lines are missing. */
void table_merge(struct tmem *tmem, struct table *table);

/* Begins to move to new keys; put off when there is no page for the first bucket. */
void table_start_moving(struct tmem *tmem, struct table *table);
/* A step of it, of some entries or empty buckets. Only while table_is_moving(). */
void table_keep_moving(struct tmem *tmem, struct table *table);

#endif
