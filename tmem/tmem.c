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
	return likely((u32)id < TMEM_POOLS_PER_GUEST) ? READ_ONCE(client->pools[id]) : NULL;
}

/* ---- Accounts and the queue of ephemeral pages -------------------------------------- */

/* The page enters the queue at its end. */
static inline void queue_newest(
	struct tmem_client *client, const struct pool *pool, u32 slot, struct page *page)
{
	u32 last = client->newest;

	page->next = (u32)pool->id << SLOT_BITS;
	WRITE_ONCE(page->prev, (u32)SLOT_QUEUED << SLOT_BITS | last);
	if (likely(last))
		client->newest_page->next |= slot;
	else
		client->oldest = slot;
	client->newest = slot;
	client->newest_page = page;
}

static inline void unqueue(struct tmem_client *client, const struct page *page)
{
	u32 next = page->next & SLOT_MASK, prev = page->prev & SLOT_MASK;
	struct page *before = NULL;

	if (likely(prev)) {
		before = block_page(client_block(client, prev), prev);
		before->next = (before->next & ~SLOT_MASK) | next;
	} else {
		client->oldest = next;
	}
	if (likely(next)) {
		struct page *after = block_page(client_block(client, next), next);

		WRITE_ONCE(after->prev, (after->prev & ~SLOT_MASK) | prev);
	} else {
		client->newest = prev;
		client->newest_page = before;
	}
}

/* The page is stored: accounts, and the place it gets among the client's. */
static inline void enter(
	struct tmem_client *client, const struct pool *pool, u32 slot, struct page *page)
{
	struct tmem_client_stats *stats = &client->stats;

	if (unlikely(pool->persistent)) {
		/* The store's own count was raised when the page was admitted. */
		stats->persistent_pages++;
		if (stats->persistent_pages > stats->persistent_peak)
			stats->persistent_peak = stats->persistent_pages;
		page->next = (u32)pool->id << SLOT_BITS;
		page_set_state(page, SLOT_PERSISTENT);
	} else {
		u64 count = stats->ephemeral_pages + 1;

		WRITE_ONCE(stats->ephemeral_pages, count);
		if (unlikely(count > stats->ephemeral_peak))
			stats->ephemeral_peak = count;
		queue_newest(client, pool, slot, page);
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
		unqueue(client, page);
		if (unlikely(left == 0))
			no_pages_left(client, EPHEMERAL);
	}
	pool_remove(tmem, pool, position, page);
}

void client_drop_page(struct tmem_client *client, struct pool *pool,
	const struct position *position, struct page *page)
{
	drop_page(client, pool, position, page);
	page_set_state(page, SLOT_EMPTY);
}

void client_drop_and_keep_slot(
	struct tmem_client *client, struct pool *pool, const struct position *position)
{
	u32 slot = position->slot;
	struct block *block = client_block(client, slot);
	struct page *page = block_page(block, slot);

	drop_page(client, pool, position, page);
	client_give_slot(client, block, page, slot);
}

/* Drops up to *@pages pages of a group; true if the object is gone with them. */
static bool flush_group(
	struct tmem_client *client, struct pool *pool, struct position *position, unsigned *pages)
{
	struct group *group = position->group;
	bool only_group = !group->next && !group->prev;
	u32 left = group->count;

	for (u32 place = 0; left && *pages; place++) {
		position->slot = group->pages[place];
		if (!position->slot)
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
	position.group = NULL;
	position.slot = position.object->first;
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
	struct block *block = client_block(client, slot);
	struct page *page = block_page(block, slot);

	if (position->group)
		group_set(position->group, position->group_id, handle->index % GROUP_PAGES, page,
			slot);
	else
		pool_insert(
			client->tmem, pool, handle->object, handle->index, slot, page, position);
	enter(client, pool, slot, page);
	pool->counts.puts++;
	tmem_port_copy(block_frame(block, slot), data);
}

/* Everything a new page needs, when it is not at hand: memory for the index, or a slot. 0 with
 * nothing evicted; -EAGAIN if the lock was released or pages were evicted, so that the handle must
 * be looked up again; -ENOMEM. */
static __attribute__((noinline)) int prepare_new(
	struct tmem_client *client, struct pool *pool, u32 *slot)
{
	enum tmem_class class = pool->persistent ? PERSISTENT : EPHEMERAL;

	if (!pool_is_ready(pool) && pool_reserve(client->tmem, pool)) {
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
	u32 slot = position->slot;

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
static int put_once(struct tmem_client *client, const struct tmem_handle *handle, const void *data,
	struct put_hand *hand)
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
	if (unlikely(hand->slot == SLOT_NONE || !(position.group || pool_is_ready(pool)))) {
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
	struct tmem *tmem = client->tmem;

	if (hand->slot != SLOT_NONE)
		client_give_slot(
			client, block_of(tmem, hand->slot), page_at(tmem, hand->slot), hand->slot);
	if (hand->admitted)
		__atomic_fetch_sub(&tmem->persistent_pages, 1, __ATOMIC_RELAXED);
	if (!result)
		return;
	client->stats.puts++;
	if (result == -SLUICE_ENOSPC || result == -SLUICE_ENOMEM)
		client->stats.puts_refused++;
}

static __attribute__((noinline)) int put_any(
	struct tmem_client *client, const struct tmem_handle *handle, const void *page)
{
	struct put_hand hand = {.slot = SLOT_NONE, .admitted = false};
	int result;

	do
		result = put_once(client, handle, page, &hand);
	while (unlikely(result == -SLUICE_EAGAIN));
	if (unlikely(result || hand.slot != SLOT_NONE || hand.admitted))
		end_put(client, &hand, result);
	return result;
}

/* The common case: a new page beside the one before, and all that it needs is at hand. */
static inline bool put_neighbour(
	struct tmem_client *client, const struct tmem_handle *handle, const void *data)
{
	struct pool *pool = named_pool(client, handle->pool);
	struct group *group;
	u32 place = handle->index % GROUP_PAGES;
	enum tmem_class class;
	struct block *block;
	struct page *page;
	u32 slot;

	if (unlikely(!pool || pool->dying || !data))
		return false;
	group = pool_recent_group(pool, handle->object, handle->index);
	if (!group || group->pages[place])
		return false;
	class = unlikely(pool->persistent) ? PERSISTENT : EPHEMERAL;
	if (!client->magazines[class].count || (class == PERSISTENT && !admit_persistent(client)))
		return false;
	slot = client_slot_at_hand(client, class);
	block = client_block(client, slot);
	page = block_page(block, slot);
	group_set(group, pool->recent_group_id, place, page, slot);
	enter(client, pool, slot, page);
	pool->counts.puts++;
	tmem_port_copy(block_frame(block, slot), data);
	return true;
}

int tmem_put(struct tmem_client *client, const struct tmem_handle *handle, const void *page)
{
	int result = 0;

	client_lock(client);
	client_note_use(client);
	if (unlikely(!put_neighbour(client, handle, page)))
		result = put_any(client, handle, page);
	client_unlock(client);
	return result;
}

/* ---- Get and flush ------------------------------------------------------------------ */

/* Copies the page at @position; a private ephemeral pool then has it no more. */
static inline __attribute__((always_inline)) void get_hit(
	struct tmem_client *client, struct pool *pool, const struct position *position, void *data)
{
	u32 slot = position->slot;
	struct block *block = client_block(client, slot);

	tmem_port_copy(data, block_frame(block, slot));
	pool->counts.hits++;
	if (likely(!pool->persistent)) {
		struct page *page = block_page(block, slot);

		drop_page(client, pool, position, page);
		client_give_slot(client, block, page, slot);
	}
}

static __attribute__((noinline)) int get_any(
	struct tmem_client *client, const struct tmem_handle *handle, void *page)
{
	struct pool *pool = named_pool(client, handle->pool);
	struct position position;

	if (unlikely(!pool || pool->dying))
		return -SLUICE_EBADF;
	if (unlikely(!page))
		return -SLUICE_EFAULT;
	__atomic_fetch_add(&pool->counts.gets, 1, __ATOMIC_RELAXED);
	if (!pool_find(pool, handle->object, handle->index, &position))
		return -SLUICE_ENOENT;
	get_hit(client, pool, &position, page);
	return 0;
}

/* The common case: the page beside the one before. */
static inline bool get_neighbour(
	struct tmem_client *client, const struct tmem_handle *handle, void *data)
{
	struct pool *pool = named_pool(client, handle->pool);
	struct position position;

	if (unlikely(!pool || pool->dying || !data))
		return false;
	position.group = pool_recent_group(pool, handle->object, handle->index);
	if (!position.group)
		return false;
	position.slot = position.group->pages[handle->index % GROUP_PAGES];
	if (!position.slot)
		return false;
	position.group_id = pool->recent_group_id;
	position.object = pool->recent_object;
	position.object_id = pool->recent_object_id;
	__atomic_fetch_add(&pool->counts.gets, 1, __ATOMIC_RELAXED);
	get_hit(client, pool, &position, data);
	return true;
}

static __attribute__((noinline)) int get_locked(
	struct tmem_client *client, const struct tmem_handle *handle, void *page)
{
	int result = 0;

	client_lock(client);
	if (!get_neighbour(client, handle, page))
		result = get_any(client, handle, page);
	client_unlock(client);
	return result;
}

/*
 * A miss without the lock: the object is not there, and nothing was changed while we looked. Pages
 * of persistent pools are worth a second look under the lock. The pool may go away while it is
 * read; its memory stays (metadata_retire()).
 */
static inline bool misses(
	const struct tmem_client *client, struct pool *pool, const u64 key[3], u32 sequence)
{
	if (unlikely(pool->persistent || READ_ONCE(pool->dying)) || !pool_surely_lacks(pool, key))
		return false;
	if (unlikely(client_sequence(client) != sequence || (sequence & 1)))
		return false;
	__atomic_fetch_add(&pool->counts.gets, 1, __ATOMIC_RELAXED);
	return true;
}

int tmem_get(struct tmem_client *client, const struct tmem_handle *handle, void *page)
{
	u32 sequence = client_sequence(client);
	struct pool *pool = named_pool(client, handle->pool);

	client_note_use(client);
	/* If the object before is asked for again, a hit is likely. */
	if (unlikely(!pool || !page) || READ_ONCE(pool->recent_key) == handle->object[0] ||
		!misses(client, pool, handle->object, sequence))
		return get_locked(client, handle, page);
	return -SLUICE_ENOENT;
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
