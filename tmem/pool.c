/*
 * Finding, inserting and removing pages of a pool (tmem/pool.h).
 */
#include "tmem/pool.h"

#include <abi/errno.h>

#include "tmem/client.h"
#include "tmem/filter.h"

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

static void set_recent_word(struct pool *pool, u64 word)
{
	pool->recent_key[0] = word;
	WRITE_ONCE(pool->client->recent_words[pool->id], word);
}

static void forget_recent_object(struct pool *pool)
{
	pool->recent_object = NULL;
	pool->recent_number = pool->absent_number = NO_GROUP;
	/* Its pages are not likely to be hit any more. */
	set_recent_word(pool, ~pool->recent_key[0]);
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
	for (unsigned i = 0; i < TMEM_FILTER_KEY_WORDS; i++)
		pool->filter_key[i] = tmem_port_random();
	forget_recent_object(pool);
	pool->filtered = true;
	pool_set_lock_upto(pool);
	pool->filter = filter;
}

COLD void pool_close_filter(struct pool *pool)
{
	forget_recent_object(pool);
	pool->filtered = false;
	pool->filter = NULL;
}

/* ---- Finding ------------------------------------------------------------------------ */

/* @hash is by pool_object_hash(). */
static inline void set_recent_object(struct pool *pool, struct object *object, u32 id, u64 hash)
{
	pool->recent_object = object;
	pool->recent_object_id = id;
	pool->recent_number = pool->absent_number = NO_GROUP;
	pool->recent_sum = pool_sum(pool, object->key, hash);
	set_recent_word(pool, object->key[0]);
	pool->recent_key[1] = object->key[1];
	pool->recent_key[2] = object->key[2];
}

static void set_recent_group(struct pool *pool, struct group *group, u32 id)
{
	pool->recent_group = group;
	pool->recent_number = group->number;
	pool->recent_owner = (u32)PAGE_GROUPED | id;
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
		set_recent_object(pool, object_at(pool, id), id, hash);
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
		set_recent_group(pool, group_at(pool, id), id);
	return id != 0;
}

/* Most objects have one group or two, which need no table. */
#define FEW_GROUPS 2U
static bool search_few_groups(struct pool *pool, u32 number)
{
	for (u32 id = pool->recent_object->first; id;) {
		struct group *group = group_at(pool, id);

		if (group->number == number) {
			set_recent_group(pool, group, id);
			return true;
		}
		id = group->next;
	}
	return false;
}

bool pool_find_group(struct pool *pool, u32 number)
{
	u64 key = group_key(pool->recent_object_id, number);

	if (pool->absent_number == number)
		return false;
	if (pool->recent_object->groups <= FEW_GROUPS
			? search_few_groups(pool, number)
			: search_group(pool, key, hash_word(pool->group_table.now.keys, key)))
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

/* ---- Inserting ---------------------------------------------------------------------- */

void pool_prefetch_split(const struct pool *pool)
{
	const struct line *split = table_asks(&pool->object_table);

	for (u32 place = 0; split && place < LINE_PLACES; place++)
		if (split->tags[place])
			__builtin_prefetch(object_at(pool, entry_id(split->entries[place])));
}

int pool_reserve(struct tmem *tmem, struct pool *pool)
{
	int error = slab_reserve(tmem, &pool->objects, 1);

	if (!error)
		error = slab_reserve(tmem, &pool->groups, POOL_GROUPS_NEEDED);
	if (!error)
		error = slab_reserve(tmem, &pool->lines, POOL_LINES_NEEDED);
	if (!error)
		error = table_reserve(tmem, &pool->object_table);
	if (!error)
		error = table_reserve(tmem, &pool->group_table);
	return error;
}

/*
 * Of a row of up to 34 indices the sample words lie evenly: in units of 2^32 / 34, that of place i
 * is (21 i modulo 34) + 0.0132 i further than the first, and 21 * 13 is 1 modulo 34. So where the
 * threshold is at most one unit, two places can be below it, and these are computed.
 */
#define SAMPLE_ROW 34U

static void mark_if_sampled(struct group *group, u32 place, u32 first_word, u32 threshold)
{
	if (place < GROUP_PAGES && first_word + place * TMEM_SAMPLE_STEP < threshold)
		group->places[place] = (u32)PLACE_SAMPLED;
}

/* Not inlined: with nothing in it, a group needs none of this. */
static __attribute__((noinline)) void mark_sampled_places(
	const struct pool *pool, struct group *group)
{
	u32 word = tmem_sample_word(pool->recent_sum, group->number * GROUP_PAGES);
	u32 threshold = pool->sample_threshold;

	if (likely(threshold <= ~0U / SAMPLE_ROW)) {
		u32 unit = (u32)((u64)-word * SAMPLE_ROW >> 32); /* where the words begin anew */
		u32 place = unit * 13 % SAMPLE_ROW;

		mark_if_sampled(group, place, word, threshold);
		mark_if_sampled(group, (place + 13) % SAMPLE_ROW, word, threshold);
		return;
	}
	for (u32 place = 0; place < GROUP_PAGES; place++)
		mark_if_sampled(group, place, word, threshold);
}

/* A group of the recent object, without pages, for indices from @number * 32 on, in the table and
 * in its object's list; it becomes the recent one. */
static void add_group(
	struct tmem *tmem, struct pool *pool, u32 object_id, struct object *object, u32 number)
{
	struct group *group;
	u32 id = slab_take(&pool->groups, sizeof(*group), (void **)&group);

	*group = (struct group){
		.object = object_id,
		.number = number,
		.next = object->first,
	};
	if (pool->sample_threshold)
		mark_sampled_places(pool, group);
	if (object->first)
		group_at(pool, object->first)->prev = id;
	object->first = id & 0x7fffffff;
	object->groups++;
	table_insert(tmem, &pool->group_table,
		hash_word(pool->group_table.now.keys, group_key(object_id, number)), id);
	set_recent_group(pool, group, id);
	pool->absent_number = NO_GROUP;
}

/* The object's only page moves into a group. */
static void group_only_page(
	struct tmem *tmem, struct pool *pool, u32 object_id, struct object *object)
{
	u32 slot = object->first, index = object->index;

	object->grouped = 1;
	object->groups = 0;
	object->first = 0;
	add_group(tmem, pool, object_id, object, index / GROUP_PAGES);
	pool_set_near(pool, index, page_at(tmem, slot), slot);
}

/* Gives the page in @slot an object of its own, which becomes the recent one; returns its id, which
 * is not in the table yet. */
static inline u32 make_object(
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
	set_recent_object(pool, object, object_id, hash);
	return object_id;
}

static __attribute__((noinline)) void insert_object(
	struct tmem *tmem, struct pool *pool, u64 hash, u32 object_id)
{
	table_insert(tmem, &pool->object_table, hash, object_id);
	/* The sum outlives the keys of the table. */
	if (unlikely(pool->object_table.rekeys)) {
		pool->rekeyed = true;
		pool_set_lock_upto(pool);
	}
}

void pool_add_object(struct tmem *tmem, struct pool *pool, const u64 key[3], u64 hash,
	struct line *line, u32 index, u32 slot, struct page *page)
{
	u32 object_id = make_object(pool, key, hash, index, slot, page);

	if (!likely(table_insert_at(&pool->object_table, line, hash, object_id)))
		insert_object(tmem, pool, hash, object_id);
}

void pool_extend(struct tmem *tmem, struct pool *pool, u32 index)
{
	add_group(tmem, pool, pool->recent_object_id, pool->recent_object, index / GROUP_PAGES);
}

void pool_insert(struct tmem *tmem, struct pool *pool, const u64 key[3], u32 index, u32 slot,
	struct page *page, struct position *position)
{
	u32 number = index / GROUP_PAGES;

	if (!position->object) {
		insert_object(tmem, pool, position->hash,
			make_object(pool, key, position->hash, index, slot, page));
		return;
	}
	if (!position->object->grouped)
		group_only_page(tmem, pool, position->object_id, position->object);
	if (pool->recent_number != number)
		add_group(tmem, pool, position->object_id, position->object, number);
	pool_set_near(pool, index, page, slot);
}

/* ---- Removing ----------------------------------------------------------------------- */

void pool_remove_object(struct tmem *tmem, struct pool *pool, const struct position *position)
{
	table_remove(tmem, &pool->object_table,
		rehash_object(pool, pool->object_table.now.keys, position->object_id),
		position->object_id);
	position->object->first = 0;
	if (pool->recent_object == position->object)
		forget_recent_object(pool);
	slab_put(tmem, &pool->objects, OBJECT_ID_SHIFT, position->object_id, position->object);
}

void pool_remove_group(struct tmem *tmem, struct pool *pool, const struct position *position)
{
	struct group *group = position->group, *neighbour = NULL;
	bool was_recent = pool->recent_number != NO_GROUP && pool->recent_group == group;
	u32 neighbour_id = 0;

	table_remove(tmem, &pool->group_table,
		rehash_group(pool, pool->group_table.now.keys, position->group_id),
		position->group_id);
	if (was_recent)
		pool->recent_number = NO_GROUP;
	if (group->next) {
		neighbour = group_at(pool, group->next);
		neighbour->prev = group->prev;
		neighbour_id = group->next;
	}
	if (group->prev) {
		neighbour = group_at(pool, group->prev);
		neighbour->next = group->next;
		neighbour_id = group->prev;
	} else {
		position->object->first = group->next & 0x7fffffff;
	}
	position->object->groups--;
	/* Who came to the end of a group will go on in the one that was made after it. */
	if (was_recent && neighbour_id)
		set_recent_group(pool, neighbour, neighbour_id);
	slab_put(tmem, &pool->groups, GROUP_ID_SHIFT, position->group_id, group);
	if (!position->object->first)
		pool_remove_object(tmem, pool, position);
}

__attribute__((noinline)) void pool_remove_recent_group(struct tmem *tmem, struct pool *pool)
{
	const struct position position = {
		.object_id = pool->recent_object_id,
		.object = pool->recent_object,
		.group_id = pool_recent_group_id(pool),
		.group = pool->recent_group,
	};

	pool_remove_group(tmem, pool, &position);
}

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
