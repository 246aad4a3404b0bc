/*
 * Pools come and go, and the sums of their objects (tmem/pool.h).
 */
#include "tmem/index_recent.h"

#include "tmem/filter.h"

static u64 rehash_object(const void *owner, const u64 keys[6], u32 id)
{
	const struct object *object = object_at(owner, id);

	return hash_words(keys, object->key[0], object->key[1], object->key[2]);
}

static u64 rehash_group(const void *owner, const u64 keys[6], u32 id)
{
	const struct group *group = group_at(owner, id);

	return hash_word(keys, pool_group_key(group->object, group->number));
}

COLD struct pool *pool_create(struct tmem_client *client, u8 id, bool persistent, const u64 uuid[2])
{
	struct pool *pool = metadata_alloc(client->tmem);

	_Static_assert(sizeof(*pool) <= PAGE_SIZE, "a pool is one page");
	if (!pool)
		return NULL;
	pool->client = client;
	pool->id = id;
	pool->mark = (u32)id << SLOT_BITS;
	pool->recent_number = pool->absent_number = NO_GROUP;
	pool->persistent = persistent;
	pool->aged = client->aging && !persistent;
	pool->modes = client->modes[persistent ? PERSISTENT : EPHEMERAL];
	pool->sample_threshold = client->sample_threshold;
	pool_set_lock_upto(pool);
	pool->salt = client->hash_keys[0] * (id + 1U);
	memcpy(pool->uuid, uuid, sizeof(pool->uuid));
	slab_init(&pool->objects, sizeof(struct object));
	slab_init(&pool->groups, sizeof(struct group));
	slab_init(&pool->lines, sizeof(struct line));
	table_init(&pool->object_table, &pool->lines, client->hash_keys, rehash_object, pool);
	table_init(&pool->group_table, &pool->lines, client->hash_keys, rehash_group, pool);
	return pool;
}

COLD void pool_free(struct tmem *tmem, struct pool *pool)
{
	table_destroy(tmem, &pool->object_table);
	table_destroy(tmem, &pool->group_table);
	slab_destroy(tmem, &pool->lines);
	slab_destroy(tmem, &pool->groups);
	slab_destroy(tmem, &pool->objects);
	metadata_retire(tmem, pool);
}

/* ---- Sums --------------------------------------------------------------------------- */

u64 pool_sum_apart(const struct pool *pool, const u64 key[3])
{
	if (pool->filtered)
		return tmem_filter_object(pool->filter_key, key);
	return hash_words(pool->client->hash_keys, key[0], key[1], key[2]) + pool->salt;
}

COLD void pool_open_filter(struct pool *pool, struct filter *filter)
{
	tmem_port_random(pool->filter_key, TMEM_FILTER_KEY_WORDS);
	pool_forget_recent_object(pool);
	pool->filtered = true;
	pool_set_lock_upto(pool);
	pool->filter = filter;
}

COLD void pool_close_filter(struct pool *pool)
{
	pool_forget_recent_object(pool);
	pool->filtered = false;
	pool->filter = NULL;
}

/* ---- All that is there ---------------------------------------------------------------- */

COLD u32 pool_any_object(struct pool *pool)
{
	u32 leaf = pool->cursor >> OBJECT_ID_SHIFT;

	for (; (leaf = slab_next_leaf(&pool->objects, leaf)) != ~0U; leaf++) {
		u32 first = leaf << OBJECT_ID_SHIFT;

		pool->cursor = MAX(pool->cursor, first + 1);
		for (; pool->cursor <= first + pool->objects.per_leaf; pool->cursor++)
			if (object_at(pool, pool->cursor)->first)
				return pool->cursor;
	}
	return 0;
}

COLD void pool_visit(struct pool *pool, void (*visit)(void *page, void *argument), void *argument)
{
	table_visit(&pool->object_table, visit, argument);
	table_visit(&pool->group_table, visit, argument);
	slab_visit(&pool->lines, visit, argument);
	slab_visit(&pool->groups, visit, argument);
	slab_visit(&pool->objects, visit, argument);
	if (pool->filter)
		filter_visit(pool->filter, visit, argument);
	visit(pool, argument);
}
