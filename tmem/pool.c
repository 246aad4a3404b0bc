/*
 * Finding, inserting and removing pages of a pool (tmem/pool.h).
 */
#include "tmem/pool.h"

#include <abi/errno.h>

#include "tmem/client.h"

/* What one put may need: an object, two groups (its own, and one for the page that was alone so
 * far), and for each of these three a line. */
#define GROUPS_NEEDED 2U
#define LINES_NEEDED  TABLE_SPARE_LINES

static u64 group_key(u32 object_id, u32 number)
{
	return (u64)object_id << 32 | number;
}

static u64 rehash_object(const void *owner, const u64 keys[6], u32 id)
{
	const struct object *object = object_at(owner, id);

	return hash_words(keys, object->key[0], object->key[1], object->key[2]);
}

static u64 rehash_group(const void *owner, const u64 keys[6], u32 id)
{
	const struct group *group = group_at(owner, id);

	return hash_word(keys, group_key(group->object, group->number));
}

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

	return group_key(group->object, group->number) == *(const u64 *)key;
}

struct pool *pool_create(struct tmem_client *client, u8 id, bool persistent, const u64 uuid[2])
{
	struct pool *pool = metadata_alloc(client->tmem);

	_Static_assert(sizeof(*pool) <= PAGE_SIZE, "a pool is one page");
	if (!pool)
		return NULL;
	pool->client = client;
	pool->id = id;
	pool->persistent = persistent;
	memcpy(pool->uuid, uuid, sizeof(pool->uuid));
	slab_init(&pool->objects, sizeof(struct object));
	slab_init(&pool->groups, sizeof(struct group));
	slab_init(&pool->lines, sizeof(struct line));
	table_init(&pool->object_table, &pool->lines, client->hash_keys, rehash_object, pool);
	table_init(&pool->group_table, &pool->lines, client->hash_keys, rehash_group, pool);
	return pool;
}

void pool_free(struct tmem *tmem, struct pool *pool)
{
	table_destroy(tmem, &pool->object_table);
	table_destroy(tmem, &pool->group_table);
	slab_destroy(tmem, &pool->lines);
	slab_destroy(tmem, &pool->groups);
	slab_destroy(tmem, &pool->objects);
	metadata_free(tmem, pool);
}

/* ---- Finding
 * --------------------------------------------------------------------------------------------- */

static inline u32 find_object(struct pool *pool, const u64 key[3], u64 *hash)
{
	const struct table *table = &pool->object_table;
	u32 id;

	*hash = hash_words(table->now.keys, key[0], key[1], key[2]);
	if (table_is_empty(table))
		return 0;
	id = table_find_part(table, &table->now, *hash, match_object, key);
	if (!id && table_is_moving(table))
		id = table_find_part(table, &table->old,
			hash_words(table->old.keys, key[0], key[1], key[2]), match_object, key);
	return id;
}

static inline u32 find_group(struct pool *pool, u32 object_id, u32 number, u64 *hash)
{
	const struct table *table = &pool->group_table;
	u64 key = group_key(object_id, number);
	u32 id;

	*hash = hash_word(table->now.keys, key);
	if (table_is_empty(table))
		return 0;
	id = table_find_part(table, &table->now, *hash, match_group, &key);
	if (!id && table_is_moving(table))
		id = table_find_part(
			table, &table->old, hash_word(table->old.keys, key), match_group, &key);
	return id;
}

u32 pool_find(struct pool *pool, const u64 key[3], u32 index, struct position *position)
{
	struct object *object;

	position->group = NULL;
	position->page_id = 0;
	position->object_id = find_object(pool, key, &position->object_hash);
	if (!position->object_id) {
		position->object = NULL;
		return 0;
	}
	object = object_at(pool, position->object_id);
	position->object = object;
	if (!object->grouped) {
		if (object->index == index)
			position->page_id = object->first;
		return position->page_id;
	}
	position->group_id = find_group(
		pool, position->object_id, index / GROUP_PAGES, &position->group_hash);
	if (position->group_id) {
		position->group = group_at(pool, position->group_id);
		position->page_id = position->group->pages[index % GROUP_PAGES];
	}
	return position->page_id;
}

u32 pool_find_object(struct pool *pool, const u64 key[3])
{
	u64 hash;

	return find_object(pool, key, &hash);
}

void pool_locate(struct pool *pool, u32 id, struct position *position)
{
	const struct page *page = page_at(pool->client, id);

	position->page_id = id;
	if (page->grouped) {
		position->group_id = page->owner;
		position->group = group_at(pool, page->owner);
		position->object_id = position->group->object;
		position->group_hash = rehash_group(
			pool, pool->group_table.now.keys, position->group_id);
	} else {
		position->group = NULL;
		position->object_id = page->owner;
	}
	position->object = object_at(pool, position->object_id);
	position->object_hash = rehash_object(
		pool, pool->object_table.now.keys, position->object_id);
}

/* ---- Inserting
 * ---------------------------------------------------------------------------------------------- */

int pool_reserve(struct tmem *tmem, struct pool *pool)
{
	int error = slab_reserve(tmem, &pool->client->pages, 1);

	if (!error)
		error = slab_reserve(tmem, &pool->objects, 1);
	if (!error)
		error = slab_reserve(tmem, &pool->groups, GROUPS_NEEDED);
	if (!error)
		error = slab_reserve(tmem, &pool->lines, LINES_NEEDED);
	if (!error)
		error = table_reserve(tmem, &pool->object_table);
	if (!error)
		error = table_reserve(tmem, &pool->group_table);
	return error;
}

/* A group without pages for indices from @number * 16 on, in the table and in its object's list. */
static struct group *add_group(
	struct tmem *tmem, struct pool *pool, u32 object_id, u32 number, u64 hash, u32 *id)
{
	struct object *object = object_at(pool, object_id);
	struct group *group;

	*id = slab_alloc(&pool->groups);
	group = group_at(pool, *id);
	*group = (struct group){
		.object = object_id,
		.number = number,
		.next = object->first,
	};
	if (object->first)
		group_at(pool, object->first)->prev = *id;
	object->first = *id;
	table_insert(tmem, &pool->group_table, hash, *id);
	return group;
}

static void group_set(
	struct tmem_client *client, struct group *group, u32 group_id, u32 place, u32 page_id)
{
	struct page *page = page_at(client, page_id);

	group->pages[place] = page_id;
	group->count++;
	page->grouped = 1;
	page->owner = group_id;
	page->place = place;
}

/* The object's only page moves into a group. */
static void group_only_page(
	struct tmem *tmem, struct pool *pool, u32 object_id, struct object *object)
{
	u32 page_id = object->first;
	u32 number = object->index / GROUP_PAGES;
	struct group *group;
	u32 group_id;

	object->grouped = 1;
	object->first = 0;
	group = add_group(tmem, pool, object_id, number,
		hash_word(pool->group_table.now.keys, group_key(object_id, number)), &group_id);
	group_set(pool->client, group, group_id, object->index % GROUP_PAGES, page_id);
}

void pool_insert(struct tmem *tmem, struct pool *pool, const u64 key[3], u32 index, u32 id,
	struct position *position)
{
	u32 number = index / GROUP_PAGES;
	struct object *object = position->object;
	struct page *page;

	if (!object) {
		position->object_id = slab_alloc(&pool->objects);
		object = object_at(pool, position->object_id);
		*object = (struct object){
			.key = {key[0], key[1], key[2]},
			.first = id,
			.index = index,
		};
		table_insert(tmem, &pool->object_table, position->object_hash, position->object_id);
		page = page_at(pool->client, id);
		page->grouped = 0;
		page->owner = position->object_id;
		return;
	}
	if (!object->grouped) {
		group_only_page(tmem, pool, position->object_id, object);
		position->group_id = find_group(
			pool, position->object_id, number, &position->group_hash);
		if (position->group_id)
			position->group = group_at(pool, position->group_id);
	}
	if (!position->group)
		position->group = add_group(tmem, pool, position->object_id, number,
			position->group_hash, &position->group_id);
	group_set(pool->client, position->group, position->group_id, index % GROUP_PAGES, id);
}

/* ---- Removing
 * --------------------------------------------------------------------------------------------------
 */

static void remove_object(struct tmem *tmem, struct pool *pool, const struct position *position)
{
	table_remove(tmem, &pool->object_table, position->object_hash, position->object_id);
	position->object->first = 0;
	slab_free(tmem, &pool->objects, position->object_id);
}

static void remove_group(struct tmem *tmem, struct pool *pool, const struct position *position)
{
	const struct group *group = position->group;

	table_remove(tmem, &pool->group_table, position->group_hash, position->group_id);
	if (group->next)
		group_at(pool, group->next)->prev = group->prev;
	if (group->prev)
		group_at(pool, group->prev)->next = group->next;
	else
		position->object->first = group->next;
	slab_free(tmem, &pool->groups, position->group_id);
}

void pool_remove(struct tmem *tmem, struct pool *pool, struct position *position)
{
	struct group *group = position->group;

	if (!group) {
		remove_object(tmem, pool, position);
		return;
	}
	group->pages[page_at(pool->client, position->page_id)->place] = 0;
	if (--group->count)
		return;
	remove_group(tmem, pool, position);
	if (!position->object->first)
		remove_object(tmem, pool, position);
}

u32 object_any_page(struct pool *pool, u32 object_id)
{
	const struct object *object = object_at(pool, object_id);
	const struct group *group;
	u32 place = 0;

	if (!object->grouped)
		return object->first;
	group = group_at(pool, object->first);
	while (place < GROUP_PAGES - 1 && !group->pages[place])
		place++;
	return group->pages[place];
}

u32 pool_any_object(struct pool *pool)
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

void pool_visit(struct pool *pool, void (*visit)(void *page, void *argument), void *argument)
{
	table_visit(&pool->object_table, visit, argument);
	table_visit(&pool->group_table, visit, argument);
	slab_visit(&pool->lines, visit, argument);
	slab_visit(&pool->groups, visit, argument);
	slab_visit(&pool->objects, visit, argument);
	visit(pool, argument);
}
