/*
 * Puts beside the page before for which not all is at hand, or that take more than a short way: the
 * first page of a group, sampled pages, those of pools with modes or a miss filter, and those that
 * evict (tmem/put.h). All others go on to put_any.c.
 */
#include "tmem/put.h"

#include "tmem/evict.h"
#include "tmem/shared.h"

/* ---- Beside the page before ---------------------------------------------------------- */

/* A persistent page of the recent group. */
static COLD bool put_persistent_near(struct tmem_client *client, struct pool *pool,
	const struct tmem_handle *handle, const void *data)
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
		list = put_list(client, &recollection);
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

bool put_fetch_frame(struct tmem_client *client)
{
	struct magazine *magazine = &client->magazines[EPHEMERAL];
	u32 victim;

	if (client_refill(client, EPHEMERAL))
		return true;
	victim = evict_for(client, EPHEMERAL);
	if (victim == SLOT_NONE)
		return false;
	/* Other vCPUs may have filled it while the lock was released. */
	if (unlikely(magazine->count == MAGAZINE_SLOTS - 1))
		client_spill_full(client, magazine);
	magazine->slots[magazine->count] = victim;
	WRITE_ONCE(magazine->count, magazine->count + 1);
	return true;
}

/* False: it is something else, or not all is at hand that it needs. */
static bool put_in_recent(
	struct tmem_client *client, const struct tmem_handle *handle, const void *data)
{
	for (;;) {
		struct pool *pool = named_pool(client, handle->pool);
		bool near;

		if (!is_new_in_recent(pool, handle, data, &near))
			return false;
		if (!glance_can_wait(pool) && put_needs_look(pool, data))
			return near && !pool->persistent &&
			       put_dense_near(client, pool, handle, data);
		if (pool->persistent)
			return near && put_persistent_near(client, pool, handle, data);
		if (client->magazines[EPHEMERAL].count)
			return put_ephemeral(client, pool, handle, data);
		if (!put_fetch_frame(client))
			return false;
	}
}

/* ---- What is neither at hand nor near --------------------------------------------------- */

/* What is due after a put, before the lock is released. */
static inline int finish(struct tmem_client *client, int result)
{
	if (client->aging)
		aging_fit(client);
	if (client->filter_due)
		client_filter_work(client);
	client_unlock(client);
	return result;
}

COLD int put_copied(struct tmem_client *client, const struct tmem_handle *handle, u32 slot)
{
	struct block *block = client_block(client, slot);
	int result = client_put_placed(client, handle, block_frame(block, slot), &slot);

	if (slot != SLOT_NONE)
		client_give_slot(client, block, block_page(block, slot), slot);
	if (client->sample_threshold)
		client_sample_put(client, handle, result);
	return finish(client, result);
}

int put_slowly(struct tmem_client *client, const struct tmem_handle *handle, const void *page)
{
	int result = 0;

	if (!put_in_recent(client, handle, page)) {
		result = client_put(client, handle, page, false);
		if (client->sample_threshold)
			client_sample_put(client, handle, result);
	}
	finish(client, result);
	return unlikely(result == POOL_IS_SHARED) ? shared_put(client, handle, page) : result;
}
