/*
 * The operations of guests: put, get, flush (tmem/tmem.h, and docs/tmem.md for the coherency
 * rules).
 */
#include "tmem/tmem.h"

#include <abi/errno.h>

#include "tmem/client.h"

/* Pages that one call of tmem_flush_object() frees. */
#define STEP_PAGES 64U

/* The pool a guest named, or NULL. */
static inline struct pool *named_pool(const struct tmem_client *client, s32 id)
{
	return likely((u32)id < TMEM_POOLS_PER_GUEST) ? client->pools[id] : NULL;
}

/* ---- Accounts and the list of ephemeral pages
 * ------------------------------------------------------------------ */

static inline void list_newest(struct tmem_client *client, u32 id, struct page *page)
{
	page->next = 0;
	page->prev = client->newest;
	if (client->newest)
		page_at(client, client->newest)->next = id;
	else
		client->oldest = id;
	client->newest = id;
}

static inline void unlist(struct tmem_client *client, const struct page *page)
{
	if (page->next)
		page_at(client, page->next)->prev = page->prev;
	else
		client->newest = page->prev;
	if (page->prev)
		page_at(client, page->prev)->next = page->next;
	else
		client->oldest = page->next;
}

static inline void account_add(struct tmem_client *client, const struct pool *pool)
{
	struct tmem_client_stats *stats = &client->stats;

	if (pool->persistent) {
		/* The store's own count was raised when the page was admitted. */
		stats->persistent_pages++;
		stats->persistent_peak = MAX(stats->persistent_peak, stats->persistent_pages);
	} else {
		WRITE_ONCE(stats->ephemeral_pages, stats->ephemeral_pages + 1);
		stats->ephemeral_peak = MAX(stats->ephemeral_peak, stats->ephemeral_pages);
	}
}

u32 client_drop_page(struct tmem_client *client, struct pool *pool, struct position *position)
{
	struct tmem *tmem = client->tmem;
	struct page *page = page_at(client, position->page_id);
	u32 slot = page->slot;

	if (pool->persistent) {
		client->stats.persistent_pages--;
		__atomic_fetch_sub(&tmem->persistent_pages, 1, __ATOMIC_RELAXED);
	} else {
		WRITE_ONCE(client->stats.ephemeral_pages, client->stats.ephemeral_pages - 1);
		unlist(client, page);
	}
	pool_remove(tmem, pool, position);
	slab_free(tmem, &client->pages, position->page_id);
	slot_set_owner(block_of(tmem, slot), slot, OWNER_MOVING);
	return slot;
}

static void drop_and_keep_slot(
	struct tmem_client *client, struct pool *pool, struct position *position)
{
	client_give_slot(client, client_drop_page(client, pool, position));
}

/* ---- Put
 * -----------------------------------------------------------------------------------------------------------
 */

/* Whether the client may hold one more persistent page; if so the store's count is raised at once,
 * so that two clients cannot both take the last one. */
static bool admit_persistent(struct tmem_client *client)
{
	struct tmem *tmem = client->tmem;
	u64 held;

	if (client->stats.persistent_pages >= client->persistent_max)
		return false;
	held = __atomic_fetch_add(&tmem->persistent_pages, 1, __ATOMIC_RELAXED);
	if (tmem_port_persistent_ok(held))
		return true;
	__atomic_fetch_sub(&tmem->persistent_pages, 1, __ATOMIC_RELAXED);
	return false;
}

static void store_new(struct tmem_client *client, struct pool *pool,
	const struct tmem_handle *handle, struct position *position, u32 slot, const void *data)
{
	struct tmem *tmem = client->tmem;
	struct block *block = block_of(tmem, slot);
	u32 id = slab_alloc(&client->pages);
	struct page *page = page_at(client, id);

	page->slot = slot & (BIT(SLOT_BITS) - 1);
	page->pool = pool->id & 0xf;
	pool_insert(tmem, pool, handle->object, handle->index, id, position);
	if (!pool->persistent)
		list_newest(client, id, page);
	account_add(client, pool);
	slot_set_owner(block, slot, owner_of_page(client->number, id));
	tmem_port_copy(block_frame(block, slot), data);
}

/* Everything a new page needs: memory for the index, and a slot. 0 with nothing looked up
 * meanwhile; -EAGAIN if the lock was released or pages were evicted, so that the handle must be
 * looked up again; -ENOMEM. */
static int prepare_new(struct tmem_client *client, struct pool *pool, u32 *slot)
{
	enum tmem_class class = pool->persistent ? PERSISTENT : EPHEMERAL;

	if (unlikely(pool_reserve(client->tmem, pool))) {
		u32 victim = evict_for(client, class);

		if (victim == SLOT_NONE)
			return -SLUICE_ENOMEM;
		arena_turn_into_metadata(client->tmem, victim);
		return -SLUICE_EAGAIN;
	}
	if (*slot == SLOT_NONE)
		*slot = client_take_slot(client, class);
	if (unlikely(*slot == SLOT_NONE)) {
		*slot = evict_for(client, class);
		return *slot == SLOT_NONE ? -SLUICE_ENOMEM : -SLUICE_EAGAIN;
	}
	return 0;
}

/* -EAGAIN: look it up again; *@slot and *@admitted carry over. */
static int put_once(struct tmem_client *client, const struct tmem_handle *handle, const void *data,
	u32 *slot, bool *admitted)
{
	struct pool *pool = named_pool(client, handle->pool);
	struct position position;
	int error;

	if (unlikely(!pool || pool->dying))
		return -SLUICE_EBADF;
	if (pool_find(pool, handle->object, handle->index, &position)) {
		if (unlikely(!data)) {
			drop_and_keep_slot(client, pool, &position);
			client->stats.flushed_pages++;
			return -SLUICE_EFAULT;
		}
		{
			u32 old = page_at(client, position.page_id)->slot;

			tmem_port_copy(block_frame(block_of(client->tmem, old), old), data);
		}
		client->stats.puts_replaced++;
		return 0;
	}
	if (unlikely(!data))
		return -SLUICE_EFAULT;
	if (pool->persistent && !*admitted) {
		*admitted = admit_persistent(client);
		if (!*admitted)
			return -SLUICE_ENOSPC;
	}
	error = prepare_new(client, pool, slot);
	if (unlikely(error))
		return error;
	store_new(client, pool, handle, &position, *slot, data);
	*slot = SLOT_NONE;
	*admitted = false;
	return 0;
}

int tmem_put(struct tmem_client *client, const struct tmem_handle *handle, const void *page)
{
	struct tmem_client_stats *stats = &client->stats;
	bool admitted = false;
	u32 slot = SLOT_NONE;
	int result;

	client_lock(client);
	client_note_use(client);
	stats->puts++;
	do
		result = put_once(client, handle, page, &slot, &admitted);
	while (unlikely(result == -SLUICE_EAGAIN));
	if (unlikely(slot != SLOT_NONE))
		client_give_slot(client, slot);
	if (unlikely(admitted))
		__atomic_fetch_sub(&client->tmem->persistent_pages, 1, __ATOMIC_RELAXED);

	if (likely(result == 0)) {
		stats->puts_stored++;
		if (client->pools[handle->pool]->persistent)
			stats->persistent_puts++;
		else
			stats->ephemeral_puts++;
	} else if (result == -SLUICE_ENOSPC || result == -SLUICE_ENOMEM) {
		stats->puts_refused++;
	}
	client_unlock(client);
	return result;
}

/* ---- Get and flush
 * ----------------------------------------------------------------------------------------------------
 */

static int get_locked(struct tmem_client *client, const struct tmem_handle *handle, void *data)
{
	struct tmem_client_stats *stats = &client->stats;
	struct pool *pool = named_pool(client, handle->pool);
	struct position position;
	u32 slot;

	if (unlikely(!pool || pool->dying))
		return -SLUICE_EBADF;
	if (unlikely(!data))
		return -SLUICE_EFAULT;
	stats->gets++;
	if (pool->persistent)
		stats->persistent_gets++;
	else
		stats->ephemeral_gets++;
	if (!pool_find(pool, handle->object, handle->index, &position))
		return -SLUICE_ENOENT;

	slot = page_at(client, position.page_id)->slot;
	tmem_port_copy(data, block_frame(block_of(client->tmem, slot), slot));
	stats->hits++;
	if (pool->persistent) {
		stats->persistent_hits++;
	} else {
		stats->ephemeral_hits++;
		drop_and_keep_slot(client, pool, &position);
	}
	return 0;
}

int tmem_get(struct tmem_client *client, const struct tmem_handle *handle, void *page)
{
	int result;

	client_lock(client);
	client_note_use(client);
	result = get_locked(client, handle, page);
	client_unlock(client);
	return result;
}

int tmem_flush_page(struct tmem_client *client, const struct tmem_handle *handle)
{
	struct position position;
	struct pool *pool;
	int result = 0;

	client_lock(client);
	client->stats.flushes++;
	pool = named_pool(client, handle->pool);
	if (!pool) {
		result = -SLUICE_EBADF;
	} else if (pool_find(pool, handle->object, handle->index, &position)) {
		drop_and_keep_slot(client, pool, &position);
		client->stats.flushed_pages++;
	}
	client_unlock(client);
	return result;
}

static int flush_object_step(struct tmem_client *client, const struct tmem_handle *handle)
{
	struct pool *pool = named_pool(client, handle->pool);
	u32 object_id;

	if (!pool)
		return -SLUICE_EBADF;
	object_id = pool_find_object(pool, handle->object);
	if (!object_id)
		return 0;
	for (unsigned count = 0; count < STEP_PAGES; count++) {
		struct position position;
		bool last;

		pool_locate(pool, object_any_page(pool, object_id), &position);
		last = position_is_last(&position);
		drop_and_keep_slot(client, pool, &position);
		client->stats.flushed_pages++;
		if (last)
			return 0;
	}
	return -SLUICE_EAGAIN;
}

int tmem_flush_object(struct tmem_client *client, const struct tmem_handle *handle)
{
	int result;

	client_lock(client);
	client->stats.flushes++;
	result = flush_object_step(client, handle);
	client_unlock(client);
	return result;
}
