/*
 * Reclaim: frames out of the store, for guests' memory. Blocks of ephemeral pages are chosen, and
 * emptied (reclaim_block.c) one after the other, so that their frames merge. No two client locks
 * are held at once, and the arena's only without one.
 */
#include "tmem/client_slots.h"
#include "tmem/evict.h"

/* ---- Which block ---------------------------------------------------------------------- */

/* The number of the block that the oldest page of the client furthest over its share lies in, or
 * ~0. */
static u32 oldest_block(struct tmem *tmem)
{
	struct tmem_client *victim = choose_victim(tmem, NULL, EPHEMERAL);
	u32 number = ~0U;

	if (!victim)
		return number;
	client_lock(victim);
	if (victim->alive && client_ordinary_pages(victim))
		number = next_to_go(victim) / BLOCK_PAGES;
	client_unlock(victim);
	return number;
}

static bool block_can_be_emptied(const struct block *block)
{
	return block && !block->claimed && block->class == EPHEMERAL;
}

static unsigned pages_in(const struct block *block)
{
	return (unsigned)block->present - block->free_count;
}

/* Blocks of which the emptiest is sought: so long is the arena's lock held. */
#define BLOCKS_COMPARED 2048U

/*
 * The block whose loss costs least, or NULL: the one already begun, else the emptiest of the next
 * few if at least half of it is free, else the one with the oldest page, else any of those. Arena
 * lock held.
 */
static struct block *choose_block(struct tmem *tmem, u32 oldest)
{
	u32 numbers = tmem->arena.block_numbers;
	struct block *best = NULL;

	if (tmem->reclaim_block) {
		best = arena_block(tmem, tmem->reclaim_block - 1);
		if (block_can_be_emptied(best))
			return best;
		best = NULL;
	}
	for (u32 i = 0; i < MIN(numbers, BLOCKS_COMPARED); i++) {
		struct block *block = arena_block(tmem, tmem->reclaim_hand);

		if (++tmem->reclaim_hand == numbers)
			tmem->reclaim_hand = 0;
		if (block_can_be_emptied(block) && (!best || pages_in(block) < pages_in(best)))
			best = block;
	}
	if ((!best || pages_in(best) > BLOCK_PAGES / 2) && oldest != ~0U) {
		struct block *block = arena_block(tmem, oldest);

		if (block_can_be_emptied(block))
			best = block;
	}
	return best;
}

/* ---- Blocks, and frames one by one ----------------------------------------------------- */

/* Takes up to @max frames out of the block that costs least; *@found says whether there was one. */
static unsigned reclaim_block(struct tmem *tmem, void **pages, unsigned max, bool *found)
{
	u32 oldest = oldest_block(tmem);
	struct block *block;
	unsigned count = 0;

	tmem_port_lock(&tmem->arena.lock);
	block = choose_block(tmem, oldest);
	*found = block != NULL;
	if (block) {
		arena_claim(tmem, block);
		tmem->reclaim_block = block->number + 1;
		while (count < max && (pages[count] = arena_detach_free(tmem, block)) != NULL)
			count++;
	}
	tmem_port_unlock(&tmem->arena.lock);
	if (!block)
		return 0;

	count += reclaim_from_block(tmem, block, pages + count, max - count);

	tmem_port_lock(&tmem->arena.lock);
	if (count < max) {
		/* All that could go is gone: only persistent pages are left, if any. */
		tmem->reclaim_block = 0;
		WRITE_ONCE(block->class, PERSISTENT);
	}
	arena_unclaim(tmem, block);
	tmem_port_unlock(&tmem->arena.lock);
	return count;
}

/* Free slots of blocks of persistent pages. */
static unsigned reclaim_free(struct tmem *tmem, void **pages, unsigned max)
{
	unsigned count = 0;

	tmem_port_lock(&tmem->arena.lock);
	for (struct block *block; count < max && (block = tmem->arena.room[PERSISTENT]) != NULL;) {
		arena_claim(tmem, block);
		while (count < max && (pages[count] = arena_detach_free(tmem, block)) != NULL)
			count++;
		arena_unclaim(tmem, block);
	}
	tmem_port_unlock(&tmem->arena.lock);
	return count;
}

/* The frames that clients have at hand go to the arena; how many that brings here. */
static unsigned reclaim_at_hand(struct tmem *tmem, void **pages, unsigned max)
{
	for (u32 number = 0; number < READ_ONCE(tmem->client_count); number++) {
		struct tmem_client *client = client_number(tmem, number);

		if (!client || (!READ_ONCE(client->magazines[EPHEMERAL].count) &&
				       !READ_ONCE(client->magazines[PERSISTENT].count)))
			continue;
		client_lock(client);
		for (unsigned class = 0; class < TMEM_CLASSES; class ++)
			client_spill(client, class, 0);
		client_unlock(client);
	}
	return reclaim_free(tmem, pages, max);
}

/* Steps of compaction that one reclaim of frames one by one makes at most. */
#define RECLAIM_COMPACTIONS 16U

/* When no block of ephemeral pages is left: free slots of the other blocks, and those that
 * compaction makes, then what ephemeral pages stand between persistent ones, the oldest first. */
static unsigned reclaim_singles(struct tmem *tmem, void **pages, unsigned max)
{
	unsigned count = reclaim_free(tmem, pages, max);
	u32 looks = 0;

	for (u32 i = 0; i < RECLAIM_COMPACTIONS && count < max && compact_any(tmem, NULL); i++)
		count += reclaim_free(tmem, pages + count, max - count);
	if (!count)
		count = reclaim_at_hand(tmem, pages, max);

	while (count < max && looks < LOOKS_MAX) {
		struct tmem_client *victim = choose_victim(tmem, NULL, EPHEMERAL);
		u32 slot;

		if (!victim)
			break;
		client_lock(victim);
		slot = evict_frame(victim);
		client_unlock(victim);
		if (slot != SLOT_NONE)
			pages[count++] = arena_detach(tmem, slot);
		else
			looks++;
	}
	return count;
}

/* Blocks that one call finds to have nothing that may go, at most. */
#define BLOCKS_IN_VAIN 4U

unsigned tmem_reclaim(struct tmem *tmem, void **pages, unsigned max)
{
	unsigned count = 0;
	bool found = true;

	/* Such a block is not looked at again. */
	for (u32 i = 0; i < BLOCKS_IN_VAIN && max && !count && found; i++)
		count = reclaim_block(tmem, pages, max, &found);
	return count ? count : reclaim_singles(tmem, pages, max);
}
