/*
 * Eviction policies for a private ephemeral pool: a hit removes the page, so all that can help is
 * history beyond removal.
 */
#ifndef TESTS_BENCH_EVICT_POLICY_H
#define TESTS_BENCH_EVICT_POLICY_H

#include "lib/types.h"

/* Lists that a page can be on. */
enum queue_name { NOWHERE, SMALL, MAIN, GHOST, GHOST_MAIN, QUEUES };

struct queue {
	u32 first, last; /* first = oldest; ~0 = none */
	u32 count;
};

struct pool {
	u32 capacity;
	u32 ghosts; /* how many are remembered: a page that was hit comes back only after it has
		       passed through the guest's RAM */
	struct queue queues[QUEUES];
	u32 *next, *prev;
	u8 *where;     /* enum queue_name of each page */
	bool *was_hit; /* the page left by a hit, lately */
	double target; /* of SMALL, where it is adapted */
	u8 *frequency; /* count-min sketch, 4 rows */
	u64 puts;
	/* Belady's optimum: when a page will be asked for next; a heap of stored pages, furthest
	 * first. */
	u64 *next_use;
	u32 *heap, *heap_place;
	u32 heap_count;
};

struct policy {
	const char *name;
	bool remembers; /* uses ghosts */
	/* The page is not in the pool. The pool may drop it at once. */
	void (*put)(struct pool *pool, u32 page);
	/* The page is in the pool and leaves it. */
	void (*hit)(struct pool *pool, u32 page);
};

extern const struct policy policies[];

struct pool *pool_new(u32 capacity, u32 ghosts, u32 pages);
void pool_end(struct pool *pool);

static inline bool pool_has(const struct pool *pool, u32 page)
{
	return pool->where[page] == SMALL || pool->where[page] == MAIN;
}

#endif
