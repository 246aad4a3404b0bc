/*
 * Objects that are made, or become the recent one: what is compiled into pool.c and into the short
 * way of first pages (put_first.c). Guarded by the client's lock.
 */
#ifndef TMEM_OBJECT_H
#define TMEM_OBJECT_H

#include "tmem/client.h"

static inline void object_set_recent_word(struct pool *pool, u64 word)
{
	pool->recent_key[0] = word;
	WRITE_ONCE(pool->client->recent_words[pool->id], word);
}

/* @hash is by pool_object_hash(). */
static inline void object_set_recent(struct pool *pool, struct object *object, u32 id, u64 hash)
{
	pool->recent_object = object;
	pool->recent_object_id = id;
	pool->recent_number = pool->absent_number = NO_GROUP;
	pool->recent_sum = pool_sum(pool, object->key, hash);
	object_set_recent_word(pool, object->key[0]);
	pool->recent_key[1] = object->key[1];
	pool->recent_key[2] = object->key[2];
}

/* Gives the page in @slot an object of its own, which becomes the recent one; returns its id, which
 * is not in the table yet. */
static inline u32 object_make(
	struct pool *pool, const u64 key[3], u64 hash, u32 index, u32 slot, struct page *page)
{
	struct object *object;
	u32 object_id = slab_take(&pool->objects, sizeof(*object), (void **)&object);

	object->key[0] = key[0];
	object->key[1] = key[1];
	object->key[2] = key[2];
	object->first = slot & SLOT_MASK;
	object->grouped = 0;
	object->index = index;
	page->owner = object_id;
	object_set_recent(pool, object, object_id, hash);
	return object_id;
}

/* An object that surely is not there yet, for the page in @slot, comes into the index; @line is by
 * pool_prefetch_insertion(). */
static inline __attribute__((always_inline)) void object_add(struct tmem *tmem, struct pool *pool,
	const u64 key[3], u64 hash, struct line *line, u32 index, u32 slot, struct page *page)
{
	u32 object_id = object_make(pool, key, hash, index, slot, page);

	if (!likely(table_insert_at(&pool->object_table, line, hash, object_id)))
		pool_insert_object(tmem, pool, hash, object_id);
}

#endif
