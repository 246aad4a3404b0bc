/*
 * The engine's own policy: tmem/history.c and tmem/queues.c, over the bench's lists of pages. The
 * memory that these ask for comes from the host here.
 */
#include "tests/bench/evict/policy.h"
#include "tests/unit/tmem_host/metadata_pages.h"

#define ADJUST_PUTS 16U

/* SplitMix64's mixing function (S. Vigna, public domain). */
static u64 hash_of(const struct pool *pool, u32 page)
{
	u64 z = page * 0x9e3779b97f4a7c15UL + pool->secret;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9UL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebUL;
	return z ^ z >> 31;
}

static void depart(struct pool *pool, u32 page, enum departure why)
{
	u64 hash = hash_of(pool, page);

	leave(pool, page);
	history_note(history_prefetch(&pool->history, hash), hash, why);
}

static enum list_name list_of(enum queue queue)
{
	return queue == QUEUE_MAIN ? MAIN : SMALL;
}

void engine_put(struct pool *pool, u32 page)
{
	u64 hash = hash_of(pool, page);
	enum departure last;

	if (pool->puts++ % ADJUST_PUTS == 0) {
		history_adjust(NULL, &pool->history, pool->memory);
		queues_adjust(NULL, &pool->queues, stored(pool));
	}
	last = history_recall(history_prefetch(&pool->history, hash), hash);
	enter(pool, page, list_of(queues_put(&pool->queues, hash, last)));
	while (stored(pool) > pool->capacity) {
		enum queue queue = queues_victim(
			&pool->queues, pool->lists[SMALL].count, pool->lists[MAIN].count);

		depart(pool, pool->lists[list_of(queue)].first, DEPARTURE_EVICTED);
	}
}

void engine_miss(struct pool *pool, u32 page)
{
	queues_get(&pool->queues, hash_of(pool, page), pool->shared);
}

void engine_hit(struct pool *pool, u32 page)
{
	engine_miss(pool, page);
	if (pool->shared)
		enter(pool, page, list_of(queues_hit(&pool->queues)));
	else
		depart(pool, page, DEPARTURE_HIT);
}
