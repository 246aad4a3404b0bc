/*
 * What is told of a client (tmem/tmem.h): of the pools that it has, and of those that are gone.
 */
#include "tmem/dense.h"

#include <string.h>

void client_add_counts(struct pool_counts *sum, const struct pool *pool)
{
	sum->puts += pool->counts.puts;
	sum->hits += pool->counts.hits;
	sum->misses += READ_ONCE(pool->counts.misses);
	sum->flushes += pool_flushes(pool);
	sum->flushed_pages += pool_flushed_pages(pool);
	sum->replaced += pool->counts.replaced;
	sum->dropped += pool->counts.dropped;
	sum->equal += pool->counts.equal;
}

/* What of the pool's pages is there now. */
static void add_contents(struct tmem_client_stats *stats, const struct pool *pool)
{
	stats->filled_pages += pool->dense_pages[CONTENT_FILLED];
	stats->shared_pages += pool->dense_pages[CONTENT_SHARED] +
			       pool->dense_pages[CONTENT_COMMON];
	stats->compressed_pages += pool->dense_pages[CONTENT_PACKED];
	stats->compressed_bytes += pool->packed_bytes;
}

void tmem_client_stats(const struct tmem_client *client, struct tmem_client_stats *stats)
{
	struct tmem_client *locked = (struct tmem_client *)client;
	struct pool_counts counts[TMEM_CLASSES];

	client_lock(locked);
	*stats = client->stats;
	stats->dense_pages = client->dense_pages[EPHEMERAL] + client->dense_pages[PERSISTENT];
	stats->dense_frames = client->dense_frames[EPHEMERAL] + client->dense_frames[PERSISTENT];
	memcpy(counts, client->past, sizeof(counts));
	for (unsigned id = 0; id < TMEM_POOLS_PER_GUEST; id++) {
		const struct pool *pool = client->pools[id];

		if (!pool)
			continue;
		client_add_counts(&counts[pool->persistent ? PERSISTENT : EPHEMERAL], pool);
		add_contents(stats, pool);
	}
	client_unlock(locked);

	stats->ephemeral_puts = counts[EPHEMERAL].puts;
	stats->ephemeral_gets = counts[EPHEMERAL].hits + counts[EPHEMERAL].misses;
	stats->ephemeral_hits = counts[EPHEMERAL].hits;
	stats->persistent_puts = counts[PERSISTENT].puts;
	stats->persistent_gets = counts[PERSISTENT].hits + counts[PERSISTENT].misses;
	stats->persistent_hits = counts[PERSISTENT].hits;
	stats->puts_stored = stats->ephemeral_puts + stats->persistent_puts;
	stats->puts += stats->puts_stored;
	stats->gets = stats->ephemeral_gets + stats->persistent_gets;
	stats->hits = stats->ephemeral_hits + stats->persistent_hits;
	stats->flushes += counts[EPHEMERAL].flushes + counts[PERSISTENT].flushes;
	stats->flushed_pages = counts[EPHEMERAL].flushed_pages + counts[PERSISTENT].flushed_pages;
	stats->puts_replaced = counts[EPHEMERAL].replaced + counts[PERSISTENT].replaced;
	stats->puts_dropped = counts[EPHEMERAL].dropped + counts[PERSISTENT].dropped;
	stats->equal_found = counts[EPHEMERAL].equal + counts[PERSISTENT].equal;
}
