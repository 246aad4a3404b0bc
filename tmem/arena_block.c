/*
 * Metadata pages, and the records of blocks: how a block begins and ends (tmem/arena_block.h).
 */
#include "tmem/arena_block.h"

#include <string.h>

#include <abi/errno.h>

/* ---- Metadata pages ---------------------------------------------------------------------- */

void *metadata_alloc_locked(struct tmem *tmem)
{
	struct arena *arena = &tmem->arena;
	void *page = arena->pages;

	if (page)
		arena->pages = *(void **)page;
	else
		page = tmem_port_alloc(0);
	if (!page)
		return NULL;
	arena->metadata_pages++;
	memset(page, 0, PAGE_SIZE);
	/* A C library may have used non-temporal stores, which come after later plain ones for
	 * others: a reader without the lock must not meet what was in the page before. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return page;
}

void metadata_free_locked(struct arena *arena, void *page)
{
	arena->metadata_pages--;
	tmem_port_free(page, 0);
}

void *metadata_alloc(struct tmem *tmem)
{
	void *page;

	arena_lock(tmem);
	page = metadata_alloc_locked(tmem);
	arena_unlock(tmem);
	return page;
}

void metadata_free(struct tmem *tmem, void *page)
{
	arena_lock(tmem);
	metadata_free_locked(&tmem->arena, page);
	arena_unlock(tmem);
}

void metadata_retire(struct tmem *tmem, void *page)
{
	arena_lock(tmem);
	tmem->arena.metadata_pages--;
	tmem_port_free_later(page);
	arena_unlock(tmem);
}

void metadata_detach(struct tmem *tmem)
{
	arena_lock(tmem);
	tmem->arena.metadata_pages--;
	arena_unlock(tmem);
}

/* ---- Block records ----------------------------------------------------------------------- */

#define LEAVES_PER_BLOCK (BLOCK_PAGES / PAGES_PER_LEAF)

/* Gives a block's pages of records back. */
static void drop_records(struct arena *arena, u32 number)
{
	for (u32 i = 0; i < LEAVES_PER_BLOCK; i++) {
		void **place = directory_place(&arena->records, number * LEAVES_PER_BLOCK + i);

		if (*place)
			metadata_free_locked(arena, *place);
		*place = NULL;
	}
}

/* Makes places for block @number and its slots. The pages above them stay until the store goes. */
static int reach_number(struct tmem *tmem, u32 number)
{
	struct arena *arena = &tmem->arena;
	u32 last = number * LEAVES_PER_BLOCK + LEAVES_PER_BLOCK - 1;
	void **place;

	if (number >= SLOT_BLOCKS ||
		directory_reach(
			tmem, &arena->blocks, number / BLOCKS_PER_LEAF, metadata_alloc_locked) ||
		directory_reach(tmem, &arena->records, last, metadata_alloc_locked))
		return -SLUICE_ENOMEM;
	place = directory_place(&arena->blocks, number / BLOCKS_PER_LEAF);
	if (!*place)
		*place = metadata_alloc_locked(tmem);
	return *place ? 0 : -SLUICE_ENOMEM;
}

struct block *block_create(struct tmem *tmem, unsigned class)
{
	struct arena *arena = &tmem->arena;
	u32 number = arena->unused ? arena->unused : arena->block_numbers;
	struct block *block;

	if (reach_number(tmem, number))
		return NULL;
	for (u32 i = 0; i < LEAVES_PER_BLOCK; i++) {
		void *page = metadata_alloc_locked(tmem);

		*directory_place(&arena->records, number * LEAVES_PER_BLOCK + i) = page;
		if (!page) {
			drop_records(arena, number);
			return NULL;
		}
	}
	block = block_at(tmem, number);
	if (arena->unused)
		arena->unused = block->unused;
	else
		WRITE_ONCE(arena->block_numbers, arena->block_numbers + 1);
	*block = (struct block){.number = number, .class = (u8) class};
	for (u32 i = 0; i < LEAVES_PER_BLOCK; i++)
		block->records[i] = directory_leaf(&arena->records, number * LEAVES_PER_BLOCK + i);
	return block;
}

void block_destroy(struct tmem *tmem, struct block *block)
{
	struct arena *arena = &tmem->arena;
	u32 number = block->number;

	block_unlist(arena, block);
	block_close(arena, block);
	if (block->frames)
		metadata_free_locked(arena, block->frames);
	client_forget_block(tmem, number);
	drop_records(arena, number);
	block->number = 0;
	block->unused = arena->unused;
	arena->unused = number;
}

void block_release(struct tmem *tmem, struct block *block)
{
	struct arena *arena = &tmem->arena;

	if (block_is_virtual(block)) {
		arena->virtual_blocks--;
	} else if (block->base && block->present == BLOCK_PAGES) {
		tmem_port_free(block->base, TMEM_PORT_BLOCK);
		WRITE_ONCE(arena->frames, arena->frames - BLOCK_PAGES);
		WRITE_ONCE(arena->dry, false);
	} else {
		while (block->free_count) {
			u32 place = block_lowest(block->free);
			void *frame = block_frame(block, place);

			block_take_free(block, place);
			block_lose_frame(arena, block, place);
			tmem_port_free(frame, 0);
		}
	}
	block_destroy(tmem, block);
}

bool arena_find_page(struct tmem *tmem, u32 client, u32 *slot, unsigned count)
{
	struct block *block;
	bool found = false;

	arena_lock(tmem);
	block = arena_block(tmem, *slot / BLOCK_PAGES);
	if (!block)
		*slot = ROUND_UP(*slot + 1, BLOCK_PAGES);
	for (; block && count && !found; count--) {
		const struct page *page = block_page(block, *slot);

		found = (page_state(page) == SLOT_PERSISTENT || page_is_queued(page)) &&
			(block->class == VIRTUAL ? block->client : page_client(page)) == client;
		if (!found && ++*slot % BLOCK_PAGES == 0)
			break;
	}
	arena_unlock(tmem);
	return found;
}

u32 arena_end(const struct tmem *tmem)
{
	return READ_ONCE(tmem->arena.block_numbers) * BLOCK_PAGES;
}

struct block *arena_block(const struct tmem *tmem, u32 number)
{
	struct block *block;

	if (!number || number >= tmem->arena.block_numbers)
		return NULL;
	block = block_at(tmem, number);
	return block->number ? block : NULL;
}
