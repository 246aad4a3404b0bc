/*
 * Frames for the balloon, by moving pages to other frames: whole 2 MiB units, or single frames out
 * of units that cannot be whole any more, so that the others stay whole. And units that nobody
 * needs, to be reported free.
 */
#ifndef SHIM_COMPACT_H
#define SHIM_COMPACT_H

#include "lib/types.h"

/* Empties one aligned block of BLOCK_PAGES frames and takes all of them (frames_lose()). Returns
 * the first, or FRAME_NONE if no block can be emptied. As many frames must be free. Does not sleep;
 * no page may be in use by the caller. */
u32 compact_block(void);

/* Takes all frames of a unit that was free, or nearly so, for at least @age (units_find()), and
 * isolates them (frames_isolate()). Returns the first, or FRAME_NONE. BLOCK_PAGES frames must be
 * free. Does not sleep; no page may be in use by the caller. @age must not be 0. */
u32 compact_unused(u64 now, u64 age);

/* Takes @count frames in the same way and puts their numbers into @numbers. As many must be free.
 */
void compact_singles(u32 *numbers, u32 count);

/* For what will never move, such as a page table: @frame, which was taken and holds nothing yet, or
 * a better one in its place. */
u32 compact_fixed(u32 frame);

#endif
