/*
 * Compares eviction policies of a private ephemeral pool: a guest whose own page cache is LRU puts
 * what that evicts, and asks the pool for what it misses; what the pool has not is read from disk.
 * Prints tab-separated values, ratios to FIFO (which is LRU here) and to Belady's optimum. Policies
 * that remember pages are tried with as many ghosts as the pool has pages, and with the guest's RAM
 * added.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/evict/policy.h"
#include "tests/bench/evict/trace.h"

#define RAM_PAGES 4000U
#define NEVER     ~0UL

/* The guest's page cache: LRU. */
struct cache {
	u32 *next, *prev; /* circular; the head is page @pages */
	bool *present;
	u32 head, count;
};

static void cache_remove(struct cache *cache, u32 page)
{
	cache->next[cache->prev[page]] = cache->next[page];
	cache->prev[cache->next[page]] = cache->prev[page];
}

static void cache_add(struct cache *cache, u32 page)
{
	u32 newest = cache->prev[cache->head];

	cache->next[newest] = page;
	cache->prev[page] = newest;
	cache->next[page] = cache->head;
	cache->prev[cache->head] = page;
}

/* For each reference the next one to the same page. */
static u64 *next_references(const struct trace *trace)
{
	u64 *next = malloc(trace->count * sizeof(u64));
	u64 *last = malloc(trace->pages * sizeof(u64));

	for (u32 page = 0; page < trace->pages; page++)
		last[page] = NEVER;
	for (u64 i = trace->count; i-- > 0;) {
		next[i] = last[trace->references[i]];
		last[trace->references[i]] = i;
	}
	free(last);
	return next;
}

/* Disk reads without those that no memory avoids, the first of each page. */
static u64 play(const struct trace *trace, const u64 *next, const struct policy *policy,
	u32 capacity, u32 ghosts)
{
	struct pool *pool = pool_new(capacity, ghosts, trace->pages);
	struct cache cache = {
		.next = malloc((trace->pages + 1) * sizeof(u32)),
		.prev = malloc((trace->pages + 1) * sizeof(u32)),
		.present = calloc(trace->pages, sizeof(bool)),
		.head = trace->pages,
	};
	bool *read_before = calloc(trace->pages, sizeof(bool));
	u64 reads = 0;

	cache.next[cache.head] = cache.prev[cache.head] = cache.head;
	for (u64 i = 0; i < trace->count; i++) {
		u32 page = trace->references[i];

		pool->next_use[page] = next[i];
		if (cache.present[page]) {
			cache_remove(&cache, page);
			cache_add(&cache, page);
			continue;
		}
		if (pool_has(pool, page))
			policy->hit(pool, page);
		else
			reads += read_before[page];
		read_before[page] = true;
		cache.present[page] = true;
		cache_add(&cache, page);
		if (++cache.count > RAM_PAGES) {
			u32 victim = cache.next[cache.head];

			cache_remove(&cache, victim);
			cache.present[victim] = false;
			cache.count--;
			policy->put(pool, victim);
		}
	}
	free(read_before);
	free(cache.next);
	free(cache.prev);
	free(cache.present);
	pool_end(pool);
	return reads;
}

struct result {
	const char *policy;
	u32 ghosts;
	u64 reads;
};

static void compare(const struct trace *trace, u32 capacity)
{
	u64 *next = next_references(trace);
	struct result results[16];
	unsigned count = 0;
	u64 fifo, optimum;

	for (const struct policy *policy = policies; policy->name; policy++) {
		for (unsigned longer = 0; longer <= policy->remembers; longer++) {
			u32 ghosts = policy->remembers ? capacity + longer * RAM_PAGES : 0;

			results[count++] = (struct result){
				policy->name, ghosts, play(trace, next, policy, capacity, ghosts)};
		}
	}
	fifo = results[0].reads;
	optimum = MAX(results[count - 1].reads, 1UL);
	for (unsigned i = 0; i < count; i++)
		printf("%s\t%s\t%u\t%u\t%u\t%llu\t%llu\t%.3f\t%.3f\n", trace->name,
			results[i].policy, results[i].ghosts, RAM_PAGES, capacity,
			(unsigned long long)trace->count, (unsigned long long)results[i].reads,
			(double)results[i].reads / (double)fifo,
			(double)results[i].reads / (double)optimum);
	free(next);
}

int main(void)
{
	static const u32 capacities[] = {2000, 4000, 8000};

	puts("trace\tpolicy\tghosts\tram\tpool\treferences\tdisk_reads\tx_fifo\tx_optimum");
	for (unsigned c = 0; c < ARRAY_SIZE(capacities); c++) {
		struct trace *trace;
		unsigned number = 0;

		while ((trace = trace_create(number++, 1, RAM_PAGES + capacities[c])) != NULL) {
			compare(trace, capacities[c]);
			trace_free(trace);
		}
	}
	return 0;
}
