/*
 * Puts of first pages of objects (tmem/put.h): those to another object than the one before, if that
 * has one page, so that this one is believed to be new. The page is copied before it is known
 * whether it is, and what its insertion takes is fetched into the cache meanwhile.
 */
#include "tmem/put.h"

/* The pool, looked up again, with a frame at hand for an ephemeral page; NULL if there is none or
 * this is not for put_first() any more. Nothing is evicted for a page that may be there already. */
static __attribute__((noinline)) struct pool *seek_room(
	struct tmem_client *client, const struct tmem_handle *handle, struct pool *pool)
{
	if (!pool_surely_lacks(pool, pool_object_hash(pool, handle->object)) ||
		!put_fetch_frame(client))
		return NULL;
	pool = named_pool(client, handle->pool);
	if (!pool || pool->persistent || !put_is_first(pool, handle) || !pool_is_ready(pool))
		return NULL;
	return pool;
}

static inline __attribute__((always_inline)) int put_first(struct tmem_client *client,
	const struct tmem_handle *handle, const void *data, struct pool *pool,
	enum tmem_class class)
{
	struct magazine *magazine = &client->magazines[class];
	struct page_list *list = &client->lists[QUEUE_SMALL];
	struct recollection recollection;
	struct page *page;
	struct line *line;
	bool aged;
	u32 slot;
	u64 hash;

	/* A frame is sought only once nothing else is missing. */
	if (unlikely(!pool_is_ready(pool)))
		return put_slowly(client, handle, data);
	if (class == EPHEMERAL && unlikely(!magazine->count)) {
		pool = seek_room(client, handle, pool);
		if (!pool)
			return put_slowly(client, handle, data);
	}
	slot = magazine_top(magazine);
	aged = class == EPHEMERAL && pool->aged;
	if (unlikely(slot == SLOT_NONE || !client_is_near(client, slot)) ||
		(class == PERSISTENT && unlikely(!put_admit_persistent(client))))
		return put_slowly(client, handle, data);
	hash = pool_object_hash(pool, handle->object);
	line = pool_prefetch_insertion(pool, hash);
	if (aged)
		recollection = recollect(client, pool, hash + pool->salt, handle->index);
	if (unlikely(!copy_unless_filled(client, pool, slot, data))) {
		if (class == PERSISTENT)
			__atomic_fetch_sub(&client->tmem->persistent_held, 1, __ATOMIC_RELAXED);
		return put_slowly(client, handle, data);
	}
	WRITE_ONCE(magazine->count, magazine->count - 1);
	if (unlikely(line->present >> table_bit(hash) & 1) && !line_surely_lacks(line, hash)) {
		if (class == PERSISTENT)
			__atomic_fetch_sub(&client->tmem->persistent_held, 1, __ATOMIC_RELAXED);
		return put_copied(client, handle, slot);
	}
	page = near_page(client, slot);
	pool_add_object(pool, handle, hash, line, slot, page);
	if (aged)
		list = put_list(client, &recollection);
	pool->counts.puts++;
	if (class == PERSISTENT)
		enter_persistent(client, pool, page);
	else
		enter_ephemeral(client, pool, list, slot, page);
	if (pool_samples(pool, pool->recent_sum, handle->index))
		client_sampled(client, pool, handle, TMEM_EVENT_PUT);
	if (client->aging)
		aging_fit(client);
	client_unlock(client);
	return 0;
}

int put_first_ephemeral(struct tmem_client *client, const struct tmem_handle *handle,
	const void *data, struct pool *pool)
{
	return put_first(client, handle, data, pool, EPHEMERAL);
}

int put_first_persistent(struct tmem_client *client, const struct tmem_handle *handle,
	const void *data, struct pool *pool)
{
	return put_first(client, handle, data, pool, PERSISTENT);
}
