/*
 * Resizing and giving up of miss filters (tmem/filter.h).
 */
#include "tmem/filter.h"

#include <string.h>

#include <abi/errno.h>

#include "tmem/arena.h"
#include "tmem/filter_count.h"

/* What one step does at most. */
#define STEP_PAGES 4U
#define STEP_WALKS 32U

static struct filter_part *now_of(struct filter *filter)
{
	return &filter->parts[filter->now];
}

static struct filter_part *other_of(struct filter *filter)
{
	return &filter->parts[!filter->now];
}

/* ---- Resizing ----------------------------------------------------------------------- */

static COLD u32 blocks_for(u64 entries)
{
	u64 blocks = ROUND_UP(entries * 3 / 2 / FILTER_BLOCK_PAGES, FILTER_BIT_BLOCKS);

	return (u32)MIN(MAX(blocks, FILTER_BLOCKS_MIN), FILTER_BLOCKS_MAX);
}

/* Sets the marks that lead out of a steady phase, a little early, since a step more is made only
 * with each put; in the other phases nothing does. */
static COLD void set_phase(struct filter *filter, enum filter_phase phase)
{
	const struct filter_part *now = now_of(filter);
	u64 room = (u64)now->blocks * FILTER_BLOCK_PAGES;

	filter->phase = (u8)phase;
	filter->cursor = 0;
	filter->grow_at = ~0UL;
	filter->shrink_at = 0;
	if (phase != FILTER_STEADY)
		return;
	if (now->blocks < FILTER_BLOCKS_MAX)
		filter->grow_at = room - room / 8;
	if (now->blocks > FILTER_BLOCKS_MIN)
		filter->shrink_at = room / 4;
}

bool filter_is_due(const struct filter *filter)
{
	return filter->phase == FILTER_BUILDING || filter->entries >= filter->grow_at ||
	       filter->entries < filter->shrink_at;
}

static COLD int add_page(struct tmem *tmem, struct directory *directory, u32 *count)
{
	void *page;

	if (directory_reach(tmem, directory, *count, metadata_alloc))
		return -SLUICE_ENOMEM;
	page = metadata_alloc(tmem);
	if (!page)
		return -SLUICE_ENOMEM;
	*directory_place(directory, *count) = page;
	++*count;
	return 0;
}

static bool part_is_made(const struct filter_part *part)
{
	return part->counter_pages == part->blocks / FILTER_COUNT_BLOCKS;
}

static COLD int make_part(struct tmem *tmem, struct filter_part *part)
{
	int error = 0;

	for (unsigned n = 0; n < STEP_PAGES && !error && !part_is_made(part); n++) {
		if (part->bit_pages < part->blocks / FILTER_BIT_BLOCKS)
			error = add_page(tmem, &part->bits, &part->bit_pages);
		else
			error = add_page(tmem, &part->counters, &part->counter_pages);
	}
	return error;
}

/* From now on the guest reads the other part. */
static COLD void switch_parts(struct filter *filter)
{
	struct tmem_filter_header *header = filter->header;
	u64 sequence = header->sequence;

	filter->now = !filter->now;
	now_of(filter)->reach = MAX(now_of(filter)->reach, now_of(filter)->bit_pages);
	__atomic_store_n(&header->sequence, sequence + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&header->blocks, now_of(filter)->blocks, __ATOMIC_RELEASE);
	__atomic_store_n(&header->first_page, FILTER_AREA(filter->now), __ATOMIC_RELEASE);
	__atomic_store_n(&header->sequence, sequence + 2, __ATOMIC_RELEASE);
	set_phase(filter, other_of(filter)->blocks ? FILTER_RETIRING : FILTER_STEADY);
}

static COLD void fill_part(struct filter *filter)
{
	for (unsigned n = 0; n < STEP_WALKS; n++) {
		u64 hash;

		switch (filter->walk(filter->owner, &filter->cursor, &hash)) {
		case FILTER_WALK_PAGE:
			filter_count_all(other_of(filter), hash, FILTER_ADDS);
			filter->entries += !now_of(filter)->blocks;
			break;
		case FILTER_WALK_NOTHING:
			break;
		case FILTER_WALK_END:
			switch_parts(filter);
			return;
		}
	}
}

static COLD void begin_part(struct filter *filter, u64 entries)
{
	other_of(filter)->blocks = blocks_for(entries);
	set_phase(filter, FILTER_BUILDING);
}

int filter_step(struct filter *filter)
{
	if (!filter_is_due(filter))
		return 0;
	if (filter->phase == FILTER_STEADY)
		begin_part(filter, filter->entries);
	if (!part_is_made(other_of(filter)))
		return make_part(filter->tmem, other_of(filter));
	fill_part(filter);
	return 0;
}

/* ---- Coming and going --------------------------------------------------------------- */

struct filter *filter_create(
	struct tmem *tmem, filter_walk walk, const void *owner, u64 entries, u32 sample_threshold)
{
	struct filter *filter = metadata_alloc(tmem);

	_Static_assert(sizeof(*filter) <= PAGE_SIZE, "a filter is one page");
	if (!filter)
		return NULL;
	filter->header = metadata_alloc(tmem);
	if (!filter->header) {
		metadata_free(tmem, filter);
		return NULL;
	}
	filter->tmem = tmem;
	filter->walk = walk;
	filter->owner = owner;
	for (unsigned i = 0; i < 2; i++) {
		directory_init(&filter->parts[i].bits);
		directory_init(&filter->parts[i].counters);
	}
	filter->header->sample_threshold = sample_threshold;
	begin_part(filter, entries);
	return filter;
}

void filter_close(struct filter *filter)
{
	set_phase(filter, FILTER_DEAD);
}

/* Counters of at most one page of bits go at a time. */
static COLD void drop_counters(struct tmem *tmem, struct filter_part *part, u32 keep)
{
	while (part->counter_pages > keep)
		metadata_free(tmem, directory_leaf(&part->counters, --part->counter_pages));
}

static COLD void forget_part(struct tmem *tmem, struct filter_part *part)
{
	directory_free(tmem, &part->bits);
	directory_free(tmem, &part->counters);
	part->blocks = part->bit_pages = part->counter_pages = part->taken = 0;
}

static COLD void *take_bits(struct filter *filter, unsigned number, u32 *index)
{
	struct filter_part *part = &filter->parts[number];
	u64 *page;

	if (part->taken == part->bit_pages) {
		drop_counters(filter->tmem, part, 0);
		forget_part(filter->tmem, part);
		return NULL;
	}
	drop_counters(filter->tmem, part,
		(part->bit_pages - part->taken - 1) * (FILTER_BIT_BLOCKS / FILTER_COUNT_BLOCKS));
	page = directory_leaf(&part->bits, part->taken);
	*index = FILTER_AREA(number) + part->taken++;
	return page;
}

static COLD void *release_page(struct filter *filter, void *page)
{
	u64 *words = page;

	if (!page)
		return NULL;
	for (unsigned i = 0; i < PAGE_SIZE / sizeof(*words); i++)
		__atomic_store_n(&words[i], ~0UL, __ATOMIC_RELEASE);
	metadata_detach(filter->tmem);
	return page;
}

void *filter_take(struct filter *filter, u32 *index)
{
	void *page = NULL;

	if (filter->phase == FILTER_DEAD) {
		page = filter->header;
		filter->header = NULL;
		*index = 0;
		for (unsigned i = 0; i < 2 && !page; i++)
			page = take_bits(filter, i, index);
	} else if (filter->phase == FILTER_RETIRING) {
		page = take_bits(filter, !filter->now, index);
		if (!page)
			set_phase(filter, FILTER_STEADY);
	}
	return release_page(filter, page);
}

bool filter_is_empty(const struct filter *filter)
{
	return !filter->header && !filter->parts[0].blocks && !filter->parts[1].blocks;
}

void filter_destroy(struct filter *filter)
{
	struct tmem *tmem = filter->tmem;

	for (unsigned i = 0; i < 2; i++) {
		struct filter_part *part = &filter->parts[i];

		drop_counters(tmem, part, 0);
		for (; part->taken < part->bit_pages; part->taken++)
			metadata_free(tmem, directory_leaf(&part->bits, part->taken));
		forget_part(tmem, part);
	}
	if (filter->header)
		metadata_free(tmem, filter->header);
	metadata_free(tmem, filter);
}

/* ---- The window --------------------------------------------------------------------- */

/* The part whose area @index lies in; it becomes a number within the area. */
static const struct filter_part *part_of(const struct filter *filter, u32 *index)
{
	unsigned number = *index >= FILTER_AREA(1);

	*index -= FILTER_AREA(number);
	return &filter->parts[number];
}

void *filter_page(const struct filter *filter, u32 index)
{
	const struct filter_part *part;

	if (index == 0)
		return filter->header;
	part = part_of(filter, &index);
	return index >= part->taken && index < part->bit_pages ? directory_leaf(&part->bits, index)
							       : NULL;
}

/* A reader may have the one part's first page and the other one's number of blocks. */
bool filter_reached(const struct filter *filter, u32 index)
{
	if (index == 0)
		return true;
	part_of(filter, &index);
	return index < MAX(filter->parts[0].reach, filter->parts[1].reach);
}

/* ---- Audit -------------------------------------------------------------------------- */

void filter_visit(
	const struct filter *filter, void (*visit)(void *page, void *argument), void *argument)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct filter_part *part = &filter->parts[i];

		for (u32 n = part->taken; n < part->bit_pages; n++)
			visit(directory_leaf(&part->bits, n), argument);
		for (u32 n = 0; n < part->counter_pages; n++)
			visit(directory_leaf(&part->counters, n), argument);
		directory_visit(&part->bits, visit, argument);
		directory_visit(&part->counters, visit, argument);
	}
	if (filter->header)
		visit(filter->header, argument);
	visit((void *)filter, argument);
}

bool filter_finds(const struct filter *filter, u64 hash, u32 id)
{
	const struct filter_part *now = &filter->parts[filter->now];

	return (!now->blocks || filter_part_finds(now, hash)) &&
	       (id >= filter->cursor || filter_part_finds(&filter->parts[!filter->now], hash));
}
