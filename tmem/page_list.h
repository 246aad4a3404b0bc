/*
 * A queue of a client's ephemeral pages, from the oldest to the newest: the pages' records name
 * their neighbours by slot. Guarded by the client's lock; other CPUs read a record's state at any
 * time, so that it changes in one store together with the neighbour before.
 *
 * Invariant: @head stands before the oldest page, and only its field "next" is used: the oldest
 * page's slot, 0 = none. @newest_page is the record of @newest, or &@head and 0 if there is none.
 */
#ifndef TMEM_PAGE_LIST_H
#define TMEM_PAGE_LIST_H

#include "tmem/client.h"
#include "tmem/client_slots.h"

/* An empty list, whose pages are in state @state. */
static inline void page_list_init(struct page_list *list, enum slot_state state)
{
	*list = (struct page_list){
		.newest_page = &list->head,
		.state = (u32)state << SLOT_BITS,
	};
}

/* The slot at its end; SLOT_NONE if it is empty. */
static inline u32 page_list_oldest(const struct page_list *list)
{
	return list->head.next;
}

static inline bool page_list_is_empty(const struct page_list *list)
{
	return !list->newest;
}

/* The page of the pool with that @mark enters at the end. */
static inline void page_list_append(struct page_list *list, u32 mark, u32 slot, struct page *page)
{
	page->next = mark;
	WRITE_ONCE(page->prev, list->state | list->newest);
	list->newest_page->next |= slot;
	list->newest = slot;
	list->newest_page = page;
}

/* Leaves the record of the page itself as it is. */
static inline void page_list_remove(
	struct tmem_client *client, struct page_list *list, const struct page *page, u32 slot)
{
	u32 next = page->next & SLOT_MASK, prev = page->prev & SLOT_MASK;
	struct page *before = prev ? client_page(client, prev) : &list->head;

	before->next ^= slot ^ next;
	if (likely(next)) {
		struct page *after = client_page(client, next);

		WRITE_ONCE(after->prev, after->prev ^ slot ^ prev);
	} else {
		list->newest = prev;
		list->newest_page = before;
	}
}

/* The page in @slot is in @to from now on; @page is its record there, a copy of the old one. */
static inline void page_list_rename(
	struct tmem_client *client, struct page_list *list, struct page *page, u32 slot, u32 to)
{
	u32 next = page->next & SLOT_MASK, prev = page->prev & SLOT_MASK;
	struct page *before = prev ? client_page(client, prev) : &list->head;

	before->next ^= slot ^ to;
	if (next) {
		struct page *after = client_page(client, next);

		WRITE_ONCE(after->prev, after->prev ^ slot ^ to);
	} else {
		list->newest = to;
		list->newest_page = page;
	}
}

#endif
