/*
 * A directory: a growing array of metadata pages ("leaves"), found by number with two loads. The
 * first leaf and the first 512 need no page of pointers above them, so that a small array costs one
 * page. A directory must not be moved in memory: @root may point into it. Growth is guarded by its
 * owner's lock; whoever holds a number that has a leaf may find it meanwhile without that lock, so
 * that pages of pointers are published once they are filled.
 */
#ifndef TMEM_DIRECTORY_H
#define TMEM_DIRECTORY_H

#include "lib/types.h"

struct tmem;

#define DIRECTORY_FANOUT 512U
/* One less than would fit, so that the highest ids are free for special meanings. */
#define DIRECTORY_MAX (DIRECTORY_FANOUT * DIRECTORY_FANOUT - 1)

struct directory {
	void ***root;  /* &middle until there are more than 512 leaves */
	void **middle; /* &leaf until there is more than one leaf */
	void *leaf;
	u32 reach; /* leaves below this number have a place */
};

/* Without places. */
void directory_init(struct directory *directory);

/* Makes a place (NULL at first) for leaf @number, with zeroed pages from @alloc; -ENOMEM when there
 * is no page, or no such number. */
int __must_check directory_reach(struct tmem *tmem, struct directory *directory, u32 number,
	void *(*alloc)(struct tmem *tmem));

/* Gives the pages of pointers back; the leaves are their owner's. */
void directory_free(struct tmem *tmem, struct directory *directory);

/* Calls @visit for each page of pointers. */
void directory_visit(const struct directory *directory, void (*visit)(void *page, void *argument),
	void *argument);

/* The place of leaf @number, below @reach. No lock: pages of pointers stay once they are linked. */
static inline void **directory_place(const struct directory *directory, u32 number)
{
	void ***root = __atomic_load_n(&directory->root, __ATOMIC_ACQUIRE);
	void **middle = __atomic_load_n(&root[number / DIRECTORY_FANOUT], __ATOMIC_ACQUIRE);

	return &middle[number % DIRECTORY_FANOUT];
}

/* What stands there. */
static inline void *directory_leaf(const struct directory *directory, u32 number)
{
	return *directory_place(directory, number);
}

#endif
