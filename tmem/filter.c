/*
 * Counting, resizing and giving up of miss filters (tmem/filter.h).
 */
#include "tmem/filter.h"

#include <string.h>

#include <abi/errno.h>

#include "tmem/arena.h"

#define COUNTER_MAX    15UL
#define LINE_WORDS     (TMEM_FILTER_BLOCK_BITS / 64)
#define BIT_BLOCKS     (u32)(PAGE_SIZE * 8 / TMEM_FILTER_BLOCK_BITS) /* in a page of bits */
#define COUNTER_WORDS  (TMEM_FILTER_BLOCK_BITS / 16)                 /* of a block */
#define COUNTER_BLOCKS (u32)(PAGE_SIZE / 8 / COUNTER_WORDS)

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

/* ---- Counting ----------------------------------------------------------------------- */

static inline u64 *bits_of(const struct filter_part *part, u32 block)
{
	u64 *page = directory_leaf(&part->bits, block / BIT_BLOCKS);

	return page + block % BIT_BLOCKS * LINE_WORDS;
}

/* 16 counters a word. */
static inline u64 *counters_of(const struct filter_part *part, u32 block)
{
	u64 *page = directory_leaf(&part->counters, block / COUNTER_BLOCKS);

	return page + block % COUNTER_BLOCKS * COUNTER_WORDS;
}

static inline u64 counter(const u64 *counters, u32 bit)
{
	return counters[bit / 16] >> bit % 16 * 4 & COUNTER_MAX;
}

/* The word changes in one store: guests read it at any time. */
static inline void flip_bit(u64 *line, u32 bit)
{
	u64 *word = &line[bit / 64];

	__atomic_store_n(word, *word ^ BIT(bit % 64), __ATOMIC_RELEASE);
}

/* Unrolled, shifts are constants. */
static inline void part_add(const struct filter_part *part, u64 hash)
{
	u32 block = tmem_filter_block(hash, part->blocks);
	u64 *counters = counters_of(part, block);
	u64 *line = bits_of(part, block);

#pragma GCC unroll 4
	for (unsigned probe = 0; probe < TMEM_FILTER_PROBES; probe++) {
		u32 bit = tmem_filter_bit(hash, probe);
		u64 count = counter(counters, bit);

		if (unlikely(count == COUNTER_MAX))
			continue;
		counters[bit / 16] += 1UL << bit % 16 * 4;
		if (!count)
			flip_bit(line, bit);
	}
}

/* A counter that is full is not known any more, and stays. */
static inline void part_remove(const struct filter_part *part, u64 hash)
{
	u32 block = tmem_filter_block(hash, part->blocks);
	u64 *counters = counters_of(part, block);
	u64 *line = bits_of(part, block);

#pragma GCC unroll 4
	for (unsigned probe = 0; probe < TMEM_FILTER_PROBES; probe++) {
		u32 bit = tmem_filter_bit(hash, probe);
		u64 count = counter(counters, bit);

		if (unlikely(count == COUNTER_MAX || !count))
			continue;
		counters[bit / 16] -= 1UL << bit % 16 * 4;
		if (count == 1)
			flip_bit(line, bit);
	}
}

/* The other part counts pages below the cursor, which stands at 0 unless that is being filled.
 * While the header names no part, the number of pages is what the other one counts. */
static COLD void other_add(struct filter *filter, u64 hash)
{
	part_add(other_of(filter), hash);
	filter->entries += !now_of(filter)->blocks;
}

static COLD void other_remove(struct filter *filter, u64 hash)
{
	part_remove(other_of(filter), hash);
	filter->entries -= !now_of(filter)->blocks;
}

bool filter_add(struct filter *filter, u64 hash, u32 id)
{
	const struct filter_part *now = now_of(filter);

	if (unlikely(id < filter->cursor))
		other_add(filter, hash);
	if (unlikely(!now->blocks))
		return false;
	part_add(now, hash);
	return ++filter->entries >= filter->grow_at;
}

bool filter_remove(struct filter *filter, u64 hash, u32 id)
{
	const struct filter_part *now = now_of(filter);

	if (unlikely(id < filter->cursor))
		other_remove(filter, hash);
	if (unlikely(!now->blocks))
		return false;
	part_remove(now, hash);
	return --filter->entries < filter->shrink_at;
}

/* ---- Resizing ----------------------------------------------------------------------- */

static COLD u32 blocks_for(u64 entries)
{
	u64 blocks = ROUND_UP(entries * 3 / 2 / FILTER_BLOCK_PAGES, BIT_BLOCKS);

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
	return part->counter_pages == part->blocks / COUNTER_BLOCKS;
}

static COLD int make_part(struct tmem *tmem, struct filter_part *part)
{
	int error = 0;

	for (unsigned n = 0; n < STEP_PAGES && !error && !part_is_made(part); n++) {
		if (part->bit_pages < part->blocks / BIT_BLOCKS)
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
			other_add(filter, hash);
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
		(part->bit_pages - part->taken - 1) * (BIT_BLOCKS / COUNTER_BLOCKS));
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

static COLD bool part_finds(const struct filter_part *part, u64 hash)
{
	const u64 *line = bits_of(part, tmem_filter_block(hash, part->blocks));

	for (unsigned probe = 0; probe < TMEM_FILTER_PROBES; probe++) {
		u32 bit = tmem_filter_bit(hash, probe);

		if (!(line[bit / 64] >> bit % 64 & 1))
			return false;
	}
	return true;
}

bool filter_finds(const struct filter *filter, u64 hash, u32 id)
{
	const struct filter_part *now = &filter->parts[filter->now];

	return (!now->blocks || part_finds(now, hash)) &&
	       (id >= filter->cursor || part_finds(&filter->parts[!filter->now], hash));
}

bool filter_is_sound(const struct filter *filter)
{
	const struct filter_part *part = &filter->parts[filter->now];
	u64 sum = 0;
	bool full = false;

	for (u32 block = 0; block < part->blocks; block++) {
		const u64 *counters = counters_of(part, block);
		const u64 *line = bits_of(part, block);

		for (u32 bit = 0; bit < TMEM_FILTER_BLOCK_BITS; bit++) {
			u64 count = counter(counters, bit);

			if ((line[bit / 64] >> bit % 64 & 1) != (count != 0))
				return false;
			sum += count;
			full |= count == COUNTER_MAX;
		}
	}
	return !part->blocks || full || sum == filter->entries * TMEM_FILTER_PROBES;
}
