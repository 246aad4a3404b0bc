/*
 * Reclaim: frames out of the store, for guests' memory. Blocks of ephemeral pages are emptied one
 * after the other, so that their frames merge; what must not be dropped moves. No two client locks
 * are held at once, and the arena's only without one.
 */
#include "tmem/evict.h"

#include "tmem/dedup.h"
#include "tmem/dense.h"

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

/*
 * The block whose loss costs least, or NULL: the one already begun, else the emptiest if at least
 * half of it is free, else the one with the oldest page, else any. Arena lock held.
 */
static struct block *choose_block(struct tmem *tmem, u32 oldest)
{
	const struct arena *arena = &tmem->arena;
	struct block *best = NULL;

	if (tmem->reclaim_block) {
		best = arena_block(tmem, tmem->reclaim_block - 1);
		if (block_can_be_emptied(best))
			return best;
		best = NULL;
	}
	for (u32 number = 1; number < arena->block_numbers; number++) {
		struct block *block = arena_block(tmem, number);

		if (block_can_be_emptied(block) && (!best || pages_in(block) < pages_in(best)))
			best = block;
	}
	if (best && pages_in(best) > BLOCK_PAGES / 2 && oldest != ~0U) {
		struct block *block = arena_block(tmem, oldest);

		if (block_can_be_emptied(block))
			best = block;
	}
	return best;
}

/* Removes @slot from the magazine it lies in; false if a put under way has it in hand. The client's
 * lock is held. */
static bool take_out_of_magazine(struct tmem_client *client, u32 slot)
{
	for (unsigned class = 0; class < TMEM_CLASSES; class ++) {
		struct magazine *magazine = &client->magazines[class];

		for (u32 i = 0; i < magazine->count; i++) {
			if (magazine->slots[i] == slot) {
				WRITE_ONCE(magazine->count, magazine->count - 1);
				magazine->slots[i] = magazine->slots[magazine->count];
				return true;
			}
		}
	}
	return false;
}

static void drop_page(struct tmem_client *client, u32 slot)
{
	u32 freed = evict_page(client, slot);

	if (freed != SLOT_NONE)
		arena_give(client->tmem, &freed, 1);
}

/* A frame elsewhere for what must not be dropped, 0 if there is none. The block that is being
 * emptied gives none. */
static u32 refuge(struct tmem_client *client, enum tmem_class class)
{
	u32 slot = SLOT_NONE;

	return arena_take(client->tmem, class, client->number, &slot, 1) ? slot : SLOT_NONE;
}

static bool vacate(struct tmem_client *client, u32 slot)
{
	enum tmem_class class = dense_class(client, slot);
	bool packed = page_state(page_at(client->tmem, slot)) == SLOT_PACKED;
	u32 to = SLOT_NONE;
	bool vacated;

	/* Compressed ephemeral pages are dropped like others; what several ephemeral pages share
	 * stays, as in move_common(). */
	if (!packed && class == EPHEMERAL)
		return false;
	if (class == PERSISTENT) {
		to = refuge(client, class);
		if (to == SLOT_NONE)
			return false;
	}
	vacated = dense_vacate(client, slot, &to, drop_page);
	if (to != SLOT_NONE)
		arena_give(client->tmem, &to, 1);
	return vacated;
}

/* What others may have, too, is nobody's to drop. Persistent content moves; ephemeral stays until
 * its pages are evicted, since it would only move from one block that is to be emptied to the next.
 */
static bool move_common(struct tmem_client *client, u32 slot)
{
	u32 to = SLOT_NONE;

	if (common_class(page_at(client->tmem, slot)) == PERSISTENT)
		to = refuge(client, PERSISTENT);
	if (to == SLOT_NONE)
		return false;
	if (dedup_vacate(client, slot, to))
		return true;
	arena_give(client->tmem, &to, 1);
	return false;
}

static bool move_away(struct tmem_client *client, u32 slot)
{
	u32 to = refuge(client, PERSISTENT);

	if (to == SLOT_NONE)
		return false;
	client_move_page(client, slot, to);
	return true;
}

/* Takes @slot from @client if that has it idle or with an ephemeral page. Its lock is held. */
static bool seize_slot_of(struct tmem_client *client, u32 slot)
{
	struct page *page = page_at(client->tmem, slot);
	enum slot_state state = page_state(page);

	if (page_client(page) != client->number)
		return false;
	switch (state) {
	case SLOT_EMPTY:
		return take_out_of_magazine(client, slot);
	case SLOT_QUEUED:
	case SLOT_QUEUED_MAIN:
		evict_page(client, slot);
		return true;
	case SLOT_SHARED:
	case SLOT_PACKED:
		return vacate(client, slot);
	case SLOT_COMMON:
		return move_common(client, slot);
	case SLOT_PERSISTENT:
		return move_away(client, slot);
	default:
		return false;
	}
}

/* Takes up to @max frames out of a claimed block; no lock is held. The records are read without a
 * lock to find whom to ask, and again under that client's lock. */
static unsigned empty_block(struct tmem *tmem, struct block *block, void **pages, unsigned max)
{
	unsigned count = 0;

	for (u32 place = 0; place < BLOCK_PAGES && count < max; place++) {
		u32 slot = block->number * BLOCK_PAGES + place;
		const struct page *page = page_at(tmem, slot);
		enum slot_state state = page_state(page);
		struct tmem_client *client;
		bool seized;

		if (state == SLOT_ABSENT)
			continue;
		client = client_number(tmem, READ_ONCE(page->client) % TMEM_CLIENTS);
		if (!client)
			continue;
		client_lock(client);
		seized = seize_slot_of(client, slot);
		client_unlock(client);
		if (seized)
			pages[count++] = arena_detach(tmem, slot);
	}
	return count;
}

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

	count += empty_block(tmem, block, pages + count, max - count);

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

unsigned tmem_reclaim(struct tmem *tmem, void **pages, unsigned max)
{
	unsigned count = 0;
	bool found = true;

	/* A block may turn out to hold nothing but persistent pages; it is not looked at again. */
	while (max && !count && found)
		count = reclaim_block(tmem, pages, max, &found);
	return count ? count : reclaim_singles(tmem, pages, max);
}
