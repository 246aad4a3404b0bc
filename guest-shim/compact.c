/*
 * See compact.h. A page moves by copying it, its place in the replacement lists and the one entry
 * that maps or indexes it; nobody holds a pointer to it, since this runs when no fault, system call
 * or copy is under way.
 */
#include "guest-shim/compact.h"

#include "guest-shim/cache.h"
#include "guest-shim/counters.h"
#include "guest-shim/cpu.h"
#include "guest-shim/file_index.h"
#include "guest-shim/frames.h"
#include "guest-shim/paging.h"

/* What a unit may hold that is emptied without need. */
#define MOVES_MAX (BLOCK_PAGES / 8)

static bool can_move(u32 frame)
{
	u8 kind = frames[frame].kind;

	return (kind == FRAME_FILE || kind == FRAME_ANON) && !replace.nodes[frame].locked;
}

/* Pages to be moved out of a block, or BLOCK_PAGES + 1 if one cannot be moved. */
static u32 pages_in_the_way(u32 first)
{
	u32 count = 0;

	for (u32 frame = first; frame < first + BLOCK_PAGES; frame++) {
		if (frames[frame].kind == FRAME_FREE)
			continue;
		if (!can_move(frame))
			return BLOCK_PAGES + 1;
		count++;
	}
	return count;
}

/* The block with the fewest pages to move. */
static u32 choose_block(void)
{
	u32 best = FRAME_NONE, least = BLOCK_PAGES + 1;

	for (u32 first = 0; first + BLOCK_PAGES <= frames_end(); first += BLOCK_PAGES) {
		u32 count = pages_in_the_way(first);

		if (count < least) {
			least = count;
			best = first;
		}
	}
	return best;
}

/* A page that is found discarded needs no room. */
static void move_page(u32 from, u32 to)
{
	u32 key = frames[from].key;

	if (frames[from].kind == FRAME_FILE && !cache_keep(from)) {
		frames_take_this(from);
		frames_give(to);
		return;
	}

	page_copy(frame_pointer(to), frame_pointer(from));
	frames[to] = frames[from];
	replace_rename(&replace, from, to);
	if (frames[to].kind == FRAME_FILE) {
		file_index_set_frame(key, to);
		cache_let_go(to);
	} else {
		u64 address = ANON_BASE + ((u64)key << PAGE_SHIFT);
		u64 *entry = paging_entry(address);

		*entry = (*entry & ~PTE_FRAME) | frame_address(to);
		invlpg(address);
	}
	counters.balloon_moves++;
}

/* Whether the block has frames that stay where they are, or has lost some. */
static bool is_broken(u32 first, u32 end)
{
	for (u32 frame = first; frame < end; frame++) {
		u8 kind = frames[frame].kind;

		if (kind == FRAME_RESERVED || kind == FRAME_BALLOON)
			return true;
	}
	return false;
}

/* Takes frames out of broken blocks: free ones, or (@move) those whose pages can go elsewhere. */
static u32 take_from_broken(u32 *numbers, u32 count, bool move)
{
	u32 taken = 0;

	for (u32 first = 0; first < frames_end() && taken < count; first += BLOCK_PAGES) {
		u32 end = MIN(first + BLOCK_PAGES, frames_end());

		if (end - first == BLOCK_PAGES && !is_broken(first, end))
			continue;
		for (u32 frame = first; frame < end && taken < count; frame++) {
			if (!move && frames[frame].kind == FRAME_FREE)
				frames_take_this(frame);
			else if (move && can_move(frame))
				move_page(frame, frames_take());
			else
				continue;
			frames_lose(frame);
			numbers[taken++] = frame;
		}
	}
	return taken;
}

void compact_singles(u32 *numbers, u32 count)
{
	/* The free ones of all such blocks first, so that nothing moves into one of them. */
	u32 taken = take_from_broken(numbers, count, false);

	taken += take_from_broken(numbers + taken, count - taken, true);
	for (; taken < count; taken++) {
		numbers[taken] = frames_take();
		frames_lose(numbers[taken]);
	}
}

static bool block_is_broken(u32 frame)
{
	u32 first = frame & ~(BLOCK_PAGES - 1), end = first + BLOCK_PAGES;

	return end > frames_end() || is_broken(first, end);
}

/* A frame in a broken block that is free or can be freed; FRAME_NONE if there is none. */
static u32 find_in_broken(void)
{
	for (u32 first = 0; first < frames_end(); first += BLOCK_PAGES) {
		u32 end = MIN(first + BLOCK_PAGES, frames_end());

		if (end - first == BLOCK_PAGES && !is_broken(first, end))
			continue;
		for (u32 frame = first; frame < end; frame++)
			if (frames[frame].kind == FRAME_FREE || can_move(frame))
				return frame;
	}
	return FRAME_NONE;
}

u32 compact_fixed(u32 frame)
{
	u32 better;

	/* The frame itself does not count: until now it only was taken. */
	frames_give(frame);
	if (block_is_broken(frame)) {
		frames_take_this(frame);
		return frame;
	}
	better = find_in_broken();
	frames_take_this(frame);
	if (better == FRAME_NONE)
		return frame;
	if (frames[better].kind == FRAME_FREE) {
		frames_take_this(better);
		frames_give(frame);
	} else {
		move_page(better, frame);
		frames[better] = (struct frame){.slot = SLOT_NONE, .kind = FRAME_RESERVED};
	}
	return better;
}

/* Takes all frames of a block, and then says what they are by @become. */
static void empty_block(u32 first, void (*become)(u32 frame))
{
	/* The free ones first, so that nothing moves into the block itself. */
	for (u32 frame = first; frame < first + BLOCK_PAGES; frame++) {
		if (frames[frame].kind != FRAME_FREE)
			continue;
		frames_take_this(frame);
		become(frame);
	}
	for (u32 frame = first; frame < first + BLOCK_PAGES; frame++) {
		if (!can_move(frame))
			continue;
		move_page(frame, frames_take());
		become(frame);
	}
}

u32 compact_block(void)
{
	u32 first = choose_block();

	if (first != FRAME_NONE)
		empty_block(first, frames_lose);
	return first;
}

u32 compact_unused(u64 now, u64 age)
{
	u32 first;

	while ((first = units_find(&units, now, age, MOVES_MAX)) != UNIT_NONE) {
		if (pages_in_the_way(first) <= MOVES_MAX) {
			empty_block(first, frames_isolate);
			return first;
		}
		unit_put_off(&units, first, now);
	}
	return FRAME_NONE;
}
