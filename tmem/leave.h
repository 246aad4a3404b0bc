/*
 * What the files of gets and flushes share (get.c and flush_page.c have the short ways, leave_any.c
 * every other): a page that is got from a private ephemeral pool leaves it as one that is flushed
 * does. The client's lock is held throughout, and the arguments are those of tmem_get() and
 * tmem_flush_page().
 */
#ifndef TMEM_LEAVE_H
#define TMEM_LEAVE_H

#include "tmem/aging.h"
#include "tmem/client_slots.h"
#include "tmem/index.h"
#include "tmem/page_list.h"

/* ---- Steps of the short ways --------------------------------------------------------- */

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
 * magazine. True: group and magazine need no more than another number; else leave_end() is due,
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

/* What is due when leave_place() said so. */
void leave_end(struct tmem_client *client, struct pool *pool);

/* ---- What the short ways do not serve (tmem/leave_any.c) ------------------------------ */

/* Any get and any flush of a page. Release the lock. */
int get_slowly(struct tmem_client *client, const struct tmem_handle *handle, void *page);
int flush_slowly(struct tmem_client *client, const struct tmem_handle *handle);

/* A get, or a flush where @page is NULL, of a pool with a miss filter: the page beside the one
 * before takes a short way. Releases the lock. */
int leave_filtered(struct tmem_client *client, const struct tmem_handle *handle, void *page,
	struct pool *pool);

#endif
