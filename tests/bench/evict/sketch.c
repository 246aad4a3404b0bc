/*
 * Frequency as in TinyLFU (G. Einziger et al., ACM ToS 2017): a count-min sketch of puts, halved
 * now and then. The oldest page of SMALL stays only if it was put more often than the oldest of
 * MAIN.
 */
#include "tests/bench/evict/policy.h"

#define NONE        ~0U
#define SKETCH_BITS 16U
#define SKETCH_ROWS 4U

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

void frequency_put(struct pool *pool, u32 page)
{
	u32 window = MAX(1U, pool->capacity / 100);

	count_put(pool, page);
	enter(pool, page, SMALL);
	while (stored(pool) > pool->capacity) {
		u32 candidate = pool->lists[SMALL].first, oldest = pool->lists[MAIN].first;

		if (oldest == NONE ||
			(pool->lists[SMALL].count > window &&
				frequency(pool, candidate) <= frequency(pool, oldest)))
			leave(pool, candidate);
		else
			leave(pool, oldest);
	}
	while (pool->lists[SMALL].count > window)
		enter(pool, pool->lists[SMALL].first, MAIN);
}

void frequency_hit(struct pool *pool, u32 page)
{
	if (pool->shared) {
		count_put(pool, page);
		enter(pool, page, pool->where[page]);
	} else {
		leave(pool, page);
	}
}
