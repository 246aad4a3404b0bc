/*
 * How a client's ephemeral pages age: what it remembers of pages that left (history.h), and by that
 * the queue that a page joins (queues.h). Only of clients whose host says how large the guest is;
 * others' pages go first in, first out, and cost nothing here. Guarded by the client's lock.
 */
#ifndef TMEM_AGING_H
#define TMEM_AGING_H

#include "lib/types.h"
#include "tmem/client.h"
#include "tmem/history.h"
#include "tmem/queues.h"

#define AGING_PERIOD 64U /* puts between two looks at the sizes */

struct aging {
	struct history history;
	struct queues queues;
	u64 guest_pages; /* of the guest's RAM: what a page passes through before it comes again */
	u32 puts;
};

/* In a metadata page of its own; -ENOMEM. client->aging is set. */
int __must_check aging_create(struct tmem_client *client, u64 guest_pages);
void aging_destroy(struct tmem_client *client);

/* The hash of page @index of the object with that sum: the same whenever the page comes. */
static inline u64 aging_hash(const struct pool *pool, u64 sum, u32 index)
{
	return handle_hash(pool->client->hash_keys[1], sum, index);
}

/* The hash of the page at @position, which is in the index. */
u64 aging_hash_at(const struct pool *pool, const struct position *position);

/* The guest asks for a page; @hit: and gets it, so that it leaves. */
static inline void aging_get(struct aging *aging, u64 hash, bool hit)
{
	queues_get(&aging->queues, hash, false);
	if (hit)
		history_note_later(&aging->history, hash, DEPARTURE_HIT);
}

/* A page was evicted. */
static inline void aging_evicted(struct aging *aging, u64 hash)
{
	history_note_later(&aging->history, hash, DEPARTURE_EVICTED);
}

/* The queue that a new page joins. @set: by history_prefetch(), and if something was done meanwhile
 * that took some 100 ns, nobody waits for memory here. What is remembered is asked only where it
 * can make a difference. */
static inline enum queue aging_put(struct aging *aging, const struct history_set *set, u64 hash)
{
	enum departure last = DEPARTURE_UNKNOWN;

	history_settle(&aging->history);
	if (aging->queues.rule != RULE_FIFO || queues_sample(&aging->queues, hash))
		last = history_recall(set, hash);
	return queues_put(&aging->queues, hash, last);
}

/* To be called after each put: fits the memory to the client now and then, and pool->lock_upto to
 * the sample. */
void aging_fit_now(struct tmem_client *client);
static inline void aging_fit(struct tmem_client *client)
{
	if (unlikely(!(++client->aging->puts % AGING_PERIOD)))
		aging_fit_now(client);
}

/* The queue that gives up its oldest page, of those that are not set aside; one of them is not
 * empty. */
enum queue aging_victim(const struct tmem_client *client);

/* For the audit. */
void aging_visit(
	const struct aging *aging, void (*visit)(void *page, void *argument), void *argument);

#endif
