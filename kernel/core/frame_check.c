/*
 * The audit's walk over the free lists: every block is where its order says, linked both ways, and
 * made of frames that nobody uses. The world is stopped, so that no lock is needed; nothing found
 * is trusted before it was checked, since a corrupted list is what this looks for.
 */
#include "kernel/core/frame_internal.h"

/* Marks the frames of a block; false if one is not free or was met before. */
static bool mark_block(u32 first, unsigned order)
{
	bool good = true;

	for (u64 i = 0; i < 1UL << order; i++) {
		struct frame *frame = &frames.table[first + i];

		if (frame->class != FRAME_FREE || frame->refs != 0 ||
			(i > 0 && frame->order != FRAME_NO_ORDER))
			good = false;
		if (frame->class == FRAME_FREE)
			frame->class = FRAME_FREE | FRAME_MARK;
	}
	return good;
}

/* Walks one list; the first wrong frame, or FRAME_NONE. What follows it is not reached. */
static u32 check_list(unsigned order)
{
	u32 previous = FRAME_NONE;

	if (!(frames.nonempty & 1U << order) != (frames.heads[order] == FRAME_NONE))
		return frames.heads[order] == FRAME_NONE ? 0 : frames.heads[order];
	for (u32 at = frames.heads[order]; at != FRAME_NONE; at = frames.table[at].next) {
		if (at >= frames.end || at % (1U << order) != 0 || at + (1UL << order) > frames.end)
			return previous == FRAME_NONE ? 0 : previous;
		if (frames.table[at].class != FRAME_FREE || frames.table[at].order != order ||
			frames.table[at].prev != previous)
			return at;
		if (!mark_block(at, order))
			return at;
		previous = at;
	}
	return FRAME_NONE;
}

u64 frames_free_in_blocks(void)
{
	u64 count = 0;

	spin_lock(&frames.lock);
	for (unsigned order = BLOCK_ORDER; order <= FRAME_MAX_ORDER; order++)
		for (u32 at = frames.heads[order]; at != FRAME_NONE; at = frames.table[at].next)
			count += 1UL << order;
	spin_unlock(&frames.lock);
	return count;
}

u64 frames_check_free_lists(mfn_t *wrong)
{
	u64 found = 0;

	*wrong = MFN_NONE;
	for (unsigned order = 0; order <= FRAME_MAX_ORDER; order++) {
		u32 at = check_list(order);

		if (at == FRAME_NONE)
			continue;
		if (found++ == 0)
			*wrong = mfn(at);
	}
	return found;
}
