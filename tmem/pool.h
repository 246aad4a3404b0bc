/*
 * A pool and its index. An object with one page names it directly; otherwise its pages stand in
 * groups of 16 consecutive indices. Objects are found by their 192-bit key, groups by object and
 * index / 16, in two hash tables of the pool. All of it is guarded by the client's lock.
 *
 * Ids (of pages, objects, groups) are those of the slabs; 0 names nothing.
 */
#ifndef TMEM_POOL_H
#define TMEM_POOL_H

#include "lib/types.h"
#include "tmem/slab.h"
#include "tmem/table.h"

struct tmem_client;

/* A stored page. Ephemeral pages of a client form a list from the oldest to the newest. */
struct page {
	u32 next, prev;
	u32 slot : 28; /* where its data lies */
	u32 pool : 4;
	u32 place : 4; /* in its group */
	u32 grouped : 1;
	u32 owner : 27; /* group or, if not grouped, object */
};
_Static_assert(sizeof(struct page) == 16, "a page costs 16 bytes");
#define PAGE_ID_SHIFT 8

/* Invariant: @first is not 0 while the object exists, and 0 in a free record. */
struct object {
	u64 key[3];
	u32 first : 31; /* its only page, or the first of its groups */
	u32 grouped : 1;
	u32 index; /* of its only page */
};
_Static_assert(sizeof(struct object) == 32, "an object costs 32 bytes");
#define OBJECT_ID_SHIFT 7

#define GROUP_PAGES 16U

/* Invariant: @count is the number of @pages that are not 0, and not 0 itself. */
struct group {
	u32 object;
	u32 number;     /* index / 16 */
	u32 next, prev; /* groups of the object */
	u32 count;
	u32 pages[GROUP_PAGES];
};
_Static_assert(sizeof(struct group) == 84, "a group costs 84 bytes");
#define GROUP_ID_SHIFT 6

struct pool {
	struct tmem_client *client;
	u8 id;
	bool persistent;
	bool dying;
	u32 cursor; /* no object of a dying pool has an id below this */
	u64 uuid[2];
	struct slab objects, groups;
	struct slab lines; /* of long chains in both tables */
	struct table object_table, group_table;
};

/* Where a page is, or would be: what was found on the way is not 0 and not NULL. */
struct position {
	u32 object_id, group_id, page_id;
	struct object *object;
	struct group *group;
	u64 object_hash, group_hash;
};

/* A pool without pages in a metadata page of its own; NULL without memory. */
struct pool *pool_create(struct tmem_client *client, u8 id, bool persistent, const u64 uuid[2]);
/* Frees the index of a pool that has no pages. */
void pool_free(struct tmem *tmem, struct pool *pool);

/* Finds page @index of the object with @key; @position says how far it got. Returns the page's id
 * or 0. */
u32 pool_find(struct pool *pool, const u64 key[3], u32 index, struct position *position);
/* The object with @key or 0. */
u32 pool_find_object(struct pool *pool, const u64 key[3]);
/* Where page @id of the pool stands. */
void pool_locate(struct pool *pool, u32 id, struct position *position);

/* Makes room for one pool_insert(): -ENOMEM when a page for metadata is missing. */
int __must_check pool_reserve(struct tmem *tmem, struct pool *pool);
/* Adds page @id where pool_find() just found none. Fills the page's owner fields. */
void pool_insert(struct tmem *tmem, struct pool *pool, const u64 key[3], u32 index, u32 id,
	struct position *position);
/* Takes the page at @position, as found or located, out of the index. */
void pool_remove(struct tmem *tmem, struct pool *pool, struct position *position);

/* Any page of the object. */
u32 object_any_page(struct pool *pool, u32 object_id);
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

/* Whether the object has no other page. */
static inline bool position_is_last(const struct position *position)
{
	const struct group *group = position->group;

	return !group || (group->count == 1 && !group->next && !group->prev);
}

#endif
