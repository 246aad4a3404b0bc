/*
 * Puts beside the page before for which not all is at hand, or that take more than a short way: the
 * first page of a group, sampled pages, those of pools with modes or a miss filter, and those that
 * evict (tmem/put.h). And first pages of objects, which are copied before they are looked up.
 */
#include "tmem/put.h"

#include "tmem/evict.h"

/* ---- Beside the page before ---------------------------------------------------------- */

/* A persistent page of the recent group. */
static __attribute__((noinline)) bool put_persistent_near(struct tmem_client *client,
	struct pool *pool, const struct tmem_handle *handle, const void *data)
{
	struct page *page;
	u32 slot;

	if ((!client->magazines[PERSISTENT].count && !client_refill(client, PERSISTENT)) ||
		!put_admit_persistent(client))
		return false;
	slot = client_slot_at_hand(client, PERSISTENT);
	page = client_page(client, slot);
	if (unlikely(pool->filter))
		client_filter_insert(client, pool, pool->recent_sum, handle->index, slot);
	pool_set_near(pool, handle->index, page, slot);
	enter_persistent(client, pool, page);
	pool->counts.puts++;
	if (pool_samples(pool, pool->recent_sum, handle->index))
		client_sampled(client, pool, handle, TMEM_EVENT_PUT);
	tmem_port_copy_away(block_frame(client_block(client, slot), slot), data);
	return true;
}

/* An ephemeral page of the recent object, the first of a group unless that is the recent one; it
 * gets the slot at the top of the magazine. */
static bool put_ephemeral(struct tmem_client *client, struct pool *pool,
	const struct tmem_handle *handle, const void *data)
{
	struct magazine *magazine = &client->magazines[EPHEMERAL];
	struct page_list *list = &client->lists[QUEUE_SMALL];
	u32 index = handle->index, slot = magazine_top(magazine);
	struct recollection recollection;
	struct page *page;

	if (unlikely(!client_is_near(client, slot)))
		return false;
	if (pool->aged)
		recollection = recollect(client, pool, pool->recent_sum, index);
	if (!copy_unless_filled(client, pool, slot, data))
		return false;
	if (pool->recent_number != index / GROUP_PAGES)
		pool_extend(client->tmem, pool, index);
	if (unlikely(pool->filter))
		client_filter_insert(client, pool, pool->recent_sum, index, slot);
	if (pool->aged)
		list = choose_list(client, &recollection);
	page = put_near_page(
		client, pool, pool->recent_group, index % GROUP_PAGES, magazine, magazine->count);
	enter_ephemeral(client, pool, list, slot, page);
	if (pool_samples(pool, pool->recent_sum, index))
		client_sampled(client, pool, handle, TMEM_EVENT_PUT);
	return true;
}

/* An ephemeral page of the recent group that must be looked at. False: it takes more than that. */
static __attribute__((noinline)) bool put_dense_near(struct tmem_client *client, struct pool *pool,
	const struct tmem_handle *handle, const void *data)
{
	struct position position = {.object = pool->recent_object, .group = pool->recent_group};
	struct put_hand hand = {.slot = SLOT_NONE};
	int error = put_dense(client, pool, handle, &position, data, &hand);

	put_give_back(client, &hand);
	if (unlikely(error))
		return false;
	if (pool_samples(pool, pool->recent_sum, handle->index))
		client_sampled(client, pool, handle, TMEM_EVENT_PUT);
	return true;
}

/* Whether the page is a new one of the recent object, which has groups, and of the recent group if
 * @near; and there is nothing special about it. */
static bool is_new_in_recent(
	struct pool *pool, const struct tmem_handle *handle, const void *data, bool *near)
{
	u32 number = handle->index / GROUP_PAGES;

	if (unlikely(!pool || !data) || !pool_key_is_recent(pool, handle->object) ||
		pool->special || !pool->recent_object || !pool->recent_object->grouped)
		return false;
	*near = pool->recent_number == number;
	if (*near)
		return !group_slot(pool->recent_group, handle->index % GROUP_PAGES);
	return pool_is_ready(pool) && !pool_find_group(pool, number);
}

/* False: it is something else, or not all is at hand that it needs. */
static bool put_in_recent(
	struct tmem_client *client, const struct tmem_handle *handle, const void *data)
{
	struct magazine *magazine = &client->magazines[EPHEMERAL];

	for (;;) {
		struct pool *pool = named_pool(client, handle->pool);
		u32 victim;
		bool near;

		if (!is_new_in_recent(pool, handle, data, &near))
			return false;
		if (!glance_can_wait(pool) && put_needs_look(pool, data))
			return near && !pool->persistent &&
			       put_dense_near(client, pool, handle, data);
		if (pool->persistent)
			return near && put_persistent_near(client, pool, handle, data);
		if (magazine->count || client_refill(client, EPHEMERAL))
			return put_ephemeral(client, pool, handle, data);
		/* That may release the lock. */
		victim = evict_for(client, EPHEMERAL);
		if (victim == SLOT_NONE)
			return false;
		magazine->slots[magazine->count] = victim;
		WRITE_ONCE(magazine->count, magazine->count + 1);
	}
}

/* ---- The first page of an object ----------------------------------------------------- */

/*
 * A put to another object than the one before, which has one page: so this one is believed to be
 * new. The page is copied before it comes into the index, and what that takes is fetched into the
 * cache meanwhile. False: all is as before, or *@slot has the copy, but the rest is still to do.
 */
static bool put_first(
	struct tmem_client *client, const struct tmem_handle *handle, const void *data, u32 *slot)
{
	struct pool *pool = named_pool(client, handle->pool);
	struct position position = {0};
	struct block *block;

	if (unlikely(!pool || !data || pool->special || pool->modes || client->tmem->keys_only) ||
		!pool->recent_object || pool->recent_object->grouped ||
		pool_key_is_recent(pool, handle->object) || !pool_is_ready(pool))
		return false;
	*slot = client_slot_at_hand(client, pool->persistent ? PERSISTENT : EPHEMERAL);
	if (unlikely(*slot == SLOT_NONE))
		return false;
	position.hash = pool_object_hash(pool, handle->object);
	pool_prefetch_insertion(pool, position.hash);
	block = client_block(client, *slot);
	tmem_port_copy_away(block_frame(block, *slot), data);
	if (unlikely(!pool_surely_lacks(pool, position.hash)) ||
		unlikely(pool->persistent && !put_admit_persistent(client)))
		return false;
	put_insert(client, pool, handle, &position, *slot, block_page(block, *slot));
	*slot = SLOT_NONE;
	return true;
}

/* Any put but one beside the page before. */
static int put_distant(
	struct tmem_client *client, const struct tmem_handle *handle, const void *data)
{
	u32 slot = SLOT_NONE;
	struct block *block;
	int result;

	if (put_first(client, handle, data, &slot))
		return 0;
	if (likely(slot == SLOT_NONE))
		return client_put(client, handle, data, false);
	block = client_block(client, slot);
	result = client_put_placed(client, handle, block_frame(block, slot), &slot);
	if (slot != SLOT_NONE)
		client_give_slot(client, block, block_page(block, slot), slot);
	return result;
}

int put_slowly(struct tmem_client *client, const struct tmem_handle *handle, const void *page)
{
	int result = 0;

	if (!put_in_recent(client, handle, page)) {
		result = put_distant(client, handle, page);
		if (client->sample_threshold)
			client_sample_put(client, handle, result);
	}
	if (client->aging)
		aging_fit(client);
	if (client->filter_due)
		client_filter_work(client);
	client_unlock(client);
	return unlikely(result == POOL_IS_SHARED) ? shared_put(client, handle, page) : result;
}
