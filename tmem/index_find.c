/*
 * Finding objects, groups and pages of a pool (tmem/index.h).
 */
#include "tmem/index_recent.h"

static inline bool match_object(const void *owner, const void *key, u32 id)
{
	const struct object *object = object_at(owner, id);
	const u64 *words = key;

	return object->key[0] == words[0] && object->key[1] == words[1] &&
	       object->key[2] == words[2];
}

static inline bool match_group(const void *owner, const void *key, u32 id)
{
	const struct group *group = group_at(owner, id);

	return pool_group_key(group->object, group->number) == *(const u64 *)key;
}

/* What has not moved to the new part yet. */
static COLD __attribute__((noinline)) u32 find_old_object(const struct pool *pool, const u64 key[3])
{
	const struct table *table = &pool->object_table;

	return table_find_part(table, &table->old,
		hash_words(table->old.keys, key[0], key[1], key[2]), match_object, key);
}

static COLD __attribute__((noinline)) u32 find_old_group(const struct pool *pool, u64 key)
{
	const struct table *table = &pool->group_table;

	return table_find_part(
		table, &table->old, hash_word(table->old.keys, key), match_group, &key);
}

static __attribute__((noinline)) u32 search_object(struct pool *pool, const u64 key[3], u64 hash)
{
	const struct table *table = &pool->object_table;
	u32 id = table_find_part(table, &table->now, hash, match_object, key);

	if (!id && table_is_moving(table))
		id = find_old_object(pool, key);
	if (id)
		pool_set_recent_object(pool, object_at(pool, id), id, pool_sum(pool, key, hash));
	return id;
}

u32 pool_find_hashed(struct pool *pool, const u64 key[3], u64 hash)
{
	const struct table *table = &pool->object_table;

	if (!table_may_have(table, hash) && !table_is_moving(table))
		return 0;
	return search_object(pool, key, hash);
}

u32 pool_find_object(struct pool *pool, const u64 key[3])
{
	return pool_find_hashed(pool, key, pool_object_hash(pool, key));
}

static bool search_group(struct pool *pool, u64 key, u64 hash)
{
	const struct table *table = &pool->group_table;
	u32 id = table_find_part(table, &table->now, hash, match_group, &key);

	if (!id && table_is_moving(table))
		id = find_old_group(pool, key);
	if (id)
		pool_set_recent_group(pool, group_at(pool, id), id);
	return id != 0;
}

/* Most objects have one group or two, which need no table. */
#define FEW_GROUPS 2U
static bool search_few_groups(struct pool *pool, u32 number)
{
	for (u32 id = pool->recent_object->first; id;) {
		struct group *group = group_at(pool, id);

		if (group->number == number) {
			pool_set_recent_group(pool, group, id);
			return true;
		}
		id = group->next;
	}
	return false;
}

bool pool_find_group(struct pool *pool, u32 number)
{
	u64 key = pool_group_key(pool->recent_object_id, number);

	if (pool->absent_number == number)
		return false;
	if (pool->recent_object->groups <= FEW_GROUPS
			? search_few_groups(pool, number)
			: search_group(
				  pool, key, pool_group_hash(pool, pool->recent_object_id, number)))
		return true;
	pool->absent_number = number;
	return false;
}

void pool_locate(struct pool *pool, u32 slot, struct position *position)
{
	const struct page *page = page_at(pool->client->tmem, slot);

	position->slot = slot;
	if (page_is_grouped(page)) {
		position->group_id = page_owner(page);
		position->group = group_at(pool, position->group_id);
		position->object_id = position->group->object;
	} else {
		position->group = NULL;
		position->object_id = page_owner(page);
	}
	position->object = object_at(pool, position->object_id);
}

u32 pool_index_at(const struct pool *pool, const struct position *position)
{
	if (!position->group)
		return position->object->index;
	return position->group->number * GROUP_PAGES +
	       page_place(page_at(pool->client->tmem, position->slot));
}
