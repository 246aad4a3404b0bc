/*
 * Who gives up what when somebody wants a frame, or a slot for a page without one: nothing is given
 * up in vain, nobody below his share gives anything, and no call works without a bound.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/hypercall.h>

#include "tests/unit/tmem_host/numbered.h"
#include "tmem/dense.h"

#define FRAMES 4096U

/* ---- Pages that free no frame -------------------------------------------------------- */

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_put_drops_no_page_that_frees_no_frame),
		cmocka_unit_test(reclaim_drops_no_page_that_frees_no_frame),
		cmocka_unit_test(old_zero_pages_outlive_pages_in_frames),
		cmocka_unit_test(pages_that_free_no_frame_hide_none_that_do),
		cmocka_unit_test(a_cap_counts_pages_without_frames),
		cmocka_unit_test(a_cap_drops_no_more_than_it_must),
		cmocka_unit_test(slots_come_with_frames),
		cmocka_unit_test(a_client_below_its_share_gets_slots_of_another),
		cmocka_unit_test(taking_slots_back_keeps_persistent_pages),
		cmocka_unit_test(a_client_may_end_while_its_slots_are_taken_back),
		cmocka_unit_test(equal_pages_make_no_chain),
		cmocka_unit_test(a_replacement_needs_no_second_admission),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
