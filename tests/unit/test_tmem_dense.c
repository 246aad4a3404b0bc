/*
 * Pages that need no frame of their own: what they cost, that they come back right, and that
 * eviction and reclaim find frames behind them. Equal ones have test_tmem_equal.c, and the random
 * test (test_tmem_model.c) plays all modes mixed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/hypercall.h>

#include "tmem/dense.h"
#include "tests/unit/tmem_host/dense_store.h"
#include "tests/unit/tmem_host/port.h"

static void *taken[32];

static void filled_pages_cost_no_frame(void **state)
{
	u64 before;

	(void)state;
	start(4096, 0, TMEM_MODE_FILLED);
	assert_int_equal(put_seed(client, handle_of(0, 9, 9), 9), 0);
	before = frames();
	for (u32 index = 0; index < 3000; index++)
		assert_int_equal(put_seed(client, handle_of(index & 1, 1, index),
					 KIND(HOST_PAGE_FILLED, index)),
			0);
	assert_int_equal(frames(), before);
	assert_int_equal(stats_of(client).dense_pages, 3000);
	assert_int_equal(stats_of(client).dense_frames, 0);
	assert_int_equal(store_audit(tmem), 0);
	for (u32 index = 0; index < 3000; index++)
		assert_int_equal(get_seed(client, handle_of(index & 1, 1, index),
					 KIND(HOST_PAGE_FILLED, index)),
			0);
	finish();
}

/* Of index @i: of four in a row some are ordinary, some full of one word, and some look so at a
 * glance. */
static void fill_alternating(u64 *words, u32 i)
{
	static const u8 kinds[] = {0, 0, 0, 1, 0, 1, 1, 2, 2, 0, 2, 1};
	u8 kind = kinds[i / 4 % ARRAY_SIZE(kinds)];

	host_fill_page(words, kind ? KIND(HOST_PAGE_FILLED, i) : i + 1);
	if (kind == 2)
		words[i % 500 + 2] ^= 1;
}

static u64 alternating_page[PAGE_WORDS], got_page[PAGE_WORDS];

static void put_alternating(int pool, u32 count)
{
	for (u32 i = 0; i < count; i++) {
		const struct tmem_handle handle = handle_of(pool, i / 96, i % 96);

		fill_alternating(alternating_page, i);
		assert_int_equal(tmem_put(client, &handle, alternating_page), 0);
	}
	assert_int_equal(store_audit(tmem), 0);
}

/* The common way of puts copies a page before it glances at it, or glances first: it must not
 * matter which, nor whether the page is the first of its group. */
static void ordinary_and_filled_pages_alternate(void **state)
{
	const u32 count = 1152;

	(void)state;
	for (unsigned aged = 0; aged < 2; aged++) {
		store_guest_pages = aged ? 2000 : 0;
		store_modes = TMEM_MODE_FILLED;
		tmem = store_create(8192, 0);
		client = store_client(tmem, 1, ~0UL);
		assert_int_equal(tmem_pool_create(client, 0, 0, 0), 0);
		for (unsigned round = 0; round < 3; round++) {
			put_alternating(0, count);
			assert_int_equal(stats_of(client).filled_pages, count / 3);
			for (u32 i = 0; i < count; i++) {
				const struct tmem_handle handle = handle_of(0, i / 96, i % 96);

				fill_alternating(alternating_page, i);
				assert_int_equal(tmem_get(client, &handle, got_page), 0);
				assert_memory_equal(got_page, alternating_page, PAGE_SIZE);
			}
			assert_int_equal(store_audit(tmem), 0);
		}
		/* Persistent ones are admitted before they are copied. */
		assert_int_equal(tmem_pool_create(client, TMEM_POOL_PERSISTENT, 0, 0), 1);
		put_alternating(1, count);
		assert_int_equal(stats_of(client).filled_pages, count / 3);
		assert_int_equal(tmem_persistent_held(tmem), count);
		store_end_client(client);
		assert_int_equal(store_end(tmem), 0);
		/* Where the store is full, slots come by eviction. */
		tmem = store_create(8192, 500);
		client = store_client(tmem, 1, ~0UL);
		assert_int_equal(tmem_pool_create(client, 0, 0, 0), 0);
		for (unsigned round = 0; round < 2; round++)
			put_alternating(0, count);
		assert_true(stats_of(client).evictions > 500);
		finish();
	}
	store_guest_pages = store_modes = 0;
}

static void compressed_pages_need_fewer_frames(void **state)
{
	(void)state;
	start(8192, 0, TMEM_MODE_COMPRESS);
	for (u32 index = 0; index < 3000; index++)
		assert_int_equal(put_seed(client, handle_of(1, 1, index),
					 KIND(HOST_PAGE_COMPRESSIBLE, index)),
			0);
	assert_int_equal(stats_of(client).dense_pages, 3000);
	assert_in_range(stats_of(client).dense_frames, 1, 3000 / 2);
	for (u32 index = 0; index < 3000; index++)
		assert_int_equal(get_seed(client, handle_of(1, 1, index),
					 KIND(HOST_PAGE_COMPRESSIBLE, index)),
			0);
	finish();
}

/* A full pool of compressed pages holds more pages than it has frames, whatever is evicted. */
static void a_full_pool_stays_dense(void **state)
{
	u32 hits = 0;

	(void)state;
	start(4096, 512, TMEM_MODE_COMPRESS);
	for (u32 index = 0; index < 5000; index++)
		assert_int_equal(put_seed(client, handle_of(0, 1, index),
					 KIND(HOST_PAGE_COMPRESSIBLE, index)),
			0);
	assert_true(frames() <= 512);
	assert_true(ephemeral_pages(client) > 1024);
	assert_int_equal(store_audit(tmem), 0);
	for (u32 index = 0; index < 5000; index++)
		hits += get_seed(client, handle_of(0, 1, index),
				KIND(HOST_PAGE_COMPRESSIBLE, index)) == 0;
	assert_true(hits > 1024);
	finish();
}

/* Pages of all kinds in a store that is full: what is evicted makes room for what comes. */
static void kinds_displace_each_other(void **state)
{
	(void)state;
	start(4096, 300, TMEM_MODE_FILLED | TMEM_MODE_DEDUP | TMEM_MODE_COMPRESS);
	for (u32 index = 0; index < 6000; index++)
		assert_int_equal(put_seed(client, handle_of(0, 1, index),
					 KIND(index % HOST_PAGE_KINDS, index)),
			0);
	assert_true(frames() <= 300);
	assert_int_equal(store_audit(tmem), 0);
	/* Persistent pages take all that ephemeral ones have. Behind the last frames stand hundreds
	 * of equal pages each: a put does bounded work, and the next one goes on. */
	for (u32 index = 0; index < 300; index++) {
		int result = -SLUICE_ENOMEM;

		for (u32 tries = 0; tries < 4 && result; tries++)
			result = put_seed(client, handle_of(1, 1, index), index);
		assert_int_equal(result, 0);
	}
	assert_int_equal(put_seed(client, handle_of(1, 2, 1), 1000), -SLUICE_ENOMEM);
	for (u32 index = 0; index < 300; index++)
		assert_int_equal(get_seed(client, handle_of(1, 1, index), index), 0);
	finish();
}

static void reclaim_finds_frames_behind_dense_pages(void **state)
{
	unsigned count;
	u64 total = 0;

	(void)state;
	start(4096, 0, TMEM_MODE_FILLED | TMEM_MODE_DEDUP | TMEM_MODE_COMPRESS);
	for (u32 index = 0; index < 4000; index++)
		assert_int_equal(put_seed(client, handle_of(index % 3 == 0, 1, index),
					 KIND(index % HOST_PAGE_KINDS, index)),
			0);
	while ((count = tmem_reclaim(tmem, taken, 32)) != 0) {
		total += count;
		for (unsigned i = 0; i < count; i++)
			tmem_port_free(taken[i], 0);
		assert_int_equal(store_audit(tmem), 0);
	}
	assert_true(total > 500);
	/* Nothing persistent is lost. */
	for (u32 index = 0; index < 4000; index += 3)
		assert_int_equal(get_seed(client, handle_of(1, 1, index),
					 KIND(index % HOST_PAGE_KINDS, index)),
			0);
	finish();
}

/* Records of filled pages are bounded by the frames that the store has. */
static void filled_pages_are_not_for_free(void **state)
{
	struct tmem_stats stats;

	(void)state;
	start(8192, 1024, TMEM_MODE_FILLED);
	assert_int_equal(put_seed(client, handle_of(0, 9, 9), 9), 0);
	for (u32 index = 0; index < 200000; index++)
		assert_int_equal(
			put_seed(client, handle_of(0, index, 0), KIND(HOST_PAGE_FILLED, 0)), 0);
	tmem_stats(tmem, &stats);
	assert_true(stats.metadata_bytes < 1024 * 1024);
	assert_true(stats.frames <= 1024);
	finish();
}

static void visit_nothing(void *page, void *argument)
{
	(void)page;
	(void)argument;
}

/* One more is counted at @count than there is; all was sound before, and is again afterwards. */
#define FINDS(count)                                                                               \
	do {                                                                                       \
		(count)++;                                                                         \
		host_complaints = 0;                                                               \
		if (!tmem_audit(tmem, visit_nothing, NULL) || !host_complaints)                    \
			fail_msg("%s is not found", #count);                                       \
		(count)--;                                                                         \
		host_complaints = 0;                                                               \
		assert_int_equal(store_audit(tmem), 0);                                            \
	} while (0)

static void the_audit_finds_what_is_wrong(void **state)
{
	struct dense *dense;

	(void)state;
	start(4096, 0, TMEM_MODE_DEDUP);
	for (u32 index = 0; index < 100; index++)
		assert_int_equal(put_seed(client, handle_of(0, 1, index), index % 50), 0);
	dense = client->dense;
	FINDS(dense->shared_frames[EPHEMERAL]);
	FINDS(dense->pages[EPHEMERAL]);
	FINDS(dense->contents[EPHEMERAL].entries);
	FINDS(client->dense_frames[EPHEMERAL]);
	FINDS(shared_at(&dense->shared, slab_first_place(sizeof(struct shared_content)))->refs);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(filled_pages_cost_no_frame),
		cmocka_unit_test(ordinary_and_filled_pages_alternate),
		cmocka_unit_test(compressed_pages_need_fewer_frames),
		cmocka_unit_test(a_full_pool_stays_dense),
		cmocka_unit_test(kinds_displace_each_other),
		cmocka_unit_test(reclaim_finds_frames_behind_dense_pages),
		cmocka_unit_test(filled_pages_are_not_for_free),
		cmocka_unit_test(the_audit_finds_what_is_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
