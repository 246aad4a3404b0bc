/*
 * Puts (tmem/tmem.h). A new page beside the one before it, for which all is at hand, takes a short
 * way at the end of this file; everything else is looked up, made room for, and put in its place.
 */
#include "tmem/tmem.h"

#include <abi/errno.h>

#include "tmem/aging.h"
#include "tmem/dense.h"
#include "tmem/evict.h"
#include "tmem/page_list.h"

/* ---- Accounts ----------------------------------------------------------------------- */

/* What is remembered of a page, on its way into the cache. */
struct recollection {
	u64 hash;
	const struct history_set *set;
};

/* @sum is that of the page's object. */
static inline struct recollection recollect(
	const struct tmem_client *client, const struct pool *pool, u64 sum, u32 index)
{
	u64 hash = aging_hash(pool, sum, index);

	return (struct recollection){hash, history_prefetch(&client->aging->history, hash)};
}

/* The list that the page joins by it. */
static inline __attribute__((always_inline)) struct page_list *choose_list(
	struct tmem_client *client, const struct recollection *recollection)
{
	enum queue queue = aging_put(client->aging, recollection->set, recollection->hash);

	client->main_pages += queue == QUEUE_MAIN;
	return &client->lists[queue];
}

static __attribute__((noinline)) struct page_list *choose_list_at_once(
	struct tmem_client *client, const struct pool *pool, u64 sum, u32 index)
{
	struct recollection recollection = recollect(client, pool, sum, index);

	return choose_list(client, &recollection);
}

/* A page is in the index, and becomes the newest of @list. */
static inline void enter_ephemeral(struct tmem_client *client, const struct pool *pool,
	struct page_list *list, u32 slot, struct page *page)
{
	u64 count = client->stats.ephemeral_pages + 1;

	WRITE_ONCE(client->stats.ephemeral_pages, count);
	if (unlikely(count > client->stats.ephemeral_peak))
		client->stats.ephemeral_peak = count;
	page_list_append(list, pool->mark, slot, page);
}

/* The store's own count was raised when the page was admitted. */
static inline void enter_persistent(
	struct tmem_client *client, const struct pool *pool, struct page *page)
{
	u64 count = ++client->stats.persistent_pages;

	if (count > client->stats.persistent_peak)
		client->stats.persistent_peak = count;
	page->next = pool->mark;
	page_set_state(page, SLOT_PERSISTENT);
}

/* ---- Any put ------------------------------------------------------------------------ */

/* Whether the client may hold one more persistent page; if so the store's count is raised at once,
 * so that two clients cannot both take the last one. */
static bool admit_persistent(struct tmem_client *client)
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

/* The page is in @slot, whose record is @page: everybody gets to know. */
static void insert(struct tmem_client *client, struct pool *pool, const struct tmem_handle *handle,
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

/* What a put has in hand, to be kept while its lock is released. */
struct put_hand {
	u32 slot;      /* of a frame; SLOT_NONE: none */
	bool admitted; /* as one persistent page more */
	bool hidden;   /* it is for a pool that is being restored */
	bool replaces; /* it found an old copy */
	bool sought;   /* slots_seek() was called for it */
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

/* The slot that a put needs no more, if it has one. */
static void give_back(struct tmem_client *client, struct put_hand *hand)
{
	struct block *block;

	if (hand->slot == SLOT_NONE)
		return;
	block = client_block(client, hand->slot);
	client_give_slot(client, block, block_page(block, hand->slot), hand->slot);
	hand->slot = SLOT_NONE;
}

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
	tmem_port_copy_away(block_frame(block_of(client->tmem, slot), slot), data);
	pool->counts.replaced++;
	pool->counts.puts++;
	return 0;
}

/* Stores a page in a virtual slot, with a content that dense_place() found. -ENOMEM: there is no
 * such slot; -EAGAIN: there was none, but the lock was released, or a page evicted, to find one. */
static int put_virtual(struct tmem_client *client, struct pool *pool,
	const struct tmem_handle *handle, struct position *position, u32 content,
	struct put_hand *hand)
{
	u32 slot = client_take_slot(client, VIRTUAL);
	struct page *page;

	if (slot == SLOT_NONE) {
		dense_release(client, pool, content);
		if (hand->sought)
			return -SLUICE_ENOMEM;
		hand->sought = true;
		slots_seek(client);
		return -SLUICE_EAGAIN;
	}
	page = page_at(client->tmem, slot);
	WRITE_ONCE(page->client, content);
	dense_own(client, content, slot);
	insert(client, pool, handle, position, slot, page);
	if (content_kind(content) == CONTENT_FILLED && !pool->persistent)
		evict_set_aside(client, slot);
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
		tmem_port_copy_away(frame, data);
	hand->slot = SLOT_NONE;
	return 0;
}

/* The frame of a slot in hand. */
static void *frame_in_hand(struct tmem_client *client, const struct put_hand *hand)
{
	return block_frame(client_block(client, hand->slot), hand->slot);
}

/* A new page of a pool with modes. */
static int put_dense(struct tmem_client *client, struct pool *pool,
	const struct tmem_handle *handle, struct position *position, const void *data,
	struct put_hand *hand)
{
	struct dense_look look = {.data = data};
	const void *copy;
	enum dense_outcome outcome;
	u32 slot;
	int error;

	if (pool->modes & TMEM_MODE_DEDUP)
		content_prefetch(data);
	if ((pool->modes & TMEM_MODE_FILLED) &&
		dense_place_filled(client, pool, data, &look.content)) {
		error = put_virtual(client, pool, handle, position, look.content, hand);
		if (error != -SLUICE_ENOMEM)
			return error;
	}
	if (!(pool->modes & ~TMEM_MODE_FILLED))
		return put_plain(client, pool, handle, position, data, hand);
	/* What else is looked at is our own copy: the guest may be writing. It is made where the
	 * page would have to go, if there is a frame at hand. */
	if (hand->slot == SLOT_NONE)
		hand->slot = client_take_slot(client, pool->persistent ? PERSISTENT : EPHEMERAL);
	look.copy = hand->slot == SLOT_NONE ? tmem_port_scratch()->page
					    : frame_in_hand(client, hand);
	copy = look.copy;
	slot = hand->slot;
	outcome = dense_place(client, pool, &look, &hand->slot);
	if (outcome == DENSE_NEEDS_FRAME) {
		error = prepare_frame(client, pool, hand);
		if (error)
			return error;
		outcome = dense_place(client, pool, &look, &hand->slot);
	}
	/* A frame that was taken is another's, and may hold something else by now. */
	if (slot != SLOT_NONE && hand->slot == SLOT_NONE) {
		copy = data;
		look.hash = 0;
	}
	if (outcome == DENSE_PLACED) {
		error = put_virtual(client, pool, handle, position, look.content, hand);
		if (!error)
			give_back(client, hand);
		if (error != -SLUICE_ENOMEM)
			return error;
		/* Those that could have shared its content are known already. */
		look.hash = 0;
	}
	error = prepare_frame(client, pool, hand);
	if (error)
		return error;
	slot = hand->slot;
	error = put_plain(client, pool, handle, position, copy, hand);
	dense_note(client, pool, slot, look.hash);
	return error;
}

/* Whether a page must be looked at, by a glance that a guest may fool to its own loss only: a page
 * that is not filled differs from its first word somewhere, most likely at once. */
static inline bool needs_look(const struct pool *pool, const void *data)
{
	const volatile u64 *words = data;

	return pool->modes && (pool->modes != TMEM_MODE_FILLED ||
				      (words[0] == words[1] && words[0] == words[PAGE_WORDS - 1]));
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
			(hand->slot == SLOT_NONE && !needs_look(pool, data) &&
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
		hand->admitted = admit_persistent(client);
		if (!hand->admitted)
			return -SLUICE_ENOSPC;
	}
	error = position.group ? 0 : prepare_index(client, pool);
	if (!error)
		error = needs_look(pool, data)
				? put_dense(client, pool, handle, &position, data, hand)
				: put_plain(client, pool, handle, &position, data, hand);
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

	give_back(client, hand);
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

/* ---- The common case ---------------------------------------------------------------- */

/* The page is a new one of the recent group and gets the slot at the top of @magazine, which has
 * @count; then it enters a list, or the accounts. */
static inline __attribute__((always_inline)) struct page *place_near(struct tmem_client *client,
	struct pool *pool, struct group *group, u32 place, struct magazine *magazine, u32 count)
{
	u32 slot = magazine->words[count];
	struct page *page = near_page(client, slot);

	group->places[place] |= slot;
	group->count++;
	page->owner = pool->recent_owner | place << PAGE_OWNER_BITS;
	WRITE_ONCE(magazine->count, count - 1);
	pool->counts.puts++;
	return page;
}

/* A persistent page of the recent group. */
static __attribute__((noinline)) bool put_persistent(struct tmem_client *client, struct pool *pool,
	const struct tmem_handle *handle, const void *data)
{
	struct page *page;
	u32 slot;

	if ((!client->magazines[PERSISTENT].count && !client_refill(client, PERSISTENT)) ||
		!admit_persistent(client))
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

/*
 * Where zero pages are not stored, a page that is a new one nearby is copied before the glance at
 * it: it is in the cache then, and how long the copy takes depends on that hardly (a glance some
 * time before it makes it slower if pages come in order of address). But if the last one may have
 * been filled the glance comes first, lest the page be copied in vain.
 */
static inline bool glance_can_wait(const struct pool *pool)
{
	return pool->modes == TMEM_MODE_FILLED && !pool->persistent && !pool->glances_first;
}

/* Copies @data to @slot, which is near. False: it may be filled, so it must be looked at. */
static inline bool copy_unless_filled(
	struct tmem_client *client, struct pool *pool, u32 slot, const void *data)
{
	tmem_port_copy_away(near_frame(client, slot), data);
	pool->glances_first = needs_look(pool, data);
	return likely(!pool->glances_first);
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
	page = place_near(
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

	give_back(client, &hand);
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
		if (!glance_can_wait(pool) && needs_look(pool, data))
			return near && !pool->persistent &&
			       put_dense_near(client, pool, handle, data);
		if (pool->persistent)
			return near && put_persistent(client, pool, handle, data);
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
		unlikely(pool->persistent && !admit_persistent(client)))
		return false;
	insert(client, pool, handle, &position, *slot, block_page(block, *slot));
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

/* For tmem_put(), with the client's lock held, which it releases. */
static __attribute__((noinline)) int put_slowly(
	struct tmem_client *client, const struct tmem_handle *handle, const void *page)
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

/*
 * For tmem_put(), with the client's lock held, which it releases: a page as it has it in a pool
 * that is persistent, or whose pages age, or may be full of one word. All that waits for memory is
 * done after the page was copied: what is remembered of it has come into the cache then.
 */
static inline __attribute__((always_inline)) int put_short(struct tmem_client *client,
	const struct tmem_handle *handle, const void *data, struct pool *pool,
	enum tmem_class class)
{
	struct magazine *magazine = &client->magazines[class];
	u32 place = handle->index % GROUP_PAGES, slot = magazine_top(magazine);
	const bool aged = class == EPHEMERAL && pool->aged;
	struct page_list *list = &client->lists[QUEUE_SMALL];
	struct recollection recollection;
	struct page *page;

	if (unlikely(pool->recent_group->places[place]) || !client_has_half(client, slot))
		return put_slowly(client, handle, data);
	if (aged)
		recollection = recollect(client, pool, pool->recent_sum, handle->index);
	/* Not after the copy: an atomic operation waits for all stores before it. */
	if (class == PERSISTENT && unlikely(!admit_persistent(client)))
		return put_slowly(client, handle, data);
	if (!copy_unless_filled(client, pool, slot, data)) {
		if (class == PERSISTENT)
			__atomic_fetch_sub(&client->tmem->persistent_held, 1, __ATOMIC_RELAXED);
		return put_slowly(client, handle, data);
	}
	if (aged)
		list = choose_list(client, &recollection);
	page = place_near(client, pool, pool->recent_group, place, magazine, magazine->count);
	if (class == PERSISTENT)
		enter_persistent(client, pool, page);
	else
		enter_ephemeral(client, pool, list, slot, page);
	if (client->aging)
		aging_fit(client);
	client_unlock(client);
	return 0;
}

static __attribute__((noinline)) int put_short_ephemeral(struct tmem_client *client,
	const struct tmem_handle *handle, const void *data, struct pool *pool)
{
	return put_short(client, handle, data, pool, EPHEMERAL);
}

static __attribute__((noinline)) int put_short_persistent(struct tmem_client *client,
	const struct tmem_handle *handle, const void *data, struct pool *pool)
{
	return put_short(client, handle, data, pool, PERSISTENT);
}

/* The same, before it is known which way the page takes. Apart, so that the plain way pays for
 * nothing of it. */
static __attribute__((noinline)) int put_uncommon(struct tmem_client *client,
	const struct tmem_handle *handle, const void *data, struct pool *pool)
{
	if (!pool_is_uncommonly_near(pool, handle->object, handle->index, POOL_SHORT_PUTS) ||
		pool->glances_first)
		return put_slowly(client, handle, data);
	return pool->persistent ? put_short_persistent(client, handle, data, pool)
				: put_short_ephemeral(client, handle, data, pool);
}

/* A new page of a pool without peculiarities beside the one before, and all that it needs is at
 * hand: no call but for the copy, so that next to nothing has to be kept over one. */
int tmem_put(struct tmem_client *client, const struct tmem_handle *handle, const void *page)
{
	struct magazine *magazine = &client->magazines[EPHEMERAL];
	struct group *group;
	struct pool *pool;
	u32 place, count, slot;

	client_lock(client);
	client_note_use(client);
	pool = named_pool(client, handle->pool);
	if (unlikely(!pool || !page))
		return put_slowly(client, handle, page);
	if (!pool_is_near(pool, handle->object, handle->index, POOL_PLAIN))
		return put_uncommon(client, handle, page, pool);
	group = pool->recent_group;
	place = handle->index % GROUP_PAGES;
	count = magazine->count;
	slot = magazine->words[count];
	if (unlikely(group->places[place]) || !client_has_half(client, slot))
		return put_slowly(client, handle, page);
	enter_ephemeral(client, pool, &client->lists[QUEUE_SMALL], slot,
		place_near(client, pool, group, place, magazine, count));
	tmem_port_copy_away(near_frame(client, slot), page);
	client_unlock(client);
	return 0;
}
