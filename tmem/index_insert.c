/*
 * Pages come into the index of a pool (tmem/index.h): with objects and groups that are made for
 * them, in memory that was reserved before.
 */
#include "tmem/index_recent.h"

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
	table_insert(tmem, &pool->group_table, pool_group_hash(pool, object_id, number), id);
	pool_set_recent_group(pool, group, id);
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

/* Gives the page in @slot an object of its own, with this @sum, which becomes the recent one;
 * returns its id, which is not in the table yet. */
static inline u32 make_object(
	struct pool *pool, const u64 key[3], u64 sum, u32 index, u32 slot, struct page *page)
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
	pool_set_recent_object(pool, object, object_id, sum);
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

void pool_add_object(struct pool *pool, const struct tmem_handle *handle, u64 hash,
	struct line *line, u32 slot, struct page *page)
{
	u32 object_id = make_object(
		pool, handle->object, hash + pool->salt, handle->index, slot, page);

	if (!likely(table_insert_at(&pool->object_table, line, hash, object_id)))
		insert_object(pool->client->tmem, pool, hash, object_id);
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
			make_object(
				pool, key, pool_sum(pool, key, position->hash), index, slot, page));
		return;
	}
	if (!position->object->grouped)
		group_only_page(tmem, pool, position->object_id, position->object);
	if (pool->recent_number != number)
		add_group(tmem, pool, position->object_id, position->object, number);
	pool_set_near(pool, index, page, slot);
}
