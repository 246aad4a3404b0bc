/*
 * What the files of puts share (put.c has the short ways, put_recent.c what is beside the page
 * before but not at hand, or goes before the rest is known; put_any.c every other put;
 * put_dense.c new pages that are looked at). The client's lock is held throughout, and the
 * arguments are those of tmem_put().
 */
#ifndef TMEM_PUT_H
#define TMEM_PUT_H

#include "tmem/aging.h"
#include "tmem/client_slots.h"
#include "tmem/content.h"
#include "tmem/index.h"
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

/* The list that the page joins by it; put_list() is the same, not inlined. */
static inline __attribute__((always_inline)) struct page_list *choose_list(
	struct tmem_client *client, const struct recollection *recollection)
{
	enum queue queue = aging_put(client->aging, recollection->set, recollection->hash);

	client->main_pages += queue == QUEUE_MAIN;
	return &client->lists[queue];
}
struct page_list *put_list(struct tmem_client *client, const struct recollection *recollection);

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

/* ---- Looks -------------------------------------------------------------------------- */

/* Whether a page must be looked at, by a glance that a guest may fool to its own loss only: a page
 * that is not filled differs from its first word somewhere, most likely at once. */
static inline bool put_needs_look(const struct pool *pool, const void *data)
{
	const volatile u64 *words = data;

	return pool->modes && (pool->modes != TMEM_MODE_FILLED ||
				      (words[0] == words[1] && words[0] == words[PAGE_WORDS - 1]));
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
	pool->glances_first = put_needs_look(pool, data);
	return likely(!pool->glances_first);
}

/* ---- Steps of the short ways, and of those beside the page before -------------------- */

/* The page is a new one of the recent group and gets the slot at the top of @magazine, which has
 * @count; then it enters a list, or the accounts. */
static inline __attribute__((always_inline)) struct page *put_near_page(struct tmem_client *client,
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

/* All that is not at hand (tmem/put_recent.c). Releases the lock. */
int put_slowly(struct tmem_client *client, const struct tmem_handle *handle, const void *page);
/* The same for a page of a private pool that was copied already to @slot, which is in hand. */
int put_copied(struct tmem_client *client, const struct tmem_handle *handle, u32 slot);

/* A frame, an evicted one if need be, into the magazine of ephemeral pages, which is empty; false
 * if there is none. May release the lock meanwhile. Client lock. */
bool put_fetch_frame(struct tmem_client *client);

/* A page that put_is_first() is true of, in a pool of that class (tmem/put_first.c). Releases the
 * lock. */
int put_first_ephemeral(struct tmem_client *client, const struct tmem_handle *handle,
	const void *data, struct pool *pool);
int put_first_persistent(struct tmem_client *client, const struct tmem_handle *handle,
	const void *data, struct pool *pool);

/* Whether the page is believed to be the first one of an object, since it is not in the object
 * before, which has one page; and the short ways serve the pool. */
static inline bool put_is_first(const struct pool *pool, const struct tmem_handle *handle)
{
	return !(pool->uncommon & ~POOL_SHORT_PUTS) && !pool->glances_first &&
	       pool->recent_object && !pool->recent_object->grouped &&
	       !pool_key_is_recent(pool, handle->object);
}

/* ---- Where a new page goes -------------------------------------------------------- */

/* Whether the client may hold one more persistent page; if so the store's count is raised at once,
 * so that two clients cannot both take the last one. */
bool put_admit_persistent(struct tmem_client *client);

/* The page is in @slot, whose record is @page: everybody gets to know. */
void put_insert(struct tmem_client *client, struct pool *pool, const struct tmem_handle *handle,
	struct position *position, u32 slot, struct page *page);

/* What a put has in hand, to be kept while its lock is released. */
struct put_hand {
	u32 slot;      /* of a frame; SLOT_NONE: none */
	bool admitted; /* as one persistent page more */
	bool hidden;   /* it is for a pool that is being restored */
	bool replaces; /* it found an old copy */
	bool sought;   /* slots_seek() was called for it */
};

/* A frame by eviction. Always an error: -EAGAIN if there is one in hand now, so that the handle
 * must be looked up again; -ENOMEM. */
int __must_check put_evict_frame(
	struct tmem_client *client, enum tmem_class class, struct put_hand *hand);
/* A frame in hand: 0 with nothing evicted and the lock held throughout, or as put_evict_frame(). */
static inline __must_check int put_prepare_frame(
	struct tmem_client *client, const struct pool *pool, struct put_hand *hand)
{
	enum tmem_class class = pool->persistent ? PERSISTENT : EPHEMERAL;

	if (hand->slot == SLOT_NONE)
		hand->slot = client_slot_at_hand(client, class);
	if (unlikely(hand->slot == SLOT_NONE))
		hand->slot = client_fetch_slot(client, class);
	return likely(hand->slot != SLOT_NONE) ? 0 : put_evict_frame(client, class, hand);
}

/* The slot that a put needs no more, if it has one. */
void put_give_back(struct tmem_client *client, struct put_hand *hand);

/* A new page, at @position, gets a frame of its own, or, in a pool with modes, perhaps none. 0, or
 * as put_prepare_frame(). */
int __must_check put_plain(struct tmem_client *client, struct pool *pool,
	const struct tmem_handle *handle, struct position *position, const void *data,
	struct put_hand *hand);
int __must_check put_dense(struct tmem_client *client, struct pool *pool,
	const struct tmem_handle *handle, struct position *position, const void *data,
	struct put_hand *hand);

#endif
