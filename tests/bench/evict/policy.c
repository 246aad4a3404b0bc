/*
 * FIFO, S3-FIFO and ARC as far as they make sense without repeated hits, a frequency sketch, and
 * Belady's optimum (tests/bench/evict/policy.h).
 */
#include "tests/bench/evict/policy.h"

#include <stdlib.h>
#include <string.h>

#define NONE        ~0U
#define SKETCH_BITS 16U
#define SKETCH_ROWS 4U

struct pool *pool_new(u32 capacity, u32 ghosts, u32 pages)
{
	struct pool *pool = calloc(1, sizeof(*pool));

	pool->capacity = capacity;
	pool->ghosts = ghosts;
	pool->next = malloc(pages * sizeof(u32));
	pool->prev = malloc(pages * sizeof(u32));
	pool->where = calloc(pages, 1);
	pool->was_hit = calloc(pages, sizeof(bool));
	pool->frequency = calloc(SKETCH_ROWS, 1U << SKETCH_BITS);
	pool->next_use = calloc(pages, sizeof(u64));
	pool->heap = malloc((pages + 1) * sizeof(u32));
	pool->heap_place = calloc(pages, sizeof(u32));
	for (unsigned i = 0; i < QUEUES; i++)
		pool->queues[i] = (struct queue){NONE, NONE, 0};
	return pool;
}

void pool_end(struct pool *pool)
{
	free(pool->next);
	free(pool->prev);
	free(pool->where);
	free(pool->was_hit);
	free(pool->frequency);
	free(pool->next_use);
	free(pool->heap);
	free(pool->heap_place);
	free(pool);
}

/* ---- Queues ------------------------------------------------------------------------- */

static void leave(struct pool *pool, u32 page)
{
	struct queue *queue = &pool->queues[pool->where[page]];

	if (pool->where[page] == NOWHERE)
		return;
	if (pool->next[page] == NONE)
		queue->last = pool->prev[page];
	else
		pool->prev[pool->next[page]] = pool->prev[page];
	if (pool->prev[page] == NONE)
		queue->first = pool->next[page];
	else
		pool->next[pool->prev[page]] = pool->next[page];
	queue->count--;
	pool->where[page] = NOWHERE;
}

static void enter(struct pool *pool, u32 page, enum queue_name name)
{
	struct queue *queue = &pool->queues[name];

	leave(pool, page);
	pool->where[page] = (u8)name;
	pool->next[page] = NONE;
	pool->prev[page] = queue->last;
	if (queue->last == NONE)
		queue->first = page;
	else
		pool->next[queue->last] = page;
	queue->last = page;
	queue->count++;
}

static u32 stored(const struct pool *pool)
{
	return pool->queues[SMALL].count + pool->queues[MAIN].count;
}

static void limit(struct pool *pool, enum queue_name name, u32 count)
{
	while (pool->queues[name].count > count)
		leave(pool, pool->queues[name].first);
}

/* ---- FIFO: what LRU is too, when every hit removes ------------------------------------- */

static void fifo_put(struct pool *pool, u32 page)
{
	enter(pool, page, MAIN);
	limit(pool, MAIN, pool->capacity);
}

static void fifo_hit(struct pool *pool, u32 page)
{
	leave(pool, page);
}

/*
 * ---- S3-FIFO (J. Yang et al., SOSP 2023): new pages pass through a small queue; what comes back
 * while its ghost is remembered, or was hit before, goes to the main one. A hit page's ghost is
 * kept with the others.
 */
static void s3_put(struct pool *pool, u32 page)
{
	enter(pool, page, pool->where[page] == GHOST ? MAIN : SMALL);
	while (stored(pool) > pool->capacity) {
		if (pool->queues[SMALL].count > pool->capacity / 10 ||
			pool->queues[MAIN].count == 0)
			enter(pool, pool->queues[SMALL].first, GHOST);
		else
			leave(pool, pool->queues[MAIN].first);
	}
	limit(pool, GHOST, pool->ghosts);
}

static void s3_hit(struct pool *pool, u32 page)
{
	enter(pool, page, GHOST);
	limit(pool, GHOST, pool->ghosts);
}

/*
 * ---- ARC (N. Megiddo and D. Modha, FAST 2003): SMALL for pages seen once, MAIN for pages that
 * came back; a ghost of each, and the target size of SMALL follows the ghosts that are met again.
 */
static void arc_put(struct pool *pool, u32 page)
{
	double small_ghosts = pool->queues[GHOST].count,
	       main_ghosts = pool->queues[GHOST_MAIN].count;
	enum queue_name from = pool->where[page];
	enum queue_name to = SMALL;

	if (from == GHOST) {
		if (!pool->was_hit[page])
			pool->target = MIN(pool->capacity,
				pool->target + MAX(1, main_ghosts / MAX(1, small_ghosts)));
		to = MAIN;
	} else if (from == GHOST_MAIN) {
		if (!pool->was_hit[page])
			pool->target = MAX(
				0, pool->target - MAX(1, small_ghosts / MAX(1, main_ghosts)));
		to = MAIN;
	}
	pool->was_hit[page] = false;
	enter(pool, page, to);
	while (stored(pool) > pool->capacity) {
		if (pool->queues[SMALL].count &&
			(pool->queues[SMALL].count > pool->target || !pool->queues[MAIN].count))
			enter(pool, pool->queues[SMALL].first, GHOST);
		else
			enter(pool, pool->queues[MAIN].first, GHOST_MAIN);
	}
	limit(pool, GHOST, pool->ghosts);
	limit(pool, GHOST_MAIN, pool->ghosts);
}

static void arc_hit(struct pool *pool, u32 page)
{
	pool->was_hit[page] = true;
	enter(pool, page, pool->where[page] == SMALL ? GHOST : GHOST_MAIN);
}

/* ---- Frequency (as in TinyLFU, G. Einziger et al., ACM ToS 2017): a count-min sketch of puts,
 * halved now and then. The oldest page of SMALL stays only if it was put more often than the oldest
 * of MAIN. */

static u8 *counter(struct pool *pool, u32 page, unsigned row)
{
	static const u64 factors[SKETCH_ROWS] = {0x9e3779b97f4a7c15UL, 0xc2b2ae3d27d4eb4fUL,
		0x165667b19e3779f9UL, 0xd6e8feb86659fd93UL};

	return &pool->frequency[row << SKETCH_BITS |
				(page + 1) * factors[row] >> (64 - SKETCH_BITS)];
}

static unsigned frequency(struct pool *pool, u32 page)
{
	unsigned least = 255;

	for (unsigned row = 0; row < SKETCH_ROWS; row++)
		least = MIN(least, *counter(pool, page, row));
	return least;
}

static void count_put(struct pool *pool, u32 page)
{
	for (unsigned row = 0; row < SKETCH_ROWS; row++)
		if (*counter(pool, page, row) < 15)
			++*counter(pool, page, row);
	if (++pool->puts % (10UL * pool->capacity) == 0)
		for (u32 i = 0; i < SKETCH_ROWS << SKETCH_BITS; i++)
			pool->frequency[i] /= 2;
}

static void frequency_put(struct pool *pool, u32 page)
{
	u32 window = MAX(1U, pool->capacity / 100);

	count_put(pool, page);
	enter(pool, page, SMALL);
	while (stored(pool) > pool->capacity) {
		u32 candidate = pool->queues[SMALL].first, oldest = pool->queues[MAIN].first;

		if (oldest == NONE ||
			(pool->queues[SMALL].count > window &&
				frequency(pool, candidate) <= frequency(pool, oldest)))
			leave(pool, candidate);
		else
			leave(pool, oldest);
	}
	while (pool->queues[SMALL].count > window)
		enter(pool, pool->queues[SMALL].first, MAIN);
}

/* ---- Belady's optimum: who is asked for last goes -------------------------------------- */

static void heap_set(struct pool *pool, u32 place, u32 page)
{
	pool->heap[place] = page;
	pool->heap_place[page] = place;
}

static void heap_sift(struct pool *pool, u32 place)
{
	u32 page = pool->heap[place];

	for (; place > 1 && pool->next_use[pool->heap[place / 2]] < pool->next_use[page];
		place /= 2)
		heap_set(pool, place, pool->heap[place / 2]);
	for (u32 child; (child = place * 2) <= pool->heap_count; place = child) {
		if (child < pool->heap_count &&
			pool->next_use[pool->heap[child + 1]] > pool->next_use[pool->heap[child]])
			child++;
		if (pool->next_use[pool->heap[child]] <= pool->next_use[page])
			break;
		heap_set(pool, place, pool->heap[child]);
	}
	heap_set(pool, place, page);
}

static void optimum_hit(struct pool *pool, u32 page)
{
	u32 place = pool->heap_place[page];
	u32 last = pool->heap[pool->heap_count--];

	if (last != page) {
		heap_set(pool, place, last);
		heap_sift(pool, place);
	}
	leave(pool, page);
}

static void optimum_put(struct pool *pool, u32 page)
{
	enter(pool, page, MAIN);
	heap_set(pool, ++pool->heap_count, page);
	heap_sift(pool, pool->heap_count);
	if (pool->heap_count > pool->capacity)
		optimum_hit(pool, pool->heap[1]);
}

const struct policy policies[] = {
	{"fifo", false, fifo_put, fifo_hit},
	{"s3-fifo", true, s3_put, s3_hit},
	{"arc", true, arc_put, arc_hit},
	{"frequency", false, frequency_put, fifo_hit},
	{"optimum", false, optimum_put, optimum_hit},
	{NULL, false, NULL, NULL},
};
