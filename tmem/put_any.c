/*
 * Any put (tmem/put.h): the handle is looked up, an old copy is replaced or goes, and whatever the
 * new page needs is sought, after which it may have to be looked up again. Then the page goes to a
 * frame, and into the index and the accounts.
 */
#include "tmem/put.h"

#include <abi/errno.h>

#include "tmem/dense.h"
#include "tmem/drop.h"
#include "tmem/evict.h"

/* ---- Into the index ----------------------------------------------------------------- */

bool put_admit_persistent(struct tmem_client *client)
{
	struct tmem *tmem = client->tmem;
	u64 held;

	if (client->stats.persistent_pages >= client->persistent_max)
		return false;
	held = __atomic_fetch_add(&tmem->persistent_held, 1, __ATOMIC_RELAXED);
	if (tmem_port_persistent_ok(held))
		return true;
	__atomic_fetch_sub(&tmem->persistent_held, 1, __ATOMIC_RELAXED);
	return false;
}

__attribute__((noinline)) struct page_list *put_list(
	struct tmem_client *client, const struct recollection *recollection)
{
	return choose_list(client, recollection);
}

static __attribute__((noinline)) struct page_list *choose_list_at_once(
	struct tmem_client *client, const struct pool *pool, u64 sum, u32 index)
{
	struct recollection recollection = recollect(client, pool, sum, index);

	return put_list(client, &recollection);
}

void put_insert(struct tmem_client *client, struct pool *pool, const struct tmem_handle *handle,
	struct position *position, u32 slot, struct page *page)
{
	if (unlikely(pool->filter))
		client_filter_insert(client, pool,
			position->object ? pool->recent_sum
					 : pool_sum(pool, handle->object, position->hash),
			handle->index, slot);
	if (position->group)
		pool_set_near(pool, handle->index, page, slot);
	else
		pool_insert(
			client->tmem, pool, handle->object, handle->index, slot, page, position);
	if (pool->persistent)
		enter_persistent(client, pool, page);
	else
		enter_ephemeral(client, pool,
			unlikely(pool->aged)
				? choose_list_at_once(client, pool, pool->recent_sum, handle->index)
				: &client->lists[QUEUE_SMALL],
			slot, page);
	pool->counts.puts++;
}

/* ---- Room for it -------------------------------------------------------------------- */

/* Room in the index, when it is not at hand. 0 with nothing evicted; -EAGAIN if the lock was
 * released or pages were evicted, so that the handle must be looked up again; -ENOMEM. */
static __attribute__((noinline)) int prepare_index(struct tmem_client *client, struct pool *pool)
{
	u32 victim;

	if (pool_is_ready(pool) || !pool_reserve(client->tmem, pool))
		return 0;
	victim = evict_for(client, pool->persistent ? PERSISTENT : EPHEMERAL);
	if (victim == SLOT_NONE)
		return -SLUICE_ENOMEM;
	arena_turn_into_metadata(client->tmem, victim);
	return -SLUICE_EAGAIN;
}

int put_evict_frame(struct tmem_client *client, enum tmem_class class, struct put_hand *hand)
{
	hand->slot = evict_for(client, class);
	return hand->slot == SLOT_NONE ? -SLUICE_ENOMEM : -SLUICE_EAGAIN;
}

void put_give_back(struct tmem_client *client, struct put_hand *hand)
{
	struct block *block;

	if (hand->slot == SLOT_NONE)
		return;
	block = client_block(client, hand->slot);
	client_give_slot(client, block, block_page(block, hand->slot), hand->slot);
	hand->slot = SLOT_NONE;
}

/* ---- The page ------------------------------------------------------------------------- */

/* A put to a handle that is stored: the data changes, or with a bad frame the old copy goes. */
static __attribute__((noinline)) int replace(struct tmem_client *client, struct pool *pool,
	const struct position *position, const void *data)
{
	u32 slot = position->slot;

	if (unlikely(!data)) {
		client_drop_and_keep_slot(client, pool, position);
		pool->counts.dropped++;
		return -SLUICE_EFAULT;
	}
	tmem_port_copy_away(frame_at(client->tmem, slot), data);
	pool->counts.replaced++;
	pool->counts.puts++;
	return 0;
}

int put_plain(struct tmem_client *client, struct pool *pool, const struct tmem_handle *handle,
	struct position *position, const void *data, struct put_hand *hand)
{
	int error = put_prepare_frame(client, pool, hand);
	struct block *block;
	void *frame;

	if (error)
		return error;
	block = client_block(client, hand->slot);
	put_insert(client, pool, handle, position, hand->slot, block_page(block, hand->slot));
	frame = block_frame(block, hand->slot);
	/* A frame that was handed over holds the page already (flip.c). */
	if (likely(frame != data))
		tmem_port_copy_away(frame, data);
	hand->slot = SLOT_NONE;
	return 0;
}

/* Whether a stored page has a frame of its own, whose content nobody knows of. */
static bool stands_alone(const struct tmem_client *client, u32 slot)
{
	const struct block *block = block_of(client->tmem, slot);

	return !block_is_virtual(block) && !page_hash(block_page(block, slot));
}

/* -EAGAIN: look it up again. */
static int put_once(struct tmem_client *client, const struct tmem_handle *handle, const void *data,
	struct put_hand *hand)
{
	struct pool *pool = named_pool(client, handle->pool);
	struct position position;
	int error;

	if (unlikely(!pool))
		return -SLUICE_EBADF;
	if (unlikely(pool->special)) {
		error = special_put(client, pool, handle, data, hand->hidden);
		if (error)
			return error;
	}
	if (unlikely(client->tmem->keys_only))
		return data ? -SLUICE_ENOSPC : -SLUICE_EFAULT;
	if (pool_find(pool, handle->object, handle->index, &position)) {
		hand->replaces = true;
		if (!data || !pool->modes ||
			(hand->slot == SLOT_NONE && !put_needs_look(pool, data) &&
				stands_alone(client, position.slot)))
			return replace(client, pool, &position, data);
		/* The new data may need more or less than the old: it goes first, and is dropped
		 * unless the put succeeds. What it was admitted for is the new one's. */
		if (pool->persistent && !hand->admitted) {
			__atomic_fetch_add(&client->tmem->persistent_held, 1, __ATOMIC_RELAXED);
			hand->admitted = true;
		}
		client_drop_and_keep_slot(client, pool, &position);
		pool->counts.dropped++;
		return -SLUICE_EAGAIN;
	}
	if (unlikely(!data))
		return -SLUICE_EFAULT;
	if (pool->persistent && !hand->admitted) {
		hand->admitted = put_admit_persistent(client);
		if (!hand->admitted)
			return -SLUICE_ENOSPC;
	}
	error = position.group ? 0 : prepare_index(client, pool);
	if (!error) {
		bool look = put_needs_look(pool, data);

		pool->glances_first = look;
		error = look ? put_dense(client, pool, handle, &position, data, hand)
			     : put_plain(client, pool, handle, &position, data, hand);
	}
	if (error)
		return error;
	hand->admitted = false;
	if (unlikely(hand->replaces && pool->counts.dropped)) {
		pool->counts.dropped--;
		pool->counts.replaced++;
	}
	return 0;
}

/* Gives back what a put that failed or was a replacement still has in hand, and counts it. */
static __attribute__((noinline)) void end_put(
	struct tmem_client *client, s32 pool_id, struct put_hand *hand, int result)
{
	struct tmem *tmem = client->tmem;
	struct pool *pool = named_pool(client, pool_id);

	put_give_back(client, hand);
	if (hand->admitted)
		__atomic_fetch_sub(&tmem->persistent_held, 1, __ATOMIC_RELAXED);
	if (result >= 0)
		return;
	client->stats.puts++;
	if (result == -SLUICE_ENOSPC || result == -SLUICE_ENOMEM) {
		client->stats.puts_refused++;
		if (pool)
			pool->counts.refusals++;
	}
}

static int put_with(struct tmem_client *client, const struct tmem_handle *handle, const void *page,
	struct put_hand *hand)
{
	int result;

	do
		result = put_once(client, handle, page, hand);
	while (unlikely(result == -SLUICE_EAGAIN));
	if (unlikely(result || hand->slot != SLOT_NONE || hand->admitted))
		end_put(client, handle->pool, hand, result);
	return result;
}

int client_put(
	struct tmem_client *client, const struct tmem_handle *handle, const void *page, bool hidden)
{
	struct put_hand hand = {.slot = SLOT_NONE, .hidden = hidden};

	return put_with(client, handle, page, &hand);
}

int client_put_shared(struct tmem_client *owner, const struct tmem_handle *handle, const void *page,
	struct pool_counts *what)
{
	struct put_hand hand = {.slot = SLOT_NONE};
	int result = put_with(owner, handle, page, &hand);

	what->replaced = hand.replaces && !result;
	what->dropped = hand.replaces && result;
	return result;
}

int client_put_placed(
	struct tmem_client *client, const struct tmem_handle *handle, const void *page, u32 *slot)
{
	struct put_hand hand = {.slot = *slot};
	int result;

	do
		result = put_once(client, handle, page, &hand);
	while (unlikely(result == -SLUICE_EAGAIN));
	*slot = hand.slot;
	hand.slot = SLOT_NONE;
	if (unlikely(result || hand.admitted))
		end_put(client, handle->pool, &hand, result);
	return result;
}
