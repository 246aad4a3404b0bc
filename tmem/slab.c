/*
 * Records in leaves that come and go (tmem/slab.h).
 */
#include "tmem/slab.h"

#include <abi/errno.h>

#include "tmem/arena.h"

/* A leaf number without a leaf: its place in the directory holds the next such number, marked. */
#define UNUSED_MARK 1UL

static bool is_leaf(const void *place)
{
	return place && !((uintptr_t)place & UNUSED_MARK);
}

static struct slab_leaf *leaf_at(const struct slab *slab, u32 number)
{
	return directory_leaf(&slab->leaves, number);
}

COLD void slab_init(struct slab *slab, u16 size)
{
	u32 first = slab_first_place(size);

	*slab = (struct slab){.size = size};
	while (slab_offset(size, first + slab->per_leaf + 1) <= PAGE_SIZE)
		slab->per_leaf++;
	while (1U << slab->shift < first + slab->per_leaf)
		slab->shift++;
	directory_init(&slab->leaves);
}

static void set_first(struct slab *slab, u32 partial)
{
	slab->partial = partial;
	if (!partial)
		return;
	slab->first = leaf_at(slab, partial - 1);
	slab->first_id = (partial - 1) << slab->shift;
}

static void list_leaf(struct slab *slab, u32 number)
{
	struct slab_leaf *leaf = leaf_at(slab, number);

	leaf->prev = 0;
	leaf->next = slab->partial;
	leaf->listed = 1;
	if (slab->partial)
		leaf_at(slab, slab->partial - 1)->prev = number + 1;
	set_first(slab, number + 1);
}

static void unlist_leaf(struct slab *slab, struct slab_leaf *leaf)
{
	if (leaf->next)
		leaf_at(slab, leaf->next - 1)->prev = leaf->prev;
	if (leaf->prev)
		leaf_at(slab, leaf->prev - 1)->next = leaf->next;
	else
		set_first(slab, leaf->next);
	leaf->listed = 0;
}

static int add_leaf(struct tmem *tmem, struct slab *slab)
{
	u32 number = slab->unused ? slab->unused - 1 : slab->numbers;
	struct slab_leaf *leaf;
	void **place;
	int error;

	error = directory_reach(tmem, &slab->leaves, number, metadata_alloc);
	if (error)
		return error;
	leaf = metadata_alloc(tmem);
	if (!leaf)
		return -SLUICE_ENOMEM;
	leaf->fresh = (u16)slab_first_place(slab->size);

	place = directory_place(&slab->leaves, number);
	if (slab->unused)
		slab->unused = (u32)((uintptr_t)*place >> 1);
	else
		slab->numbers++;
	*place = leaf;
	slab->leaf_count++;
	slab->available += slab->per_leaf;
	list_leaf(slab, number);
	return 0;
}

static void drop_leaf(struct tmem *tmem, struct slab *slab, u32 number)
{
	struct slab_leaf *leaf = leaf_at(slab, number);

	unlist_leaf(slab, leaf);
	slab->available -= slab->per_leaf;
	slab->leaf_count--;
	*directory_place(
		&slab->leaves, number) = (void *)((uintptr_t)slab->unused << 1 | UNUSED_MARK);
	slab->unused = number + 1;
	metadata_free(tmem, leaf);
}

int slab_reserve(struct tmem *tmem, struct slab *slab, u32 count)
{
	while (slab->available < count) {
		int error = add_leaf(tmem, slab);

		if (error)
			return error;
	}
	return 0;
}

void slab_next_first(struct slab *slab)
{
	while (slab->first->used == slab->per_leaf)
		unlist_leaf(slab, slab->first);
}

void slab_leaf_has_room(struct tmem *tmem, struct slab *slab, u32 number)
{
	struct slab_leaf *leaf = leaf_at(slab, number);

	if (!leaf->listed)
		list_leaf(slab, number);
	if (!leaf->used && slab->available >= 2U * slab->per_leaf)
		drop_leaf(tmem, slab, number);
}

u32 slab_next_leaf(const struct slab *slab, u32 number)
{
	for (; number < slab->numbers; number++) {
		const struct slab_leaf *leaf = directory_leaf(&slab->leaves, number);

		if (is_leaf(leaf) && leaf->used)
			return number;
	}
	return ~0U;
}

COLD void slab_visit(
	const struct slab *slab, void (*visit)(void *page, void *argument), void *argument)
{
	for (u32 number = 0; number < slab->numbers; number++) {
		void *leaf = directory_leaf(&slab->leaves, number);

		if (is_leaf(leaf))
			visit(leaf, argument);
	}
	directory_visit(&slab->leaves, visit, argument);
}

static void free_page(void *page, void *argument)
{
	metadata_free(argument, page);
}

COLD void slab_destroy(struct tmem *tmem, struct slab *slab)
{
	slab_visit(slab, free_page, tmem);
	slab_init(slab, slab->size);
}
