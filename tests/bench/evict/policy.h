/*
 * Eviction policies of an ephemeral pool, private (a hit removes the page) or shared (it stays).
 */
#ifndef TESTS_BENCH_EVICT_POLICY_H
#define TESTS_BENCH_EVICT_POLICY_H

#include "lib/types.h"
#include "tmem/history.h"
#include "tmem/queues.h"

/* Lists that a page can be on. */
enum list_name { NOWHERE, SMALL, MAIN, GHOST, GHOST_MAIN, LISTS };

struct list {
	u32 first, last; /* first = oldest; ~0 = none */
	u32 count;
};

struct pool {
	u32 capacity, ram;
	bool shared;
	/* How many pages that left are remembered: a page that was hit comes back only after it
	 * has passed through the guest's RAM. */
	u32 memory;
	struct list lists[LISTS];
	u32 *next, *prev;
	u8 *where;      /* enum list_name of each page */
	u8 *referenced; /* hits since it came, at most 3; or: it left by a hit, lately */
	double target;  /* of SMALL, where it is adapted */
	u8 *frequency;  /* count-min sketch, 4 rows */
	u64 puts;
	u64 *departed; /* count of departures when the page left */
	u64 departures;
	/* What the engine uses. */
	struct history history;
	struct queues queues;
	u64 secret;
	/* Belady's optimum: when a page will be asked for next; a heap of stored pages, furthest
	 * first. */
	u64 next_use; /* of the page of this call */
	u64 *uses;
	u32 *heap, *heap_place;
	u32 heap_count;
};

struct policy {
	const char *name;
	bool for_private, for_shared;
	bool remembers;
	/* The pool does not have the page; it may drop it at once. */
	void (*put)(struct pool *pool, u32 page);
	/* The pool has the page, which leaves it if the pool is not shared. */
	void (*hit)(struct pool *pool, u32 page);
	/* The guest puts a page that a shared pool has; NULL: nothing changes. */
	void (*refresh)(struct pool *pool, u32 page);
	/* Called at a miss; may be NULL. */
	void (*miss)(struct pool *pool, u32 page);
};

/* The first is LRU, which is FIFO when hits remove; the last is Belady's optimum; a NULL name ends.
 */
extern const struct policy policies[];

struct pool *pool_new(u32 capacity, u32 ram, u32 memory, u32 pages, bool shared, u64 seed);
void pool_end(struct pool *pool);

static inline bool pool_has(const struct pool *pool, u32 page)
{
	return pool->where[page] == SMALL || pool->where[page] == MAIN;
}

/* Lists of pages (tests/bench/evict/pool.c). */
void leave(struct pool *pool, u32 page);
/* The page becomes the newest of the list, wherever it was. */
void enter(struct pool *pool, u32 page, enum list_name name);
/* Drops the oldest until at most @count are left. */
void limit(struct pool *pool, enum list_name name, u32 count);
u32 stored(const struct pool *pool);

/* The policies that are not made of a few lines (tests/bench/evict/engine.c, sketch.c, optimum.c).
 */
void engine_put(struct pool *pool, u32 page);
void engine_hit(struct pool *pool, u32 page);
void engine_miss(struct pool *pool, u32 page);
void frequency_put(struct pool *pool, u32 page);
void frequency_hit(struct pool *pool, u32 page);
void optimum_put(struct pool *pool, u32 page);
void optimum_hit(struct pool *pool, u32 page);

#endif
