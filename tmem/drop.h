/*
 * How a page leaves the store (drop.c), for all that make one go: gets, flushes, evictions, puts
 * that fail. The client's lock is held; who calls counts what happened.
 */
#ifndef TMEM_DROP_H
#define TMEM_DROP_H

#include "tmem/client.h"
#include "tmem/client_slots.h"
#include "tmem/index.h"

/* A page, of which @page is the record, leaves the queue it is in. */
void drop_from_queue(struct tmem_client *client, const struct page *page, u32 slot);

/* What a page of a pool with modes leaves besides its slot. */
void client_drop_content(
	struct tmem_client *client, struct pool *pool, u32 slot, struct page *page);

/* What is due when the last page of a class has gone. */
void client_no_pages_left(struct tmem_client *client, enum tmem_class class);

/* The page at @position in @pool leaves index, queue and accounts; the state of its record is the
 * caller's to set. For the files that have to do it without a call. */
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
		drop_from_queue(client, page, position->slot);
		if (unlikely(left == 0))
			client_no_pages_left(client, EPHEMERAL);
	}
	pool_remove(tmem, pool, position, page);
	if (unlikely(pool->filter))
		client_filter_removed(client, pool, hash, position->slot);
}

/* Drops the page at @position in @pool; its slot becomes nobody's and must be given on. */
void client_drop_page(struct tmem_client *client, struct pool *pool,
	const struct position *position, struct page *page);

/* Drops one and keeps the slot, in the magazine. */
void client_drop_and_keep_slot(
	struct tmem_client *client, struct pool *pool, const struct position *position);

#endif
