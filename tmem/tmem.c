/*
 * Gets and flushes (tmem/tmem.h, and docs/tmem.md for the coherency rules), and how pages leave. A
 * page beside the one before it takes a short way.
 */
#include "tmem/tmem.h"

#include <abi/errno.h>

#include "tmem/aging.h"
#include "tmem/dense.h"
#include "tmem/filter.h"
#include "tmem/page_list.h"

/* ---- Pages that leave --------------------------------------------------------------- */

/* Slots all over the place would only keep blocks from becoming free. */
__attribute__((noinline)) void client_no_pages_left(
	struct tmem_client *client, enum tmem_class class)
{
	if (client->magazines[class].count > MAGAZINE_IDLE)
		client_spill(client, class, MAGAZINE_IDLE);
}

__attribute__((noinline)) void client_drop_content(
	struct tmem_client *client, struct pool *pool, u32 slot, struct page *page)
{
	u32 content = page->client;

	if (block_is_virtual(block_of(client->tmem, slot))) {
		if (page_state(page) >= SLOT_QUEUED_CHEAP)
			client_count_aside(client, page_state(page) - SLOT_QUEUED, -1UL);
		WRITE_ONCE(page->client, client->number);
		dense_release(client, pool, content);
	} else {
		dense_forget(client, pool->persistent ? PERSISTENT : EPHEMERAL, slot, page);
	}
}

/* A page leaves the list it is in. */
static __attribute__((noinline)) void unqueue(
	struct tmem_client *client, const struct page *page, u32 slot)
{
	enum queue queue = (enum queue)(page_state(page) - SLOT_QUEUED);

	client->main_pages -= queue == QUEUE_MAIN;
	page_list_remove(client, &client->lists[queue], page, slot);
}

static inline __attribute__((always_inline)) void drop_page(struct tmem_client *client,
	struct pool *pool, const struct position *position, struct page *page)
{
	struct tmem *tmem = client->tmem;
	u64 hash = unlikely(pool->filter) ? client_filter_hash(pool, position) : 0;

	if (unlikely(pool->modes))
		client_drop_content(client, pool, position->slot, page);

	if (pool->persistent) {
		u64 left = --client->stats.persistent_pages;

		__atomic_fetch_sub(&tmem->persistent_held, 1, __ATOMIC_RELAXED);
		if (unlikely(left == 0))
			client_no_pages_left(client, PERSISTENT);
	} else {
		u64 left = client->stats.ephemeral_pages - 1;

		WRITE_ONCE(client->stats.ephemeral_pages, left);
		unqueue(client, page, position->slot);
		if (unlikely(left == 0))
			client_no_pages_left(client, EPHEMERAL);
	}
	pool_remove(tmem, pool, position, page);
	if (unlikely(pool->filter))
		client_filter_removed(client, pool, hash, position->slot);
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
	unqueue(client, page, slot);
	pool_remove_near(client->tmem, pool, index % GROUP_PAGES);
	if (pool->filter)
		client_filter_removed(client, pool, hash, slot);
	WRITE_ONCE(client->stats.ephemeral_pages, client->stats.ephemeral_pages - 1);
	if (!client->stats.ephemeral_pages)
		client_no_pages_left(client, EPHEMERAL);
	client_give_slot(client, client->half.block, page, slot);
}

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

/*
 * The page in @slot leaves its queue, the first one unless @aged, if it can do so by the common
 * way: it and its neighbours there are in client->half. It may be the oldest page, but not the
 * newest. Neither slot 0 is in a half nor the place of a sampled page.
 */
#define OTHER_HALF (SLOT_MASK >> HALF_SHIFT << HALF_SHIFT)
static inline __attribute__((always_inline)) bool unqueue_near(
	struct tmem_client *client, u32 slot, bool aged)
{
	struct page *before = &client->lists[QUEUE_SMALL].head;
	struct page *page, *after;
	u32 to_next, to_prev; /* the bits by which the neighbours' words differ from @slot */

	if (!client_has_half(client, slot))
		return false;
	page = near_page(client, slot);
	to_next = page->next ^ slot;
	to_prev = page->prev ^ slot;
	if (unlikely(to_next & OTHER_HALF))
		return false;
	if (aged)
		before = &client->lists[page_state(page) - SLOT_QUEUED].head;
	if (page->prev & SLOT_MASK) {
		if (unlikely(to_prev & OTHER_HALF))
			return false;
		before = near_page(client, page->prev);
	}
	if (aged)
		client->main_pages -= page_state(page) == SLOT_QUEUED_MAIN;
	before->next ^= to_next & SLOT_MASK;
	after = near_page(client, page->next);
	WRITE_ONCE(after->prev, after->prev ^ (to_prev & SLOT_MASK));
	page_set_state(page, SLOT_EMPTY);
	return true;
}

/*
 * The page that left its queue leaves its place in the recent group, and its slot goes into the
 * magazine. True: group and magazine need no more than another number; else end_leave() is due,
 * after the page was copied.
 */
static inline __attribute__((always_inline)) bool leave_place(
	struct tmem_client *client, struct group *group, u32 place, u32 slot)
{
	struct magazine *magazine = client->half.magazine;
	u64 count = magazine->count;

	group->places[place] = SLOT_NONE;
	magazine->words[count + 1] = slot;
	add_once_u32(&magazine->count, 1);
	add_once_u64(&client->stats.ephemeral_pages, -1UL);
	if (unlikely(count == MAGAZINE_SLOTS - 1)) {
		group->count--;
		return false;
	}
	return likely(--group->count);
}

static void end_leave(struct tmem_client *client, struct pool *pool)
{
	if (!pool->recent_group->count)
		pool_remove_recent_group(client->tmem, pool);
	if (!client->stats.ephemeral_pages)
		client_no_pages_left(client, EPHEMERAL);
	if (client->half.magazine->count == MAGAZINE_SLOTS)
		client_spill_full(client, client->half.magazine);
}

/* ---- Get and flush ------------------------------------------------------------------ */

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

/* For get_locked(), with the client's lock held, which it releases. */
static __attribute__((noinline)) int get_slowly(
	struct tmem_client *client, const struct tmem_handle *handle, void *page)
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

static __attribute__((noinline)) int end_get(
	struct tmem_client *client, struct pool *pool, void *page, u32 slot)
{
	tmem_port_copy(page, near_frame(client, slot));
	end_leave(client, pool);
	client_unlock(client);
	return 0;
}

/* A page in the recent group, of a pool that is near; as tmem_put(). */
static inline __attribute__((always_inline)) int get_recent(struct tmem_client *client,
	const struct tmem_handle *handle, void *page, struct pool *pool, bool aged)
{
	struct group *group = pool->recent_group;
	u32 place = handle->index % GROUP_PAGES;
	u32 slot = group->places[place];

	if (!unqueue_near(client, slot, aged))
		return get_slowly(client, handle, page);
	pool->counts.hits++;
	if (aged && likely(pool->aged))
		aging_get(client->aging, aging_hash(pool, pool->recent_sum, handle->index), true);
	if (unlikely(!leave_place(client, group, place, slot)))
		return end_get(client, pool, page, slot);
	tmem_port_copy(page, near_frame(client, slot));
	client_unlock(client);
	return 0;
}

static __attribute__((noinline)) int get_aged(
	struct tmem_client *client, const struct tmem_handle *handle, void *page, struct pool *pool)
{
	return get_recent(client, handle, page, pool, true);
}

static __attribute__((cold, noinline)) void note_hit(
	struct tmem_client *client, const struct pool *pool, u32 index)
{
	aging_get(client->aging, aging_hash(pool, pool->recent_sum, index), true);
}

static int flush_slowly(struct tmem_client *client, const struct tmem_handle *handle);

static int leave_slowly(struct tmem_client *client, const struct tmem_handle *handle, void *page)
{
	return page ? get_slowly(client, handle, page) : flush_slowly(client, handle);
}

/* The same, or a flush where @page is NULL, of a pool with a miss filter: made small, too. */
static __attribute__((noinline)) int leave_filtered(
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
		end_leave(client, pool);
	client_unlock(client);
	return 0;
}

/* Apart, so that the plain way pays for nothing of it. */
static __attribute__((noinline)) int get_uncommon(
	struct tmem_client *client, const struct tmem_handle *handle, void *page, struct pool *pool)
{
	if (pool_is_uncommonly_near(pool, handle->object, handle->index, POOL_AGED_OR_FILLED))
		return get_aged(client, handle, page, pool);
	return unlikely(pool->filtered) ? leave_filtered(client, handle, page, pool)
					: get_slowly(client, handle, page);
}

static __attribute__((noinline)) int get_locked(
	struct tmem_client *client, const struct tmem_handle *handle, void *page)
{
	struct pool *pool;
	u64 id;

	client_lock(client);
	id = (u32)handle->pool;
	if (unlikely(id >= TMEM_POOLS_PER_GUEST || !page))
		return get_slowly(client, handle, page);
	pool = called_pool(client, id);
	if (!pool_is_near(pool, handle->object, handle->index, POOL_PLAIN))
		return get_uncommon(client, handle, page, pool);
	return get_recent(client, handle, page, pool, false);
}

/* A look at the index without the lock ends with a miss if nothing was changed since its beginning.
 */
static inline __attribute__((always_inline)) int end_look(struct tmem_client *client,
	const struct tmem_handle *handle, void *page, struct pool *pool, u32 turns)
{
	if (unlikely(!client_look_holds(client, turns)))
		return get_locked(client, handle, page);
	pool_count_miss(pool);
	return -SLUICE_ENOENT;
}

/* The second look, at the tags of a line. */
static __attribute__((noinline)) int look_closely(struct tmem_client *client,
	const struct tmem_handle *handle, void *page, struct pool *pool, u64 hash, u32 turns)
{
	if (!line_surely_lacks(table_look(&pool->object_table.now, hash), hash))
		return get_locked(client, handle, page);
	return end_look(client, handle, page, pool, turns);
}

/*
 * A get of another object than the one before begins with a look without the lock. It is a miss if
 * the object is not there and nothing was changed while we looked. Of persistent pools' pages, and
 * where anything is special, a second look under the lock is worth it; misses of keys that are in a
 * sample have to be told. The pool may go away while it is read; its memory stays
 * (metadata_retire()).
 */
int tmem_get(struct tmem_client *client, const struct tmem_handle *handle, void *page)
{
	u64 id = (u32)handle->pool, hash;
	struct pool *pool;
	u32 turns;

	client_note_use(client);
	if (unlikely(id >= TMEM_POOLS_PER_GUEST))
		return get_locked(client, handle, page);
	/* If the object before is asked for again, a hit is likely. */
	if (READ_OPERAND(client->recent_words[id]) == handle->object[0])
		return get_locked(client, handle, page);
	turns = client_begin_look(client);
	pool = called_pool(client, id);
	if (unlikely(!page))
		return get_locked(client, handle, page);
	hash = pool_object_hash(pool, handle->object);
	if (unlikely(pool_long_sample(hash + pool->salt, handle->index) <=
		     READ_OPERAND(pool->lock_upto)))
		return get_locked(client, handle, page);
	if (unlikely(table_may_have(&pool->object_table, hash)))
		return look_closely(client, handle, page, pool, hash, turns);
	return end_look(client, handle, page, pool, turns);
}

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

/* For tmem_flush_page(), with the client's lock held, which it releases. */
static __attribute__((noinline)) int flush_slowly(
	struct tmem_client *client, const struct tmem_handle *handle)
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

static __attribute__((noinline)) int end_flush(struct tmem_client *client, struct pool *pool)
{
	end_leave(client, pool);
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

int client_flush_object_step(struct tmem_client *client, const struct tmem_handle *handle)
{
	struct pool *pool = named_pool(client, handle->pool);
	unsigned pages = TMEM_STEP_PAGES;
	u32 object_id;

	if (unlikely(!pool || pool->hidden)) {
		client->stats.flushes++;
		return -SLUICE_EBADF;
	}
	if (unlikely(pool->shared))
		return POOL_IS_SHARED;
	pool->counts.flushes++;
	object_id = pool_find_object(pool, handle->object);
	if (!object_id || client_flush_object(client, pool, object_id, &pages))
		return 0;
	return -SLUICE_EAGAIN;
}

int tmem_flush_object(struct tmem_client *client, const struct tmem_handle *handle)
{
	int result;

	client_lock(client);
	result = client_flush_object_step(client, handle);
	client_unlock(client);
	return unlikely(result == POOL_IS_SHARED) ? shared_flush_object(client, handle) : result;
}
