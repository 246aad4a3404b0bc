/*
 * Chains: the lines of one bucket of a hash table (tmem/table.h), for the files that insert,
 * remove, grow and rekey. The first line says by its bits which tags the chain may have, all have
 * the base of the first. Guarded by the lock of the table's owner.
 */
#ifndef TMEM_CHAIN_H
#define TMEM_CHAIN_H

#include "tmem/table.h"

/* Whether no entry is left in @line itself. */
static inline bool line_is_empty(const struct line *line)
{
	return line->first_tags == 0 && line->more_tags == 0;
}

/* Makes @line one without entries. What stands in places that are free says nothing. */
static inline void line_clear(struct line *line)
{
	line->present = 0;
	line->first_tags = 0;
	line->more_tags = 0;
	line->base = line->unused = 0;
	line->next = 0;
}

/* Adds an entry to the chain that begins with @line, with a further line if all are full: one must
 * be available. Returns the chain's length in lines. */
u32 chain_add(struct table *table, struct line *line, u8 tag, u32 entry);

/* Takes @id out of a chain; false if it is not there. A further line that became empty leaves it.
 */
bool chain_take(struct tmem *tmem, struct table *table, struct line *first, u8 tag, u32 id);

/* Takes the line that follows @line out of its chain. */
void chain_unlink(struct tmem *tmem, struct table *table, struct line *line);

/* The next entry of a chain at or after (*@line, *@place); false at the end. */
bool chain_next(const struct table *table, struct line **line, u32 *place);

#endif
