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

/* Secret, uniform in all bits, and the same whenever the page comes. */
static inline u64 aging_hash(const struct pool *pool, const u64 key[3], u32 index)
{
	const u64 *keys = pool->client->hash_keys;
	u64 hash = hash_words(keys, key[0], key[1], key[2]) + keys[0] * pool->id;

	hash = (hash ^ hash >> 32) + (u64)index * 0x9e3779b97f4a7c15UL;
	hash *= keys[1] | 1;
	return hash ^ hash >> 29;
}

/* The hash of the page at @position, which is in the index. */
u64 aging_hash_at(const struct pool *pool, const struct position *position);

/* The guest asks for a page; @hit: and gets it, so that it leaves. */
void aging_get(struct aging *aging, u64 hash, bool hit);
/* A page was evicted. */
void aging_evicted(struct aging *aging, u64 hash);

/* A get that misses may go without the client's lock. Any CPU. */
static inline bool aging_ignores_miss(const struct aging *aging, u64 hash)
{
	return !queues_sample(&aging->queues, hash);
}

/* The queue that a new page joins. @set: by history_prefetch(). */
enum queue aging_put(struct aging *aging, const struct history_set *set, u64 hash);

/* To be called after each put: fits the memory to the client now and then. */
void aging_fit(struct tmem_client *client);

/* The queue that gives up its oldest page; one of them is not empty. */
enum queue aging_victim(const struct tmem_client *client);

/* For the audit. */
void aging_visit(
	const struct aging *aging, void (*visit)(void *page, void *argument), void *argument);

#endif
