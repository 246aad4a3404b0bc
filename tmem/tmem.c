/*
 * The operations of guests: put, get, flush (tmem/tmem.h, and docs/tmem.md for the coherency
 * rules).
 */
#include "tmem/tmem.h"

#include <abi/errno.h>

#include "tmem/aging.h"
#include "tmem/dense.h"

/* ---- Accounts and the queue of ephemeral pages -------------------------------------- */

/* The page enters a queue at its end. */
static inline void queue_newest(struct tmem_client *client, const struct pool *pool,
	enum queue queue, u32 slot, struct page *page)
{
	struct page_list *list = &client->lists[queue];
	u32 last = list->newest;

	page->next = (u32)pool->id << SLOT_BITS;
	WRITE_ONCE(page->prev, (SLOT_QUEUED + (u32)queue) << SLOT_BITS | last);
	if (likely(last))
		list->newest_page->next |= slot;
	else
		list->oldest = slot;
	list->newest = slot;
	list->newest_page = page;
	list->count++;
}

static inline void unqueue(struct tmem_client *client, const struct page *page)
{
	struct page_list *list = &client->lists[page_state(page) - SLOT_QUEUED];
	u32 next = page->next & SLOT_MASK, prev = page->prev & SLOT_MASK;
	struct page *before = NULL;

	list->count--;
	if (likely(prev)) {
		before = block_page(client_block(client, prev), prev);
		before->next = (before->next & ~SLOT_MASK) | next;
	} else {
		list->oldest = next;
	}
	if (likely(next)) {
		struct page *after = block_page(client_block(client, next), next);

		WRITE_ONCE(after->prev, (after->prev & ~SLOT_MASK) | prev);
	} else {
		list->newest = prev;
		list->newest_page = before;
	}
}

/* By what is remembered of the page. */
static __attribute__((noinline)) enum queue choose_queue(
	struct tmem_client *client, const struct pool *pool, const struct tmem_handle *handle)
{
	/* The object of a page that was just inserted is the recent one. */
	u64 hash = aging_hash(pool, pool->recent_sum, handle->index);

	return aging_put(client->aging, history_prefetch(&client->aging->history, hash), hash);
}

/* The page is stored: accounts, and the place it gets among the client's. */
static inline void enter(struct tmem_client *client, const struct pool *pool,
	const struct tmem_handle *handle, u32 slot, struct page *page)
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
		queue_newest(client, pool,
			unlikely(client->aging) ? choose_queue(client, pool, handle) : QUEUE_SMALL,
			slot, page);
	}
}

/* Slots all over the place would only keep blocks from becoming free. */
static __attribute__((noinline)) void no_pages_left(
	struct tmem_client *client, enum tmem_class class)
{
	if (client->magazines[class].count > MAGAZINE_IDLE)
		client_spill(client, class, MAGAZINE_IDLE);
}

/* What a page of a pool with modes leaves besides its slot. */
static __attribute__((noinline)) void drop_content(
	struct tmem_client *client, const struct pool *pool, u32 slot, struct page *page)
{
	enum tmem_class class = pool->persistent ? PERSISTENT : EPHEMERAL;
	u32 content = page->client;

	if (block_is_virtual(block_of(client->tmem, slot))) {
		WRITE_ONCE(page->client, client->number);
		dense_release(client, class, content);
	} else {
		dense_forget(client, class, slot, page);
	}
}

static inline __attribute__((always_inline)) void drop_page(struct tmem_client *client,
	struct pool *pool, const struct position *position, struct page *page)
{
	struct tmem *tmem = client->tmem;
	u64 hash = unlikely(pool->filter) ? client_filter_hash(pool, position) : 0;

	if (unlikely(pool->modes))
		drop_content(client, pool, position->slot, page);

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

	pool->counts.flushed_pages++;
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

/* The page is in @slot, whose record is @page: everybody gets to know. */
static inline void insert(struct tmem_client *client, struct pool *pool,
	const struct tmem_handle *handle, struct position *position, u32 slot, struct page *page)
{
	if (unlikely(pool->filter))
		client_filter_insert(client, pool,
			position->object ? pool->recent_sum : pool_sum_of_key(pool, handle->object),
			handle->index, slot);
	if (position->group)
		group_set(position->group, position->group_id, handle->index % GROUP_PAGES, page,
			slot);
	else
		pool_insert(
			client->tmem, pool, handle->object, handle->index, slot, page, position);
	enter(client, pool, handle, slot, page);
	pool->counts.puts++;
}

/* What a put has in hand, to be kept while its lock is released. */
struct put_hand {
	u32 slot;      /* of a frame; SLOT_NONE: none */
	bool admitted; /* as one persistent page more */
	bool hidden;   /* it is for a pool that is being restored */
};

/* Room in the index, and a frame, when they are not at hand. 0 with nothing evicted; -EAGAIN if the
 * lock was released or pages were evicted, so that the handle must be looked up again; -ENOMEM. */
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

static __attribute__((noinline)) int prepare_frame(
	struct tmem_client *client, const struct pool *pool, struct put_hand *hand)
{
	enum tmem_class class = pool->persistent ? PERSISTENT : EPHEMERAL;

	if (hand->slot == SLOT_NONE)
		hand->slot = client_take_slot(client, class);
	if (hand->slot != SLOT_NONE)
		return 0;
	hand->slot = evict_for(client, class);
	return hand->slot == SLOT_NONE ? -SLUICE_ENOMEM : -SLUICE_EAGAIN;
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
	pool->counts.replaced++;
	pool->counts.puts++;
	return 0;
}

/* Stores a page in a virtual slot, with a content that dense_place() found; false if there is no
 * such slot. */
static bool put_virtual(struct tmem_client *client, struct pool *pool,
	const struct tmem_handle *handle, struct position *position, u32 content)
{
	u32 slot = client_take_slot(client, VIRTUAL);
	struct page *page;

	if (slot == SLOT_NONE) {
		dense_release(client, pool->persistent ? PERSISTENT : EPHEMERAL, content);
		return false;
	}
	page = page_at(client->tmem, slot);
	WRITE_ONCE(page->client, content);
	dense_own(client, content, slot);
	insert(client, pool, handle, position, slot, page);
	return true;
}

/* A new page of a pool with modes. */
static int put_dense(struct tmem_client *client, struct pool *pool,
	const struct tmem_handle *handle, struct position *position, const void *data,
	struct put_hand *hand)
{
	/* What is looked at is our own copy: the guest may be writing. */
	u8 *copy = tmem_port_scratch()->page;
	u32 content, hash;
	struct block *block;
	enum dense_outcome outcome;
	int error;

	tmem_port_copy(copy, data);
	outcome = dense_place(client, pool, copy, &hand->slot, &content, &hash);
	if (outcome == DENSE_NEEDS_FRAME) {
		error = prepare_frame(client, pool, hand);
		if (error)
			return error;
		outcome = dense_place(client, pool, copy, &hand->slot, &content, &hash);
	}
	if (outcome == DENSE_PLACED && put_virtual(client, pool, handle, position, content))
		return 0;
	error = prepare_frame(client, pool, hand);
	if (error)
		return error;
	block = client_block(client, hand->slot);
	tmem_port_copy(block_frame(block, hand->slot), copy);
	insert(client, pool, handle, position, hand->slot, block_page(block, hand->slot));
	dense_note(client, pool, hand->slot, hash);
	hand->slot = SLOT_NONE;
	return 0;
}

static int put_plain(struct tmem_client *client, struct pool *pool,
	const struct tmem_handle *handle, struct position *position, const void *data,
	struct put_hand *hand)
{
	int error = prepare_frame(client, pool, hand);
	struct block *block;
	void *frame;

	if (error)
		return error;
	block = client_block(client, hand->slot);
	insert(client, pool, handle, position, hand->slot, block_page(block, hand->slot));
	frame = block_frame(block, hand->slot);
	/* A frame that was handed over holds the page already (flip.c). */
	if (likely(frame != data))
		tmem_port_copy(frame, data);
	hand->slot = SLOT_NONE;
	return 0;
}

/* Whether a page must be looked at, by a glance that a guest may fool to its own loss only: a page
 * that is not filled differs from its first word somewhere, most likely at once. */
static inline bool needs_look(const struct pool *pool, const void *data)
{
	const volatile u64 *words = data;

	return pool->modes && (pool->modes != TMEM_MODE_FILLED ||
				      (words[0] == words[1] && words[0] == words[PAGE_WORDS - 1]));
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
		if (!data || !pool->modes)
			return replace(client, pool, &position, data);
		/* The new data may need more or less than the old: it goes first. */
		client_drop_and_keep_slot(client, pool, &position);
		client->stats.puts_replaced++;
		/* It counts as replaced, not as flushed. */
		pool->counts.flushed_pages--;
		pool->counts.replaced++;
		return -SLUICE_EAGAIN;
	}
	if (unlikely(!data))
		return -SLUICE_EFAULT;
	if (pool->persistent && !hand->admitted) {
		hand->admitted = admit_persistent(client);
		if (!hand->admitted)
			return -SLUICE_ENOSPC;
	}
	error = position.group ? 0 : prepare_index(client, pool);
	if (!error)
		error = needs_look(pool, data)
				? put_dense(client, pool, handle, &position, data, hand)
				: put_plain(client, pool, handle, &position, data, hand);
	if (!error)
		hand->admitted = false;
	return error;
}

/* Gives back what a put that failed or was a replacement still has in hand, and counts it. */
static __attribute__((noinline)) void end_put(
	struct tmem_client *client, s32 pool_id, struct put_hand *hand, int result)
{
	struct tmem *tmem = client->tmem;
	struct pool *pool = named_pool(client, pool_id);

	if (hand->slot != SLOT_NONE)
		client_give_slot(
			client, block_of(tmem, hand->slot), page_at(tmem, hand->slot), hand->slot);
	if (hand->admitted)
		__atomic_fetch_sub(&tmem->persistent_pages, 1, __ATOMIC_RELAXED);
	if (result >= 0)
		return;
	client->stats.puts++;
	if (result == -SLUICE_ENOSPC || result == -SLUICE_ENOMEM) {
		client->stats.puts_refused++;
		if (pool)
			pool->counts.refusals++;
	}
}

int client_put(
	struct tmem_client *client, const struct tmem_handle *handle, const void *page, bool hidden)
{
	struct put_hand hand = {.slot = SLOT_NONE, .hidden = hidden};
	int result;

	do
		result = put_once(client, handle, page, &hand);
	while (unlikely(result == -SLUICE_EAGAIN));
	if (unlikely(result || hand.slot != SLOT_NONE || hand.admitted))
		end_put(client, handle->pool, &hand, result);
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

	if (unlikely(!pool || pool->special || !data))
		return false;
	group = pool_recent_group(pool, handle->object, handle->index);
	if (!group || group->pages[place] || unlikely(needs_look(pool, data)))
		return false;
	class = unlikely(pool->persistent) ? PERSISTENT : EPHEMERAL;
	if (!client->magazines[class].count || (class == PERSISTENT && !admit_persistent(client)))
		return false;
	slot = client_slot_at_hand(client, class);
	block = client_block(client, slot);
	page = block_page(block, slot);
	if (unlikely(pool->filter))
		client_filter_insert(client, pool, pool->recent_sum, handle->index, slot);
	group_set(group, pool->recent_group_id, place, page, slot);
	enter(client, pool, handle, slot, page);
	pool->counts.puts++;
	tmem_port_copy(block_frame(block, slot), data);
	if (pool_samples(pool, pool->recent_sum, handle->index))
		client_sampled(client, pool, handle, TMEM_EVENT_PUT);
	return true;
}

int tmem_put(struct tmem_client *client, const struct tmem_handle *handle, const void *page)
{
	int result = 0;

	client_lock(client);
	client_note_use(client);
	if (unlikely(!put_neighbour(client, handle, page))) {
		result = client_put(client, handle, page, false);
		client_sample_put(client, handle, result);
	}
	if (unlikely(client->aging))
		aging_fit(client);
	if (unlikely(client->filter_due))
		client_filter_work(client);
	client_unlock(client);
	return unlikely(result == POOL_IS_SHARED) ? shared_put(client, handle, page) : result;
}

/* ---- Get and flush ------------------------------------------------------------------ */

/* Copies the page at @position; a private ephemeral pool then has it no more. 0, or -EINVAL if its
 * content is broken. */
static inline __attribute__((always_inline)) int get_hit(
	struct tmem_client *client, struct pool *pool, const struct position *position, void *data)
{
	u32 slot = position->slot;
	struct block *block = client_block(client, slot);

	if (unlikely(block_is_virtual(block))) {
		int error = dense_fetch(client, block_page(block, slot)->client, data);

		if (error)
			return error;
	} else {
		tmem_port_copy(data, block_frame(block, slot));
	}
	pool->counts.hits++;
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

	tmem_port_copy(data, block_frame(block, slot));
	pool->counts.hits++;
	unqueue(client, page);
	queue_newest(client, pool, QUEUE_SMALL, slot, page);
	return 0;
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
	__atomic_fetch_add(&pool->counts.gets, 1, __ATOMIC_RELAXED);
	if (!pool_find(pool, handle->object, handle->index, &position)) {
		u64 sum = position.object ? pool->recent_sum
					  : pool_sum_of_key(pool, handle->object);

		if (unlikely(client->aging) && !pool->persistent)
			aging_get(client->aging, aging_hash(pool, sum, handle->index), false);
		if (pool_samples(pool, sum, handle->index))
			client_sampled(client, pool, handle, TMEM_EVENT_GET);
		return -SLUICE_ENOENT;
	}
	if (unlikely(pool->common))
		return get_and_keep(client, pool, position.slot, page);
	if (pool_samples(pool, pool->recent_sum, handle->index))
		client_sampled(client, pool, handle, TMEM_EVENT_GET);
	return get_hit(client, pool, &position, page);
}

/* The common case: the page beside the one before. False: none of it, else *@result. */
static inline bool get_neighbour(
	struct tmem_client *client, const struct tmem_handle *handle, void *data, int *result)
{
	struct pool *pool = named_pool(client, handle->pool);
	struct position position;

	if (unlikely(!pool || pool->special || !data))
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
	if (pool_samples(pool, pool->recent_sum, handle->index))
		client_sampled(client, pool, handle, TMEM_EVENT_GET);
	*result = get_hit(client, pool, &position, data);
	return true;
}

static __attribute__((noinline)) int get_locked(
	struct tmem_client *client, const struct tmem_handle *handle, void *page)
{
	int result = 0;

	client_lock(client);
	if (likely(get_neighbour(client, handle, page, &result))) {
		client_unlock(client);
		return result;
	}
	result = client_get(client, handle, page);
	client_unlock(client);
	return unlikely(result == POOL_IS_SHARED) ? shared_get(client, handle, page) : result;
}

/*
 * A miss without the lock: the object is not there, and nothing was changed while we looked. Pages
 * of persistent pools are worth a second look under the lock; misses of keys that are in a sample
 * have to be told. The pool may go away while it is read; its memory stays (metadata_retire()).
 */
static inline bool misses(const struct tmem_client *client, struct pool *pool,
	const struct tmem_handle *handle, u32 sequence)
{
	u64 hash = pool_object_hash(pool, handle->object);

	if (unlikely(pool->persistent || READ_ONCE(pool->special)) ||
		!pool_surely_lacks(pool, hash) ||
		unlikely(tmem_sample_word(pool_sum(pool, handle->object, hash), handle->index) <
			 READ_ONCE(pool->lock_below)))
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
		!misses(client, pool, handle, sequence))
		return get_locked(client, handle, page);
	return -SLUICE_ENOENT;
}

static inline __attribute__((always_inline)) int flush_page(
	struct tmem_client *client, const struct tmem_handle *handle)
{
	struct pool *pool = named_pool(client, handle->pool);
	struct position position;
	u64 sum;

	client->stats.flushes++;
	if (unlikely(!pool))
		return -SLUICE_EBADF;
	if (unlikely(pool->special && (pool->shared || pool->hidden)))
		return pool->hidden ? -SLUICE_EBADF : POOL_IS_SHARED;
	pool->counts.flushes++;
	if (pool_find(pool, handle->object, handle->index, &position)) {
		sum = pool->recent_sum;
		client_drop_and_keep_slot(client, pool, &position);
		client->stats.flushed_pages++;
	} else {
		sum = position.object ? pool->recent_sum : pool_sum_of_key(pool, handle->object);
	}
	if (pool_samples(pool, sum, handle->index))
		client_sampled(client, pool, handle, TMEM_EVENT_FLUSH);
	return 0;
}

int client_flush_page(struct tmem_client *client, const struct tmem_handle *handle)
{
	return flush_page(client, handle);
}

int tmem_flush_page(struct tmem_client *client, const struct tmem_handle *handle)
{
	int result;

	client_lock(client);
	result = flush_page(client, handle);
	client_unlock(client);
	return unlikely(result == POOL_IS_SHARED) ? shared_flush_page(client, handle) : result;
}

static inline __attribute__((always_inline)) int flush_object_step(
	struct tmem_client *client, const struct tmem_handle *handle)
{
	struct pool *pool = named_pool(client, handle->pool);
	unsigned pages = TMEM_STEP_PAGES;
	u32 object_id;

	client->stats.flushes++;
	if (unlikely(!pool))
		return -SLUICE_EBADF;
	if (unlikely(pool->special && (pool->shared || pool->hidden)))
		return pool->hidden ? -SLUICE_EBADF : POOL_IS_SHARED;
	pool->counts.flushes++;
	object_id = pool_find_object(pool, handle->object);
	if (!object_id || client_flush_object(client, pool, object_id, &pages))
		return 0;
	return -SLUICE_EAGAIN;
}

int client_flush_object_step(struct tmem_client *client, const struct tmem_handle *handle)
{
	return flush_object_step(client, handle);
}

int tmem_flush_object(struct tmem_client *client, const struct tmem_handle *handle)
{
	int result;

	client_lock(client);
	result = flush_object_step(client, handle);
	client_unlock(client);
	return unlikely(result == POOL_IS_SHARED) ? shared_flush_object(client, handle) : result;
}
