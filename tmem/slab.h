/*
 * A slab: records of one size, named by 32-bit ids, in metadata pages that come and go with the
 * number of records. Each leaf begins with its header, and its first record has place 1 or a later
 * one, so id 0 names nothing. Guarded by the owner's lock.
 *
 * Invariant: @available is the number of free records in all leaves; every leaf with a free record
 * is on the list that starts at @partial; a leaf whose records are all free is given back unless
 * fewer than one leaf's worth of free records would remain.
 */
#ifndef TMEM_SLAB_H
#define TMEM_SLAB_H

#include "lib/types.h"
#include "tmem/directory.h"

struct slab {
	struct slab_leaf
		*first; /* the first leaf with free records; valid while one is available */
	u32 first_id;   /* id of its place 0 */
	struct directory leaves;
	u32 partial; /* its number, plus 1; 0 = none */
	u32 unused;  /* first leaf number without a leaf, plus 1; chained through the directory */
	u32 numbers; /* leaf numbers below this one were used at least once */
	u32 leaf_count; /* leaves that exist */
	u32 available;  /* free records */
	u16 size;       /* bytes of a record */
	u16 per_leaf;   /* records in a leaf */
	u8 shift;       /* id = leaf number << shift | place in the leaf */
};

/* The header of a leaf. */
struct slab_leaf {
	u32 next, prev; /* partial list: leaf numbers plus 1 */
	u16 used;
	u16 free;  /* first free place, chained through the records; 0 = none */
	u16 fresh; /* places from here on were never used */
	u16 listed;
};
_Static_assert(sizeof(struct slab_leaf) == 16, "what stands in front of records");

/* The first place of a leaf with records of @size bytes: the header may take several. */
static inline u32 slab_first_place(u32 size)
{
	return size < sizeof(struct slab_leaf) ? (u32)sizeof(struct slab_leaf) / size : 1;
}

/* Where a place is in its leaf. Records of a size that divides lines are aligned to it; others,
 * which lie across lines anyway, follow the header closely. */
static inline u32 slab_offset(u32 size, u32 place)
{
	bool aligned = (size & (size - 1)) == 0;

	return place * size + (aligned ? 0U : (u32)sizeof(struct slab_leaf) - size);
}

/* The record there. */
static inline void *slab_place(void *leaf, u32 size, u32 place)
{
	return (u8 *)leaf + slab_offset(size, place);
}

/* An empty slab of records of @size bytes: 8 or more. */
void slab_init(struct slab *slab, u16 size);

/* Makes at least @count records available; -ENOMEM without memory. */
int __must_check slab_reserve(struct tmem *tmem, struct slab *slab, u32 count);

/* What slab_take() and slab_put() leave to be done: the first leaf turned out to be full; a leaf
 * has a free record again, or only free ones. */
void slab_next_first(struct slab *slab);
void slab_leaf_has_room(struct tmem *tmem, struct slab *slab, u32 number);

/* Records in use. */
static inline u32 slab_used(const struct slab *slab)
{
	return slab->leaf_count * slab->per_leaf - slab->available;
}

/* Takes a record, contents undefined; one must be available. @size and the result are those of the
 * slab's records. */
static inline u32 slab_take(struct slab *slab, u32 size, void **record)
{
	struct slab_leaf *leaf = slab->first;
	u32 id = slab->first_id;
	u32 place;

	if (unlikely(leaf->used == slab->per_leaf)) {
		slab_next_first(slab);
		leaf = slab->first;
		id = slab->first_id;
	}
	leaf->used++;
	slab->available--;
	place = leaf->free;
	if (place) {
		*record = slab_place(leaf, size, place);
		leaf->free = *(u16 *)*record;
	} else {
		place = leaf->fresh++;
		*record = slab_place(leaf, size, place);
	}
	return id | place;
}

/* Gives record @id back. */
static inline void slab_put(struct tmem *tmem, struct slab *slab, u32 shift, u32 id, void *record)
{
	struct slab_leaf *leaf = (struct slab_leaf *)((uintptr_t)record & ~PAGE_MASK);

	*(u16 *)record = leaf->free;
	leaf->free = (u16)(id & ((1U << shift) - 1));
	slab->available++;
	leaf->used--;
	if (unlikely(!leaf->listed || !leaf->used))
		slab_leaf_has_room(tmem, slab, id >> shift);
}

/* Gives all memory back, records in use included. */
void slab_destroy(struct tmem *tmem, struct slab *slab);

/* Calls @visit for every page the slab holds. */
void slab_visit(const struct slab *slab, void (*visit)(void *page, void *argument), void *argument);

/* Record @id, with the size and shift known when compiling. */
#define SLAB_AT(type, shift, slab, id)                                                             \
	((type *)slab_place(directory_leaf(&(slab)->leaves, (id) >> (shift)), sizeof(type),        \
		(id) & ((1U << (shift)) - 1)))

/* The number of a leaf that holds records in use, the first at or after @number; ~0 if there is
 * none. */
u32 slab_next_leaf(const struct slab *slab, u32 number);

#endif
