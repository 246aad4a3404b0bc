/*
 * Frames that came one by one, and frames that leave the store: to flips, to reclaim, and to become
 * metadata (tmem/arena_block.h).
 */
#include "tmem/arena_block.h"

#include <string.h>

/* ---- Blocks of single frames ------------------------------------------------------------- */

void block_open(struct arena *arena, struct block *block)
{
	struct block **head = &arena->scattered[block->class];

	block->prev_open = NULL;
	block->next_open = *head;
	if (*head)
		(*head)->prev_open = block;
	*head = block;
	block->open_class = block->class;
	block->open = true;
}

void block_close(struct arena *arena, struct block *block)
{
	if (!block->open)
		return;
	if (block->next_open)
		block->next_open->prev_open = block->prev_open;
	if (block->prev_open)
		block->prev_open->next_open = block->next_open;
	else
		arena->scattered[block->open_class] = block->next_open;
	block->open = false;
}

/* A block with a place for a single frame, NULL without memory. */
static struct block *scattered_block(struct tmem *tmem, enum tmem_class class)
{
	struct arena *arena = &tmem->arena;
	struct block *block = arena->scattered[class];
	void **frames;

	while (block && block->claimed)
		block = block->next_open;
	if (block)
		return block;
	frames = metadata_alloc_locked(tmem);
	block = frames ? block_create(tmem, class) : NULL;
	if (!block) {
		if (frames)
			metadata_free_locked(arena, frames);
		return NULL;
	}
	block->frames = frames;
	memset(block->absent, 0xff, sizeof(block->absent));
	for (u32 place = 0; place < BLOCK_PAGES; place++)
		page_set_state(block_page(block, place), SLOT_ABSENT);
	block_open(arena, block);
	return block;
}

/* Gives a single frame its place in such a block. */
static u32 block_place_frame(struct arena *arena, struct block *block, void *frame)
{
	u32 place = block_lowest(block->absent);

	block->frames[place] = frame;
	block->absent[place / 64] &= ~BIT(place % 64);
	page_set_state(block_page(block, place), SLOT_EMPTY);
	if (++block->present == BLOCK_PAGES)
		block_close(arena, block);
	WRITE_ONCE(arena->frames, arena->frames + 1);
	return place;
}

bool arena_new_single(struct tmem *tmem, enum tmem_class class)
{
	struct arena *arena = &tmem->arena;
	struct block *block;
	void *frame;

	if (arena->frames >= arena->max_frames)
		return false;
	frame = tmem_port_alloc(0);
	if (!frame)
		return false;
	block = scattered_block(tmem, class);
	if (!block) {
		tmem_port_free(frame, 0);
		return false;
	}
	block_mark_free(block, block_place_frame(arena, block, frame));
	block->free_count++;
	if (!block->listed)
		block_list(arena, block);
	return true;
}

/* ---- Frames that come and go ------------------------------------------------------------- */

static void *detach(struct tmem *tmem, u32 slot)
{
	struct block *block = block_of(tmem, slot);
	void *frame = block_frame(block, slot);

	block_lose_frame(&tmem->arena, block, slot % BLOCK_PAGES);
	if (block->claimed)
		return frame;
	if (!block->present)
		block_destroy(tmem, block);
	else if (block_is_unused(block))
		block_release(tmem, block);
	return frame;
}

void *arena_detach(struct tmem *tmem, u32 slot)
{
	void *frame;

	arena_lock(tmem);
	frame = detach(tmem, slot);
	arena_unlock(tmem);
	return frame;
}

u32 arena_attach(struct tmem *tmem, enum tmem_class class, u32 client, void *frame)
{
	struct block *block = NULL;
	u32 slot = SLOT_NONE;

	arena_lock(tmem);
	if (tmem->arena.frames < tmem->arena.max_frames)
		block = scattered_block(tmem, class);
	if (block) {
		slot = block->number * BLOCK_PAGES + block_place_frame(&tmem->arena, block, frame);
		WRITE_ONCE(block_page(block, slot)->client, client);
	}
	arena_unlock(tmem);
	return slot;
}

bool arena_exchange(struct tmem *tmem, u32 slot, void *frame)
{
	struct block *block = block_of(tmem, slot);
	void *old;

	if (!block->frames)
		return false;
	arena_lock(tmem);
	old = block->frames[slot % BLOCK_PAGES];
	block->frames[slot % BLOCK_PAGES] = frame;
	tmem_port_free(old, 0);
	arena_unlock(tmem);
	return true;
}

void arena_turn_into_metadata(struct tmem *tmem, u32 slot)
{
	void **page;

	arena_lock(tmem);
	page = detach(tmem, slot);
	*page = tmem->arena.pages;
	tmem->arena.pages = page;
	arena_unlock(tmem);
}

/* ---- Reclaim ----------------------------------------------------------------------------- */

void *arena_detach_free(struct tmem *tmem, struct block *block)
{
	u32 place;
	void *frame;

	if (!block->free_count)
		return NULL;
	place = block_lowest(block->free);
	frame = block_frame(block, place);
	block_take_free(block, place);
	block_lose_frame(&tmem->arena, block, place);
	return frame;
}

void arena_claim(struct tmem *tmem, struct block *block)
{
	if (block_is_unused(block) && block->present == BLOCK_PAGES && block->base)
		tmem->arena.empty_blocks--;
	block_unlist(&tmem->arena, block);
	block->claimed = true;
}

void arena_unclaim(struct tmem *tmem, struct block *block)
{
	struct arena *arena = &tmem->arena;

	block->claimed = false;
	if (block->open && block->open_class != block->class) {
		block_close(arena, block);
		block_open(arena, block);
	}
	if (!block->present)
		block_destroy(tmem, block);
	else if (block_is_unused(block))
		block_release(tmem, block);
	else if (block->free_count && !block->listed)
		block_list(arena, block);
}
