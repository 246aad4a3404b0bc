/*
 * The guest's physical frames: a descriptor each, the list of free ones, and the replacement state
 * of those that can leave. One pool serves page cache and anonymous memory alike.
 */
#ifndef SHIM_FRAMES_H
#define SHIM_FRAMES_H

#include "guest-shim/replace.h"
#include "guest-shim/slots.h"
#include "guest-shim/start_info.h"
#include "guest-shim/units.h"
#include "lib/types.h"

#define FRAME_NONE UINT32_MAX

enum frame_kind {
	FRAME_RESERVED, /* not RAM, the image, or the shim's own for good */
	FRAME_FREE,
	FRAME_FILE,     /* page cache: @key is the page of the image */
	FRAME_ANON,     /* anonymous: @key is the page of the region */
	FRAME_WRITING,  /* anonymous, unmapped, its write to swap under way */
	FRAME_BALLOON,  /* the hypervisor has it */
	FRAME_ISOLATED, /* its report as free is under way: nobody may use it */
};

struct frame {
	u32 key;  /* free: the frame before in the list of free ones */
	u32 slot; /* anonymous: the swap slot that holds a copy, or SLOT_NONE; free or in the
		     balloon: the next frame of that list */
	u8 kind;
	bool bare; /* free: nothing was written to it since the hypervisor last had it */
};

extern struct frame *frames; /* by frame number */
extern struct replace replace;

/* Takes over all RAM beside the image, @volatiles: with volatile pages. Panics if there is not
 * enough. */
void frames_init(const struct start_info *info, u32 swappiness, bool volatiles);

/* FRAME_NONE when there is no free one; its kind is FRAME_RESERVED until the caller says otherwise.
 */
u32 frames_take(void);

/* Takes @frame, which must be free. */
void frames_take_this(u32 frame);

/* @frame must be in no list of the replacement policy. */
void frames_give(u32 frame);

/* A frame that was taken goes into the balloon, and comes back free. */
void frames_lose(u32 frame);
void frames_regain(u32 frame);

/* The same for a frame that is reported free: it may be used again when that is done, and is handed
 * out after all others. */
void frames_isolate(u32 frame);
void frames_reported(u32 frame);

/* Who has what of which 2 MiB unit free (units.h). */
extern struct units units;

/* Free frames of the pool. */
u32 frames_free(void);

/* The first frame behind the image and the tables of frames: all above are the pool's. */
u32 frames_first(void);

/* The highest frame's number + 1. */
u32 frames_end(void);

/* All frames of the pool, free or not but not in the balloon, and how many of them can never leave.
 */
u32 frames_total(void);
u32 frames_fixed(void);

/* All RAM is mapped where it is. */
static inline void *frame_pointer(u32 frame)
{
	return (void *)((u64)frame << PAGE_SHIFT);
}

static inline u64 frame_address(u32 frame)
{
	return (u64)frame << PAGE_SHIFT;
}

#endif
