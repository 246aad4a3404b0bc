/*
 * Miss filters of pools (tmem/filter.h): which pages they count, when they resize, and what hosts
 * may do with their pages (tmem/window.h). All under the client's lock.
 */
#include "tmem/window.h"

#include <string.h>

#include <abi/errno.h>

#include "tmem/client.h"
#include "tmem/filter.h"
#include "tmem/index.h"

/* Page records looked at for one that belongs to the pool. */
#define WALK_RECORDS 16U

_Static_assert(TMEM_WINDOW_PAGES == FILTER_WINDOW_PAGES, "windows and areas fit");

/* ---- What a filter counts ----------------------------------------------------------- */

u64 client_filter_hash(const struct pool *pool, const struct position *position)
{
	u64 sum = position->object == pool->recent_object
			  ? pool->recent_sum
			  : pool_sum_apart(pool, position->object->key);

	return tmem_filter_hash(sum, pool_index_at(pool, position));
}

void client_filter_insert(
	struct tmem_client *client, struct pool *pool, u64 sum, u32 index, u32 slot)
{
	filter_add(pool->filter, tmem_filter_hash(sum, index), slot, &client->filter_due);
}

void client_filter_removed(struct tmem_client *client, struct pool *pool, u64 hash, u32 slot)
{
	filter_remove(pool->filter, hash, slot, &client->filter_due);
}

/* It is counted twice for a moment, rather than not at all. */
COLD void client_filter_moved(struct tmem_client *client, struct pool *pool, u32 from, u32 to)
{
	struct position position;
	u64 hash;

	pool_locate(pool, to, &position);
	hash = client_filter_hash(pool, &position);
	filter_add(pool->filter, hash, to, &client->filter_due);
	filter_remove(pool->filter, hash, from, &client->filter_due);
}

static COLD enum filter_walk_result walk_pages(const void *owner, u32 *cursor, u64 *hash)
{
	struct pool *pool = (struct pool *)owner;
	struct tmem *tmem = pool->client->tmem;
	struct position position;

	if (*cursor >= arena_end(tmem))
		return FILTER_WALK_END;
	if (!arena_find_page(tmem, pool->client->number, cursor, WALK_RECORDS))
		return FILTER_WALK_NOTHING;
	++*cursor;
	if (page_pool(page_at(tmem, *cursor - 1)) != pool->id)
		return FILTER_WALK_NOTHING;
	pool_locate(pool, *cursor - 1, &position);
	*hash = client_filter_hash(pool, &position);
	return FILTER_WALK_PAGE;
}

/* ---- Resizing, and the end ---------------------------------------------------------- */

static COLD bool step(struct tmem_client *client, bool *no_memory)
{
	bool due = false;

	for (unsigned id = 0; id < TMEM_POOLS_PER_GUEST; id++) {
		struct pool *pool = client->pools[id];

		if (!pool || !pool->filter)
			continue;
		*no_memory |= filter_step(pool->filter) != 0;
		due |= filter_is_due(pool->filter);
	}
	return due;
}

/* A page for the filter, where memory is full; may release the lock. False: there is none. */
static COLD bool evict_for_metadata(struct tmem_client *client)
{
	u32 victim = evict_for(client, EPHEMERAL);

	if (victim == SLOT_NONE)
		return false;
	arena_turn_into_metadata(client->tmem, victim);
	return true;
}

COLD void client_filter_work(struct tmem_client *client)
{
	bool no_memory = false;

	client->filter_due = step(client, &no_memory);
	if (unlikely(no_memory))
		(void)evict_for_metadata(client);
}

COLD void client_filter_close(struct tmem_client *client, struct pool *pool)
{
	if (!pool->filter)
		return;
	filter_close(pool->filter);
	pool->filter->next_dead = client->dead_filters;
	client->dead_filters = pool->filter;
	pool_close_filter(pool);
}

COLD void client_filters_destroy(struct tmem_client *client)
{
	while (client->dead_filters) {
		struct filter *filter = client->dead_filters;

		client->dead_filters = filter->next_dead;
		filter_destroy(filter);
	}
	client->filter_due = false;
}

/* ---- Windows ------------------------------------------------------------------------ */

static COLD struct filter *dead_filter(const struct tmem_client *client, u32 number)
{
	struct filter *filter = client->dead_filters;

	while (filter && filter->number != number)
		filter = filter->next_dead;
	return filter;
}

static COLD int open_window(struct tmem_client *client, s64 number)
{
	struct pool *pool = client->pools[number];
	struct filter *filter;

	if (!pool || pool->dying || pool->hidden)
		return -SLUICE_EBADF;
	/* Others put and flush there, of which this guest's filter would know nothing. */
	if (pool->shared)
		return -SLUICE_EINVAL;
	if (pool->filter)
		return 0;
	if (dead_filter(client, pool->id))
		return -SLUICE_EAGAIN;
	/* The other pools' pages count too here; should that be far too many, it shrinks. */
	filter = filter_create(client->tmem, walk_pages, pool,
		client->stats.ephemeral_pages + client->stats.persistent_pages,
		pool->sample_threshold);
	if (!filter)
		return -SLUICE_ENOMEM;
	filter->number = pool->id;
	pool_open_filter(pool, filter);
	client->filter_due = true;
	return 0;
}

COLD int tmem_window_open(struct tmem_client *client, s64 number, u64 key[TMEM_FILTER_KEY_WORDS])
{
	int result;

	if (number < 0 || number >= TMEM_POOLS_PER_GUEST)
		return -SLUICE_EBADF;
	client_lock(client);
	do
		result = open_window(client, number);
	while (result == -SLUICE_ENOMEM && evict_for_metadata(client));
	if (!result)
		memcpy(key, client->pools[number]->filter_key,
			sizeof(client->pools[number]->filter_key));
	client_unlock(client);
	return result;
}

COLD int tmem_window_page(struct tmem_client *client, u32 number, u32 index, void **page)
{
	const struct filter *filter = NULL;
	int result = -SLUICE_EFAULT;

	if (number >= TMEM_POOLS_PER_GUEST || index >= TMEM_WINDOW_PAGES)
		return result;
	client_lock(client);
	if (client->pools[number])
		filter = client->pools[number]->filter;
	if (!filter)
		filter = dead_filter(client, number);
	*page = filter ? filter_page(filter, index) : NULL;
	if (*page)
		result = 0;
	else if (filter && filter_reached(filter, index))
		result = -SLUICE_ENOENT;
	client_unlock(client);
	return result;
}

static COLD void *collect_dead(struct tmem_client *client, u32 *number, u32 *index)
{
	struct filter *filter;

	while ((filter = client->dead_filters) != NULL) {
		void *page = filter_take(filter, index);

		*number = filter->number;
		if (page)
			return page;
		if (!filter_is_empty(filter))
			continue;
		client->dead_filters = filter->next_dead;
		filter_destroy(filter);
	}
	return NULL;
}

COLD bool tmem_window_collect(struct tmem_client *client, u32 *number, u32 *index, void **page)
{
	client_lock(client);
	*page = collect_dead(client, number, index);
	for (u32 id = 0; id < TMEM_POOLS_PER_GUEST && !*page; id++) {
		if (!client->pools[id] || !client->pools[id]->filter)
			continue;
		*page = filter_take(client->pools[id]->filter, index);
		*number = id;
		client->filter_due |= filter_is_due(client->pools[id]->filter);
	}
	client_unlock(client);
	return *page != NULL;
}

COLD void tmem_window_tick(struct tmem_client *client)
{
	bool no_memory = false;

	client_lock(client);
	if (client->filter_due)
		client->filter_due = step(client, &no_memory);
	client_unlock(client);
}

COLD void tmem_window_close_all(struct tmem_client *client)
{
	client_lock(client);
	for (unsigned id = 0; id < TMEM_POOLS_PER_GUEST; id++)
		if (client->pools[id])
			client_filter_close(client, client->pools[id]);
	client_unlock(client);
}
