/*
 * Belady's optimum: who is asked for last goes, the newest page too.
 */
#include "tests/bench/evict/policy.h"

static void heap_set(struct pool *pool, u32 place, u32 page)
{
	pool->heap[place] = page;
	pool->heap_place[page] = place;
}

static void heap_sift(struct pool *pool, u32 place)
{
	u32 page = pool->heap[place];

	for (; place > 1 && pool->uses[pool->heap[place / 2]] < pool->uses[page]; place /= 2)
		heap_set(pool, place, pool->heap[place / 2]);
	for (u32 child; (child = place * 2) <= pool->heap_count; place = child) {
		if (child < pool->heap_count &&
			pool->uses[pool->heap[child + 1]] > pool->uses[pool->heap[child]])
			child++;
		if (pool->uses[pool->heap[child]] <= pool->uses[page])
			break;
		heap_set(pool, place, pool->heap[child]);
	}
	heap_set(pool, place, page);
}

static void heap_remove(struct pool *pool, u32 page)
{
	u32 place = pool->heap_place[page];
	u32 last = pool->heap[pool->heap_count--];

	if (last != page) {
		heap_set(pool, place, last);
		heap_sift(pool, place);
	}
	leave(pool, page);
}

void optimum_put(struct pool *pool, u32 page)
{
	enter(pool, page, MAIN);
	pool->uses[page] = pool->next_use;
	heap_set(pool, ++pool->heap_count, page);
	heap_sift(pool, pool->heap_count);
	if (pool->heap_count > pool->capacity)
		heap_remove(pool, pool->heap[1]);
}

void optimum_hit(struct pool *pool, u32 page)
{
	heap_remove(pool, page);
	if (pool->shared)
		optimum_put(pool, page);
}
