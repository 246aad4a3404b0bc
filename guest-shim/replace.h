/*
 * Which page leaves memory: the two-list clock of today's general-purpose systems, for file pages
 * and anonymous pages. Pure: pages are numbers, and the state is one struct.
 *
 * A page enters the inactive list of its class, moves to the active one when it is used again, and
 * falls back when the active list grows beyond the inactive one. A page that left and comes back
 * records how many evictions it was away (its refault distance): if that is less than what the
 * other lists hold, a bigger inactive list would have kept it, so it enters the active list. How
 * hard each class is pressed follows its size, its refaults and the swappiness. Every decision
 * costs bounded work.
 *
 * The policy does not know about tmem, so that runs with and without it evict alike.
 */
#ifndef SHIM_REPLACE_H
#define SHIM_REPLACE_H

#include "lib/types.h"

enum replace_class { REPLACE_FILE, REPLACE_ANON };

enum replace_list {
	LIST_FILE_INACTIVE,
	LIST_FILE_ACTIVE,
	LIST_ANON_INACTIVE,
	LIST_ANON_ACTIVE,
	LISTS,
	LIST_NONE = LISTS,
};

#define REPLACE_NONE UINT32_MAX

/* Eviction times are kept in this many bits by whoever remembers pages that left. */
#define STAMP_BITS 24
#define STAMP_MASK ((1u << STAMP_BITS) - 1)
#define STAMP_NEW  UINT32_MAX /* the page was never in memory before */

struct replace_node {
	u32 next, prev;
	u8 list;         /* enum replace_list */
	bool referenced; /* file pages: used once since it entered this list */
	bool locked;     /* is never chosen */
	u8 unused;
};

/* A list of nodes from the newest to the oldest; @length counts them. */
struct replace_chain {
	u32 newest, oldest, length;
};

struct replace {
	struct replace_node *nodes; /* one per page; belongs to the caller */
	struct replace_chain chains[LISTS];
	u32 clock;        /* pages evicted or activated so far */
	u32 cost[2];      /* recent refaults of each class */
	s64 credit[2];    /* share of pressure that each class has not had yet */
	u32 file_refault; /* clock of the last refault within the working set */
	u32 swappiness;
	bool anon_evictable;
};

/*
 * Port: tells whether anonymous page @page was accessed since the last call, and forgets it (the
 * accessed bit of its page-table entry).
 */
bool replace_test_young(u32 page);

/* @nodes must be zero pages: @count entries, all outside of the lists afterwards. */
void replace_init(struct replace *r, struct replace_node *nodes, u32 count, u32 swappiness);

/* A page enters: @stamp is replace_stamp() of its eviction, or STAMP_NEW. Returns whether it was
 * refaulted within the working set. The page must be in no list. */
bool replace_add(struct replace *r, u32 page, enum replace_class class, u32 stamp);

/* The file page @page was read. */
void replace_touch(struct replace *r, u32 page);

/* Takes @page out of its list, as when its content is no longer wanted. */
void replace_remove(struct replace *r, u32 page);

/* Puts an evicted @page back as an active one: it cannot leave now. */
void replace_keep(struct replace *r, u32 page, enum replace_class class);

/* The page @from is from now on the page @to, which must be in no list. */
void replace_rename(struct replace *r, u32 from, u32 to);

/* Chooses the next page to leave and takes it out, or REPLACE_NONE when all are locked or not
 * evictable. */
u32 replace_victim(struct replace *r);

/* The time to remember with a page that left just now. */
static inline u32 replace_stamp(const struct replace *r)
{
	return r->clock & STAMP_MASK;
}

/* Frames in a list. */
static inline u32 replace_length(const struct replace *r, enum replace_list list)
{
	return r->chains[list].length;
}

#endif
