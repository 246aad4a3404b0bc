/*
 * Packs: random operations against a plain reference, what they save, and what happens to damaged
 * fragments. PACK_SEED and PACK_STEPS choose what the model plays.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>

#include "tests/unit/tmem_host/pack_model.h"
#include "tests/unit/tmem_host/port.h"
#include "tmem/pack.h"
#include "tmem/pack_run.h"
#include "tmem/pack_page.h"

/* ---- Against the model -------------------------------------------------------------- */

static u64 from_environment(const char *name, u64 otherwise)
{
	const char *value = getenv(name);

	return value ? strtoull(value, NULL, 0) : otherwise;
}

static u32 choose_random(void *argument, u32 bound)
{
	return (u32)(host_random(argument) % bound);
}

static void play(const struct pack_model_config *config, u64 steps)
{
	u64 seed = from_environment("PACK_SEED", 1);
	struct pack_model *model = pack_model_create(config, choose_random, &seed);

	steps = from_environment("PACK_STEPS", steps);
	for (u64 i = 0; i < steps; i++) {
		if (!pack_model_step(model) || (i % 256 == 0 && !pack_model_check(model)))
			fail_msg("step %llu: %s", (unsigned long long)i, pack_model_error());
	}
	if (!pack_model_check(model) || !pack_model_finish(model))
		fail_msg("at the end: %s", pack_model_error());
}

static void two_to_one(void **state)
{
	(void)state;
	play(
		&(struct pack_model_config){
			.memory_pages = 8192, .fragments = 1500, .shortest = 1500, .longest = 2600},
		30000);
}

static void all_lengths(void **state)
{
	(void)state;
	/* Those that are refused too. */
	play(
		&(struct pack_model_config){
			.memory_pages = 8192, .fragments = 1000, .shortest = 0, .longest = 3100},
		30000);
}

static void very_short_ones(void **state)
{
	(void)state;
	play(
		&(struct pack_model_config){
			.memory_pages = 4096, .fragments = 2000, .shortest = 20, .longest = 400},
		30000);
}

static void no_memory_now_and_then(void **state)
{
	(void)state;
	play(&(struct pack_model_config){.memory_pages = 2048,
		     .fragments = 1000,
		     .shortest = 20,
		     .longest = 3064,
		     .failures = true},
		30000);
}

static void a_store_that_is_full(void **state)
{
	(void)state;
	play(&(struct pack_model_config){.memory_pages = 2048,
		     .max_pages = 300,
		     .fragments = 1000,
		     .shortest = 300,
		     .longest = 3000},
		30000);
}

/* ---- A pack of its own -------------------------------------------------------------- */

#define PAGES 20000U

static struct tmem *tmem;
static struct pack pack;
static u32 ids[PAGES], pages;
static u64 seed;
static u8 data[PAGE_SIZE];

static void start(u64 memory_pages, u32 count)
{
	const struct tmem_config config = {0};

	host_memory_init(memory_pages);
	tmem = tmem_create(&config);
	assert_non_null(tmem);
	pack_init(&pack, tmem, 0);
	seed = 1;
	pages = count;
	memset(ids, 0, sizeof(ids));
}

static void visit_nothing(void *page, void *argument)
{
	(void)page;
	(void)argument;
}

static void finish(void)
{
	assert_int_equal(pack_audit(&pack, visit_nothing, NULL), 0);
	for (u32 i = 0; i < PAGES; i++)
		if (ids[i])
			pack_free(&pack, ids[i]);
	assert_int_equal(pack.frames, 0);
	pack_destroy(&pack);
	tmem_destroy(tmem);
	assert_int_equal(host_pages_in_use(), 0);
	host_memory_exit();
}

static void note_move(void *argument, u32 owner, u32 old_id, u32 new_id)
{
	assert_int_equal(ids[owner], old_id);
	ids[owner] = new_id;
	++*(u32 *)argument;
}

static void store_one(u32 i, u32 mean, u32 spread)
{
	u32 length = mean - spread + (u32)(host_random(&seed) % (2 * spread + 1));

	ids[i] = pack_store(&pack, EPHEMERAL, data, length, i);
	assert_int_not_equal(ids[i], 0);
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

/* ---- Pages through the compressor --------------------------------------------------- */

/* Of each @period lines of 64 bytes one is random. */
static void make_page(u8 *page, u32 period)
{
	for (u32 i = 0; i < PAGE_SIZE; i++)
		page[i] = i / 64 % period ? (u8)(i / 64) : (u8)host_random(&seed);
}

static void pages_come_back(void **state)
{
	static u8 originals[3000][PAGE_SIZE], page[PAGE_SIZE];
	struct admission admission = {0};
	u32 crossing = 0;

	(void)state;
	start(8192, ARRAY_SIZE(originals));
	for (u32 i = 0; i < pages; i++) {
		u32 length;

		make_page(originals[i], 2 + i % 9);
		length = page_compress(&admission, originals[i]);
		assert_in_range(length, 1, PACK_LENGTH_MAX);
		ids[i] = pack_store(&pack, i % 2, tmem_port_scratch()->fragment, length, i);
		assert_int_not_equal(ids[i], 0);
	}
	for (u32 i = 0; i < pages; i++) {
		struct pack_piece pieces[2];

		pack_read(&pack, ids[i], pieces);
		crossing += pieces[1].length != 0;
		assert_int_equal(page_decompress(&pack, ids[i], page), 0);
		assert_memory_equal(page, originals[i], PAGE_SIZE);
	}
	assert_in_range(crossing, pages / 10, pages * 9 / 10);
	finish();
}

static void damaged_fragments_stay_in_the_page(void **state)
{
	struct admission admission = {0};
	u8 *original = malloc(PAGE_SIZE), *page;
	u32 length, wrong = 0;

	(void)state;
	start(2048, 1);
	make_page(original, 3);
	length = page_compress(&admission, original);
	ids[0] = pack_store(&pack, EPHEMERAL, tmem_port_scratch()->fragment, length, 0);
	/* Every byte to several values; AddressSanitizer sees what is written beside the page. */
	for (u32 at = 0; at < length; at++) {
		static const u8 values[] = {0, 0xff, 0xf0, 0x0f, 0x80};
		struct pack_piece pieces[2];
		u8 *byte, kept;

		pack_read(&pack, ids[0], pieces);
		byte = at < pieces[0].length ? (u8 *)pieces[0].data + at
					     : (u8 *)pieces[1].data + (at - pieces[0].length);
		kept = *byte;
		for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
			page = malloc(PAGE_SIZE);
			*byte = values[i];
			wrong += page_decompress(&pack, ids[0], page) != 0;
			free(page);
		}
		*byte = kept;
	}
	/* A changed literal is a changed page, which LZ4 cannot know. */
	assert_true(wrong > 0);
	page = malloc(PAGE_SIZE);
	assert_int_equal(page_decompress(&pack, ids[0], page), 0);
	assert_memory_equal(page, original, PAGE_SIZE);
	/* Bytes of another kind, of all lengths. */
	for (u32 i = 1; i <= PACK_LENGTH_MAX; i++) {
		u8 *fragment = malloc(i);

		for (u32 j = 0; j < i; j++)
			fragment[j] = (u8)host_random(&seed);
		assert_int_not_equal(tmem_port_decompress(page, fragment, i), 0);
		free(fragment);
	}
	free(page);
	free(original);
	finish();
}

static void compressed_bytes_stay_within_their_bound(void **state)
{
	u8 *page = malloc(PAGE_SIZE);

	(void)state;
	seed = 1;
	for (u32 period = 1; period < 40; period++) {
		u32 length = 0;
		u8 *fragment;

		make_page(page, period);
		for (u32 capacity = 1; capacity <= PAGE_SIZE; capacity += 61) {
			fragment = malloc(capacity);
			length = tmem_port_compress(fragment, page, capacity);
			assert_true(length <= capacity);
			free(fragment);
		}
		if (period == 1) {
			assert_int_equal(length, 0);
			continue;
		}
		fragment = malloc(length);
		assert_int_equal(tmem_port_compress(fragment, page, length), length);
		assert_int_equal(tmem_port_compress(fragment, page, length - 1), 0);
		free(fragment);
	}
	free(page);
}

/* ---- The audit ---------------------------------------------------------------------- */

/* Adds @by to the @bytes at @at; all was sound before, and is again afterwards. */
static void finds(const char *what, void *at, unsigned bytes, u64 by)
{
	u64 good = 0, bad;

	memcpy(&good, at, bytes);
	bad = good + by;
	memcpy(at, &bad, bytes);
	host_complaints = 0;
	if (!pack_audit(&pack, visit_nothing, NULL) || !host_complaints)
		fail_msg("%s is not found", what);
	memcpy(at, &good, bytes);
	assert_int_equal(pack_audit(&pack, visit_nothing, NULL), 0);
	host_complaints = 0;
}

#define FINDS(field, by) finds(#field, &(field), sizeof(field), by)

static void the_audit_finds_what_is_wrong(void **state)
{
	struct pack_class *class = &pack.classes[EPHEMERAL];
	struct fragment *fragment;
	struct run *run;
	u32 bucket;

	(void)state;
	start(4096, 400);
	for (u32 i = 0; i < 400; i++)
		store_one(i, 1500, 700);
	run = run_at(&pack, ids[0] >> FRAGMENT_ID_SHIFT);
	fragment = run_fragment(&pack, run, ids[0] & (BIT(FRAGMENT_ID_SHIFT) - 1));
	bucket = (u32)__builtin_ctzl(class->filled);
	assert_int_equal(pack_audit(&pack, visit_nothing, NULL), 0);
	FINDS(run->frame_count, 1);
	FINDS(run->frames[0], 1);
	FINDS(run->free, 1);
	FINDS(run->places[0], 1 << 6);
	FINDS(run->places[0], 1);
	FINDS(run->prev, 7);
	FINDS(run->next, 1);
	FINDS(fragment->length, GRANULE);
	FINDS(fragment->entry, 1);
	FINDS(class->filled, 1UL << 63);
	FINDS(class->buckets[bucket], 1);
	assert_int_equal(run->frame_count, RUN_FRAMES);
	FINDS(class->short_runs, (u64)(ids[0] >> FRAGMENT_ID_SHIFT) - class->short_runs);
	FINDS(pack.fragments, 1);
	FINDS(pack.bytes, 1);
	FINDS(pack.frames, 1);
	FINDS(pack.free, 1);
	finish();
}

/* ---- Admission ---------------------------------------------------------------------- */

/* How many of @count pages are tried when one in @of_ten/10 compresses. */
static u32 tried(u32 count, u32 of_ten)
{
	struct admission admission = {0};
	u32 tries = 0;

	for (u32 i = 0; i < count; i++) {
		bool saves = host_random(&seed) % 10 < of_ten;

		if (!admission_try(&admission))
			continue;
		tries++;
		admission_note(&admission, saves);
	}
	return tries;
}

static void what_does_not_compress_is_hardly_tried(void **state)
{
	static u8 page[PAGE_SIZE];
	struct admission admission = {0};
	u32 i;

	(void)state;
	seed = 1;
	assert_int_equal(tried(10000, 10), 10000);
	assert_in_range(tried(10000, 5), 9700, 10000);
	assert_in_range(tried(10000, 3), 7000, 10000);
	assert_in_range(tried(10000, 0), 10000 / 16, 10000 / 16 + 20);
	/* A pool whose pages become others is noticed within 16 pages. */
	make_page(page, 1);
	for (i = 0; i < 1000; i++)
		assert_int_equal(page_compress(&admission, page), 0);
	make_page(page, 4);
	for (i = 0; i < 16 && !page_compress(&admission, page); i++)
		;
	assert_true(i < 16);
	assert_int_not_equal(page_compress(&admission, page), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_to_one),
		cmocka_unit_test(all_lengths),
		cmocka_unit_test(very_short_ones),
		cmocka_unit_test(no_memory_now_and_then),
		cmocka_unit_test(a_store_that_is_full),
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
		cmocka_unit_test(pages_come_back),
		cmocka_unit_test(damaged_fragments_stay_in_the_page),
		cmocka_unit_test(compressed_bytes_stay_within_their_bound),
		cmocka_unit_test(the_audit_finds_what_is_wrong),
		cmocka_unit_test(what_does_not_compress_is_hardly_tried),
	};

	return cmocka_run_group_tests_name("tmem_pack", tests, NULL, NULL);
}
