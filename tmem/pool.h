/*
 * A pool and its index. An object with one page names it directly; otherwise its pages stand in
 * groups of 16 consecutive indices. Objects are found by their 192-bit key, groups by object and
 * index / 16, in two hash tables of the pool. All of it is guarded by the client's lock.
 *
 * Ids of objects and groups are those of the slabs, pages are named by their slot; 0 names nothing.
 */
#ifndef TMEM_POOL_H
#define TMEM_POOL_H

#include <abi/filter.h>

#include "lib/types.h"
#include "tmem/arena.h"
#include "tmem/slab.h"
#include "tmem/table.h"

struct filter;
struct tmem_client;

#define GROUP_PAGES 16U

/* page.owner of a stored page: PAGE_GROUPED, its place in the group in bits 27..30, the group's id
 * below; without PAGE_GROUPED the object's id. */
#define PAGE_GROUPED    BIT(31)
#define PAGE_OWNER_BITS 27

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
	u32 index; /* of its only page */
};
_Static_assert(sizeof(struct object) == 32, "an object costs 32 bytes");
#define OBJECT_ID_SHIFT 7

/* Invariant: @count is the number of @pages that are not 0, and not 0 itself. */
struct group {
	u32 object;
	u32 number;     /* index / 16 */
	u32 next, prev; /* groups of the object */
	u32 count;
	u32 pages[GROUP_PAGES]; /* slots */
};
_Static_assert(sizeof(struct group) == 84, "a group costs 84 bytes");
#define GROUP_ID_SHIFT 6

/* What happened in a pool; successful puts only. */
struct pool_counts {
	u64 puts, gets, hits;
	u64 replaced; /* of the puts */
	u64 flushes, flushed_pages;
	u64 evictions, refusals;
};

/* At whose pool a guest has a seat: see tmem/shared.c. */
struct seat {
	struct tmem_client *owner;
	u32 life; /* the owner's */
	u32 weight;
};

struct pool {
	struct tmem_client *client;
	u8 id;
	bool persistent;
	u8 modes; /* TMEM_MODE_* */
	/* A pool with any of these is not served by the common paths. */
	union {
		struct {
			bool dying;  /* being destroyed */
			bool frozen; /* its client is: puts are refused */
			bool capped; /* its client has a cap for ephemeral pages */
			bool shared; /* a seat at a shared pool; it has no pages itself */
			bool common; /* a shared pool itself: a get keeps the page */
			bool hidden; /* being restored: its guest does not see it */
		};
		u64 special;
	};
	u32 cursor; /* no object of a dying pool has an id below this */
	/* What says of a key whether it is sampled, and is the seed of its hashes: the sum of its
	 * object. That is the hash which the table of objects goes by anyhow, and @salt; unless
	 * @apart: then it is computed for itself (pool_sum_apart()). */
	bool apart;
	u32 sample_threshold; /* of 2^32 keys so many are told of, and no get of one */
	u32 lock_below;       /* of these goes without the lock: see misses() in tmem.c */
	u64 salt;
	/* What was looked up last, NULL if it is gone: the next page is often its neighbour. */
	struct object *recent_object;
	u64 recent_key; /* its first word, for readers without the lock; stays when it is gone */
	struct group *recent_group;
	u32 recent_object_id, recent_group_id;
	u64 recent_sum; /* of the recent object */
	struct pool_counts counts;
	u64 uuid[2];
	struct filter *filter; /* NULL: no guest asked for it (tmem/window.h) */
	u64 filter_key[TMEM_FILTER_KEY_WORDS];
	struct seat seat; /* if @shared */
	struct slab objects, groups;
	struct slab lines; /* of long chains in both tables */
	struct table object_table, group_table;
};

/* Where a page is, or would be: what was found on the way is not 0 and not NULL. */
struct position {
	u32 object_id, group_id, slot;
	struct object *object;
	struct group *group;
};

/* A pool without pages in a metadata page of its own; NULL without memory. */
struct pool *pool_create(struct tmem_client *client, u8 id, bool persistent, const u64 uuid[2]);
/* Frees the index of a pool that has no pages. */
void pool_free(struct tmem *tmem, struct pool *pool);

/* The sum of the object with @key in a pool with @apart set. Any CPU: what it reads changes once,
 * with the client's sequence. */
u64 pool_sum_apart(const struct pool *pool, const u64 key[3]);
/* Sums of objects are those of the miss filter from now on. */
void pool_open_filter(struct pool *pool, struct filter *filter);

/* The object with @key or 0, and the group of the object for indices from @number * 16 on; what was
 * found becomes the recent one. */
u32 pool_find_object(struct pool *pool, const u64 key[3]);
u32 pool_find_group(struct pool *pool, u32 object_id, u32 number);
/* Where the page in @slot stands. */
void pool_locate(struct pool *pool, u32 slot, struct position *position);

/* What one put may need: an object; two groups, its own and one for the page that was alone so far;
 * and for each of these three a line. */
#define POOL_GROUPS_NEEDED 2U
#define POOL_LINES_NEEDED  TABLE_SPARE_LINES

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
/* The page at @position was the last of its group, or of its object: they go. */
void pool_remove_group(struct tmem *tmem, struct pool *pool, const struct position *position);
void pool_remove_object(struct tmem *tmem, struct pool *pool, const struct position *position);

/* The pages of a pool, from what has happened in it: so nothing is counted on the common paths. */
static inline u64 pool_pages(const struct pool *pool)
{
	const struct pool_counts *counts = &pool->counts;
	u64 left = counts->flushed_pages + counts->evictions;

	if (!pool->persistent && !pool->common)
		left += counts->hits;
	return counts->puts - counts->replaced - left;
}

/* Any object of a dying pool, or 0. */
u32 pool_any_object(struct pool *pool);

/* Calls @visit for each page of memory that the pool holds, its own included. */
void pool_visit(struct pool *pool, void (*visit)(void *page, void *argument), void *argument);

static inline struct object *object_at(const struct pool *pool, u32 id)
{
	return SLAB_AT(struct object, OBJECT_ID_SHIFT, &pool->objects, id);
}

static inline struct group *group_at(const struct pool *pool, u32 id)
{
	return SLAB_AT(struct group, GROUP_ID_SHIFT, &pool->groups, id);
}

/* The hash of the object with @key, by which it is looked up now. */
static inline u64 pool_object_hash(const struct pool *pool, const u64 key[3])
{
	return hash_words(pool->object_table.now.keys, key[0], key[1], key[2]);
}

/* Whether the pool surely has no page of the object with that @hash, by one look that needs no
 * lock; but then it says something only if nothing was changed meanwhile (client_sequence()). */
static inline bool pool_surely_lacks(const struct pool *pool, u64 hash)
{
	return table_surely_lacks(&pool->object_table, hash);
}

/* The object's sum; @hash is by pool_object_hash(). */
static inline u64 pool_sum(const struct pool *pool, const u64 key[3], u64 hash)
{
	return unlikely(READ_ONCE(pool->apart)) ? pool_sum_apart(pool, key) : hash + pool->salt;
}

static inline u64 pool_sum_of_key(const struct pool *pool, const u64 key[3])
{
	return pool_sum(pool, key, pool_object_hash(pool, key));
}

/* The same, which is at hand if the object is the recent one. */
static inline u64 pool_sum_recent(const struct pool *pool, const u64 key[3])
{
	const struct object *object = pool->recent_object;

	if (object && object->key[0] == key[0] && object->key[1] == key[1] &&
		object->key[2] == key[2])
		return pool->recent_sum;
	return pool_sum_of_key(pool, key);
}

/* Whether page @index of the object with that @sum is told of (tmem_port_sampled()). */
static inline bool pool_samples(const struct pool *pool, u64 sum, u32 index)
{
	return unlikely(tmem_sample_word(sum, index) < pool->sample_threshold);
}

/*
 * The hash of page @index of the object with that @sum. Its upper half is the word by which samples
 * are taken, the lower half is uniform even in a sample, and secret.
 */
static inline u64 handle_hash(u64 secret, u64 sum, u32 index)
{
	u64 hash = sum + index * 0x9e3779b97f4a7c15UL;

	hash = (hash ^ hash >> 32) * (secret | 1);
	return (u64)tmem_sample_word(sum, index) << 32 | hash >> 32;
}

/* Finds page @index of the object with @key; @position says how far it got. Returns its slot or
 * 0. */
static inline u32 pool_find(
	struct pool *pool, const u64 key[3], u32 index, struct position *position)
{
	struct object *object = pool->recent_object;
	struct group *group;

	position->group = NULL;
	position->slot = 0;
	if (object && object->key[0] == key[0] && object->key[1] == key[1] &&
		object->key[2] == key[2]) {
		position->object_id = pool->recent_object_id;
	} else {
		position->object_id = pool_find_object(pool, key);
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
	group = pool->recent_group;
	if (group && group->object == position->object_id && group->number == index / GROUP_PAGES) {
		position->group_id = pool->recent_group_id;
	} else {
		position->group_id = pool_find_group(
			pool, position->object_id, index / GROUP_PAGES);
		if (!position->group_id)
			return 0;
		group = pool->recent_group;
	}
	position->group = group;
	position->slot = group->pages[index % GROUP_PAGES];
	return position->slot;
}

/* The sum of the object at @position, which is in the index, and the index of the page there. */
static inline u64 pool_sum_at(const struct pool *pool, const struct position *position)
{
	return likely(position->object == pool->recent_object)
		       ? pool->recent_sum
		       : pool_sum_of_key(pool, position->object->key);
}
u32 pool_index_at(const struct pool *pool, const struct position *position);

static inline void group_set(
	struct group *group, u32 group_id, u32 place, struct page *page, u32 slot)
{
	group->pages[place] = slot;
	group->count++;
	page->owner = (u32)PAGE_GROUPED | place << PAGE_OWNER_BITS | group_id;
}

/* The group that was looked up last, if the page with @key and @index belongs there. */
static inline struct group *pool_recent_group(const struct pool *pool, const u64 key[3], u32 index)
{
	const struct object *object = pool->recent_object;
	struct group *group = pool->recent_group;

	if (unlikely(!object || !group))
		return NULL;
	if (object->key[0] != key[0] || object->key[1] != key[1] || object->key[2] != key[2] ||
		group->object != pool->recent_object_id || group->number != index / GROUP_PAGES)
		return NULL;
	return group;
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
	group->pages[page_place(page)] = 0;
	if (unlikely(--group->count == 0))
		pool_remove_group(tmem, pool, position);
}

#endif
