/*
 * Inside the arena (tmem/arena.h): blocks as arena.c (slots), arena_block.c (records) and
 * arena_single.c (frames that came one by one) see them. All with the arena lock held.
 */
#ifndef TMEM_ARENA_BLOCK_H
#define TMEM_ARENA_BLOCK_H

#include "tmem/arena.h"

/* The arena's lock (TMEM_LOCK_ARENA), which is the last of the engine's. */
static inline void arena_lock(struct tmem *tmem)
{
	tmem_port_lock(&tmem->arena.lock);
}

static inline void arena_unlock(struct tmem *tmem)
{
	tmem_port_unlock(&tmem->arena.lock);
}

/* metadata_alloc() and metadata_free() for who holds the lock. */
void *metadata_alloc_locked(struct tmem *tmem);
void metadata_free_locked(struct arena *arena, void *page);

/* A block of @class (enum tmem_class or VIRTUAL) without frames, all its slots free as to their
 * records; NULL without memory. */
struct block *block_create(struct tmem *tmem, unsigned class);
/* Gives the record back; no slot is present. */
void block_destroy(struct tmem *tmem, struct block *block);
/* Gives all frames of a block without pages to the port, and its record back. */
void block_release(struct tmem *tmem, struct block *block);

/* Makes a free slot of @class out of one frame of the port; false without memory. */
bool arena_new_single(struct tmem *tmem, enum tmem_class class);

/* A block of single frames has a place left, or has none any more or goes. */
void block_open(struct arena *arena, struct block *block);
void block_close(struct arena *arena, struct block *block);

/* The list that a block of this kind with room stands in. */
static inline struct block **block_room(struct arena *arena, const struct block *block)
{
	return block->class == VIRTUAL ? &arena->virtual_room[block->client]
				       : &arena->room[block->class];
}

/* In that list, and out of it. */
static inline void block_list(struct arena *arena, struct block *block)
{
	struct block **head = block_room(arena, block);

	block->prev = NULL;
	block->next = *head;
	if (*head)
		(*head)->prev = block;
	*head = block;
	block->listed = true;
}

static inline void block_unlist(struct arena *arena, struct block *block)
{
	if (!block->listed)
		return;
	if (block->next)
		block->next->prev = block->prev;
	if (block->prev)
		block->prev->next = block->next;
	else
		*block_room(arena, block) = block->next;
	block->listed = false;
}

/* Slot @place is free from now on; whoever marks them counts them in @free_count. */
static inline void block_mark_free(struct block *block, u32 place)
{
	block->free[place / 64] |= BIT(place % 64);
}

/* Slot @place, which was free, is in the caller's hands. */
static inline void block_take_free(struct block *block, u32 place)
{
	block->free[place / 64] &= ~BIT(place % 64);
	block->free_count--;
}

/* The frame of slot @place, which is not free, is not the store's any more. */
static inline void block_lose_frame(struct arena *arena, struct block *block, u32 place)
{
	block->absent[place / 64] |= BIT(place % 64);
	block->present--;
	page_set_state(block_page(block, place), SLOT_ABSENT);
	if (block->frames) {
		block->frames[place] = NULL;
		if (!block->open)
			block_open(arena, block);
	}
	WRITE_ONCE(arena->frames, arena->frames - 1);
	WRITE_ONCE(arena->dry, false);
}

/* The lowest set bit of a bitmap of 512; the caller knows that there is one. */
static inline u32 block_lowest(const u64 bits[BLOCK_PAGES / 64])
{
	u32 word = 0;

	while (!bits[word])
		word++;
	return word * 64 + (u32)__builtin_ctzl(bits[word]);
}

/* Whether no slot that has a frame is in use. */
static inline bool block_is_unused(const struct block *block)
{
	return block->free_count == block->present;
}

#endif
