/*
 * Clients and pools: how they come and go, and the slots a client keeps at hand (tmem/client.h).
 */
#include "tmem/client.h"

#include <string.h>

#include <abi/errno.h>

#include "tmem/dense.h"

/* ---- Slots at hand ------------------------------------------------------------------ */

/* The own magazine is empty: a batch from the arena, else one frame of the other class, since
 * mixing is better than evicting. */
static __attribute__((noinline)) u32 refill(struct tmem_client *client, unsigned class)
{
	struct magazine *magazine = &client->magazines[class];
	u32 count = 0;

	if (class == VIRTUAL || !arena_is_dry(client->tmem, &client->patience))
		count = arena_take(
			client->tmem, class, client->number, magazine->slots, MAGAZINE_BATCH);

	if (!count && class != VIRTUAL) {
		magazine = &client->magazines[1 - class];
		count = magazine->count;
	}
	if (!count)
		return SLOT_NONE;
	WRITE_ONCE(magazine->count, count - 1);
	return magazine->slots[count - 1];
}

u32 client_take_slot(struct tmem_client *client, unsigned class)
{
	u32 slot = client_slot_at_hand(client, class);

	return slot == SLOT_NONE ? refill(client, class) : slot;
}

void client_spill(struct tmem_client *client, unsigned class, u32 keep)
{
	struct magazine *magazine = &client->magazines[class];
	u32 count = magazine->count - keep;

	arena_give(client->tmem, magazine->slots, count);
	memmove(magazine->slots, magazine->slots + count, keep * sizeof(u32));
	WRITE_ONCE(magazine->count, keep);
}

void client_give_all_slots(struct tmem_client *client)
{
	for (unsigned class = 0; class < SLOT_CLASSES; class ++) {
		struct magazine *magazine = &client->magazines[class];

		arena_give(client->tmem, magazine->slots, magazine->count);
		WRITE_ONCE(magazine->count, 0);
	}
}

/* ---- Pools -------------------------------------------------------------------------- */

int tmem_pool_create(struct tmem_client *client, u64 flags, u64 uuid_lo, u64 uuid_hi)
{
	const u64 uuid[2] = {uuid_lo, uuid_hi};
	int result = -SLUICE_ENOSPC;
	struct pool *pool;

	/* Shared pools need an authorization, and nobody can give one yet. */
	if (flags & ~(u64)TMEM_POOL_PERSISTENT)
		return -SLUICE_EINVAL;

	client_lock(client);
	for (u8 id = 0; id < TMEM_POOLS_PER_GUEST; id++) {
		if (client->pools[id])
			continue;
		pool = pool_create(client, id, flags & TMEM_POOL_PERSISTENT, uuid);
		__atomic_store_n(&client->pools[id], pool, __ATOMIC_RELEASE);
		result = pool ? id : -SLUICE_ENOMEM;
		break;
	}
	client_unlock(client);
	return result;
}

static void add_counts(struct pool_counts *sum, const struct pool_counts *counts)
{
	sum->puts += counts->puts;
	sum->gets += counts->gets;
	sum->hits += counts->hits;
}

/* Frees up to *@pages pages of a dying pool; 0 once it is gone, else -EAGAIN. */
static int destroy_pool_step(struct tmem_client *client, struct pool *pool, unsigned *pages)
{
	u8 id = pool->id;
	u32 object_id;

	WRITE_ONCE(pool->dying, true);
	while ((object_id = pool_any_object(pool)) != 0)
		if (!client_flush_object(client, pool, object_id, pages))
			return -SLUICE_EAGAIN;
	add_counts(&client->past[pool->persistent ? PERSISTENT : EPHEMERAL], &pool->counts);
	client_filter_close(client, pool);
	WRITE_ONCE(client->pools[id], NULL);
	pool_free(client->tmem, pool);
	return 0;
}

int tmem_pool_destroy(struct tmem_client *client, s64 pool)
{
	unsigned pages = TMEM_STEP_PAGES;
	int result = -SLUICE_EBADF;

	if (pool < 0 || pool >= TMEM_POOLS_PER_GUEST)
		return result;
	client_lock(client);
	if (client->pools[pool])
		result = destroy_pool_step(client, client->pools[pool], &pages);
	client_unlock(client);
	return result;
}

/* ---- Clients ------------------------------------------------------------------------ */

/* A structure for a new client, not alive yet, marked as taken by its weight; NULL if all are in
 * use or memory is short. Structures stay with the store, so that evictions may always look at
 * them. */
static struct tmem_client *claim_client(struct tmem *tmem, u32 weight)
{
	struct tmem_client *client = NULL;
	void *page = metadata_alloc(tmem);

	tmem_port_lock(&tmem->arena.lock);
	for (u8 number = 0; number < TMEM_CLIENTS && !client; number++) {
		struct tmem_client *known = tmem->clients[number];

		if (known && known->weight)
			continue;
		if (!known) {
			if (!page)
				break;
			known = page;
			page = NULL;
			known->number = number;
			known->tmem = tmem;
			tmem_port_lock_init(&known->lock, TMEM_LOCK_CLIENT);
			__atomic_store_n(&tmem->clients[number], known, __ATOMIC_RELEASE);
			WRITE_ONCE(tmem->client_count, number + 1U);
		}
		WRITE_ONCE(known->weight, weight);
		client = known;
	}
	tmem_port_unlock(&tmem->arena.lock);
	if (page)
		metadata_free(tmem, page);
	return client;
}

/* The structure may be claimed again. */
static void free_client(struct tmem_client *client)
{
	struct tmem *tmem = client->tmem;

	tmem_port_lock(&tmem->arena.lock);
	WRITE_ONCE(client->weight, 0);
	tmem_port_unlock(&tmem->arena.lock);
}

struct tmem_client *tmem_client_create(struct tmem *tmem, const struct tmem_client_config *config)
{
	u32 weight = config->weight ? MIN(config->weight, 65535U) : 1;
	struct tmem_client *client = claim_client(tmem, weight);

	if (!client)
		return NULL;
	client_lock(client);
	client->persistent_max = config->persistent_max;
	memcpy(client->hash_keys, config->hash_keys, sizeof(client->hash_keys));
	memset(&client->stats, 0, sizeof(client->stats));
	memset(client->past, 0, sizeof(client->past));
	client->oldest = 0;
	client->newest = 0;
	client->modes[EPHEMERAL] = config->ephemeral_modes;
	client->modes[PERSISTENT] = config->persistent_modes;
	if ((config->ephemeral_modes | config->persistent_modes) && dense_create(client)) {
		client_unlock(client);
		free_client(client);
		return NULL;
	}
	client->alive = true;
	client_unlock(client);
	return client;
}

int tmem_client_destroy(struct tmem_client *client)
{
	unsigned pages = TMEM_STEP_PAGES;

	client_lock(client);
	for (unsigned id = 0; id < TMEM_POOLS_PER_GUEST; id++) {
		if (client->pools[id] && destroy_pool_step(client, client->pools[id], &pages)) {
			client_unlock(client);
			return -SLUICE_EAGAIN;
		}
	}
	client_filters_destroy(client);
	client_give_all_slots(client);
	dense_destroy(client);
	client->alive = false;
	client_unlock(client);
	free_client(client);
	return 0;
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
	for (unsigned id = 0; id < TMEM_POOLS_PER_GUEST; id++)
		if (client->pools[id])
			add_counts(&counts[client->pools[id]->persistent ? PERSISTENT : EPHEMERAL],
				&client->pools[id]->counts);
	client_unlock(locked);

	stats->ephemeral_puts = counts[EPHEMERAL].puts;
	stats->ephemeral_gets = counts[EPHEMERAL].gets;
	stats->ephemeral_hits = counts[EPHEMERAL].hits;
	stats->persistent_puts = counts[PERSISTENT].puts;
	stats->persistent_gets = counts[PERSISTENT].gets;
	stats->persistent_hits = counts[PERSISTENT].hits;
	stats->puts_stored = stats->ephemeral_puts + stats->persistent_puts;
	stats->puts += stats->puts_stored;
	stats->gets = stats->ephemeral_gets + stats->persistent_gets;
	stats->hits = stats->ephemeral_hits + stats->persistent_hits;
}

/* ---- The store ---------------------------------------------------------------------- */

struct tmem *tmem_create(const struct tmem_config *config)
{
	/* No lock exists yet that could be held. */
	struct tmem *tmem = tmem_port_alloc(0);
	void *key;

	if (!tmem)
		return NULL;
	memset(tmem, 0, PAGE_SIZE);
	arena_init(tmem, config->max_pages);
	key = metadata_alloc(tmem);
	if (!key) {
		tmem_port_free(tmem, 0);
		return NULL;
	}
	content_key_init(&tmem->content_key, key);
	return tmem;
}

void tmem_destroy(struct tmem *tmem)
{
	for (unsigned number = 0; number < TMEM_CLIENTS; number++)
		if (tmem->clients[number])
			metadata_free(tmem, tmem->clients[number]);
	metadata_free(tmem, tmem->content_key.words);
	arena_destroy(tmem);
	tmem_port_free(tmem, 0);
}

u64 tmem_persistent_pages(const struct tmem *tmem)
{
	return READ_ONCE(tmem->persistent_pages);
}

void tmem_stats(const struct tmem *tmem, struct tmem_stats *stats)
{
	struct tmem *locked = (struct tmem *)tmem;

	*stats = (struct tmem_stats){.persistent_pages = tmem_persistent_pages(tmem)};
	for (unsigned number = 0; number < TMEM_CLIENTS; number++) {
		const struct tmem_client *client = __atomic_load_n(
			&tmem->clients[number], __ATOMIC_ACQUIRE);

		if (client)
			stats->ephemeral_pages += READ_ONCE(client->stats.ephemeral_pages);
	}
	tmem_port_lock(&locked->arena.lock);
	stats->frames = tmem->arena.frames;
	stats->metadata_bytes = tmem->arena.metadata_pages * PAGE_SIZE;
	tmem_port_unlock(&locked->arena.lock);
}
