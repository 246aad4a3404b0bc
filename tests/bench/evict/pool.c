/*
 * A pool's lists of pages, without a policy (tests/bench/evict/policy.h).
 */
#include <stdlib.h>

#include "tests/bench/evict/policy.h"

#define NONE ~0U

struct pool *pool_new(u32 capacity, u32 ram, u32 memory, u32 pages, bool shared, u64 seed)
{
	struct pool *pool = calloc(1, sizeof(*pool));

	pool->capacity = capacity;
	pool->ram = ram;
	pool->memory = memory;
	pool->shared = shared;
	pool->secret = seed;
	pool->next = malloc(pages * sizeof(u32));
	pool->prev = malloc(pages * sizeof(u32));
	pool->where = calloc(pages, 1);
	pool->referenced = calloc(pages, 1);
	pool->departed = calloc(pages, sizeof(u64));
	pool->frequency = calloc(4, 1U << 16);
	pool->uses = calloc(pages, sizeof(u64));
	pool->heap = malloc((pages + 1) * sizeof(u32));
	pool->heap_place = calloc(pages, sizeof(u32));
	for (unsigned i = 0; i < LISTS; i++)
		pool->lists[i] = (struct list){NONE, NONE, 0};
	history_init(&pool->history);
	queues_init(&pool->queues);
	return pool;
}

void pool_end(struct pool *pool)
{
	history_destroy(NULL, &pool->history);
	queues_destroy(NULL, &pool->queues);
	free(pool->next);
	free(pool->prev);
	free(pool->where);
	free(pool->referenced);
	free(pool->departed);
	free(pool->frequency);
	free(pool->uses);
	free(pool->heap);
	free(pool->heap_place);
	free(pool);
}

void leave(struct pool *pool, u32 page)
{
	struct list *list = &pool->lists[pool->where[page]];

	if (pool->where[page] == NOWHERE)
		return;
	if (pool->next[page] == NONE)
		list->last = pool->prev[page];
	else
		pool->prev[pool->next[page]] = pool->prev[page];
	if (pool->prev[page] == NONE)
		list->first = pool->next[page];
	else
		pool->next[pool->prev[page]] = pool->next[page];
	list->count--;
	pool->where[page] = NOWHERE;
}

void enter(struct pool *pool, u32 page, enum list_name name)
{
	struct list *list = &pool->lists[name];

	leave(pool, page);
	if (name == NOWHERE)
		return;
	pool->where[page] = (u8)name;
	pool->next[page] = NONE;
	pool->prev[page] = list->last;
	if (list->last == NONE)
		list->first = page;
	else
		pool->next[list->last] = page;
	list->last = page;
	list->count++;
}

u32 stored(const struct pool *pool)
{
	return pool->lists[SMALL].count + pool->lists[MAIN].count;
}

void limit(struct pool *pool, enum list_name name, u32 count)
{
	while (pool->lists[name].count > count)
		leave(pool, pool->lists[name].first);
}
