/*
 * Refault distances by spatial sampling, for one guest: of the pages that the guest evicts, those
 * whose key's hash falls below a threshold leave a ghost, and when such a page is asked for again,
 * the ghosts that are younger say how much more RAM would have kept it. The same hash decides for
 * put and get, so a sampled page is always seen and others never (SHARDS: Waldspurger et al., FAST
 * 2015).
 *
 * The caller's lock guards it: that of the guest's tmem client. Readers of the histogram
 * (balloon_tick()) need no lock: they see numbers that are at worst one sample old.
 */
#ifndef BALLOON_GHOSTS_H
#define BALLOON_GHOSTS_H

#include "balloon/balloon.h"

#define GHOSTS_SEGMENTS 256U /* of put order; a distance is exact to half a segment */
#define GHOSTS_GROUP    16U  /* segments whose sum is kept */
#define GHOSTS_WAYS     8U   /* entries of one set of the table */
#define GHOSTS_ONE      256U /* what one sampled get adds to the histogram before it fades */

/* A ghost: which page, and in which segment it was put. */
struct ghost {
	u32 tag;     /* of the key's hash; 0 = no ghost */
	u32 segment; /* running number */
};

struct ghosts {
	u32 threshold; /* a key is sampled if the upper half of its hash is below */
	u32 sets_mask; /* sets of the table, less one */
	u32 segment;   /* the one that is being filled */
	u32 filled;    /* puts in it so far */
	u32 per_segment;
	u64 max_distance;          /* pages: beyond, a ghost is too old to matter */
	u64 step;                  /* pages a bucket */
	u64 ram_used;              /* pages, as far as puts and gets tell */
	u16 live[GHOSTS_SEGMENTS]; /* ghosts of each segment still waiting */
	u32 group[GHOSTS_SEGMENTS / GHOSTS_GROUP];
	/* How many pages a sampled one stands for: all puts over sampled ones, both halved
	 * together. */
	u64 puts, puts_sampled;
	/* The recent sampled gets: by total size (RAM and distance) at which they would have been
	 * hits, and those that no ghost explains (first reads). All are halved together, see
	 * ghosts_note_get(). */
	u32 found[BALLOON_BUCKETS];
	u32 not_found;
	u32 again, first; /* of all sampled gets, over a longer time: with a ghost, and without */
	u32 since_halving;
	u64 events, sampled; /* since the start: how much it costs */
	struct ghost *table; /* the caller's */
};

/*
 * Prepares @ghosts for a guest of at most @max_pages pages. @table: @entries zeroed entries (a
 * power of two, at least 64), borrowed until the guest is gone; twice as many as ghosts wanted is
 * best, and 2 * max_pages / 50 gives the full rate of one page in a hundred. With fewer the rate
 * falls.
 */
void ghosts_init(struct ghosts *ghosts, u64 max_pages, struct ghost *table, u32 entries);

/* Whether @hash (64 bits, uniform over keys, secret to the guest) is sampled: the whole cost of the
 * other 99% of operations. */
static inline bool ghosts_sampled(const struct ghosts *ghosts, u64 hash)
{
	return (u32)(hash >> 32) < ghosts->threshold;
}

void ghosts_put_sampled(struct ghosts *ghosts, u64 hash);
void ghosts_get_sampled(struct ghosts *ghosts, u64 hash);
void ghosts_flush_sampled(struct ghosts *ghosts, u64 hash);

/* The guest, which has @ram_pages of RAM, evicted the page (a put, stored or refused): so its RAM
 * is full. */
static inline void ghosts_note_put(struct ghosts *ghosts, u64 hash, u64 ram_pages)
{
	ghosts->puts++;
	ghosts->ram_used = ram_pages;
	if (unlikely(ghosts_sampled(ghosts, hash)))
		ghosts_put_sampled(ghosts, hash);
}
/* The guest asked for the page, hit or miss, while it had @ram_pages of RAM. RAM that it was given
 * and did not fill yet does not count: the pages that will fill it still have their ghosts. */
static inline void ghosts_note_get(struct ghosts *ghosts, u64 hash, u64 ram_pages)
{
	ghosts->ram_used = MIN(ghosts->ram_used + 1, ram_pages);
	if (unlikely(ghosts_sampled(ghosts, hash)))
		ghosts_get_sampled(ghosts, hash);
}
/* The page is gone for good. */
static inline void ghosts_note_flush(struct ghosts *ghosts, u64 hash)
{
	if (unlikely(ghosts_sampled(ghosts, hash)))
		ghosts_flush_sampled(ghosts, hash);
}

#endif
