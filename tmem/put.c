/*
 * Puts (tmem/tmem.h): the short ways of a new page beside the one before it, for which all is at
 * hand. Each is one function without a call but for the copy; everything else is a jump to
 * put_slowly() (put_recent.c).
 */
#include "tmem/put.h"

#include <abi/errno.h>

/*
 * For tmem_put(), with the client's lock held, which it releases: a page as it has it in a pool
 * that is persistent, or whose pages age, or may be full of one word. All that waits for memory is
 * done after the page was copied: what is remembered of it has come into the cache then.
 */
static inline __attribute__((always_inline)) int put_short(struct tmem_client *client,
	const struct tmem_handle *handle, const void *data, struct pool *pool,
	enum tmem_class class)
{
	struct magazine *magazine = &client->magazines[class];
	u32 place = handle->index % GROUP_PAGES, slot = magazine_top(magazine);
	const bool aged = class == EPHEMERAL && pool->aged;
	struct page_list *list = &client->lists[QUEUE_SMALL];
	struct recollection recollection;
	struct page *page;

	if (unlikely(pool->recent_group->places[place]) || !client_has_half(client, slot))
		return put_slowly(client, handle, data);
	if (aged)
		recollection = recollect(client, pool, pool->recent_sum, handle->index);
	/* Not after the copy: an atomic operation waits for all stores before it. */
	if (class == PERSISTENT && unlikely(!put_admit_persistent(client)))
		return put_slowly(client, handle, data);
	if (!copy_unless_filled(client, pool, slot, data)) {
		if (class == PERSISTENT)
			__atomic_fetch_sub(&client->tmem->persistent_held, 1, __ATOMIC_RELAXED);
		return put_slowly(client, handle, data);
	}
	if (aged)
		list = choose_list(client, &recollection);
	page = put_near_page(client, pool, pool->recent_group, place, magazine, magazine->count);
	if (class == PERSISTENT)
		enter_persistent(client, pool, page);
	else
		enter_ephemeral(client, pool, list, slot, page);
	if (client->aging)
		aging_fit(client);
	client_unlock(client);
	return 0;
}

static __attribute__((noinline)) int put_short_ephemeral(struct tmem_client *client,
	const struct tmem_handle *handle, const void *data, struct pool *pool)
{
	return put_short(client, handle, data, pool, EPHEMERAL);
}

static __attribute__((noinline)) int put_short_persistent(struct tmem_client *client,
	const struct tmem_handle *handle, const void *data, struct pool *pool)
{
	return put_short(client, handle, data, pool, PERSISTENT);
}

/* For put_uncommon(), of a store that keeps keys only. */
static __attribute__((noinline)) int put_nowhere(struct tmem_client *client,
	const struct tmem_handle *handle, const void *data, struct pool *pool)
{
	if (unlikely(pool->special || client->filter_due))
		return put_slowly(client, handle, data);
	client->stats.puts++;
	client->stats.puts_refused++;
	pool->counts.refusals++;
	if (pool_samples(pool, pool_sum_of_key(pool, handle->object), handle->index))
		client_sampled(client, pool, handle, TMEM_EVENT_PUT);
	client_unlock(client);
	return -SLUICE_ENOSPC;
}

/* The same as put_short(), before it is known which way the page takes. Apart, so that the plain
 * way pays for nothing of it. */
static __attribute__((noinline)) int put_uncommon(struct tmem_client *client,
	const struct tmem_handle *handle, const void *data, struct pool *pool)
{
	if (pool->glances_first ||
		!pool_is_uncommonly_near(pool, handle->object, handle->index, POOL_SHORT_PUTS)) {
		if (put_is_first(pool, handle))
			return pool->persistent ? put_first_persistent(client, handle, data, pool)
						: put_first_ephemeral(client, handle, data, pool);
		return unlikely(client->tmem->keys_only) ? put_nowhere(client, handle, data, pool)
							 : put_slowly(client, handle, data);
	}
	return pool->persistent ? put_short_persistent(client, handle, data, pool)
				: put_short_ephemeral(client, handle, data, pool);
}

/* A new page of a pool without peculiarities beside the one before, and all that it needs is at
 * hand: no call but for the copy, so that next to nothing has to be kept over one. */
int tmem_put(struct tmem_client *client, const struct tmem_handle *handle, const void *page)
{
	struct magazine *magazine = &client->magazines[EPHEMERAL];
	struct group *group;
	struct pool *pool;
	u32 place, count, slot;
	u64 id;

	client_lock(client);
	client_note_use(client);
	id = (u32)handle->pool;
	if (unlikely(id >= TMEM_POOLS_PER_GUEST || !page))
		return put_slowly(client, handle, page);
	pool = called_pool(client, id);
	if (!pool_is_near(pool, handle->object, handle->index, POOL_PLAIN))
		return put_uncommon(client, handle, page, pool);
	group = pool->recent_group;
	place = handle->index % GROUP_PAGES;
	count = magazine->count;
	slot = magazine->words[count];
	if (unlikely(group->places[place]) || !client_has_half(client, slot))
		return put_slowly(client, handle, page);
	enter_ephemeral(client, pool, &client->lists[QUEUE_SMALL], slot,
		put_near_page(client, pool, group, place, magazine, count));
	tmem_port_copy_away(near_frame(client, slot), page);
	client_unlock(client);
	return 0;
}
