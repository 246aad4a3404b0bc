/*
 * Control of a client by others: freeze and thaw, weight, caps, what pools it has; and what a put
 * to a frozen or capped pool meets. Everything here is off the common paths: a pool with anything
 * special about it has a flag that these look at (struct pool), and its client's state stands
 * behind the flag. The client's lock guards both.
 */
#include <string.h>

#include <abi/errno.h>

#include "tmem/client.h"
#include "tmem/dense.h"
#include "tmem/drop.h"
#include "tmem/shared.h"

void special_set(struct tmem_client *client, struct pool *pool)
{
	pool->frozen = client->frozen;
	pool->capped = !pool->persistent && client->ephemeral_max != TMEM_UNLIMITED;
	pool->hidden = READ_ONCE(client->restore.phase) != 0;
	pool_set_lock_upto(pool);
}

static void set_all(struct tmem_client *client)
{
	for (unsigned id = 0; id < TMEM_POOLS_PER_GUEST; id++)
		if (client->pools[id])
			special_set(client, client->pools[id]);
}

bool client_drop_old(
	struct tmem_client *client, struct pool *pool, const struct tmem_handle *handle)
{
	struct position position;

	if (!pool_find(pool, handle->object, handle->index, &position))
		return false;
	client_drop_and_keep_slot(client, pool, &position);
	pool->counts.dropped++;
	return true;
}

/* Evicts the client's oldest until at most @most ephemeral pages are left, or *@pages are gone. */
static void shrink_to(struct tmem_client *client, u64 most, unsigned *pages)
{
	while (client->stats.ephemeral_pages > most && *pages) {
		u64 before = client->stats.ephemeral_pages;
		u32 slot = evict_oldest(client);

		if (slot != SLOT_NONE)
			client_give_slot(client, block_of(client->tmem, slot),
				page_at(client->tmem, slot), slot);
		if (client->stats.ephemeral_pages == before)
			return;
		*pages -= MIN(*pages, (unsigned)(before - client->stats.ephemeral_pages));
	}
}

int special_put(struct tmem_client *client, struct pool *pool, const struct tmem_handle *handle,
	const void *page, bool hidden)
{
	unsigned pages = TMEM_STEP_PAGES;
	struct position position;

	if (pool->dying || pool->hidden != hidden)
		return -SLUICE_EBADF;
	if (pool->shared)
		return POOL_IS_SHARED;
	if (!page || hidden)
		return 0;
	if (pool->frozen) {
		client_drop_old(client, pool, handle);
		return -SLUICE_ENOSPC;
	}
	if (pool->capped && !pool_find(pool, handle->object, handle->index, &position)) {
		if (!client->ephemeral_max)
			return -SLUICE_ENOSPC;
		shrink_to(client, client->ephemeral_max - 1, &pages);
	}
	return 0;
}

void tmem_client_freeze(struct tmem_client *client, bool frozen)
{
	client_lock(client);
	client->freezes += frozen && !client->frozen;
	client->frozen = frozen;
	set_all(client);
	client_unlock(client);
}

int tmem_client_set_weight(struct tmem_client *client, u64 weight)
{
	if (!weight || weight > TMEM_WEIGHT_MAX)
		return -SLUICE_EINVAL;
	client_lock(client);
	WRITE_ONCE(client->weight, (u32)weight);
	client_unlock(client);
	return 0;
}

int tmem_client_set_caps(struct tmem_client *client, u64 persistent_max, u64 ephemeral_max)
{
	unsigned pages = TMEM_STEP_PAGES;

	client_lock(client);
	client->persistent_max = persistent_max;
	client->ephemeral_max = ephemeral_max;
	set_all(client);
	shrink_to(client, ephemeral_max, &pages);
	client_unlock(client);
	return pages ? 0 : -SLUICE_EAGAIN;
}

/* ---- What there is ------------------------------------------------------------------- */

/* All but pages and evictions of a shared pool. Client lock. */
static void describe(const struct pool *pool, struct tmem_pool_info *info)
{
	const struct pool_counts *counts = &pool->counts;

	*info = (struct tmem_pool_info){
		.id = pool->id,
		.flags = pool_flags(pool),
		.uuid = {pool->uuid[0], pool->uuid[1]},
		.pages = pool->shared ? 0 : pool_pages(pool),
		.puts = counts->puts,
		.gets = pool_gets(pool),
		.hits = counts->hits,
		.replaced = counts->replaced,
		.flushes = pool_flushes(pool),
		.flushed_pages = pool_flushed_pages(pool),
		.evictions = counts->evictions,
		.refusals = counts->refusals,
		.dropped = counts->dropped,
		.filled_pages = (u32)pool->dense_pages[CONTENT_FILLED],
		.shared_pages = (u32)(pool->dense_pages[CONTENT_SHARED] +
				      pool->dense_pages[CONTENT_COMMON]),
		.compressed_pages = (u32)pool->dense_pages[CONTENT_PACKED],
		.modes = pool->modes,
		.compressed_bytes = pool->packed_bytes,
	};
}

unsigned tmem_client_list(struct tmem_client *client, struct tmem_pool_info *infos)
{
	struct seat seats[TMEM_POOLS_PER_GUEST];
	unsigned count = 0;

	client_lock(client);
	for (unsigned id = 0; id < TMEM_POOLS_PER_GUEST; id++) {
		const struct pool *pool = client->pools[id];

		if (!pool)
			continue;
		seats[count] = pool->seat;
		describe(pool, &infos[count++]);
	}
	client_unlock(client);
	for (unsigned i = 0; i < count; i++)
		if (infos[i].flags & TMEM_POOL_SHARED)
			shared_counts(&seats[i], &infos[i].pages, &infos[i].evictions);
	return count;
}

void tmem_client_info(struct tmem_client *client, struct tmem_guest_info *info)
{
	struct tmem_client_stats stats;

	client_lock(client);
	if (client->frozen)
		info->flags |= TMEM_GUEST_FROZEN;
	if (READ_ONCE(client->restore.phase))
		info->flags |= TMEM_GUEST_RESTORING;
	info->weight = client->weight;
	info->persistent_max = client->persistent_max;
	info->ephemeral_max = client->ephemeral_max;
	info->persistent_pages = client->stats.persistent_pages;
	info->ephemeral_pages = client->stats.ephemeral_pages;
	client_unlock(client);
	tmem_client_stats(client, &stats);
	info->filled_pages = stats.filled_pages;
	info->shared_pages = stats.shared_pages;
	info->compressed_pages = stats.compressed_pages;
	info->compressed_bytes = stats.compressed_bytes;
	info->dense_frames = stats.dense_frames;
}
