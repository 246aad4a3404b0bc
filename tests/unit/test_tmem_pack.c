/*
 * Where fragments lie in packs: how dense they are after puts, frees and compaction, how few bytes
 * move for it, and what happens without memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <abi/errno.h>

#include "tests/unit/tmem_host/one_pack.h"
#include "tests/unit/tmem_host/port.h"
#include "tmem/pack.h"
#include "tmem/pack_run.h"

static void note_move(void *argument, u32 owner, u32 old_id, u32 new_id)
{
	assert_int_equal(ids[owner], old_id);
	ids[owner] = new_id;
	++*(u32 *)argument;
}

static double bytes_a_page(void)
{
	return (double)(pack.frames * PAGE_SIZE) / (double)pack.fragments;
}

static double record_bytes_a_page(void)
{
	return (double)((u64)pack.runs.leaf_count * PAGE_SIZE) / (double)pack.fragments;
}

/* The frames that it holds are what the arena hands out less what it has free. */
static void check_frames(void)
{
	u64 used = 0;

	for (u32 number = 0; number < tmem->arena.block_numbers; number++) {
		const struct block *block = arena_block(tmem, number);

		if (block)
			used += block->present - block->free_count;
	}
	assert_int_equal(pack.frames, used);
}

static void churn(u32 mean, u32 spread, u32 rounds)
{
	for (u32 i = 0; i < pages * rounds; i++) {
		u32 place = (u32)(host_random(&seed) % pages);

		if (ids[place]) {
			pack_free(&pack, ids[place]);
			ids[place] = 0;
		} else {
			store_one(place, mean, spread);
		}
	}
}

static void compact(void)
{
	u32 steps = 0, moves = 0;

	while (pack_compact(&pack, 16, note_move, &moves))
		assert_true(++steps < 4 * PAGES);
}

/* The goals of docs/tmem.md, and what the figures there promise. */
static void check_density(u32 mean, u32 spread, double goal)
{
	start(65536, PAGES);
	for (u32 i = 0; i < pages; i++)
		store_one(i, mean, spread);
	check_frames();
	assert_true(bytes_a_page() <= goal);
	assert_true(record_bytes_a_page() <= 8.0);
	/* Half of them at any time. */
	churn(mean, spread, 10);
	compact();
	check_frames();
	assert_true(bytes_a_page() <= goal);
	/* Most go at once. */
	for (u32 i = 0; i < pages; i++) {
		if (!ids[i] || host_random(&seed) % 4 == 0)
			continue;
		pack_free(&pack, ids[i]);
		ids[i] = 0;
	}
	assert_true(bytes_a_page() > 1.5 * mean);
	compact();
	check_frames();
	assert_true(mean < 1000 || !pack_is_sparse(&pack));
	assert_true(bytes_a_page() <= goal);
	finish();
}

static void two_to_one_is_dense(void **state)
{
	(void)state;
	check_density(2048, 0, 2300);
	check_density(2048, 500, 2300);
	check_density(2048, 1000, 2300);
}

static void three_to_one_is_dense(void **state)
{
	(void)state;
	check_density(1365, 0, 1550);
	check_density(1365, 600, 1550);
}

/* Here runs have no more entries before they have eight frames. */
static void short_fragments_are_dense(void **state)
{
	(void)state;
	check_density(1024, 600, 1160);
	check_density(410, 330, 570);
	check_density(100, 50, 200);
}

/* 4 MiB for three clients, two classes each: no more than a frame of each is wasted beside what
 * larger pools waste too. */
static void small_pools_are_not_wasted(void **state)
{
	const struct tmem_config config = {.max_pages = 1024};
	struct pack packs[3];
	u64 stored = 0, frames = 0, records = 0;
	u32 id = 1;

	(void)state;
	host_memory_init(2048);
	tmem = tmem_create(&config);
	seed = 1;
	for (u32 i = 0; i < 3; i++)
		pack_init(&packs[i], tmem, i);
	for (u32 i = 0; id; i++) {
		id = pack_store(
			&packs[i % 3], i % 2, data, 1500 + (u32)(host_random(&seed) % 1097), i);
		stored += id != 0;
	}
	for (u32 i = 0; i < 3; i++) {
		frames += packs[i].frames;
		records += packs[i].runs.leaf_count * PAGE_SIZE + sizeof(struct pack);
	}
	assert_int_equal(frames, 1024);
	assert_true((double)(frames * PAGE_SIZE + records) / (double)stored <= 2300);
	for (u32 i = 0; i < 3; i++) {
		assert_int_equal(pack_audit(&packs[i], visit_nothing, NULL), 0);
		/* The frames go with the store. */
		pack_destroy(&packs[i]);
	}
	host_memory_exit();
}

static const void *address_of(u32 i)
{
	struct pack_piece pieces[2];

	pack_read(&pack, ids[i], pieces);
	return pieces[0].data;
}

/* How many of the fragments that were there lie elsewhere after a store of @length as number 3. */
static u32 moved_by_store(u32 length)
{
	const void *before[80];
	u32 count = 0;

	for (u32 i = 0; i < pages; i++)
		before[i] = ids[i] ? address_of(i) : NULL;
	ids[3] = pack_store(&pack, EPHEMERAL, data, length, 3);
	assert_int_not_equal(ids[3], 0);
	for (u32 i = 0; i < pages; i++)
		count += before[i] && before[i] != address_of(i);
	return count;
}

static void room_is_made_with_the_fewest_moves(void **state)
{
	(void)state;
	start(1024, 15);
	for (u32 i = 0; i < pages; i++)
		ids[i] = pack_store(&pack, EPHEMERAL, data, 2048, i);
	assert_int_equal(pack.frames, RUN_FRAMES);
	pack_free(&pack, ids[3]);
	pack_free(&pack, ids[9]);
	ids[3] = ids[9] = 0;
	/* One gap is enough. */
	assert_int_equal(moved_by_store(2000), 0);
	/* Two are needed: the one between them moves. */
	pack_free(&pack, ids[3]);
	pack_free(&pack, ids[11]);
	ids[3] = ids[11] = 0;
	assert_int_equal(moved_by_store(3000), 1);
	assert_int_equal(pack.frames, RUN_FRAMES);
	finish();
}

/* Two runs become one where they are: owners are told, and nothing is copied. */
static void runs_are_joined_without_copies(void **state)
{
	const void *before[80];
	u32 moves = 0;

	(void)state;
	start(1024, 75);
	for (u32 i = 0; i < pages; i++)
		ids[i] = pack_store(&pack, EPHEMERAL, data, 2048, i);
	for (u32 i = 0; i < pages; i++) {
		if (i % 3 == 0)
			continue;
		pack_free(&pack, ids[i]);
		ids[i] = 0;
	}
	while (!moves) {
		for (u32 i = 0; i < pages; i += 3)
			before[i] = address_of(i);
		assert_int_not_equal(pack_compact(&pack, 1, note_move, &moves), 0);
	}
	assert_int_equal(moves, 5);
	for (u32 i = 0; i < pages; i += 3)
		assert_ptr_equal(before[i], address_of(i));
	finish();
}

static void a_step_of_compaction_is_bounded(void **state)
{
	(void)state;
	start(65536, 6000);
	for (u32 i = 0; i < pages; i++)
		store_one(i, 1200, 1000);
	for (u32 i = 0; i < pages; i++) {
		if (i % 5 == 0)
			continue;
		pack_free(&pack, ids[i]);
		ids[i] = 0;
	}
	for (;;) {
		u64 frames = pack.frames;
		u32 moves = 0, done = pack_compact(&pack, 5, note_move, &moves);

		if (!done)
			break;
		/* Frames of one run, or fragments: those of a joined run, or five. */
		assert_true(frames <= pack.frames + RUN_FRAMES);
		assert_true(moves <= RUN_FRAGMENTS);
	}
	assert_false(pack_is_sparse(&pack));
	finish();
}

/* Stores, frees and compacts while allocation number @failing fails; whether one did. */
static bool with_a_failure(bool blocks, u64 failing, u32 *refused_in_all)
{
	u32 refused = 0, moves = 0;
	bool failed;

	start(2048, 3000);
	host_blocks_available = blocks;
	host_allocations_until_failure = failing;
	for (u32 i = 0; i < 400; i++) {
		ids[i] = pack_store(&pack, i % 2, data, 100 + i * 7, i);
		refused += !ids[i];
	}
	for (u32 i = 0; i < 400; i++) {
		if (!ids[i] || i % 3 == 0)
			continue;
		pack_free(&pack, ids[i]);
		ids[i] = 0;
	}
	while (pack_compact(&pack, 7, note_move, &moves))
		;
	failed = host_allocations_until_failure == ~0UL;
	host_allocations_until_failure = ~0UL;
	assert_true(refused <= 1);
	*refused_in_all += refused;
	finish();
	return failed;
}

/* A store is refused, or not, and nothing else comes of it. */
static void every_allocation_may_fail(void **state)
{
	u32 refused = 0;

	(void)state;
	for (u64 failing = 0; with_a_failure(true, failing, &refused); failing++)
		;
	for (u64 failing = 0; with_a_failure(false, failing, &refused); failing++)
		;
	assert_true(refused > 100);
}

static void a_caller_can_bring_the_frame(void **state)
{
	u32 slot;

	(void)state;
	start(1024, 1);
	assert_int_equal(arena_take(tmem, EPHEMERAL, 0, &slot, 1), 1);
	host_pages_max = host_pages_in_use();
	tmem->arena.max_frames = 1; /* nothing more from the arena */
	assert_int_equal(pack_add_frame(&pack, EPHEMERAL, 3000, slot), -SLUICE_ENOMEM);
	host_pages_max = ~0UL;
	assert_int_equal(pack_add_frame(&pack, EPHEMERAL, 3000, slot), 0);
	store_one(0, 3000, 0);
	assert_int_equal(pack.frames, 1);
	finish();
}

/* More than one run's worth, so that a whole run has no fragment. */
static void frames_that_nobody_used_come_back(void **state)
{
	u32 slots[RUN_FRAMES + 3];

	(void)state;
	start(1024, 1);
	assert_int_equal(
		arena_take(tmem, EPHEMERAL, 0, slots, ARRAY_SIZE(slots)), ARRAY_SIZE(slots));
	for (u32 i = 0; i < ARRAY_SIZE(slots); i++)
		assert_int_equal(pack_add_frame(&pack, EPHEMERAL, 3000, slots[i]), 0);
	assert_int_equal(pack.frames, ARRAY_SIZE(slots));
	assert_int_equal(pack_audit(&pack, visit_nothing, NULL), 0);
	pack_destroy(&pack);
	assert_int_equal(pack.frames, 0);
	tmem_destroy(tmem);
	assert_int_equal(host_pages_in_use(), 0);
	host_memory_exit();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_to_one_is_dense),
		cmocka_unit_test(three_to_one_is_dense),
		cmocka_unit_test(short_fragments_are_dense),
		cmocka_unit_test(small_pools_are_not_wasted),
		cmocka_unit_test(room_is_made_with_the_fewest_moves),
		cmocka_unit_test(runs_are_joined_without_copies),
		cmocka_unit_test(a_step_of_compaction_is_bounded),
		cmocka_unit_test(every_allocation_may_fail),
		cmocka_unit_test(a_caller_can_bring_the_frame),
		cmocka_unit_test(frames_that_nobody_used_come_back),
	};

	return cmocka_run_group_tests_name("tmem_pack", tests, NULL, NULL);
}
