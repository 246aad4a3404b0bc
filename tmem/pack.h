/*
 * A pack: the compressed pages of one client, as fragments in runs. A run is a row of up to eight
 * frames that need not be neighbours, seen as one space; a fragment lies anywhere in it and may
 * reach from one frame into the next. Frames come one by one from the arena and go back one by one.
 * Free space within a run is brought together by moving fragments inside of it, which changes no
 * id, so a fragment fits into every run that has as much room in total.
 *
 * The client's lock guards a pack and all that is in it.
 */
#ifndef TMEM_PACK_H
#define TMEM_PACK_H

#include "lib/types.h"
#include "tmem/arena.h"
#include "tmem/slab.h"

#define RUN_FRAMES    8U
#define RUN_FRAGMENTS 30U
/* Fragments begin on and are rounded up to whole cache lines. */
#define GRANULE        64U
#define FRAME_GRANULES ((u32)PAGE_SIZE / GRANULE)
/* Longest fragment: three quarters of a page with its header. What is longer is not worth a copy
 * through the compressor at each get. */
#define PACK_LENGTH_MAX (FRAME_GRANULES / 4 * 3 * GRANULE - (u32)sizeof(struct fragment))

/* In front of each fragment, in the frames. */
struct fragment {
	u32 owner;
	u16 length;
	u16 entry;
};
_Static_assert(sizeof(struct fragment) == 8, "8 bytes a fragment in the frames");

/*
 * Invariant: the places in use do not overlap and lie within frame_count frames; @free is the
 * number of granules in no place, less than a frame's if every entry is in use. A run has at least
 * one fragment, except within a call and after pack_add_frame().
 */
struct run {
	u32 frames[RUN_FRAMES]; /* slots */
	/* Of each fragment: first granule << 6 | granules; 0 = not in use. */
	u16 places[RUN_FRAGMENTS];
	u32 next, prev;             /* its bucket */
	u32 next_short, prev_short; /* runs that can take another frame */
	u16 free;
	u8 frame_count;
	u8 count : 6, class : 1; /* fragments; enum tmem_class */
};
_Static_assert(PAGE_SIZE / sizeof(struct run) > 32 && PAGE_SIZE / sizeof(struct run) <= 64,
	"what RUN_ID_SHIFT must be for the slab");
_Static_assert(sizeof(struct run) == 112, "36 runs a page, 8 bytes a fragment at 2:1");
_Static_assert(RUN_FRAMES *FRAME_GRANULES <= 1U << 10 && RUN_FRAGMENTS <= 32,
	"a place and an id have room for that");

/* Id of a fragment: run << 5 | number of its place. Record 0 of a slab is never used, so 0 is none.
 */
#define RUN_ID_SHIFT      6
#define RUN_ID_MAX        ((1U << 24) - 1)
#define FRAGMENT_ID_SHIFT 5
#define PACK_BUCKETS      64U /* of runs, by granules that are free, eight to a bucket */

struct pack_class {
	u64 frames, fragments;
	u64 filled; /* a bit a bucket */
	u32 buckets[PACK_BUCKETS];
	u32 short_runs; /* with fewer than eight frames and a place for another fragment */
};

struct pack {
	struct tmem *tmem;
	struct slab runs;
	u32 client;           /* its number, for the reverse map */
	u32 cursor;           /* where the search for runs to empty goes on: a leaf of the slab */
	u64 fragments, bytes; /* bytes: lengths as they were stored */
	u64 frames;
	u64 free; /* granules */
	struct pack_class classes[TMEM_CLASSES];
};

struct pack_piece {
	const u8 *data;
	u32 length;
};

/* Tells the owner of a fragment that its id is another one now. */
typedef void (*pack_moved)(void *argument, u32 owner, u32 old_id, u32 new_id);

/* An empty pack for client number @client. */
void pack_init(struct pack *pack, struct tmem *tmem, u32 client);
/* Gives all memory back; no fragment may be left. */
void pack_destroy(struct pack *pack);

/*
 * Stores @length bytes, 1..PACK_LENGTH_MAX, among those of @class; @owner is what pack_moved() will
 * say. Returns the fragment's id, or 0: too long, or there is neither room nor a frame or a page
 * for a record. The caller may then make room by freeing fragments, or call pack_add_frame(), and
 * try again.
 */
u32 pack_store(struct pack *pack, enum tmem_class class, const void *data, u32 length, u32 owner);

/* Adds a frame that the caller found (its slot is nobody's): the next store of a fragment of
 * @length into @class finds room. -ENOMEM if there is no page for a record; the slot is still the
 * caller's. */
int __must_check pack_add_frame(struct pack *pack, enum tmem_class class, u32 length, u32 slot);

/* Where a fragment lies: one piece or two (the second one's length is 0 if there is only one).
 * Returns its length. Valid until the next call that changes the pack. */
u32 pack_read(const struct pack *pack, u32 id, struct pack_piece pieces[2]);
/* The fragment in one piece: where it lies, or copied to @scratch (PAGE_SIZE bytes). */
const void *pack_contents(const struct pack *pack, u32 id, void *scratch, u32 *length);
/* How long it is, as it was stored. */
u32 pack_length(const struct pack *pack, u32 id);
u32 pack_owner(const struct pack *pack, u32 id);
void pack_set_owner(struct pack *pack, u32 id, u32 owner);

/* Frames go back only with the last fragment of a run, and by pack_compact(). */
void pack_free(struct pack *pack, u32 id);

/* Whether compacting is worth its while: more is free than a sixteenth and one frame. */
static inline bool pack_is_sparse(const struct pack *pack)
{
	return pack->free > pack->frames * FRAME_GRANULES / 16 + FRAME_GRANULES;
}

/* Whether it cannot wait until somebody wants frames: more is free than a quarter and one frame.
 * The fragments that must be moved to win a frame back are three frames' worth at most then. */
static inline bool pack_is_very_sparse(const struct pack *pack)
{
	return pack->free > pack->frames * FRAME_GRANULES / 4 + FRAME_GRANULES;
}

/*
 * One step of compaction, the cheapest that brings something: fragments of the run with the most
 * free space are moved together and its empty frames given back; if no run has a frame's worth
 * free, the run that holds least (among a hundred looked at) is joined with another one, frames and
 * all, so that their free space adds up; if it fits to none, up to @max of its fragments are moved
 * into others' free space. Copies at most 32 KiB, or @max fragments and 32 KiB for each; @moved may
 * be called for 30 fragments, or @max. Returns the number of fragments that have other ids and of
 * frames given back: 0 if nothing can be gained now.
 */
u32 pack_compact(struct pack *pack, u32 max, pack_moved moved, void *argument);

/* ---- For reclaim (tmem/pack_frame.c): @slot is a frame of run @run, as the reverse map says ----
 */

/* The owners of fragments that lie in it, even in part; returns how many. */
u32 pack_frame_owners(const struct pack *pack, u32 run, u32 slot, u32 owners[RUN_FRAGMENTS]);
/* Takes a frame without fragments out of its run (the last of a run also ends the run); the slot is
 * the caller's. -EBUSY if there is a fragment in it. */
int __must_check pack_detach_frame(struct pack *pack, u32 run, u32 slot);
/* Puts frame @to, a slot of nobody, in its place, contents copied; no id changes. @slot is the
 * caller's then. */
void pack_replace_frame(struct pack *pack, u32 run, u32 slot, u32 to);

/* Moves the fragments of a run elsewhere as pack_compact() does; true once it is gone. */
bool pack_empty_run(struct pack *pack, u32 run, u32 *max, pack_moved moved, void *argument);

/* Recounts everything; 0, or -EINVAL with a message through the port. @visit is called for each
 * page of records. */
int __must_check pack_audit(
	const struct pack *pack, void (*visit)(void *page, void *argument), void *argument);

/* The record of a run by its number. */
static inline struct run *run_at(const struct pack *pack, u32 run)
{
	return SLAB_AT(struct run, RUN_ID_SHIFT, &pack->runs, run);
}

#endif
