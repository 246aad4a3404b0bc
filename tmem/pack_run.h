/*
 * One run of a pack from inside (tmem/pack.h): its space, its places, the lists it is on. For the
 * files that make up the pack; the client's lock is held.
 */
#ifndef TMEM_PACK_RUN_H
#define TMEM_PACK_RUN_H

#include "lib/types.h"
#include "tmem/pack.h"

/* Ids, and their parts. */
static inline u32 fragment_id(u32 run, u32 entry)
{
	return run << FRAGMENT_ID_SHIFT | entry;
}

static inline u32 id_run(u32 id)
{
	return id >> FRAGMENT_ID_SHIFT;
}

static inline u32 id_entry(u32 id)
{
	return id & ((1U << FRAGMENT_ID_SHIFT) - 1);
}

/* The first granule of a place, and how many it has. */
static inline u32 place_first(u32 place)
{
	return place >> 6;
}

static inline u32 place_granules(u32 place)
{
	return place & 63;
}

/* Granules for a fragment of @length bytes, its header included. */
static inline u32 granules_for(u32 length)
{
	return ((u32)sizeof(struct fragment) + length + GRANULE - 1) / GRANULE;
}

/* Granules of all frames of a run; those in use. */
static inline u32 run_capacity(const struct run *run)
{
	return run->frame_count * FRAME_GRANULES;
}

static inline u32 run_used(const struct run *run)
{
	return run_capacity(run) - run->free;
}

/* Marks the frame in @slot as belonging to run @id of the pack, and as nobody's. */
static inline void run_mark(const struct pack *pack, u32 slot, u32 id)
{
	struct page *page = page_at(pack->tmem, slot);

	page->owner = id;
	WRITE_ONCE(page->client, pack->client);
	page_set_state(page, SLOT_PACKED);
}

/* The frame in @slot is not a run's any more. */
static inline void run_unmark(const struct pack *pack, u32 slot)
{
	page_set_state(page_at(pack->tmem, slot), SLOT_EMPTY);
}

/* Where granule @granule of the run lies; it ends with its frame at the latest. */
static inline u8 *run_granule(const struct pack *pack, const struct run *run, u32 granule)
{
	u32 slot = run->frames[granule / FRAME_GRANULES];
	u8 *frame = block_frame(block_of(pack->tmem, slot), slot);

	return frame + granule % FRAME_GRANULES * GRANULE;
}

/* The header of the fragment in place @entry, which is in use. */
static inline struct fragment *run_fragment(
	const struct pack *pack, const struct run *run, u32 entry)
{
	return (struct fragment *)run_granule(pack, run, place_first(run->places[entry]));
}

/* The entries in use in order of place: place << 8 | entry. Returns how many. */
u32 run_sort(const struct run *run, u32 sorted[RUN_FRAGMENTS]);

/* Copies granules; within one run only towards its beginning. */
void run_copy(const struct pack *pack, const struct run *to_run, u32 to, const struct run *from_run,
	u32 from, u32 granules);

/* Moves fragments @begin..@end-1 of @sorted together, so that the first begins at granule @at;
 * returns where the last one ends. */
u32 run_slide(
	const struct pack *pack, struct run *run, const u32 *sorted, u32 begin, u32 end, u32 at);

/* A place of @granules in a run that has as many free and an entry; the entry. A run whose last
 * entry that is gives back the frames that it needs no longer. */
u32 run_place(struct pack *pack, u32 id, u32 granules);

/* All changes of these counts, so that lists and sums follow. */
void run_update(struct pack *pack, u32 id, int free, int count, int frames);

/* Onto and off the lists of its class. */
void run_enter(struct pack *pack, u32 id);
void run_leave(struct pack *pack, u32 id);
/* Adds a frame, whose slot is nobody's, to a run that has fewer than eight. */
void run_add_frame(struct pack *pack, u32 id, u32 slot);
/* Moves all fragments together and gives back the frames behind them; returns how many. */
u32 run_trim(struct pack *pack, u32 id);
/* Gives back all of a run without fragments. */
void run_end(struct pack *pack, u32 id);

/* The fullest run of @class with @granules free and an entry; 0 if there is none. */
u32 run_find(const struct pack *pack, enum tmem_class class, u32 granules);

#endif
