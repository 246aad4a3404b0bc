/*
 * Equal pages of one client are stored once (tmem/dense_equal.c): in rows and out of them, within
 * one class of pools.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <abi/errno.h>

#include "tests/unit/tmem_host/dense_store.h"
#include "tests/unit/tmem_host/port.h"

static void *taken[32];

#define ROW 600U /* pages: more than a block */

/* Puts a row of pages as object @object: from @first on up or down, each @odd-th with another last
 * word (0: none). */
static void put_row(int pool, u64 object, u32 first, int step, u32 odd)
{
	static u64 page[PAGE_SIZE / sizeof(u64)] __aligned_to(64);

	for (u32 i = 0; i < ROW; i++) {
		struct tmem_handle handle = handle_of(pool, object, i);

		host_fill_page(page, first + (u64)(step * (int)i));
		if (odd && i % odd == 0)
			page[ARRAY_SIZE(page) - 1] ^= 1 + object;
		assert_int_equal(tmem_put(client, &handle, page), 0);
	}
}

static void get_row(int pool, u64 object, u32 first, int step, u32 odd)
{
	static u64 page[PAGE_SIZE / sizeof(u64)] __aligned_to(64), got[ARRAY_SIZE(page)];

	for (u32 i = 0; i < ROW; i++) {
		struct tmem_handle handle = handle_of(pool, object, i);

		host_fill_page(page, first + (u64)(step * (int)i));
		if (odd && i % odd == 0)
			page[ARRAY_SIZE(page) - 1] ^= 1 + object;
		assert_int_equal(tmem_get(client, &handle, got), 0);
		assert_memory_equal(got, page, PAGE_SIZE);
	}
}

/* Pages that are equal to stored ones in a row are compared with what is expected: it does not
 * matter whether that is right, differs in its last word, or has gone, or is of the other class. */
static void rows_of_equal_pages_are_stored_once(void **state)
{
	const u32 first = 1000, last = first + ROW - 1;
	unsigned count;

	(void)state;
	for (int pool = 0; pool < 2; pool++) {
		start(8192, 0, TMEM_MODE_DEDUP);
		put_row(pool, 1, first, 1, 0);
		put_row(1 - pool, 1, first, 1, 0);
		assert_int_equal(stats_of(client).dense_pages, 0);
		put_row(pool, 2, first, 1, 0);
		put_row(pool, 3, last, -1, 0);
		assert_int_equal(stats_of(client).dense_pages, 3 * ROW);
		assert_int_equal(stats_of(client).dense_frames, ROW);
		put_row(pool, 4, first, 1, 70);
		put_row(pool, 5, first, 1, 2);
		assert_int_equal(stats_of(client).dense_frames, ROW);
		assert_int_equal(store_audit(tmem), 0);

		/* The row of content ends at each place once. */
		for (u32 i = 0; i < ROW; i += 3) {
			struct tmem_handle next = handle_of(pool, 1, i + 1);

			assert_int_equal(put_seed(client, handle_of(pool, 6, i), first + i), 0);
			assert_int_equal(tmem_flush_page(client, &next), 0);
			next.object[0] = 2;
			assert_int_equal(tmem_flush_page(client, &next), 0);
			next.object[0] = 3;
			next.index = ROW - 2 - i;
			assert_int_equal(tmem_flush_page(client, &next), 0);
		}
		put_row(pool, 1, first, 1, 0);
		put_row(pool, 2, first, 1, 0);
		put_row(pool, 3, last, -1, 0);
		assert_int_equal(store_audit(tmem), 0);
		get_row(pool, 2, first, 1, 0);
		get_row(pool, 4, first, 1, 70);
		get_row(pool, 1, first, 1, 0);
		get_row(pool, 5, first, 1, 2);
		get_row(pool, 3, last, -1, 0);
		get_row(1 - pool, 1, first, 1, 0);

		/* What is expected next goes with its block. */
		put_row(pool, 1, first, 1, 0);
		put_row(pool, 2, first, 1, 0);
		for (u64 object = 0; object < 7; object++)
			for (int in = 0; in < 2; in++) {
				const struct tmem_handle handle = handle_of(in, object, 0);

				while (tmem_flush_object(client, &handle) == -SLUICE_EAGAIN)
					;
			}
		while ((count = tmem_reclaim(tmem, taken, 32)) != 0)
			while (count)
				tmem_port_free(taken[--count], 0);
		assert_int_equal(frames(), 0);
		put_row(pool, 2, last, -1, 0);
		assert_int_equal(store_audit(tmem), 0);
		finish();
	}
}

static void equal_pages_are_stored_once(void **state)
{
	(void)state;
	start(4096, 0, TMEM_MODE_DEDUP);
	for (u32 index = 0; index < 800; index++)
		assert_int_equal(
			put_seed(client, handle_of(1, 1, index), KIND(HOST_PAGE_REPEATED, index)),
			0);
	assert_int_equal(stats_of(client).dense_frames, 8);
	assert_int_equal(stats_of(client).dense_pages, 800);
	assert_int_equal(store_audit(tmem), 0);
	/* A copy on replace: the others keep what they had. */
	assert_int_equal(put_seed(client, handle_of(1, 1, 8), 12345), 0);
	for (u32 index = 0; index < 800; index++)
		assert_int_equal(get_seed(client, handle_of(1, 1, index),
					 index == 8 ? 12345 : KIND(HOST_PAGE_REPEATED, index)),
			0);
	/* The frame goes with the last page that has it. */
	for (u32 index = 0; index < 800; index++) {
		struct tmem_handle handle = handle_of(1, 1, index);

		assert_int_equal(tmem_flush_page(client, &handle), 0);
	}
	assert_int_equal(stats_of(client).dense_frames, 0);
	finish();
}

/* Ephemeral and persistent pages do not share: one kind may go at any time. */
static void classes_do_not_share(void **state)
{
	(void)state;
	start(4096, 0, TMEM_MODE_DEDUP);
	assert_int_equal(put_seed(client, handle_of(0, 1, 1), 7), 0);
	assert_int_equal(put_seed(client, handle_of(1, 1, 1), 7), 0);
	assert_int_equal(stats_of(client).dense_pages, 0);
	assert_int_equal(put_seed(client, handle_of(1, 1, 2), 7), 0);
	assert_int_equal(stats_of(client).dense_pages, 2);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_of_equal_pages_are_stored_once),
		cmocka_unit_test(equal_pages_are_stored_once),
		cmocka_unit_test(classes_do_not_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
