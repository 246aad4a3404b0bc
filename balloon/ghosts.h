/*
 * Refault distances by spatial sampling, for one guest: of the pages that the guest evicts, those
 * whose key's hash falls below a threshold leave a ghost, and when such a page is asked for again,
 * the ghosts that are younger say how much more RAM would have kept it. The same hash decides for
 * put and get, so a sampled page is always seen and others never (SHARDS: Waldspurger et al., FAST
 * 2015). The caller decides by a hash of its own, and tells of the sampled operations only; what is
 * to be known of all the others are two running totals.
 *
 * The caller's lock guards it: that of the guest's tmem client. Readers of the histogram
 * (balloon_tick()) need no lock: they see numbers that are at worst one sample old.
 */
#ifndef BALLOON_GHOSTS_H
#define BALLOON_GHOSTS_H

#include "balloon/balloon.h"

/* One key of so many is sampled: 0.71%. Among the ten thousand pages that a guest's work is made of
 * the part that luck picks is then below 1% almost always (three standard deviations). */
#define GHOSTS_ONE_IN   140U
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
	u32 threshold; /* a key is sampled if 32 bits of its hash are below */
	u32 sets_mask; /* sets of the table, less one */
	u32 segment;   /* the one that is being filled */
	u32 filled;    /* puts in it so far */
	u32 per_segment;
	u64 max_distance;       /* pages: beyond, a ghost is too old to matter */
	u64 step;               /* pages a bucket */
	u64 all_puts, all_gets; /* totals, and RAM, at the last event */
	u64 ram_pages;
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
	u64 sampled;         /* operations since the start: how much it costs */
	struct ghost *table; /* the caller's */
};

/*
 * Prepares @ghosts for a guest of at most @max_pages pages. @table: @entries zeroed entries (a
 * power of two, at least 64), borrowed until the guest is gone; twice as many as ghosts wanted is
 * best, and 4 * max_pages / GHOSTS_ONE_IN gives the full rate. With fewer the rate falls.
 */
void ghosts_init(struct ghosts *ghosts, u64 max_pages, struct ghost *table, u32 entries);
/* As ghosts_init() leaves them. */
void ghosts_clear(struct ghosts *ghosts);

/* A sampled operation: of which page, and what the guest was at right after it. */
struct ghosts_event {
	u64 hash;       /* of the key, uniform over keys and secret to the guest */
	u64 puts, gets; /* all that the guest ever did, sampled or not, this one included; gets that
			   never reached the hypervisor (a miss filter) are not in it */
	u64 ram_pages;  /* that it has */
};

/* The caller's decision, if it has no hash at hand that it compares itself: whether @hash is
 * sampled, by its upper half. */
static inline bool ghosts_sampled(const struct ghosts *ghosts, u64 hash)
{
	return (u32)(hash >> 32) < ghosts->threshold;
}

/* The guest evicted a sampled page (a put, stored or refused). */
void ghosts_put(struct ghosts *ghosts, const struct ghosts_event *event);
/* The guest asked for a sampled page, hit or miss. */
void ghosts_get(struct ghosts *ghosts, const struct ghosts_event *event);
/* A sampled page is gone for good. */
void ghosts_flush(struct ghosts *ghosts, u64 hash);

#endif
