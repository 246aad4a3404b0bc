/*
 * Policies of a few lines, and the table of all (tests/bench/evict/policy.h).
 */
#include "tests/bench/evict/policy.h"

/* ---- First in, first out, and three ways to heed hits --------------------------------- */

static void fifo_put(struct pool *pool, u32 page)
{
	enter(pool, page, MAIN);
	limit(pool, MAIN, pool->capacity);
}

static void fifo_hit(struct pool *pool, u32 page)
{
	if (!pool->shared)
		leave(pool, page);
}

static void lru_hit(struct pool *pool, u32 page)
{
	if (pool->shared)
		enter(pool, page, MAIN);
	else
		leave(pool, page);
}

static void mark(struct pool *pool, u32 page)
{
	pool->referenced[page] = (u8)MIN(3, pool->referenced[page] + 1);
}

static void clock_put(struct pool *pool, u32 page)
{
	pool->referenced[page] = 0;
	enter(pool, page, MAIN);
	while (stored(pool) > pool->capacity) {
		u32 oldest = pool->lists[MAIN].first;

		if (pool->referenced[oldest])
			enter(pool, oldest, MAIN);
		else
			leave(pool, oldest);
		pool->referenced[oldest] = 0;
	}
}

/*
 * ---- S3-FIFO (J. Yang et al., SOSP 2023): new pages pass through a small queue; what comes back
 * while its ghost is remembered, or was hit before, goes to the main one. A page that a hit removed
 * leaves a ghost too.
 */
static void s3_make_room(struct pool *pool)
{
	while (stored(pool) > pool->capacity) {
		bool from_small = pool->lists[SMALL].count > pool->capacity / 10 ||
				  pool->lists[MAIN].count == 0;
		u32 oldest = pool->lists[from_small ? SMALL : MAIN].first;

		if (!pool->referenced[oldest]) {
			enter(pool, oldest, from_small ? GHOST : NOWHERE);
		} else {
			pool->referenced[oldest] = (u8)(from_small ? 0
								   : pool->referenced[oldest] - 1);
			enter(pool, oldest, MAIN);
		}
	}
	limit(pool, GHOST, pool->memory);
}

static void s3_put(struct pool *pool, u32 page)
{
	pool->referenced[page] = 0;
	enter(pool, page, pool->where[page] == GHOST ? MAIN : SMALL);
	s3_make_room(pool);
}

static void s3_hit(struct pool *pool, u32 page)
{
	if (pool->shared) {
		mark(pool, page);
	} else {
		enter(pool, page, GHOST);
		limit(pool, GHOST, pool->memory);
	}
}

/*
 * ---- ARC (N. Megiddo and D. Modha, FAST 2003): SMALL for pages seen once, MAIN for pages that
 * came back; a ghost of each, and the target size of SMALL follows the ghosts that are met again.
 */
static void arc_put(struct pool *pool, u32 page)
{
	double small_ghosts = pool->lists[GHOST].count, main_ghosts = pool->lists[GHOST_MAIN].count;
	enum list_name from = pool->where[page];

	/* A ghost that a hit left behind says nothing about the sizes. */
	if (from == GHOST && !pool->referenced[page])
		pool->target = MIN(
			pool->capacity, pool->target + MAX(1, main_ghosts / MAX(1, small_ghosts)));
	if (from == GHOST_MAIN && !pool->referenced[page])
		pool->target = MAX(0, pool->target - MAX(1, small_ghosts / MAX(1, main_ghosts)));
	pool->referenced[page] = 0;
	enter(pool, page, from == GHOST || from == GHOST_MAIN ? MAIN : SMALL);
	while (stored(pool) > pool->capacity) {
		if (pool->lists[SMALL].count &&
			(pool->lists[SMALL].count > pool->target || !pool->lists[MAIN].count))
			enter(pool, pool->lists[SMALL].first, GHOST);
		else
			enter(pool, pool->lists[MAIN].first, GHOST_MAIN);
	}
	limit(pool, GHOST, pool->memory);
	limit(pool, GHOST_MAIN, pool->memory);
}

static void arc_hit(struct pool *pool, u32 page)
{
	if (pool->shared) {
		enter(pool, page, MAIN);
	} else {
		pool->referenced[page] = 1;
		enter(pool, page, pool->where[page] == SMALL ? GHOST : GHOST_MAIN);
	}
}

/*
 * ---- Refault distance (as Linux's page cache, mm/workingset.c): a page that comes back after
 * fewer departures than the pool has pages, its way through the guest's RAM not counted, goes to
 * MAIN; MAIN has at most half of the pages, and its oldest go to SMALL.
 */
static void depart(struct pool *pool, u32 page)
{
	leave(pool, page);
	pool->departed[page] = ++pool->departures;
}

static void refault_put(struct pool *pool, u32 page)
{
	bool near = pool->departed[page] &&
		    pool->departures - pool->departed[page] <= (u64)pool->ram + pool->capacity;

	enter(pool, page, near ? MAIN : SMALL);
	while (pool->lists[MAIN].count > pool->capacity / 2)
		enter(pool, pool->lists[MAIN].first, SMALL);
	while (stored(pool) > pool->capacity)
		depart(pool, pool->lists[SMALL].first);
}

static void refault_hit(struct pool *pool, u32 page)
{
	if (pool->shared)
		enter(pool, page, MAIN);
	else
		depart(pool, page);
}

const struct policy policies[] = {
	{"lru", true, true, false, fifo_put, lru_hit, lru_hit, NULL},
	{"fifo", false, true, false, fifo_put, fifo_hit, NULL, NULL},
	{"clock", false, true, false, clock_put, mark, mark, NULL},
	{"s3-fifo", true, true, true, s3_put, s3_hit, NULL, NULL},
	{"arc", true, true, true, arc_put, arc_hit, arc_hit, NULL},
	{"refault", true, true, false, refault_put, refault_hit, NULL, NULL},
	{"frequency", true, true, false, frequency_put, frequency_hit, frequency_hit, NULL},
	{"engine", true, true, true, engine_put, engine_hit, NULL, engine_miss},
	{"engine-refresh", false, true, true, engine_put, engine_hit, engine_hit, engine_miss},
	{"optimum", true, true, false, optimum_put, optimum_hit, optimum_hit, NULL},
	{NULL, false, false, false, NULL, NULL, NULL, NULL},
};
