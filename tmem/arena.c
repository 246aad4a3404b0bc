/*
 * Slots: what is taken from blocks and given back to them, many at a time; and the arena's life
 * (tmem/arena.h).
 */
#include <string.h>

#include "tmem/arena_block.h"

/* Blocks kept for the next puts although they are empty. */
#define EMPTY_BLOCKS_MAX 1U

/* ---- Taking ------------------------------------------------------------------------------ */

static void all_free(struct arena *arena, struct block *block)
{
	block->present = BLOCK_PAGES;
	memset(block->free, 0xff, sizeof(block->free));
	block->free_count = BLOCK_PAGES;
	block_list(arena, block);
}

/* Virtual blocks are a client's own, since the records of their pages do not name it. */
static struct block *new_virtual_block(struct tmem *tmem, u32 client)
{
	struct arena *arena = &tmem->arena;
	struct block *block = NULL;

	if ((u64)arena->virtual_blocks * BLOCK_PAGES <= arena->frames * VIRTUAL_PER_FRAME)
		block = block_create(tmem, VIRTUAL);
	if (!block)
		return NULL;
	arena->virtual_blocks++;
	block->client = (u8)client;
	all_free(arena, block);
	return block;
}

static bool new_block(struct tmem *tmem, enum tmem_class class)
{
	struct arena *arena = &tmem->arena;
	struct block *block;
	void *base;

	if (arena->frames + BLOCK_PAGES > arena->max_frames)
		return false;
	base = tmem_port_alloc(TMEM_PORT_BLOCK);
	if (!base)
		return false;
	block = block_create(tmem, class);
	if (!block) {
		tmem_port_free(base, TMEM_PORT_BLOCK);
		return false;
	}
	block->base = base;
	WRITE_ONCE(arena->frames, arena->frames + BLOCK_PAGES);
	arena->empty_blocks++;
	all_free(arena, block);
	return true;
}

/* Up to @count slots out of one block with room, the lowest at the end of @slots. */
static unsigned take_from(
	struct arena *arena, struct block *block, u32 client, u32 *slots, unsigned count)
{
	u32 *end = slots + count;

	if (block_is_unused(block) && block->present == BLOCK_PAGES && block->base)
		arena->empty_blocks--;
	for (u32 word = 0; end != slots; word++) {
		u64 bits, first;
		struct page *records;

		while (word < BLOCK_PAGES / 64 && !block->free[word])
			word++;
		if (word == BLOCK_PAGES / 64)
			break;
		bits = block->free[word];
		first = (u64)block->number * BLOCK_PAGES + word * 64;
		records = block_page(block, word * 64);
		while (bits && end != slots) {
			u64 bit = (u64)__builtin_ctzl(bits);
			u64 run = bits >> bit == ~0UL >> bit ? 64 - bit
							     : (u64)__builtin_ctzl(~(bits >> bit));
			u32 *from;

			run = MIN(run, (u64)(end - slots));
			from = end - run;
			/* 1 <= run: the lowest bit is set. NOLINTNEXTLINE(clang-analyzer-core.*) */
			bits &= ~((~0UL >> (64 - run)) << bit);
#pragma GCC unroll 4
			for (u64 i = 0; i < run; i++) {
				WRITE_ONCE(records[bit + i].client, client);
				end[-1 - (s64)i] = (u32)(first + bit + i);
			}
			end = from;
		}
		block->free[word] = bits;
	}
	count -= (unsigned)(end - slots);
	block->free_count = (u16)(block->free_count - count);
	if (!block->free_count)
		block_unlist(arena, block);
	return count;
}

static unsigned take_virtual(struct tmem *tmem, u32 client, u32 *slots, unsigned count)
{
	struct arena *arena = &tmem->arena;
	struct block *block = arena->virtual_room[client];

	if (!block)
		block = new_virtual_block(tmem, client);
	return block ? take_from(arena, block, client, slots, count) : 0;
}

static unsigned take_frames(
	struct tmem *tmem, enum tmem_class class, u32 client, u32 *slots, unsigned count)
{
	struct arena *arena = &tmem->arena;
	enum tmem_class other = class == EPHEMERAL ? PERSISTENT : EPHEMERAL;
	unsigned left = count;

	if (!arena->room[class] && !new_block(tmem, class))
		arena_new_single(tmem, class);
	/* From the end on: the caller takes the last one first, in ascending order of address. */
	while (left && arena->room[class])
		left -= take_from(arena, arena->room[class], client, slots, left);
	if (left == count && arena->room[other])
		left -= take_from(arena, arena->room[other], client, slots + count - 1, 1);
	WRITE_ONCE(arena->dry, left == count);
	return count - left;
}

unsigned arena_take(struct tmem *tmem, unsigned class, u32 client, u32 *slots, unsigned count)
{
	unsigned taken;

	arena_lock(tmem);
	if (class == VIRTUAL)
		taken = take_virtual(tmem, client, slots, count);
	else
		taken = take_frames(tmem, (enum tmem_class) class, client, slots, count);
	arena_unlock(tmem);
	if (taken < count)
		memmove(slots, slots + (count - taken), taken * sizeof(*slots));
	return taken;
}

/* ---- Giving ------------------------------------------------------------------------------ */

/* What is due when slots of @block have become free: it is listed, or given up when it is empty. */
static void block_has_room(struct tmem *tmem, struct block *block)
{
	struct arena *arena = &tmem->arena;

	if (block->claimed)
		return;
	if (block_is_unused(block)) {
		if (!block->base || block->present < BLOCK_PAGES ||
			arena->empty_blocks >= EMPTY_BLOCKS_MAX) {
			block_release(tmem, block);
			return;
		}
		arena->empty_blocks++;
	}
	if (!block->listed)
		block_list(arena, block);
}

/* A single frame goes back to the port at once. */
static void give_single(struct tmem *tmem, struct block *block, u32 place)
{
	void *frame = block->frames[place];

	block_lose_frame(&tmem->arena, block, place);
	tmem_port_free(frame, 0);
	if (!block->present && !block->claimed)
		block_destroy(tmem, block);
}

void arena_give(struct tmem *tmem, const u32 *slots, unsigned count)
{
	struct arena *arena = &tmem->arena;

	const u32 *end = slots + count;

	arena_lock(tmem);
	WRITE_ONCE(arena->dry, false);
	while (slots != end) {
		const u32 *first = slots;
		u32 number = *slots / BLOCK_PAGES;
		struct block *block = block_at(tmem, number);

		if (unlikely(block->frames)) {
			give_single(tmem, block, *slots++ % BLOCK_PAGES);
			continue;
		}
		/* Neighbours often come together. */
		while (slots != end && *slots / BLOCK_PAGES == number) {
			const u32 *start = slots, *limit = start + (64 - *start % 64);
			u32 slot = *start, next = slot;

			limit = MIN(limit, end);
			do
				slots++, next++;
			while (slots != limit && *slots == next);
			block->free[slot / 64 % (BLOCK_PAGES / 64)] |=
				~0UL >> (64 - (slots - start)) << slot % 64;
		}
		block->free_count = (u16)(block->free_count + (slots - first));
		block_has_room(tmem, block);
	}
	arena_unlock(tmem);
}

void arena_hand_over(struct tmem *tmem, struct block *block, u32 client)
{
	block->claimed = false;
	WRITE_ONCE(block->client, (u8)client);
	block_list(&tmem->arena, block);
}

/* ---- Life -------------------------------------------------------------------------------- */

COLD void arena_init(struct tmem *tmem, u64 max_frames)
{
	struct arena *arena = &tmem->arena;

	tmem_port_lock_init(&arena->lock, TMEM_LOCK_ARENA);
	arena->max_frames = max_frames ? max_frames : ~0UL;
	arena->metadata_pages = 1; /* the one that holds struct tmem */
	arena->block_numbers = 1;
	directory_init(&arena->blocks);
	directory_init(&arena->records);
}

void arena_destroy(struct tmem *tmem)
{
	struct arena *arena = &tmem->arena;

	arena_lock(tmem);
	for (u32 number = 1; number < arena->block_numbers; number++) {
		struct block *block = arena_block(tmem, number);

		if (block)
			block_release(tmem, block);
	}
	for (u32 leaf = 0; leaf < arena->blocks.reach; leaf++)
		if (directory_leaf(&arena->blocks, leaf))
			metadata_free_locked(arena, directory_leaf(&arena->blocks, leaf));
	while (arena->pages) {
		void *page = arena->pages;

		arena->pages = *(void **)page;
		tmem_port_free(page, 0);
	}
	arena_unlock(tmem);
	directory_free(tmem, &arena->records);
	directory_free(tmem, &arena->blocks);
}
