/*
 * Nested tables against a model: an array that says where each guest frame is mapped. Random maps
 * at all three levels, splits and removals, in both vendors' layouts; the result is read by a walk
 * of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>

#include "fake/machine.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/vm/memory_nested.h"

#define GUEST_PAGES (GIB(3) / PAGE_SIZE)
#define UNMAPPED    0

static u32 model[GUEST_PAGES];                  /* host frame, 0 where nothing is mapped */
static u8 has_table[GUEST_PAGES / BLOCK_PAGES]; /* a level-1 table stands there */
static u8 has_upper[GUEST_PAGES / HUGE_PAGES];  /* a level-2 table stands there */

static u64 mapped_at[4]; /* successful maps of each level */

static u64 random_state = 88172645463325252;
static u64 random_below(u64 limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % limit;
}

/* What nested_map() must answer. */
static int expected_map(u64 frame, unsigned level)
{
	if (level == 3)
		return has_upper[frame / HUGE_PAGES] || model[frame] ? -SLUICE_EBUSY : 0;
	if (model[frame] != UNMAPPED)
		return -SLUICE_EBUSY;
	return level == 2 && has_table[frame / BLOCK_PAGES] ? -SLUICE_EBUSY : 0;
}

static void note_map(u64 frame, u64 host, unsigned level)
{
	mapped_at[level]++;
	for (u64 i = 0; i < nested_span(level); i++)
		model[frame + i] = (u32)(host + i);
	if (level < 3)
		has_upper[frame / HUGE_PAGES] = 1;
	if (level < 2)
		has_table[frame / BLOCK_PAGES] = 1;
}

static void check_translation(const struct memory *memory, u64 frame)
{
	unsigned level;
	u64 offset = random_below(PAGE_SIZE);
	u64 found = fake_translate(memory, frame * PAGE_SIZE + offset, &level);

	if (model[frame] == UNMAPPED)
		assert_true(found == ~0UL);
	else
		assert_int_equal(found, (u64)model[frame] * PAGE_SIZE + offset);
}

static void random_round(struct memory *memory)
{
	/* A few hot blocks, so that operations meet. */
	u64 frame = random_below(3) ? random_below(8 * BLOCK_PAGES) + random_below(3) * HUGE_PAGES
				    : random_below(GUEST_PAGES);
	unsigned action = (unsigned)random_below(10);

	if (action < 5) {
		unsigned level = random_below(200) == 0 ? 3 : random_below(6) == 0 ? 2 : 1;
		u64 base = frame & ~(nested_span(level) - 1);
		u64 host = (1 + random_below(1 << 11)) << HUGE_ORDER >> random_below(1) &
			   ~(nested_span(level) - 1);
		int expected = expected_map(base, level);

		host += level == 3 ? 0 : nested_span(level) * random_below(64);
		assert_int_equal(nested_map(memory, base, mfn(host), level), expected);
		if (expected == 0)
			note_map(base, host, level);
	} else if (action < 6) {
		bool was_mapped = model[frame] != UNMAPPED;
		unsigned level;

		assert_int_equal(nested_split(memory, frame, 1), 0);
		if (was_mapped) {
			nested_lookup(memory, frame, &level);
			assert_int_equal(level, 1);
			has_upper[frame / HUGE_PAGES] = 1;
			has_table[frame / BLOCK_PAGES] = 1;
		}
	} else if (model[frame] != UNMAPPED) {
		assert_int_equal(nested_split(memory, frame, 1), 0);
		assert_int_not_equal(nested_detach(memory, frame, 1) & memory->layout->present, 0);
		model[frame] = UNMAPPED;
		has_upper[frame / HUGE_PAGES] = 1;
		has_table[frame / BLOCK_PAGES] = 1;
	}
	check_translation(memory, frame);
	check_translation(memory, random_below(GUEST_PAGES));
}

/* Leaves and tables counted by a walk. */
static void count_table(const struct memory *memory, u64 table, unsigned level, u64 *found)
{
	const u64 *entries = (u64 *)(fake_ram + table);

	found[0]++;
	for (unsigned i = 0; i < 512; i++) {
		if (!(entries[i] & memory->layout->present)) {
			assert_true(entries[i] == memory->layout->empty);
			continue;
		}
		if (level == 1 || (level < 4 && (entries[i] & memory->layout->large))) {
			u64 flags = entries[i] & ~NESTED_HPA;

			assert_int_equal(flags,
				memory->layout->leaf | (level > 1 ? memory->layout->large : 0));
			found[level]++;
		} else {
			assert_int_equal(entries[i] & ~NESTED_HPA, memory->layout->table);
			count_table(memory, entries[i] & NESTED_HPA, level - 1, found);
		}
	}
}

static void run_against_model(const struct nested_layout *layout)
{
	u64 found[4] = {0}; /* tables, then leaves of each level */
	struct memory *memory;

	memset(model, 0, sizeof(model));
	memset(has_table, 0, sizeof(has_table));
	memset(has_upper, 0, sizeof(has_upper));
	memset(mapped_at, 0, sizeof(mapped_at));
	fake_core_start(MIB(64), 1);
	memory = &fake_vm(0)->memory;
	*memory = (struct memory){.layout = layout, .owner = 1};
	assert_int_equal(nested_create(memory), 0);
	/* Random order would seldom find a GiB without a table. */
	assert_int_equal(nested_map(memory, 2 * HUGE_PAGES, mfn(5 * HUGE_PAGES), 3), 0);
	note_map(2 * HUGE_PAGES, 5 * HUGE_PAGES, 3);
	for (unsigned round = 0; round < 200000; round++)
		random_round(memory);
	for (u64 frame = 0; frame < GUEST_PAGES; frame++)
		check_translation(memory, frame);
	count_table(memory, memory->root.raw, 4, found);
	assert_int_equal(found[0], memory->table_pages);
	assert_int_equal(found[2], memory->large_pages);
	assert_int_equal(found[3], memory->huge_pages);
	assert_true(mapped_at[1] > 10000 && mapped_at[2] > 50 && mapped_at[3] > 0);
	memory->gfns = NULL; /* invented frames: nothing to give back */
}

static void ept_agrees_with_the_model(void **state)
{
	(void)state;
	run_against_model(&fake_ept);
}

static void npt_agrees_with_the_model(void **state)
{
	(void)state;
	run_against_model(&fake_npt);
}

static void split_keeps_accessed_and_dirty(void **state)
{
	const struct nested_layout *layouts[] = {&fake_ept, &fake_npt};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		const struct nested_layout *layout = layouts[i];
		struct memory memory = {.layout = layout, .owner = 1};
		unsigned level;
		u64 *entry;

		fake_core_start(MIB(16), 1);
		assert_int_equal(nested_create(&memory), 0);
		assert_int_equal(nested_map(&memory, 0, mfn(HUGE_PAGES), 3), 0);
		*nested_lookup(&memory, 0, &level) |= layout->accessed | layout->dirty;
		assert_int_equal(nested_split(&memory, 777, 1), 0);
		entry = nested_lookup(&memory, 777, &level);
		assert_int_equal(level, 1);
		assert_int_equal(*entry, (HUGE_PAGES + 777) * PAGE_SIZE | layout->leaf |
						 layout->accessed | layout->dirty);
		entry = nested_lookup(&memory, 5 * BLOCK_PAGES, &level);
		assert_int_equal(level, 2);
		assert_int_equal(*entry, (HUGE_PAGES + 5 * BLOCK_PAGES) * PAGE_SIZE | layout->leaf |
						 layout->large | layout->accessed | layout->dirty);
		assert_int_equal(memory.huge_pages, 0);
		assert_int_equal(memory.large_pages, 511);
	}
}

static void no_frame_for_a_table_changes_nothing(void **state)
{
	struct memory memory = {.layout = &fake_ept, .owner = 1};
	unsigned level;

	(void)state;
	fake_core_start(MIB(16), 1);
	assert_int_equal(nested_create(&memory), 0);
	assert_int_equal(nested_map(&memory, 0, mfn(BLOCK_PAGES), 2), 0);
	while (!mfn_is_none(frame_alloc(FRAME_DEVICE, 0, 0)))
		;
	assert_int_equal(nested_split(&memory, 3, 1), -SLUICE_ENOMEM);
	assert_int_equal(
		fake_translate(&memory, 3 * PAGE_SIZE, &level), (BLOCK_PAGES + 3) * PAGE_SIZE);
	assert_int_equal(nested_map(&memory, HUGE_PAGES, mfn(1), 1), -SLUICE_ENOMEM);
	assert_true(fake_translate(&memory, GIB(1), &level) == ~0UL);
	assert_int_equal(memory.large_pages, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ept_agrees_with_the_model),
		cmocka_unit_test(npt_agrees_with_the_model),
		cmocka_unit_test(split_keeps_accessed_and_dirty),
		cmocka_unit_test(no_frame_for_a_table_changes_nothing),
	};

	return cmocka_run_group_tests_name("nested", tests, NULL, NULL);
}
