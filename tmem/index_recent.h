/*
 * What a pool remembers of the last lookup (struct pool), as the files of its index keep it. The
 * client's lock is held.
 */
#ifndef TMEM_INDEX_RECENT_H
#define TMEM_INDEX_RECENT_H

#include "tmem/client.h"
#include "tmem/index.h"

/* The key of a group in its table. */
static inline u64 pool_group_key(u32 object_id, u32 number)
{
	return (u64)object_id << 32 | number;
}

/* The hash of a group, by which it is looked up now. */
static inline u64 pool_group_hash(const struct pool *pool, u32 object_id, u32 number)
{
	return hash_word(pool->group_table.now.keys, pool_group_key(object_id, number));
}

static inline void pool_set_recent_word(struct pool *pool, u64 word)
{
	pool->recent_key[0] = word;
	WRITE_ONCE(pool->client->recent_words[pool->id], word);
}

static inline void pool_forget_recent_object(struct pool *pool)
{
	pool->recent_object = NULL;
	pool->recent_number = pool->absent_number = NO_GROUP;
	/* Its pages are not likely to be hit any more. */
	pool_set_recent_word(pool, ~pool->recent_key[0]);
}

/* @sum is the object's. */
static inline void pool_set_recent_object(struct pool *pool, struct object *object, u32 id, u64 sum)
{
	pool->recent_object = object;
	pool->recent_object_id = id;
	pool->recent_number = pool->absent_number = NO_GROUP;
	pool->recent_sum = sum;
	pool_set_recent_word(pool, object->key[0]);
	pool->recent_key[1] = object->key[1];
	pool->recent_key[2] = object->key[2];
}

static inline void pool_set_recent_group(struct pool *pool, struct group *group, u32 id)
{
	pool->recent_group = group;
	pool->recent_number = group->number;
	pool->recent_owner = (u32)PAGE_GROUPED | id;
}

#endif
