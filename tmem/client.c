/*
 * Clients and pools: how they come and go, and the slots a client keeps at hand (tmem/client.h).
 */
#include "tmem/client.h"

#include <string.h>

#include <abi/errno.h>

#include "tmem/aging.h"
#include "tmem/dedup.h"
#include "tmem/dense.h"
#include "tmem/page_list.h"

/* ---- Slots at hand ------------------------------------------------------------------ */

static u32 take_batch(struct tmem_client *client, unsigned class)
{
	struct magazine *magazine = &client->magazines[class];
	u32 count = 0;

	if (class == VIRTUAL || !arena_is_dry(client->tmem, &client->patience))
		count = arena_take(
			client->tmem, class, client->number, magazine->slots, MAGAZINE_BATCH);
	WRITE_ONCE(magazine->count, count);
	return count;
}

bool client_refill(struct tmem_client *client, enum tmem_class class)
{
	return take_batch(client, class) != 0;
}

__attribute__((noinline)) u32 client_fetch_slot(struct tmem_client *client, unsigned class)
{
	if (!take_batch(client, class)) {
		if (class == VIRTUAL)
			return SLOT_NONE;
		class = 1 - class;
	}
	return client_slot_at_hand(client, class);
}

u32 client_take_slot(struct tmem_client *client, unsigned class)
{
	u32 slot = client_slot_at_hand(client, class);

	return slot == SLOT_NONE ? client_fetch_slot(client, class) : slot;
}

void client_spill(struct tmem_client *client, unsigned class, u32 keep)
{
	struct magazine *magazine = &client->magazines[class];
	u32 count = magazine->count - keep;

	arena_give(client->tmem, magazine->slots, count);
	memmove(magazine->slots, magazine->slots + count, keep * sizeof(u32));
	WRITE_ONCE(magazine->count, keep);
}

void client_spill_full(struct tmem_client *client, const struct magazine *magazine)
{
	client_spill(
		client, (unsigned)(magazine - client->magazines), MAGAZINE_SLOTS - MAGAZINE_BATCH);
}

void client_give_all_slots(struct tmem_client *client)
{
	for (unsigned class = 0; class < SLOT_CLASSES; class ++) {
		struct magazine *magazine = &client->magazines[class];

		arena_give(client->tmem, magazine->slots, magazine->count);
		WRITE_ONCE(magazine->count, 0);
	}
}

/* ---- The half of a block that was used last ------------------------------------------ */

__attribute__((noinline)) bool client_turn_to(struct tmem_client *client, u32 slot)
{
	u32 number = slot >> HALF_SHIFT, first = number << HALF_SHIFT;
	struct block *block = block_of(client->tmem, slot);

	_Static_assert(PAGES_PER_LEAF == 1U << HALF_SHIFT, "the records of a half are one page");
	if (!block->base)
		return false;
	client->half.records = block_page(block, first);
	client->half.frames = block_frame(block, first);
	client->half.block = block;
	client->half.magazine = client_magazine_of(client, block);
	WRITE_ONCE(client->half.number, number);
	return true;
}

/* Whoever has the block in mind has no slot of it any more. */
void client_forget_block(struct tmem *tmem, u32 number)
{
	for (u32 i = 0; i < tmem->client_count; i++) {
		struct tmem_client *client = tmem->clients[i];

		if (READ_ONCE(client->half.number) == number * 2 ||
			READ_ONCE(client->half.number) == number * 2 + 1)
			WRITE_ONCE(client->half.number, HALF_NONE);
	}
}

/* ---- Pools -------------------------------------------------------------------------- */

/* The flags that switch modes off. */
#define NO_MODES (TMEM_POOL_NO_FILLED | TMEM_POOL_NO_DEDUP | TMEM_POOL_NO_COMPRESS)
_Static_assert(
	NO_MODES == (TMEM_MODE_FILLED | TMEM_MODE_DEDUP | TMEM_MODE_COMPRESS) << TMEM_POOL_NO_SHIFT,
	"a flag a mode");
_Static_assert(TMEM_MODE_FILLED == TMEM_POOL_MODE_FILLED &&
		       TMEM_MODE_DEDUP == TMEM_POOL_MODE_DEDUP &&
		       TMEM_MODE_COMPRESS == TMEM_POOL_MODE_COMPRESS,
	"what a pool's information tells");

bool pool_flags_are_valid(u64 flags)
{
	return !(flags & ~(u64)(TMEM_POOL_PERSISTENT | NO_MODES));
}

static const struct pool no_pool = {.dying = true, .lock_upto = ~0UL};

/* @pool: NULL if there is none any more. */
static void set_pool(struct tmem_client *client, u32 id, struct pool *pool)
{
	__atomic_store_n(&client->pools[id], pool, __ATOMIC_RELEASE);
	__atomic_store_n(
		&client->called[id], pool ? pool : (struct pool *)&no_pool, __ATOMIC_RELEASE);
}

int client_add_pool(
	struct tmem_client *client, int id, u32 flags, const u64 uuid[2], const struct seat *seat)
{
	struct pool *pool;

	for (int any = 0; id < 0 && any < TMEM_POOLS_PER_GUEST; any++)
		if (!client->pools[any])
			id = any;
	if (id < 0)
		return -SLUICE_ENOSPC;
	if (client->pools[id])
		return -SLUICE_EBUSY;
	pool = pool_create(client, (u8)id, flags & TMEM_POOL_PERSISTENT, uuid);
	if (!pool)
		return -SLUICE_ENOMEM;
	pool->modes_off = (u8)((flags & NO_MODES) >> TMEM_POOL_NO_SHIFT);
	pool->modes &= (u8)~pool->modes_off;
	if (seat) {
		pool->shared = true;
		pool->seat = *seat;
	}
	special_set(client, pool);
	client->pools_end = MAX(client->pools_end, (u32)id + 1);
	set_pool(client, (u32)id, pool);
	return id;
}

int tmem_pool_create(struct tmem_client *client, u64 flags, u64 uuid_lo, u64 uuid_hi)
{
	const u64 uuid[2] = {uuid_lo, uuid_hi};
	int result = -SLUICE_EBUSY;

	if (flags & TMEM_POOL_SHARED)
		return flags == TMEM_POOL_SHARED ? shared_join(client, -1, uuid) : -SLUICE_EINVAL;
	if (!pool_flags_are_valid(flags))
		return -SLUICE_EINVAL;

	client_lock(client);
	if (!client->restore.phase)
		result = client_add_pool(client, -1, (u32)flags, uuid, NULL);
	client_unlock(client);
	return result;
}

/* What tmem_client_stats() tells of a pool. */
static void add_counts(struct pool_counts *sum, const struct pool *pool)
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

void client_forget_pool(struct tmem_client *client, struct pool *pool)
{
	add_counts(&client->past[pool->persistent ? PERSISTENT : EPHEMERAL], pool);
	if (!pool->shared) {
		client->private_puts += pool->counts.puts + pool->counts.refusals;
		client->private_gets += pool_gets(pool);
	}
	client_filter_close(client, pool);
	set_pool(client, pool->id, NULL);
	pool_free(client->tmem, pool);
}

int client_destroy_pool(struct tmem_client *client, struct pool *pool, unsigned *pages)
{
	u32 object_id;

	WRITE_ONCE(pool->dying, true);
	pool_set_lock_upto(pool);
	while ((object_id = pool_any_object(pool)) != 0)
		if (!client_flush_object(client, pool, object_id, pages))
			return -SLUICE_EAGAIN;
	client_forget_pool(client, pool);
	return 0;
}

int tmem_pool_destroy(struct tmem_client *client, s64 id)
{
	unsigned pages = TMEM_STEP_PAGES;
	int result = -SLUICE_EBADF;
	struct pool *pool;
	bool shared;

	if (id < 0 || id >= TMEM_POOLS_PER_GUEST)
		return result;
	client_lock(client);
	pool = client->pools[id];
	if (pool && pool->hidden)
		pool = NULL;
	shared = pool && pool->shared;
	if (pool && !shared)
		result = client_destroy_pool(client, pool, &pages);
	client_unlock(client);
	return shared ? shared_leave(client, (u32)id) : result;
}

int client_drop_pools(struct tmem_client *client)
{
	unsigned pages = TMEM_STEP_PAGES;
	int result = 0;

	for (u32 id = 0; id < TMEM_POOLS_PER_GUEST && !result; id++) {
		struct pool *pool;
		bool shared;

		client_lock(client);
		pool = client->pools[id];
		shared = pool && pool->shared;
		if (pool && !shared)
			result = client_destroy_pool(client, pool, &pages);
		client_unlock(client);
		if (shared)
			result = shared_leave(client, id);
	}
	return result;
}

/* ---- Clients ------------------------------------------------------------------------ */

/* A structure with this number out of a page. Arena lock. */
static struct tmem_client *make_structure(struct tmem *tmem, u8 number, void *page)
{
	struct tmem_client *client = page;

	client->number = number;
	client->tmem = tmem;
	for (u32 id = 0; id < TMEM_POOLS_PER_GUEST; id++)
		set_pool(client, id, NULL);
	tmem_port_lock_init(&client->lock, TMEM_LOCK_CLIENT);
	__atomic_store_n(&tmem->clients[number], client, __ATOMIC_RELEASE);
	WRITE_ONCE(tmem->client_count, number + 1U);
	return client;
}

/* Structures stay with the store, so that evictions may always look at them. One is taken while it
 * has a weight. Neither guests nor shared pools can use up what is the others'. */
struct tmem_client *client_claim(struct tmem *tmem, u32 weight, bool is_owner)
{
	struct tmem_client *client = NULL;
	void *page = metadata_alloc(tmem);
	u8 number = 0;

	tmem_port_lock(&tmem->arena.lock);
	while (number < TMEM_CLIENTS && tmem->clients[number] &&
		READ_ONCE(tmem->clients[number]->weight))
		number++;
	if (tmem->claimed[is_owner] < TMEM_CLIENTS / 2) {
		client = tmem->clients[number];
		if (!client && page) {
			client = make_structure(tmem, number, page);
			page = NULL;
		}
	}
	if (client) {
		WRITE_ONCE(client->weight, weight);
		client->is_owner = is_owner;
		tmem->claimed[is_owner]++;
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
	tmem->claimed[client->is_owner]--;
	tmem_port_unlock(&tmem->arena.lock);
}

struct tmem_client *tmem_client_create(struct tmem *tmem, const struct tmem_client_config *config)
{
	u32 weight = config->weight ? MIN(config->weight, TMEM_WEIGHT_MAX) : 1;
	struct tmem_client *client = client_claim(tmem, weight, false);

	return client && !client_begin(client, config) ? client : NULL;
}

/* All but the number of ephemeral pages, which is 0 since the last client ended: evictions of
 * others read it at any time. */
static void clear_stats(struct tmem_client_stats *stats)
{
	const u64 before = offsetof(struct tmem_client_stats, ephemeral_pages);
	const u64 after = before + sizeof(stats->ephemeral_pages);

	memset(stats, 0, before);
	memset((u8 *)stats + after, 0, sizeof(*stats) - after);
}

int client_begin(struct tmem_client *client, const struct tmem_client_config *config)
{
	client_lock(client);
	client->persistent_max = config->persistent_max;
	client->ephemeral_max = config->ephemeral_max ? config->ephemeral_max : TMEM_UNLIMITED;
	client->shared_count = MIN(config->shared_count, TMEM_SHARED_MAX);
	for (u32 i = 0; i < client->shared_count; i++)
		client->shared[i] = config->shared[i];
	client->frozen = false;
	WRITE_ONCE(client->sharers, 0);
	client->life++;
	memset(&client->restore, 0, sizeof(client->restore));
	memcpy(client->hash_keys, config->hash_keys, sizeof(client->hash_keys));
	clear_stats(&client->stats);
	memset(client->past, 0, sizeof(client->past));
	client->sample_threshold = config->sample_threshold;
	client->owner = config->owner;
	client->private_puts = client->private_gets = 0;
	client->pools_end = 0;
	page_list_init(&client->lists[QUEUE_SMALL], SLOT_QUEUED);
	page_list_init(&client->lists[QUEUE_MAIN], SLOT_QUEUED_MAIN);
	page_list_init(&client->lists[LIST_CHEAP], SLOT_QUEUED_CHEAP);
	page_list_init(&client->lists[LIST_FILLED], SLOT_QUEUED_FILLED);
	client->main_pages = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(client->aside_pages); i++)
		WRITE_ONCE(client->aside_pages[i], 0);
	WRITE_ONCE(client->half.number, HALF_NONE);
	client->modes[EPHEMERAL] = config->ephemeral_modes;
	client->modes[PERSISTENT] = config->persistent_modes;
	WRITE_ONCE(client->group,
		config->dedup_group ? dedup_get(client->tmem, config->dedup_group) : NULL);
	if (!client->tmem->keys_only &&
		(((config->ephemeral_modes | config->persistent_modes) && dense_create(client)) ||
			(config->dedup_group && !client->group) ||
			(config->guest_pages && aging_create(client, config->guest_pages)))) {
		dense_destroy(client);
		client_unlock(client);
		free_client(client);
		return -SLUICE_ENOMEM;
	}
	client->alive = true;
	client_unlock(client);
	return 0;
}

void client_end(struct tmem_client *client)
{
	client_filters_destroy(client);
	client_give_all_slots(client);
	dense_destroy(client);
	aging_destroy(client);
	client->alive = false;
	client_unlock(client);
	free_client(client);
}

int tmem_client_destroy(struct tmem_client *client)
{
	int result = client_drop_pools(client);

	if (result)
		return result;
	client_lock(client);
	client_end(client);
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
	for (unsigned id = 0; id < TMEM_POOLS_PER_GUEST; id++) {
		const struct pool *pool = client->pools[id];

		if (!pool)
			continue;
		add_counts(&counts[pool->persistent ? PERSISTENT : EPHEMERAL], pool);
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
	tmem->keys_only = config->keys_only;
	key = metadata_alloc(tmem);
	if (!key) {
		tmem_port_free(tmem, 0);
		return NULL;
	}
	content_key_init(&tmem->content_key, key);
	tmem_port_lock_init(&tmem->sharers, TMEM_LOCK_SHARERS);
	return tmem;
}

void tmem_destroy(struct tmem *tmem)
{
	for (unsigned number = 0; number < TMEM_CLIENTS; number++)
		if (tmem->clients[number])
			metadata_free(tmem, tmem->clients[number]);
	tmem->client_count = 0;
	dedup_destroy(tmem);
	metadata_free(tmem, tmem->content_key.words);
	arena_destroy(tmem);
	tmem_port_free(tmem, 0);
}

u64 tmem_persistent_held(const struct tmem *tmem)
{
	return READ_ONCE(tmem->persistent_held);
}

void tmem_stats(const struct tmem *tmem, struct tmem_stats *stats)
{
	struct tmem *locked = (struct tmem *)tmem;

	*stats = (struct tmem_stats){.persistent_pages = tmem_persistent_held(tmem)};
	for (unsigned number = 0; number < TMEM_CLIENTS; number++) {
		const struct tmem_client *client = __atomic_load_n(
			&tmem->clients[number], __ATOMIC_ACQUIRE);

		if (!client)
			continue;
		stats->ephemeral_pages += READ_ONCE(client->stats.ephemeral_pages);
		stats->persistent_pages -= READ_ONCE(client->persistent_excess);
	}
	stats->common_frames = dedup_frames(tmem);
	stats->common_peak = dedup_frames_peak(tmem);
	tmem_port_lock(&locked->arena.lock);
	stats->frames = tmem->arena.frames;
	stats->metadata_bytes = tmem->arena.metadata_pages * PAGE_SIZE;
	tmem_port_unlock(&locked->arena.lock);
}
