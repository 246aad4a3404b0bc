/*
 * Which aligned units of BLOCK_PAGES frames are free or nearly so, and since when: what free page
 * reporting looks for. A free frame is "backed" if something may have been written to it since the
 * hypervisor last had it; a unit without such frames has nothing to give. Pure.
 */
#ifndef SHIM_UNITS_H
#define SHIM_UNITS_H

#include "lib/types.h"

#define UNIT_NONE UINT32_MAX

struct unit {
	u64 since;  /* when it was first found so; 0: it was not, or something was taken */
	u16 free;   /* frames */
	u16 backed; /* of them */
};

struct units {
	struct unit *all; /* belongs to the caller; frame / BLOCK_PAGES is the index */
	u32 count;
	u32 backed; /* of all units */
};

/* Enough for @count frames. */
static inline size_t units_bytes(u32 count)
{
	return ((size_t)count + BLOCK_PAGES - 1) / BLOCK_PAGES * sizeof(struct unit);
}

/* @all has units_bytes(@count) bytes of zeros for @count frames: none is free. */
void units_init(struct units *units, struct unit *all, u32 count);

/* @frame became free, or is no longer. */
static inline void unit_give(struct units *units, u32 frame, bool backed)
{
	struct unit *unit = &units->all[frame / BLOCK_PAGES];

	unit->free++;
	unit->backed = (u16)(unit->backed + backed);
	units->backed += backed;
}

static inline void unit_take(struct units *units, u32 frame, bool backed)
{
	struct unit *unit = &units->all[frame / BLOCK_PAGES];

	unit->free--;
	unit->backed = (u16)(unit->backed - backed);
	units->backed -= backed;
	unit->since = 0;
}

/*
 * The first frame of a unit that is free but for at most @most frames, has something to give, and
 * was found so at a call at least @age before this one, with nothing taken out of it in between. If
 * it is not wholly free, there are enough backed frames elsewhere for what it holds. Of several,
 * the one with the most free frames, then the one found first. UNIT_NONE if there is none. @now
 * (above 0) never decreases.
 */
u32 units_find(struct units *units, u64 now, u64 age, u32 most);

/* What the unit at @first holds cannot be moved: it begins anew. */
static inline void unit_put_off(struct units *units, u32 first, u64 now)
{
	units->all[first / BLOCK_PAGES].since = now;
}

#endif
