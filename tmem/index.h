/*
 * The index of a pool. An object with one page names it directly; otherwise its pages stand in
 * groups of 32 consecutive indices. Objects are found by their 192-bit key, groups by object and
 * index / 32, in two hash tables of the pool; what was looked up last needs neither. All of it is
 * guarded by the client's lock.
 *
 * Ids of objects and groups are those of the slabs, pages are named by their slot; 0 names nothing.
 */
#ifndef TMEM_INDEX_H
#define TMEM_INDEX_H

#include "tmem/pool.h"

/* ---- Records ------------------------------------------------------------------------ */

#define GROUP_PAGES 32U

/* page.owner of a stored page: PAGE_GROUPED, its place in the group in bits 26..30, the group's id
 * below; without PAGE_GROUPED the object's id. */
#define PAGE_GROUPED    BIT(31)
#define PAGE_OWNER_BITS 26

/* What the record of a stored page says: pool, and where in the index it stands. */
static inline u32 page_pool(const struct page *page)
{
	return page->next >> SLOT_BITS;
}
static inline bool page_is_grouped(const struct page *page)
{
	return page->owner & PAGE_GROUPED;
}
static inline u32 page_place(const struct page *page)
{
	return page->owner >> PAGE_OWNER_BITS & (GROUP_PAGES - 1);
}
static inline u32 page_owner(const struct page *page)
{
	return page->owner & ((1U << PAGE_OWNER_BITS) - 1);
}

/* Invariant: @first is not 0 while the object exists, and 0 in a free record. */
struct object {
	u64 key[3];
	u32 first : 31; /* the slot of its only page, or the first of its groups */
	u32 grouped : 1;
	union {
		u32 index;  /* of its only page */
		u32 groups; /* how many */
	};
};
_Static_assert(sizeof(struct object) == 32, "an object costs 32 bytes");
#define OBJECT_ID_SHIFT 7

/* Invariant: @count is the number of @places with a slot, and not 0. */
struct group {
	u32 object;
	u32 number;     /* index / 32 */
	u32 next, prev; /* groups of the object */
	u32 count;
	u32 places[GROUP_PAGES]; /* slots, and PLACE_SAMPLED */
};
_Static_assert(sizeof(struct group) == 148, "a group costs 148 bytes");

/*
 * The place's page is told of (pool_samples()), whether it is there or not. So the common paths,
 * which ask for a place without a page or for a slot at hand, find neither, and need not think of
 * samples. It is set when the group is made; where the pool's sums have changed since
 * (pool_open_filter()), those paths do not lead through the pool.
 */
#define PLACE_SAMPLED BIT(31)

/* The slot at place @place of a group, SLOT_NONE if none. */
static inline u32 group_slot(const struct group *group, u32 place)
{
	return group->places[place] & SLOT_MASK;
}

static inline void group_set_slot(struct group *group, u32 place, u32 slot)
{
	group->places[place] = (group->places[place] & (u32)PLACE_SAMPLED) | slot;
}
#define GROUP_ID_SHIFT 5

/* Records by their ids. */
static inline struct object *object_at(const struct pool *pool, u32 id)
{
	return SLAB_AT(struct object, OBJECT_ID_SHIFT, &pool->objects, id);
}

static inline struct group *group_at(const struct pool *pool, u32 id)
{
	return SLAB_AT(struct group, GROUP_ID_SHIFT, &pool->groups, id);
}

/* Where a page is, or would be: what was found on the way is not 0 and not NULL. */
struct position {
	u32 object_id, group_id, slot;
	u64 hash; /* pool_object_hash(), where the object was not found */
	struct object *object;
	struct group *group;
};

/* ---- What was looked up last ---------------------------------------------------------- */

/* Whether @key is that of the recent object, which the last call dealt with. */
static inline bool pool_key_is_recent(const struct pool *pool, const u64 key[3])
{
	return likely(!((pool->recent_key[0] ^ key[0]) | (pool->recent_key[1] ^ key[1]) |
			(pool->recent_key[2] ^ key[2])));
}

/* Whether page @index of the object with @key belongs into the recent group, and there is nothing
 * to think of but what is in @expected, of @uncommon. */
#define UNCOMMON(field, value)                                                                     \
	((u64)(value) << 8 * (offsetof(struct pool, field) - offsetof(struct pool, uncommon)))
#define POOL_PLAIN          0UL
#define POOL_AGED_OR_FILLED (UNCOMMON(modes, TMEM_MODE_FILLED) | UNCOMMON(aged, true))
#define POOL_SHORT_PUTS     (POOL_AGED_OR_FILLED | UNCOMMON(persistent, true))
#define POOL_FILTERED       (POOL_AGED_OR_FILLED | UNCOMMON(filtered, true))
static inline bool pool_is_near(const struct pool *pool, const u64 key[3], u32 index, u64 expected)
{
	return likely(!((pool->recent_key[0] ^ key[0]) | (pool->recent_key[1] ^ key[1]) |
			(pool->recent_key[2] ^ key[2]) | (pool->uncommon & ~expected))) &&
	       likely(pool->recent_number == index / GROUP_PAGES);
}

/* The same where there is something to think of: after pool_is_near() with POOL_PLAIN. */
static inline bool pool_is_uncommonly_near(
	const struct pool *pool, const u64 key[3], u32 index, u64 expected)
{
	return pool->uncommon && pool_is_near(pool, key, index, expected);
}

/* The group of the last call. */
static inline u32 pool_recent_group_id(const struct pool *pool)
{
	return pool->recent_owner & ((1U << PAGE_OWNER_BITS) - 1);
}

/* The sum of the object with @key, which is at hand if that is the recent one. */
static inline u64 pool_sum_recent(const struct pool *pool, const u64 key[3])
{
	return pool->recent_object && pool_key_is_recent(pool, key) ? pool->recent_sum
								    : pool_sum_of_key(pool, key);
}

/* ---- Finding ------------------------------------------------------------------------ */

/* The object with @key or 0, which becomes the recent one, and whether that has a group with this
 * number, which becomes the recent one; without one of these, the recent ones stay. */
u32 pool_find_object(struct pool *pool, const u64 key[3]);
u32 pool_find_hashed(struct pool *pool, const u64 key[3], u64 hash);
bool pool_find_group(struct pool *pool, u32 number);
/* Where the page in @slot stands. */
void pool_locate(struct pool *pool, u32 slot, struct position *position);

/* Whether the pool surely has no page of the object with that @hash, and is not special, by one
 * look that needs no lock; but then it says something only if nothing was changed meanwhile
 * (client_begin_look()). A pool whose table is moving is rekeyed, and so special. */
static inline bool pool_surely_lacks(const struct pool *pool, u64 hash)
{
	const struct line *line = table_may_have(&pool->object_table, hash);

	return likely(!line || line_surely_lacks(line, hash)) && !READ_ONCE(pool->special);
}

/* Finds page @index of the object with @key; @position says how far it got. Returns its slot or
 * 0. */
static inline u32 pool_find(
	struct pool *pool, const u64 key[3], u32 index, struct position *position)
{
	struct object *object = pool->recent_object;

	position->group = NULL;
	position->slot = 0;
	if (object && pool_key_is_recent(pool, key)) {
		position->object_id = pool->recent_object_id;
	} else {
		position->hash = pool_object_hash(pool, key);
		position->object_id = pool_find_hashed(pool, key, position->hash);
		if (!position->object_id) {
			position->object = NULL;
			return 0;
		}
		object = pool->recent_object;
	}
	position->object = object;
	if (!object->grouped) {
		if (object->index == index)
			position->slot = object->first;
		return position->slot;
	}
	if (pool->recent_number != index / GROUP_PAGES &&
		!pool_find_group(pool, index / GROUP_PAGES))
		return 0;
	position->group_id = pool_recent_group_id(pool);
	position->group = pool->recent_group;
	position->slot = group_slot(position->group, index % GROUP_PAGES);
	return position->slot;
}

/* The sum of the object at @position, which is in the index, and the index of the page there. */
static inline u64 pool_sum_at(const struct pool *pool, const struct position *position)
{
	return position->object == pool->recent_object
		       ? pool->recent_sum
		       : pool_sum_of_key(pool, position->object->key);
}
u32 pool_index_at(const struct pool *pool, const struct position *position);

/* ---- Inserting ---------------------------------------------------------------------- */

/* What one put may need: an object; two groups, its own and one for the page that was alone so far;
 * and for each of these three a line. */
#define POOL_GROUPS_NEEDED 2U
#define POOL_LINES_NEEDED  TABLE_SPARE_LINES

/* Whether a put can go on without more memory for the index. */
static inline bool pool_is_ready(const struct pool *pool)
{
	return pool->objects.available && pool->groups.available >= POOL_GROUPS_NEEDED &&
	       pool->lines.available >= POOL_LINES_NEEDED && table_is_ready(&pool->object_table) &&
	       table_is_ready(&pool->group_table);
}

/* Makes room in the index for one more page: -ENOMEM when a page for metadata is missing. */
int __must_check pool_reserve(struct tmem *tmem, struct pool *pool);
/* Adds the page in @slot where pool_find() just found none and position->group is not there yet. */
void pool_insert(struct tmem *tmem, struct pool *pool, const u64 key[3], u32 index, u32 slot,
	struct page *page, struct position *position);
/* The same where there surely is no such object, in a pool that is neither filtered nor rekeyed;
 * @hash is pool_object_hash(), @line by pool_prefetch_insertion(). */
void pool_add_object(struct pool *pool, const struct tmem_handle *handle, u64 hash,
	struct line *line, u32 slot, struct page *page);
/* Gives the recent object, which has groups, one more for @index, which becomes the recent one and
 * must get a page then. Needs what pool_insert() needs. */
void pool_extend(struct tmem *tmem, struct pool *pool, u32 index);
/*
 * Fetches into the cache what the insertion of an object with @hash will touch: the line of the
 * table, which is returned (as table_look() does), and if that splits a bucket the records of
 * what is in it. The bucket's own line was fetched by the split before (table_grow.c).
 */
void pool_prefetch_split(const struct pool *pool);
static inline struct line *pool_prefetch_insertion(const struct pool *pool, u64 hash)
{
	struct line *line = table_look(&pool->object_table.now, hash);

	__builtin_prefetch(line, 1);
	if (unlikely(table_wants_bucket(&pool->object_table)))
		pool_prefetch_split(pool);
	return line;
}

/* The page of @index, with the record @page, comes into the recent group. */
static inline void pool_set_near(struct pool *pool, u32 index, struct page *page, u32 slot)
{
	struct group *group = pool->recent_group;
	u32 place = index % GROUP_PAGES;

	group_set_slot(group, place, slot);
	group->count++;
	page->owner = pool->recent_owner | place << PAGE_OWNER_BITS;
}

/* ---- Removing ----------------------------------------------------------------------- */

/* The page at @position was the last of its group, or of its object: they go. */
void pool_remove_group(struct tmem *tmem, struct pool *pool, const struct position *position);
void pool_remove_object(struct tmem *tmem, struct pool *pool, const struct position *position);

/* The page at @place of the recent group leaves it. */
void pool_remove_recent_group(struct tmem *tmem, struct pool *pool);
static inline void pool_remove_near(struct tmem *tmem, struct pool *pool, u32 place)
{
	struct group *group = pool->recent_group;

	group_set_slot(group, place, SLOT_NONE);
	if (unlikely(--group->count == 0))
		pool_remove_recent_group(tmem, pool);
}

/* Takes the page at @position, as found or located, out of the index. */
static inline void pool_remove(struct tmem *tmem, struct pool *pool,
	const struct position *position, const struct page *page)
{
	struct group *group = position->group;

	if (!group) {
		pool_remove_object(tmem, pool, position);
		return;
	}
	group_set_slot(group, page_place(page), SLOT_NONE);
	if (unlikely(--group->count == 0))
		pool_remove_group(tmem, pool, position);
}

#endif
