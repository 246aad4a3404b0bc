/*
 * Flushes of a page (tmem/tmem.h): the short ways of one beside the page before it, as in get.c.
 * Everything else is a jump to leave_any.c.
 */
#include "tmem/leave.h"

static __attribute__((noinline)) int end_flush(struct tmem_client *client, struct pool *pool)
{
	leave_end(client, pool);
	client_unlock(client);
	return 0;
}

/* As get_recent(). */
static inline __attribute__((always_inline)) int flush_recent(
	struct tmem_client *client, const struct tmem_handle *handle, struct pool *pool, bool aged)
{
	struct group *group = pool->recent_group;
	u32 place = handle->index % GROUP_PAGES;
	u32 slot = group->places[place];

	if (!unqueue_near(client, slot, aged))
		return flush_slowly(client, handle);
	pool->counts.common_flushes++;
	if (unlikely(!leave_place(client, group, place, slot)))
		return end_flush(client, pool);
	client_unlock(client);
	return 0;
}

static __attribute__((noinline)) int flush_aged(
	struct tmem_client *client, const struct tmem_handle *handle, struct pool *pool)
{
	return flush_recent(client, handle, pool, true);
}

static __attribute__((noinline)) int flush_uncommon(
	struct tmem_client *client, const struct tmem_handle *handle, struct pool *pool)
{
	if (pool_is_uncommonly_near(pool, handle->object, handle->index, POOL_AGED_OR_FILLED))
		return flush_aged(client, handle, pool);
	return unlikely(pool->filtered) ? leave_filtered(client, handle, NULL, pool)
					: flush_slowly(client, handle);
}

int tmem_flush_page(struct tmem_client *client, const struct tmem_handle *handle)
{
	struct pool *pool;
	u64 id;

	client_lock(client);
	id = (u32)handle->pool;
	if (unlikely(id >= TMEM_POOLS_PER_GUEST))
		return flush_slowly(client, handle);
	pool = called_pool(client, id);
	if (!pool_is_near(pool, handle->object, handle->index, POOL_PLAIN))
		return flush_uncommon(client, handle, pool);
	return flush_recent(client, handle, pool, false);
}
