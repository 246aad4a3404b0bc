/*
 * The operations of guests: put, get, flush (tmem/tmem.h, and docs/tmem.md for the coherency
 * rules).
 */
#include "tmem/tmem.h"

#include <abi/errno.h>

#include "tmem/client.h"

/* The pool a guest named, or NULL. */
static inline struct pool *named_pool(const struct tmem_client *client, s32 id)
{
	return likely((u32)id < TMEM_POOLS_PER_GUEST) ? client->pools[id] : NULL;
}

/* ---- Accounts and the list of ephemeral pages --------------------------------------- */

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

/* Slots all over the place would only keep blocks from becoming free. */
static __attribute__((noinline)) void no_pages_left(
	struct tmem_client *client, enum tmem_class class)
{
	if (client->magazines[class].count > MAGAZINE_IDLE)
		client_spill(client, class, MAGAZINE_IDLE);
}

static inline __attribute__((always_inline)) void drop_page(struct tmem_client *client,
	struct pool *pool, const struct position *position, struct page *page)
{
	struct tmem *tmem = client->tmem;

	if (pool->persistent) {
		u64 left = --client->stats.persistent_pages;

		__atomic_fetch_sub(&tmem->persistent_pages, 1, __ATOMIC_RELAXED);
		if (unlikely(left == 0))
			no_pages_left(client, PERSISTENT);
	} else {
		u64 left = client->stats.ephemeral_pages - 1;

		WRITE_ONCE(client->stats.ephemeral_pages, left);
		unlist(client, page);
		if (unlikely(left == 0))
			no_pages_left(client, EPHEMERAL);
	}
	pool_remove(tmem, pool, position, page);
	slab_put(tmem, &client->pages, PAGE_ID_SHIFT, position->page_id, page);
}

void client_drop_page(struct tmem_client *client, struct pool *pool,
	const struct position *position, struct page *page)
{
	drop_page(client, pool, position, page);
}

void client_drop_and_keep_slot(
	struct tmem_client *client, struct pool *pool, const struct position *position)
{
	struct page *page = page_at(client, position->page_id);
	u32 slot = page_slot(page);

	drop_page(client, pool, position, page);
	client_give_slot(client, block_of(client->tmem, slot), slot);
}

/* Drops up to *@pages pages of a group; true if the object is gone with them. */
static bool flush_group(
	struct tmem_client *client, struct pool *pool, struct position *position, unsigned *pages)
{
	struct group *group = position->group;
	bool only_group = !group->next && !group->prev;
	u32 left = group->count;

	for (u32 place = 0; left && *pages; place++) {
		position->page_id = group->pages[place];
		if (!position->page_id)
			continue;
		--*pages;
		--left;
		client_drop_and_keep_slot(client, pool, position);
		client->stats.flushed_pages++;
	}
	return only_group && !left;
}

bool client_flush_object(
	struct tmem_client *client, struct pool *pool, u32 object_id, unsigned *pages)
{
	struct position position = {
		.object_id = object_id,
		.object = object_at(pool, object_id),
	};

	while (*pages && position.object->grouped) {
		position.group_id = position.object->first;
		position.group = group_at(pool, position.group_id);
		if (flush_group(client, pool, &position, pages))
			return true;
	}
	if (!*pages)
		return false;
	--*pages;
	position.page_id = position.object->first;
	client_drop_and_keep_slot(client, pool, &position);
	client->stats.flushed_pages++;
	return true;
}

/* ---- Put ---------------------------------------------------------------------------- */

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

static inline void store_new(struct tmem_client *client, struct pool *pool,
	const struct tmem_handle *handle, struct position *position, u32 slot, const void *data)
{
	struct tmem *tmem = client->tmem;
	struct block *block = block_of(tmem, slot);
	struct page *page;
	u32 id = slab_take(&client->pages, sizeof(*page), (void **)&page);

	page->where = slot | (u32)pool->id << SLOT_BITS;
	if (likely(position->group))
		group_set(
			position->group, position->group_id, handle->index % GROUP_PAGES, page, id);
	else
		pool_insert(tmem, pool, handle->object, handle->index, id, page, position);
	if (!pool->persistent)
		list_newest(client, id, page);
	account_add(client, pool);
	pool->counts.puts++;
	slot_set_owner(block, slot, owner_of_page(client->number, id));
	tmem_port_copy(block_frame(block, slot), data);
}

/* Whether the index has room for one more page, which has a group at @position or needs more. */
static inline bool index_is_ready(
	const struct tmem_client *client, const struct pool *pool, const struct position *position)
{
	return client->pages.available && (likely(position->group) || pool_is_ready(pool));
}

/* Everything a new page needs, when it is not at hand: memory for the index, or a slot. 0 with
 * nothing evicted; -EAGAIN if the lock was released or pages were evicted, so that the handle must
 * be looked up again; -ENOMEM. */
static __attribute__((noinline)) int prepare_new(
	struct tmem_client *client, struct pool *pool, u32 *slot)
{
	enum tmem_class class = pool->persistent ? PERSISTENT : EPHEMERAL;

	if (!(client->pages.available && pool_is_ready(pool)) && pool_reserve(client->tmem, pool)) {
		u32 victim = evict_for(client, class);

		if (victim == SLOT_NONE)
			return -SLUICE_ENOMEM;
		arena_turn_into_metadata(client->tmem, victim);
		return -SLUICE_EAGAIN;
	}
	if (*slot == SLOT_NONE)
		*slot = client_take_slot(client, class);
	if (*slot == SLOT_NONE) {
		*slot = evict_for(client, class);
		return *slot == SLOT_NONE ? -SLUICE_ENOMEM : -SLUICE_EAGAIN;
	}
	return 0;
}

/* A put to a handle that is stored: the data changes, or with a bad frame the old copy goes. */
static __attribute__((noinline)) int replace(struct tmem_client *client, struct pool *pool,
	const struct position *position, const void *data)
{
	u32 slot = page_slot(page_at(client, position->page_id));

	if (unlikely(!data)) {
		client_drop_and_keep_slot(client, pool, position);
		client->stats.flushed_pages++;
		return -SLUICE_EFAULT;
	}
	tmem_port_copy(block_frame(block_of(client->tmem, slot), slot), data);
	client->stats.puts_replaced++;
	pool->counts.puts++;
	return 0;
}

/* What a put has in hand, to be kept while its lock is released. */
struct put_hand {
	u32 slot;      /* SLOT_NONE: none */
	bool admitted; /* as one persistent page more */
};

/* -EAGAIN: look it up again. */
static inline int put_once(struct tmem_client *client, const struct tmem_handle *handle,
	const void *data, struct put_hand *hand)
{
	struct pool *pool = named_pool(client, handle->pool);
	struct position position;

	if (unlikely(!pool || pool->dying))
		return -SLUICE_EBADF;
	if (unlikely(pool_find(pool, handle->object, handle->index, &position)))
		return replace(client, pool, &position, data);
	if (unlikely(!data))
		return -SLUICE_EFAULT;
	if (pool->persistent && !hand->admitted) {
		hand->admitted = admit_persistent(client);
		if (!hand->admitted)
			return -SLUICE_ENOSPC;
	}
	if (likely(hand->slot == SLOT_NONE))
		hand->slot = client_slot_at_hand(client, pool->persistent ? PERSISTENT : EPHEMERAL);
	if (unlikely(hand->slot == SLOT_NONE || !index_is_ready(client, pool, &position))) {
		int error = prepare_new(client, pool, &hand->slot);

		if (error)
			return error;
	}
	store_new(client, pool, handle, &position, hand->slot, data);
	hand->slot = SLOT_NONE;
	hand->admitted = false;
	return 0;
}

/* Gives back what a put that failed or was a replacement still has in hand, and counts it. */
static __attribute__((noinline)) void end_put(
	struct tmem_client *client, struct put_hand *hand, int result)
{
	if (hand->slot != SLOT_NONE)
		client_give_slot(client, block_of(client->tmem, hand->slot), hand->slot);
	if (hand->admitted)
		__atomic_fetch_sub(&client->tmem->persistent_pages, 1, __ATOMIC_RELAXED);
	if (!result)
		return;
	client->stats.puts++;
	if (result == -SLUICE_ENOSPC || result == -SLUICE_ENOMEM)
		client->stats.puts_refused++;
}

int tmem_put(struct tmem_client *client, const struct tmem_handle *handle, const void *page)
{
	struct put_hand hand = {.slot = SLOT_NONE, .admitted = false};
	int result;

	client_lock(client);
	client_note_use(client);
	do
		result = put_once(client, handle, page, &hand);
	while (unlikely(result == -SLUICE_EAGAIN));
	if (unlikely(result || hand.slot != SLOT_NONE || hand.admitted))
		end_put(client, &hand, result);
	client_unlock(client);
	return result;
}

/* ---- Get and flush ------------------------------------------------------------------ */

/* Copies the page at @position; a private ephemeral pool then has it no more. */
static __attribute__((noinline)) void get_hit(
	struct tmem_client *client, struct pool *pool, const struct position *position, void *data)
{
	struct page *page = page_at(client, position->page_id);
	u32 slot = page_slot(page);
	struct block *block = block_of(client->tmem, slot);

	tmem_port_copy(data, block_frame(block, slot));
	pool->counts.hits++;
	if (!pool->persistent) {
		drop_page(client, pool, position, page);
		client_give_slot(client, block, slot);
	}
}

int tmem_get(struct tmem_client *client, const struct tmem_handle *handle, void *page)
{
	struct position position;
	struct pool *pool;
	int result = -SLUICE_EBADF;

	client_lock(client);
	client_note_use(client);
	pool = named_pool(client, handle->pool);
	if (unlikely(!pool || pool->dying))
		goto out;
	result = -SLUICE_EFAULT;
	if (unlikely(!page))
		goto out;
	pool->counts.gets++;
	result = -SLUICE_ENOENT;
	if (pool_find(pool, handle->object, handle->index, &position)) {
		get_hit(client, pool, &position, page);
		result = 0;
	}
out:
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
		client_drop_and_keep_slot(client, pool, &position);
		client->stats.flushed_pages++;
	}
	client_unlock(client);
	return result;
}

static int flush_object_step(struct tmem_client *client, const struct tmem_handle *handle)
{
	struct pool *pool = named_pool(client, handle->pool);
	unsigned pages = TMEM_STEP_PAGES;
	u32 object_id;

	if (!pool)
		return -SLUICE_EBADF;
	object_id = pool_find_object(pool, handle->object);
	if (!object_id || client_flush_object(client, pool, object_id, &pages))
		return 0;
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
