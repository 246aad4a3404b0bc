/*
 * Blocks, slots and metadata pages (tmem/arena.h).
 */
#include "tmem/arena.h"

#include <string.h>

#include <abi/errno.h>

/* Blocks kept for the next puts although they are empty. */
#define EMPTY_BLOCKS_MAX 1U

static void lock(struct tmem *tmem)
{
	tmem_port_lock(&tmem->arena.lock);
}

static void unlock(struct tmem *tmem)
{
	tmem_port_unlock(&tmem->arena.lock);
}

/* ---- Metadata pages ----------------------------------------------------------------- */

static void *metadata_alloc_locked(struct tmem *tmem)
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

static void metadata_free_locked(struct arena *arena, void *page)
{
	arena->metadata_pages--;
	tmem_port_free(page, 0);
}

void *metadata_alloc(struct tmem *tmem)
{
	void *page;

	lock(tmem);
	page = metadata_alloc_locked(tmem);
	unlock(tmem);
	return page;
}

void metadata_free(struct tmem *tmem, void *page)
{
	lock(tmem);
	metadata_free_locked(&tmem->arena, page);
	unlock(tmem);
}

void metadata_retire(struct tmem *tmem, void *page)
{
	lock(tmem);
	tmem->arena.metadata_pages--;
	tmem_port_free_later(page);
	unlock(tmem);
}

void metadata_detach(struct tmem *tmem)
{
	lock(tmem);
	tmem->arena.metadata_pages--;
	unlock(tmem);
}

/* ---- Block records ------------------------------------------------------------------ */

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

/* A block without frames, all its slots free as to their records; NULL without memory. */
static struct block *block_create(struct tmem *tmem, unsigned class)
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

static void list_block(struct arena *arena, struct block *block)
{
	struct block **head = &arena->room[block->class];

	block->prev = NULL;
	block->next = *head;
	if (*head)
		(*head)->prev = block;
	*head = block;
	block->listed = true;
}

static void unlist_block(struct arena *arena, struct block *block)
{
	if (!block->listed)
		return;
	if (block->next)
		block->next->prev = block->prev;
	if (block->prev)
		block->prev->next = block->next;
	else
		arena->room[block->class] = block->next;
	block->listed = false;
}

/* A block of single frames has a place left, or has none any more or goes. */
static void open_block(struct arena *arena, struct block *block)
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

static void close_block(struct arena *arena, struct block *block)
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

/* Gives the record back; no slot is present. */
static void block_destroy(struct tmem *tmem, struct block *block)
{
	struct arena *arena = &tmem->arena;
	u32 number = block->number;

	unlist_block(arena, block);
	close_block(arena, block);
	if (block->frames)
		metadata_free_locked(arena, block->frames);
	client_forget_block(tmem, number);
	drop_records(arena, number);
	block->number = 0;
	block->unused = arena->unused;
	arena->unused = number;
}

bool arena_find_page(struct tmem *tmem, u32 client, u32 *slot, unsigned count)
{
	struct block *block;
	bool found = false;

	lock(tmem);
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
	unlock(tmem);
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

/* ---- Slots -------------------------------------------------------------------------- */

static struct page *record(const struct block *block, u32 place)
{
	return block_page(block, place);
}

static inline void mark_free(struct block *block, u32 place)
{
	block->free[place / 64] |= BIT(place % 64);
}

static void unmark_free(struct block *block, u32 place)
{
	block->free[place / 64] &= ~BIT(place % 64);
	block->free_count--;
}

static void mark_absent(struct arena *arena, struct block *block, u32 place)
{
	block->absent[place / 64] |= BIT(place % 64);
	block->present--;
	page_set_state(record(block, place), SLOT_ABSENT);
	if (block->frames) {
		block->frames[place] = NULL;
		if (!block->open)
			open_block(arena, block);
	}
	WRITE_ONCE(arena->frames, arena->frames - 1);
	WRITE_ONCE(arena->dry, false);
}

/* The lowest set bit of a bitmap of 512; the caller knows that there is one. */
static u32 lowest(const u64 bits[BLOCK_PAGES / 64])
{
	u32 word = 0;

	while (!bits[word])
		word++;
	return word * 64 + (u32)__builtin_ctzl(bits[word]);
}

static bool block_is_unused(const struct block *block)
{
	return block->free_count == block->present;
}

/* Gives all frames of a block without pages to the port, and its record back. */
static void block_release(struct tmem *tmem, struct block *block)
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
			u32 place = lowest(block->free);
			void *frame = block_frame(block, place);

			unmark_free(block, place);
			mark_absent(arena, block, place);
			tmem_port_free(frame, 0);
		}
	}
	block_destroy(tmem, block);
}

static void all_free(struct arena *arena, struct block *block)
{
	block->present = BLOCK_PAGES;
	memset(block->free, 0xff, sizeof(block->free));
	block->free_count = BLOCK_PAGES;
	list_block(arena, block);
}

/* Virtual blocks are a client's own, since the records of their pages do not name it. */
static struct block *virtual_block_of(const struct arena *arena, u32 client)
{
	struct block *block = arena->room[VIRTUAL];

	while (block && block->client != client)
		block = block->next;
	return block;
}

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
		page_set_state(record(block, place), SLOT_ABSENT);
	open_block(arena, block);
	return block;
}

/* Gives a single frame its place in such a block. */
static u32 place_frame(struct arena *arena, struct block *block, void *frame)
{
	u32 place = lowest(block->absent);

	block->frames[place] = frame;
	block->absent[place / 64] &= ~BIT(place % 64);
	page_set_state(record(block, place), SLOT_EMPTY);
	if (++block->present == BLOCK_PAGES)
		close_block(arena, block);
	WRITE_ONCE(arena->frames, arena->frames + 1);
	return place;
}

/* A frame of its own in a scattered block, free; false without memory. */
static bool new_single(struct tmem *tmem, enum tmem_class class)
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
	mark_free(block, place_frame(arena, block, frame));
	block->free_count++;
	if (!block->listed)
		list_block(arena, block);
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
		records = record(block, word * 64);
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
		unlist_block(arena, block);
	return count;
}

static unsigned take_virtual(struct tmem *tmem, u32 client, u32 *slots, unsigned count)
{
	struct arena *arena = &tmem->arena;
	struct block *block = virtual_block_of(arena, client);

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
		new_single(tmem, class);
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

	lock(tmem);
	if (class == VIRTUAL)
		taken = take_virtual(tmem, client, slots, count);
	else
		taken = take_frames(tmem, (enum tmem_class) class, client, slots, count);
	unlock(tmem);
	if (taken < count)
		memmove(slots, slots + (count - taken), taken * sizeof(*slots));
	return taken;
}

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
		list_block(arena, block);
}

/* A single frame goes back to the port at once. */
static void give_single(struct tmem *tmem, struct block *block, u32 place)
{
	void *frame = block->frames[place];

	mark_absent(&tmem->arena, block, place);
	tmem_port_free(frame, 0);
	if (!block->present && !block->claimed)
		block_destroy(tmem, block);
}

void arena_give(struct tmem *tmem, const u32 *slots, unsigned count)
{
	struct arena *arena = &tmem->arena;

	const u32 *end = slots + count;

	lock(tmem);
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
	unlock(tmem);
}

static void *detach(struct tmem *tmem, u32 slot)
{
	struct block *block = block_of(tmem, slot);
	void *frame = block_frame(block, slot);

	mark_absent(&tmem->arena, block, slot % BLOCK_PAGES);
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

	lock(tmem);
	frame = detach(tmem, slot);
	unlock(tmem);
	return frame;
}

u32 arena_attach(struct tmem *tmem, enum tmem_class class, u32 client, void *frame)
{
	struct block *block = NULL;
	u32 slot = SLOT_NONE;

	lock(tmem);
	if (tmem->arena.frames < tmem->arena.max_frames)
		block = scattered_block(tmem, class);
	if (block) {
		slot = block->number * BLOCK_PAGES + place_frame(&tmem->arena, block, frame);
		WRITE_ONCE(block_page(block, slot)->client, client);
	}
	unlock(tmem);
	return slot;
}

bool arena_exchange(struct tmem *tmem, u32 slot, void *frame)
{
	struct block *block = block_of(tmem, slot);
	void *old;

	if (!block->frames)
		return false;
	lock(tmem);
	old = block->frames[slot % BLOCK_PAGES];
	block->frames[slot % BLOCK_PAGES] = frame;
	tmem_port_free(old, 0);
	unlock(tmem);
	return true;
}

void arena_turn_into_metadata(struct tmem *tmem, u32 slot)
{
	void **page;

	lock(tmem);
	page = detach(tmem, slot);
	*page = tmem->arena.pages;
	tmem->arena.pages = page;
	unlock(tmem);
}

void *arena_detach_free(struct tmem *tmem, struct block *block)
{
	u32 place;
	void *frame;

	if (!block->free_count)
		return NULL;
	place = lowest(block->free);
	frame = block_frame(block, place);
	unmark_free(block, place);
	mark_absent(&tmem->arena, block, place);
	return frame;
}

void arena_claim(struct tmem *tmem, struct block *block)
{
	if (block_is_unused(block) && block->present == BLOCK_PAGES && block->base)
		tmem->arena.empty_blocks--;
	unlist_block(&tmem->arena, block);
	block->claimed = true;
}

void arena_unclaim(struct tmem *tmem, struct block *block)
{
	struct arena *arena = &tmem->arena;

	block->claimed = false;
	if (block->open && block->open_class != block->class) {
		close_block(arena, block);
		open_block(arena, block);
	}
	if (!block->present)
		block_destroy(tmem, block);
	else if (block_is_unused(block))
		block_release(tmem, block);
	else if (block->free_count && !block->listed)
		list_block(arena, block);
}

/* ---- Life --------------------------------------------------------------------------- */

void arena_init(struct tmem *tmem, u64 max_frames)
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

	lock(tmem);
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
	unlock(tmem);
	directory_free(tmem, &arena->records);
	directory_free(tmem, &arena->blocks);
}
