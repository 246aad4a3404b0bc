/*
 * Guests' page caches (tests/bench/evict/guests.h).
 */
#include "tests/bench/evict/guests.h"

#include <stdlib.h>

#define TURN 64U

/* The page cache of a guest: LRU, a circular list with @pages as its head. */
struct cache {
	u32 *next, *prev;
	bool *present;
	u32 pages, count;
};

static struct cache cache_create(u32 pages)
{
	struct cache cache = {
		.next = malloc((pages + 1UL) * sizeof(u32)),
		.prev = malloc((pages + 1UL) * sizeof(u32)),
		.present = calloc(pages, sizeof(bool)),
		.pages = pages,
	};

	cache.next[pages] = cache.prev[pages] = pages;
	return cache;
}

static void cache_remove(struct cache *cache, u32 page)
{
	cache->next[cache->prev[page]] = cache->next[page];
	cache->prev[cache->next[page]] = cache->prev[page];
	cache->present[page] = false;
	cache->count--;
}

static void cache_add(struct cache *cache, u32 page)
{
	u32 newest = cache->prev[cache->pages];

	cache->next[newest] = page;
	cache->prev[page] = newest;
	cache->next[page] = cache->pages;
	cache->prev[cache->pages] = page;
	cache->present[page] = true;
	cache->count++;
}

static void add(struct requests *requests, const struct trace *trace, u32 page, bool put)
{
	if (page >= trace->anonymous)
		return;
	requests->request[requests->count++] = (struct request){.page = page, .put = put};
}

static void link_requests(struct requests *requests, u32 pages)
{
	u32 *last = malloc(pages * sizeof(u32));

	for (u32 page = 0; page < pages; page++)
		last[page] = ~0U;
	for (u64 i = requests->count; i-- > 0;) {
		requests->request[i].next = last[requests->request[i].page];
		last[requests->request[i].page] = (u32)i;
	}
	free(last);
}

struct requests requests_create(const struct trace *trace, unsigned guests, u32 ram)
{
	struct requests requests = {0, malloc(2 * trace->count * sizeof(struct request))};
	struct cache *caches = calloc(guests, sizeof(*caches));

	for (unsigned guest = 0; guest < guests; guest++)
		caches[guest] = cache_create(trace->pages);
	for (u64 i = 0; i < trace->count; i++) {
		struct cache *cache = &caches[i / TURN % guests];
		u32 page = trace->references[i];
		bool hit = cache->present[page];

		if (hit)
			cache_remove(cache, page);
		else
			add(&requests, trace, page, false);
		cache_add(cache, page);
		if (cache->count > ram) {
			u32 victim = cache->next[cache->pages];

			cache_remove(cache, victim);
			add(&requests, trace, victim, true);
		}
	}
	for (unsigned guest = 0; guest < guests; guest++) {
		free(caches[guest].next);
		free(caches[guest].prev);
		free(caches[guest].present);
	}
	free(caches);
	link_requests(&requests, trace->pages);
	return requests;
}

void requests_free(struct requests *requests)
{
	free(requests->request);
}
