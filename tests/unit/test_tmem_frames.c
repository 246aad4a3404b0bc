/*
 * Who gives up what when somebody wants a frame, or a slot for a page without one: nothing is given
 * up in vain, nobody below his share gives anything, and no call works without a bound.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/hypercall.h>

#include "tests/unit/tmem_host/port.h"
#include "tests/unit/tmem_host/store.h"
#include "tmem/client.h"
#include "tmem/dense.h"

#define KIND(kind, seed) ((u64)(kind) << HOST_KIND_SHIFT | (seed))

static struct tmem *tmem;
static void *taken[32];

static void start(u64 frames)
{
	tmem = store_create(8 * frames, frames);
	assert_non_null(tmem);
}

/* With pool 0 of this kind. */
static struct tmem_client *join(u8 modes, u64 pool_flags)
{
	struct tmem_client *client;

	store_modes = modes;
	client = store_client(tmem, 1, ~0UL);
	store_modes = 0;
	assert_non_null(client);
	assert_int_equal(tmem_pool_create(client, pool_flags, 0, 0), 0);
	return client;
}

static void finish(struct tmem_client *first, struct tmem_client *second)
{
	assert_int_equal(store_audit(tmem), 0);
	store_end_client(first);
	if (second)
		store_end_client(second);
	assert_int_equal(store_end(tmem), 0);
	assert_int_equal(host_complaints, 0);
}

static struct tmem_handle page(u64 number)
{
	return handle_of(0, number / 64, (u32)(number % 64));
}

static struct tmem_client_stats stats_of(const struct tmem_client *client)
{
	struct tmem_client_stats stats;

	tmem_client_stats(client, &stats);
	return stats;
}

static u64 frames(void)
{
	struct tmem_stats stats;

	tmem_stats(tmem, &stats);
	return stats.frames;
}

/* Puts pages of @kind until one is refused, at most @max; how many were stored. */
static u64 fill(struct tmem_client *client, enum host_page_kind kind, u64 max)
{
	u64 count = 0;

	while (count < max && !put_seed(client, page(count), KIND(kind, count + 1)))
		count++;
	return count;
}

static unsigned reclaim(void)
{
	unsigned count = tmem_reclaim(tmem, taken, ARRAY_SIZE(taken));

	for (unsigned i = 0; i < count; i++)
		tmem_port_free(taken[i], 0);
	return count;
}

/* ---- Packs of compressed pages ------------------------------------------------------- */

#define PACK_FRAMES 2048U

/* A store full of compressed persistent pages of one client, of which three in four were flushed.
 */
struct sparse {
	struct tmem_client *client;
	u64 count, left; /* pages before and after */
	u64 dense;       /* frames that those left would take without holes */
};

static struct sparse start_sparse(void)
{
	struct sparse sparse = {0};
	u64 state = 1, full;

	start(PACK_FRAMES);
	sparse.client = join(TMEM_MODE_COMPRESS, TMEM_POOL_PERSISTENT);
	sparse.count = fill(sparse.client, HOST_PAGE_COMPRESSIBLE, ~0UL);
	full = stats_of(sparse.client).dense_frames;
	for (u64 number = 0; number < sparse.count; number++) {
		struct tmem_handle handle = page(number);

		if ((host_random(&state) >> 33) % 4)
			assert_int_equal(tmem_flush_page(sparse.client, &handle), 0);
		else
			sparse.left++;
	}
	assert_int_equal(stats_of(sparse.client).persistent_pages, sparse.left);
	sparse.dense = full * sparse.left / sparse.count;
	return sparse;
}

static void finish_sparse(const struct sparse *sparse, struct tmem_client *other)
{
	u64 found = 0;

	assert_int_equal(store_audit(tmem), 0);
	for (u64 number = 0; number < sparse->count; number++) {
		int result = get_seed(
			sparse->client, page(number), KIND(HOST_PAGE_COMPRESSIBLE, number + 1));

		if (result == -SLUICE_ENOENT)
			continue;
		assert_int_equal(result, 0);
		found++;
	}
	assert_int_equal(found, sparse->left);
	finish(sparse->client, other);
}

static void flushes_leave_no_more_than_a_quarter_of_a_pack_free(void **state)
{
	struct sparse sparse = start_sparse();
	u64 dense = sparse.dense;

	(void)state;
	assert_in_range(stats_of(sparse.client).dense_frames, dense, dense * 4 / 3 + 2);
	finish_sparse(&sparse, NULL);
}

/* As dense as packs that were never flushed, but for the sixteenth that compaction leaves. */
static void puts_of_others_get_the_frames_of_sparse_packs(void **state)
{
	struct sparse sparse = start_sparse();
	struct tmem_client *other = join(0, 0);
	u64 dense = sparse.dense;

	(void)state;
	assert_int_equal(fill(other, HOST_PAGE_RANDOM, 2 * PACK_FRAMES), 2 * PACK_FRAMES);
	assert_in_range(stats_of(sparse.client).dense_frames, dense, dense * 17 / 16 + 2);
	assert_true(ephemeral_pages(other) > PACK_FRAMES - dense * 9 / 8);
	finish_sparse(&sparse, other);
}

static void reclaim_takes_the_frames_of_sparse_packs(void **state)
{
	struct sparse sparse = start_sparse();
	u64 dense = sparse.dense;

	(void)state;
	while (reclaim())
		;
	assert_in_range(stats_of(sparse.client).dense_frames, dense, dense * 9 / 8 + 2);
	assert_true(frames() <= dense * 9 / 8 + MAGAZINE_SLOTS);
	finish_sparse(&sparse, NULL);
}

/* ---- Pages that free no frame -------------------------------------------------------- */

#define FRAMES 4096U

/* A store full of persistent pages of another client, and one that holds @zeros. */
static struct tmem_client *full_store_with_zeros(u64 zeros, struct tmem_client **keeper)
{
	struct tmem_client *client;

	start(FRAMES);
	*keeper = join(0, TMEM_POOL_PERSISTENT);
	client = join(TMEM_MODE_FILLED, 0);
	assert_int_equal(fill(*keeper, HOST_PAGE_RANDOM, FRAMES), FRAMES);
	assert_int_equal(fill(client, HOST_PAGE_FILLED, zeros), zeros);
	assert_int_equal(ephemeral_pages(client), zeros);
	return client;
}

static void a_put_drops_no_page_that_frees_no_frame(void **state)
{
	struct tmem_client *client, *keeper, *other;

	(void)state;
	client = full_store_with_zeros(20000, &keeper);
	other = join(0, 0);
	assert_int_equal(put_seed(other, page(0), 1), -SLUICE_ENOMEM);
	assert_int_equal(put_seed(client, page(20000), 1), -SLUICE_ENOMEM);
	assert_int_equal(ephemeral_pages(client), 20000);
	store_end_client(other);
	finish(client, keeper);
}

static void reclaim_drops_no_page_that_frees_no_frame(void **state)
{
	struct tmem_client *client, *keeper;

	(void)state;
	client = full_store_with_zeros(20000, &keeper);
	assert_int_equal(reclaim(), 0);
	assert_int_equal(ephemeral_pages(client), 20000);
	finish(client, keeper);
}

/* Where there are frames to be had, those go, however old the others are. */
static void old_zero_pages_outlive_pages_in_frames(void **state)
{
	struct tmem_client *client;

	(void)state;
	start(FRAMES);
	client = join(TMEM_MODE_FILLED, 0);
	assert_int_equal(fill(client, HOST_PAGE_FILLED, 500), 500);
	for (u64 number = 0; number < 2 * FRAMES; number++)
		assert_int_equal(put_seed(client, page(1000 + number), 1000 + number), 0);
	assert_int_equal(ephemeral_pages(client), FRAMES + 500);
	for (u64 number = 0; number < 500; number++)
		assert_int_equal(
			get_seed(client, page(number), KIND(HOST_PAGE_FILLED, number + 1)), 0);
	finish(client, NULL);
}

/* Whoever hides a frame behind many pages without one keeps nobody else from getting it. */
static void pages_that_free_no_frame_hide_none_that_do(void **state)
{
	struct tmem_client *client, *keeper, *other;

	(void)state;
	start(FRAMES);
	keeper = join(0, TMEM_POOL_PERSISTENT);
	client = join(TMEM_MODE_FILLED | TMEM_MODE_DEDUP, 0);
	for (u64 number = 0; number < 20; number++)
		assert_int_equal(put_seed(client, page(30000 + number), 4711), 0);
	assert_int_equal(fill(keeper, HOST_PAGE_RANDOM, FRAMES - 1), FRAMES - 1);
	assert_int_equal(fill(client, HOST_PAGE_FILLED, 20000), 20000);
	other = join(0, 0);
	assert_int_equal(put_seed(other, page(0), 1), 0);
	assert_int_equal(stats_of(client).dense_frames, 0);
	assert_int_equal(ephemeral_pages(client), 20000);
	store_end_client(other);
	finish(client, keeper);
}

/* A cap is about pages: those without a frame count like others, and go. */
static void a_cap_counts_pages_without_frames(void **state)
{
	struct tmem_client *client;

	(void)state;
	start(FRAMES);
	client = join(TMEM_MODE_FILLED, 0);
	assert_int_equal(fill(client, HOST_PAGE_FILLED, 1000), 1000);
	while (tmem_client_set_caps(client, ~0UL, 100) == -SLUICE_EAGAIN)
		;
	assert_int_equal(ephemeral_pages(client), 100);
	for (u64 number = 0; number < 300; number++)
		assert_int_equal(put_seed(client, page(2000 + number), 1), 0);
	assert_int_equal(ephemeral_pages(client), 100);
	finish(client, NULL);
}

/* And no more go than must: one for the cap, and one for its frame. */
static void a_cap_drops_no_more_than_it_must(void **state)
{
	struct tmem_client *client, *keeper;
	u64 before = 0, most = 0;

	(void)state;
	start(FRAMES);
	keeper = join(0, TMEM_POOL_PERSISTENT);
	client = join(TMEM_MODE_FILLED | TMEM_MODE_DEDUP, 0);
	assert_int_equal(fill(keeper, HOST_PAGE_RANDOM, FRAMES - 120), FRAMES - 120);
	assert_int_equal(tmem_client_set_caps(client, ~0UL, 300), 0);
	for (u64 number = 0; number < 2000; number++) {
		enum host_page_kind kind = (enum host_page_kind)(number % HOST_PAGE_KINDS);

		assert_int_equal(put_seed(client, page(number), KIND(kind, number)), 0);
		assert_true(ephemeral_pages(client) + 1 >= before);
		before = ephemeral_pages(client);
		most = MAX(most, before);
		assert_true(most < 300 || before >= 298);
	}
	assert_int_equal(most, 300);
	assert_true(stats_of(client).evictions > 1000);
	finish(client, keeper);
}

/* ---- Slots of pages without frames --------------------------------------------------- */

/* Where there is memory no page goes for want of a slot: one in nine has a frame. */
static void slots_come_with_frames(void **state)
{
	struct tmem_client *client;
	const u64 pages = FRAMES * 4;

	(void)state;
	start(FRAMES);
	client = join(TMEM_MODE_FILLED, 0);
	assert_int_equal(fill(client, HOST_PAGE_FILLED, pages), pages);
	assert_int_equal(ephemeral_pages(client), pages);
	assert_int_equal(stats_of(client).evictions, 0);
	finish(client, NULL);
}

/* All slots of the store are the client's. */
static u64 take_all_slots(struct tmem_client *client)
{
	fill(client, HOST_PAGE_FILLED, FRAMES * 9);
	return stats_of(client).dense_pages;
}

static void a_client_below_its_share_gets_slots_of_another(void **state)
{
	struct tmem_client *client, *other, *data;
	u64 all;

	(void)state;
	start(FRAMES);
	data = join(0, 0);
	assert_int_equal(fill(data, HOST_PAGE_RANDOM, FRAMES), FRAMES);
	client = join(TMEM_MODE_FILLED, 0);
	all = take_all_slots(client);
	/* Whoever borrows all has hardly one without a slot: its own oldest go, once it is known
	 * that there is no frame. */
	assert_in_range(all, FRAMES * 8, FRAMES * 8 + 2 * BLOCK_PAGES);
	assert_in_range(ephemeral_pages(client), all, all + 4);
	other = join(TMEM_MODE_FILLED, 0);
	assert_int_equal(fill(other, HOST_PAGE_FILLED, 1000), 1000);
	assert_true(stats_of(other).dense_pages > 900);
	assert_true(stats_of(client).dense_pages >= all - 3 * BLOCK_PAGES);
	assert_int_equal(store_audit(tmem), 0);
	/* Up to half, and no further. */
	fill(other, HOST_PAGE_FILLED, FRAMES * 9);
	assert_in_range(
		stats_of(other).dense_pages, all / 2 - 3 * BLOCK_PAGES, all / 2 + 2 * BLOCK_PAGES);
	assert_true(stats_of(client).dense_pages >= all / 2 - 3 * BLOCK_PAGES);
	store_end_client(data);
	finish(client, other);
}

/* Persistent pages in a block that is taken back move to other slots. */
static void taking_slots_back_keeps_persistent_pages(void **state)
{
	struct tmem_client *client, *other, *data;
	const u64 kept = 5000;

	(void)state;
	start(FRAMES);
	data = join(0, 0);
	assert_int_equal(fill(data, HOST_PAGE_RANDOM, FRAMES), FRAMES);
	client = join(TMEM_MODE_FILLED, 0);
	assert_int_equal(tmem_pool_create(client, TMEM_POOL_PERSISTENT, 0, 0), 1);
	for (u64 number = 0; number < FRAMES * 9; number++) {
		if (number < kept)
			assert_int_equal(put_seed(client, handle_of(1, 1, (u32)number),
						 KIND(HOST_PAGE_FILLED, number)),
				0);
		assert_int_equal(put_seed(client, page(number), KIND(HOST_PAGE_FILLED, number)), 0);
	}
	other = join(TMEM_MODE_FILLED, 0);
	assert_int_equal(fill(other, HOST_PAGE_FILLED, FRAMES * 2), FRAMES * 2);
	assert_true(stats_of(other).dense_pages > FRAMES);
	assert_int_equal(store_audit(tmem), 0);
	for (u64 number = 0; number < kept; number++)
		assert_int_equal(get_seed(client, handle_of(1, 1, (u32)number),
					 KIND(HOST_PAGE_FILLED, number)),
			0);
	store_end_client(data);
	finish(client, other);
}

static void a_client_may_end_while_its_slots_are_taken_back(void **state)
{
	struct tmem_client *client, *other, *data;

	(void)state;
	start(FRAMES);
	data = join(0, 0);
	assert_int_equal(fill(data, HOST_PAGE_RANDOM, FRAMES), FRAMES);
	client = join(TMEM_MODE_FILLED, 0);
	(void)take_all_slots(client);
	other = join(TMEM_MODE_FILLED, 0);
	assert_int_equal(fill(other, HOST_PAGE_FILLED, 3), 3);
	assert_int_not_equal(tmem->emptied_block, 0);
	store_end_client(client);
	assert_int_equal(store_audit(tmem), 0);
	client = join(TMEM_MODE_FILLED, 0);
	assert_int_equal(fill(client, HOST_PAGE_FILLED, 2000), 2000);
	assert_int_equal(fill(other, HOST_PAGE_FILLED, 2000), 2000);
	store_end_client(data);
	finish(client, other);
}

/* ---- Equal pages --------------------------------------------------------------------- */

/* Without a slot an equal page gets a frame, but the table of contents gets no second entry. */
static void equal_pages_make_no_chain(void **state)
{
	struct tmem_client *client, *data;

	(void)state;
	start(FRAMES);
	data = join(0, 0);
	assert_int_equal(fill(data, HOST_PAGE_RANDOM, FRAMES), FRAMES);
	client = join(TMEM_MODE_FILLED | TMEM_MODE_DEDUP, TMEM_POOL_PERSISTENT);
	/* Persistent pages are not evicted for slots. */
	assert_true(fill(client, HOST_PAGE_FILLED, FRAMES * 8 + BLOCK_PAGES) >= FRAMES * 8);
	for (u64 number = 0; number < FRAMES / 2; number++)
		assert_int_equal(put_seed(client, page(100000 + number), 4711), 0);
	assert_true(client->dense->contents[PERSISTENT].entries <= 1);
	assert_int_equal(client->dense->contents[PERSISTENT].rekeys, 0);
	store_end_client(data);
	finish(client, NULL);
}

/* ---- Replacing ----------------------------------------------------------------------- */

static void a_replacement_needs_no_second_admission(void **state)
{
	const u8 modes[] = {0, TMEM_MODE_FILLED, TMEM_MODE_FILLED | TMEM_MODE_DEDUP,
		TMEM_MODE_FILLED | TMEM_MODE_DEDUP | TMEM_MODE_COMPRESS};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(modes); i++) {
		struct tmem_client *client;

		start(FRAMES);
		client = join(modes[i], TMEM_POOL_PERSISTENT);
		assert_int_equal(fill(client, HOST_PAGE_RANDOM, 100), 100);
		host_persistent_max = 90;
		assert_int_equal(put_seed(client, page(3), 77), 0);
		assert_int_equal(get_seed(client, page(3), 77), 0);
		assert_int_equal(tmem_client_set_caps(client, 50, ~0UL), 0);
		assert_int_equal(put_seed(client, page(4), KIND(HOST_PAGE_FILLED, 5)), 0);
		assert_int_equal(get_seed(client, page(4), KIND(HOST_PAGE_FILLED, 5)), 0);
		assert_int_equal(put_seed(client, page(200), 1), -SLUICE_ENOSPC);
		assert_int_equal(tmem_persistent_held(tmem), 100);
		host_persistent_max = ~0UL;
		finish(client, NULL);
	}
}

/* ---- Reclaim of blocks --------------------------------------------------------------- */

/* Reclaims until @frames have been had. */
static void reclaim_frames(u64 frames)
{
	for (u64 total = 0; total < frames;) {
		unsigned count = reclaim();

		assert_int_not_equal(count, 0);
		total += count;
	}
	assert_int_equal(store_audit(tmem), 0);
}

static unsigned blocks_of(unsigned class)
{
	unsigned count = 0;

	for (u32 number = 1; number < tmem->arena.block_numbers; number++) {
		const struct block *block = arena_block(tmem, number);

		count += block && block->class == class;
	}
	return count;
}

/* Frames that several ephemeral pages share stay in their blocks: one call does not look through
 * all of them, and gets its frames from the pages themselves. */
static void reclaim_looks_through_few_blocks_in_vain(void **state)
{
	struct tmem_client *client;
	unsigned blocks;

	(void)state;
	start(FRAMES * 2);
	client = join(TMEM_MODE_DEDUP, 0);
	for (u64 number = 0; number < 4 * FRAMES; number++)
		assert_int_equal(put_seed(client, page(number), number / 2 + 1), 0);
	blocks = blocks_of(EPHEMERAL);
	assert_in_range(blocks, FRAMES * 2 / BLOCK_PAGES - 1, FRAMES * 2 / BLOCK_PAGES);
	assert_in_range(reclaim(), 1, 32);
	assert_true(blocks_of(EPHEMERAL) >= blocks - 4);
	finish(client, NULL);
}

/* What guests are promised counts pages: frames at hand for more are given up for it. */
static void reclaim_takes_frames_at_hand(void **state)
{
	struct tmem_client *clients[8];

	(void)state;
	start(FRAMES);
	for (u32 i = 0; i < ARRAY_SIZE(clients); i++) {
		clients[i] = join(0, TMEM_POOL_PERSISTENT);
		assert_int_equal(fill(clients[i], HOST_PAGE_RANDOM, 63), 63);
		for (u64 number = 1; number < 63; number++) {
			const struct tmem_handle handle = page(number);

			assert_int_equal(tmem_flush_page(clients[i], &handle), 0);
		}
	}
	while (reclaim())
		;
	assert_int_equal(frames(), ARRAY_SIZE(clients));
	for (u32 i = 0; i < ARRAY_SIZE(clients); i++)
		assert_int_equal(get_seed(clients[i], page(0), KIND(HOST_PAGE_RANDOM, 1)), 0);
	for (u32 i = 2; i < ARRAY_SIZE(clients); i++)
		store_end_client(clients[i]);
	finish(clients[0], clients[1]);
}

/* Pages of two clients lie mixed in all blocks: the one that holds less than its share keeps its
 * pages of @kind, which move, while the other one gives @given of its own. */
static void check_small_client(u8 modes, enum host_page_kind kind, u64 count, u64 given)
{
	struct tmem_client *small, *large;
	u64 held;

	start(FRAMES);
	small = join(modes, 0);
	large = join(0, 0);
	for (u64 number = 0; number < count; number++)
		assert_int_equal(number % 10
					 ? put_seed(large, page(number), number + 1)
					 : put_seed(small, page(number), KIND(kind, number + 1)),
			0);
	held = ephemeral_pages(large);
	reclaim_frames(given);
	assert_int_equal(ephemeral_pages(small), (count + 9) / 10);
	assert_in_range(ephemeral_pages(large), held - given - 64, held - given + 64);
	for (u64 number = 0; number < count; number += 10)
		assert_int_equal(get_seed(small, page(number), KIND(kind, number + 1)), 0);
	finish(small, large);
}

static void reclaim_leaves_a_client_below_its_share_its_pages(void **state)
{
	(void)state;
	check_small_client(0, HOST_PAGE_RANDOM, FRAMES, FRAMES / 2);
}

/* Packs of compressed pages move as they are. */
static void reclaim_leaves_a_client_below_its_share_its_packs(void **state)
{
	(void)state;
	check_small_client(TMEM_MODE_COMPRESS, HOST_PAGE_COMPRESSIBLE, FRAMES, FRAMES / 2);
}

/* Hot pages, in all blocks, move to where cold ones were. */
static void reclaim_keeps_hot_pages(void **state)
{
	struct tmem_client *client;

	(void)state;
	start(FRAMES);
	store_guest_pages = FRAMES;
	client = join(0, 0);
	store_guest_pages = 0;
	assert_int_equal(fill(client, HOST_PAGE_RANDOM, FRAMES), FRAMES);
	/* Whoever comes back after a hit is hot. */
	for (u64 number = 0; number < FRAMES; number += 10) {
		assert_int_equal(get_seed(client, page(number), number + 1), 0);
		assert_int_equal(put_seed(client, page(number), number + 1), 0);
	}
	assert_in_range(client->main_pages, FRAMES / 11, FRAMES / 10 + 1);
	reclaim_frames(FRAMES / 2);
	assert_in_range(ephemeral_pages(client), FRAMES / 2 - 32, FRAMES / 2);
	for (u64 number = 0; number < FRAMES; number += 10)
		assert_int_equal(get_seed(client, page(number), number + 1), 0);
	finish(client, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flushes_leave_no_more_than_a_quarter_of_a_pack_free),
		cmocka_unit_test(puts_of_others_get_the_frames_of_sparse_packs),
		cmocka_unit_test(reclaim_takes_the_frames_of_sparse_packs),
		cmocka_unit_test(a_put_drops_no_page_that_frees_no_frame),
		cmocka_unit_test(reclaim_drops_no_page_that_frees_no_frame),
		cmocka_unit_test(old_zero_pages_outlive_pages_in_frames),
		cmocka_unit_test(pages_that_free_no_frame_hide_none_that_do),
		cmocka_unit_test(a_cap_counts_pages_without_frames),
		cmocka_unit_test(a_cap_drops_no_more_than_it_must),
		cmocka_unit_test(a_client_below_its_share_gets_slots_of_another),
		cmocka_unit_test(slots_come_with_frames),
		cmocka_unit_test(taking_slots_back_keeps_persistent_pages),
		cmocka_unit_test(a_client_may_end_while_its_slots_are_taken_back),
		cmocka_unit_test(equal_pages_make_no_chain),
		cmocka_unit_test(a_replacement_needs_no_second_admission),
		cmocka_unit_test(reclaim_looks_through_few_blocks_in_vain),
		cmocka_unit_test(reclaim_takes_frames_at_hand),
		cmocka_unit_test(reclaim_leaves_a_client_below_its_share_its_pages),
		cmocka_unit_test(reclaim_leaves_a_client_below_its_share_its_packs),
		cmocka_unit_test(reclaim_keeps_hot_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
