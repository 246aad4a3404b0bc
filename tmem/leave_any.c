/*
 * Any get and any flush of a page (tmem/leave.h): the handle is looked up, and what is found is
 * copied, drops out of the store, or is kept.
 */
#include "tmem/leave.h"

#include <abi/errno.h>

#include "tmem/dense.h"
#include "tmem/drop.h"
#include "tmem/filter.h"
#include "tmem/shared.h"

/* ---- Beside the page before ---------------------------------------------------------- */

/* The slot of page @handle, if it is in the recent object and that has groups: its group becomes
 * the recent one. SLOT_NONE: the object is the recent one, but the page is not there; NOT_RECENT.
 */
#define NOT_RECENT ~0U
static inline u32 find_recent(struct pool *pool, const struct tmem_handle *handle)
{
	u32 number = handle->index / GROUP_PAGES;

	if (!pool_key_is_recent(pool, handle->object) || !pool->recent_object ||
		!pool->recent_object->grouped)
		return NOT_RECENT;
	if (pool->recent_number != number && !pool_find_group(pool, number))
		return SLOT_NONE;
	return group_slot(pool->recent_group, handle->index % GROUP_PAGES);
}

/* The page in @slot, which is near, of @index in the recent group leaves an ephemeral pool and
 * gives up its slot. */
static void leave_near(struct tmem_client *client, struct pool *pool, u32 index, u32 slot)
{
	struct page *page = near_page(client, slot);
	u64 hash = 0;

	if (pool->filter)
		hash = tmem_filter_hash(pool->recent_sum, index);
	if (page_hash(page))
		dense_forget(client, EPHEMERAL, slot, page);
	drop_from_queue(client, page, slot);
	pool_remove_near(client->tmem, pool, index % GROUP_PAGES);
	if (pool->filter)
		client_filter_removed(client, pool, hash, slot);
	WRITE_ONCE(client->stats.ephemeral_pages, client->stats.ephemeral_pages - 1);
	if (!client->stats.ephemeral_pages)
		client_no_pages_left(client, EPHEMERAL);
	client_give_slot(client, client->half.block, page, slot);
}

void leave_end(struct tmem_client *client, struct pool *pool)
{
	if (!pool->recent_group->count)
		pool_remove_recent_group(client->tmem, pool);
	if (!client->stats.ephemeral_pages)
		client_no_pages_left(client, EPHEMERAL);
	if (client->half.magazine->count == MAGAZINE_SLOTS)
		client_spill_full(client, client->half.magazine);
}

/* ---- Gets ---------------------------------------------------------------------------- */

/* Copies the page at @position; a private ephemeral pool then has it no more. 0, or -EINVAL if its
 * content is broken. */
static int get_hit(
	struct tmem_client *client, struct pool *pool, const struct position *position, void *data)
{
	u32 slot = position->slot;
	struct block *block = client_block(client, slot);

	if (unlikely(block_is_virtual(block))) {
		int error = dense_fetch(client, block_page(block, slot)->client, data);

		if (error) {
			pool->counts.hits--;
			pool_count_miss(pool);
			return error;
		}
	} else {
		tmem_port_copy(data, block_frame(block, slot));
	}
	if (likely(!pool->persistent)) {
		struct page *page = block_page(block, slot);

		if (unlikely(client->aging))
			aging_get(client->aging, aging_hash_at(pool, position), true);

		drop_page(client, pool, position, page);
		client_give_slot(client, block, page, slot);
	}
	return 0;
}

/* A shared pool keeps what is got, as its newest page. Its owner has no modes. */
static __attribute__((noinline)) int get_and_keep(
	struct tmem_client *client, struct pool *pool, u32 slot, void *data)
{
	struct block *block = client_block(client, slot);
	struct page *page = block_page(block, slot);
	struct page_list *list = &client->lists[QUEUE_SMALL];

	tmem_port_copy(data, block_frame(block, slot));
	page_list_remove(client, list, page, slot);
	page_list_append(list, pool->mark, slot, page);
	return 0;
}

/* The page is not there. @sum is its object's. */
static int get_miss(
	struct tmem_client *client, struct pool *pool, const struct tmem_handle *handle, u64 sum)
{
	pool_count_miss(pool);
	if (pool->aged)
		aging_get(client->aging, aging_hash(pool, sum, handle->index), false);
	if (pool_samples(pool, sum, handle->index))
		client_sampled(client, pool, handle, TMEM_EVENT_GET);
	return -SLUICE_ENOENT;
}

int client_get(struct tmem_client *client, const struct tmem_handle *handle, void *page)
{
	struct pool *pool = named_pool(client, handle->pool);
	struct position position;

	if (unlikely(!pool))
		return -SLUICE_EBADF;
	if (unlikely(pool->special) && (pool->dying || pool->hidden))
		return -SLUICE_EBADF;
	if (unlikely(pool->special) && pool->shared)
		return POOL_IS_SHARED;
	if (unlikely(!page))
		return -SLUICE_EFAULT;
	if (!pool_find(pool, handle->object, handle->index, &position)) {
		u64 sum = position.object ? pool->recent_sum
					  : pool_sum_of_key(pool, handle->object);

		return get_miss(client, pool, handle, sum);
	}
	pool->counts.hits++;
	if (unlikely(pool->common))
		return get_and_keep(client, pool, position.slot, page);
	if (pool_samples(pool, pool->recent_sum, handle->index))
		client_sampled(client, pool, handle, TMEM_EVENT_GET);
	return get_hit(client, pool, &position, page);
}

/* A page in the recent group, in a pool with nothing special. False: nothing happened, since its
 * slot is in no whole block. */
static bool get_near(struct tmem_client *client, struct pool *pool,
	const struct tmem_handle *handle, u32 slot, void *data)
{
	if (unlikely(!client_is_near(client, slot)))
		return false;
	pool->counts.hits++;
	if (pool_samples(pool, pool->recent_sum, handle->index))
		client_sampled(client, pool, handle, TMEM_EVENT_GET);
	tmem_port_copy(data, near_frame(client, slot));
	if (pool->persistent)
		return true;
	if (pool->aged)
		aging_get(client->aging, aging_hash(pool, pool->recent_sum, handle->index), true);
	leave_near(client, pool, handle->index, slot);
	return true;
}

int get_slowly(struct tmem_client *client, const struct tmem_handle *handle, void *page)
{
	u64 id = (u32)handle->pool;
	struct pool *pool = NULL;
	u32 slot = NOT_RECENT;
	int result = 0;

	if (likely(id < TMEM_POOLS_PER_GUEST && page)) {
		pool = called_pool(client, id);
		if (likely(!pool->special))
			slot = find_recent(pool, handle);
	}
	if (slot == SLOT_NONE) {
		result = get_miss(client, pool, handle, pool->recent_sum);
	} else if (slot == NOT_RECENT || !get_near(client, pool, handle, slot, page)) {
		result = client_get(client, handle, page);
	}
	client_unlock(client);
	return unlikely(result == POOL_IS_SHARED) ? shared_get(client, handle, page) : result;
}

/* ---- Flushes -------------------------------------------------------------------------- */

int client_flush_page(struct tmem_client *client, const struct tmem_handle *handle)
{
	struct pool *pool = named_pool(client, handle->pool);
	struct position position;
	u64 sum;

	if (unlikely(!pool || pool->hidden)) {
		client->stats.flushes++;
		return -SLUICE_EBADF;
	}
	if (unlikely(pool->shared))
		return POOL_IS_SHARED;
	pool->counts.flushes++;
	if (pool_find(pool, handle->object, handle->index, &position)) {
		sum = pool->recent_sum;
		client_drop_and_keep_slot(client, pool, &position);
		pool->counts.flushed_pages++;
	} else {
		sum = position.object ? pool->recent_sum : pool_sum_of_key(pool, handle->object);
	}
	if (pool_samples(pool, sum, handle->index))
		client_sampled(client, pool, handle, TMEM_EVENT_FLUSH);
	return 0;
}

int flush_slowly(struct tmem_client *client, const struct tmem_handle *handle)
{
	u64 id = (u32)handle->pool;
	struct pool *pool = NULL;
	u32 slot = NOT_RECENT;
	int result = 0;

	if (likely(id < TMEM_POOLS_PER_GUEST)) {
		pool = called_pool(client, id);
		if (likely(!pool->special && !pool->persistent))
			slot = find_recent(pool, handle);
	}
	if (slot != NOT_RECENT && slot != SLOT_NONE && client_is_near(client, slot)) {
		pool->counts.common_flushes++;
		if (pool_samples(pool, pool->recent_sum, handle->index))
			client_sampled(client, pool, handle, TMEM_EVENT_FLUSH);
		leave_near(client, pool, handle->index, slot);
	} else {
		result = client_flush_page(client, handle);
	}
	client_unlock(client);
	return unlikely(result == POOL_IS_SHARED) ? shared_flush_page(client, handle) : result;
}

/* ---- Beside a miss filter -------------------------------------------------------------- */

static __attribute__((cold, noinline)) void note_hit(
	struct tmem_client *client, const struct pool *pool, u32 index)
{
	aging_get(client->aging, aging_hash(pool, pool->recent_sum, index), true);
}

static int leave_slowly(struct tmem_client *client, const struct tmem_handle *handle, void *page)
{
	return page ? get_slowly(client, handle, page) : flush_slowly(client, handle);
}

int leave_filtered(
	struct tmem_client *client, const struct tmem_handle *handle, void *page, struct pool *pool)
{
	struct group *group = pool->recent_group;
	u32 place = handle->index % GROUP_PAGES, slot;
	bool stays;

	if (!pool_is_near(pool, handle->object, handle->index, POOL_FILTERED))
		return leave_slowly(client, handle, page);
	slot = group->places[place];
	if (pool_samples(pool, pool->recent_sum, handle->index) ||
		!unqueue_near(client, slot, true))
		return leave_slowly(client, handle, page);
	stays = leave_place(client, group, place, slot);
	filter_remove(pool->filter, tmem_filter_hash(pool->recent_sum, handle->index), slot,
		&client->filter_due);
	if (page) {
		pool->counts.hits++;
		if (pool->aged)
			note_hit(client, pool, handle->index);
		tmem_port_copy(page, near_frame(client, slot));
	} else {
		pool->counts.common_flushes++;
	}
	if (unlikely(!stays))
		leave_end(client, pool);
	client_unlock(client);
	return 0;
}
