/*
 * Page flip in the engine: which puts take the frame over and which copy, what a get gives back,
 * and that frames are counted where they are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/hypercall.h>

#include "tests/unit/tmem_host/port.h"
#include "tests/unit/tmem_host/store.h"

static struct tmem *tmem;
static struct tmem_client *client;
static int ephemeral, persistent;
static void *spare; /* where a get copies to */

static void begin(u64 max_pages, u8 modes)
{
	tmem = store_create(4096, max_pages);
	store_modes = modes;
	client = store_client(tmem, 1, 10);
	store_modes = 0;
	ephemeral = tmem_pool_create(client, 0, 0, 0);
	persistent = tmem_pool_create(client, TMEM_POOL_PERSISTENT, 0, 0);
	spare = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	assert_true(ephemeral >= 0 && persistent >= 0 && spare);
}

static void end(void)
{
	free(spare);
	store_end_client(client);
	assert_int_equal(store_end(tmem), 0);
}

static u64 frames(void)
{
	struct tmem_stats stats;

	tmem_stats(tmem, &stats);
	return stats.frames;
}

/* A put of a frame with content @seed: the frame if it was taken, NULL after a copy. */
static void *put_frame(struct tmem_handle handle, u64 seed, int expected)
{
	void *frame = tmem_port_alloc(0);
	bool taken = !expected;

	assert_non_null(frame);
	host_fill_page(frame, seed);
	assert_int_equal(tmem_put_flip(client, &handle, frame, &taken), expected);
	if (taken)
		return frame;
	assert_true(host_page_holds(frame, seed));
	tmem_port_free(frame, 0);
	return NULL;
}

/* A get that must hit: the frame it gave, NULL if it copied. */
static void *get_frame(struct tmem_handle handle, u64 seed)
{
	void *frame = spare;

	host_fill_page(spare, 1234567);
	assert_int_equal(tmem_get_flip(client, &handle, spare, &frame), 0);
	assert_true(host_page_holds(frame ? frame : spare, seed));
	if (frame)
		assert_true(host_page_holds(spare, 1234567));
	return frame;
}

static void the_frame_goes_and_comes_back(void **state)
{
	struct tmem_handle handle;
	void *there, *back;

	(void)state;
	begin(0, 0);
	handle = handle_of(ephemeral, 7, 3);
	assert_false(tmem_flips_get(client, &handle));
	there = put_frame(handle, 11, 0);
	assert_non_null(there);
	assert_int_equal(frames(), 1);
	assert_int_equal(store_audit(tmem), 0);
	assert_true(tmem_flips_get(client, &handle));
	back = get_frame(handle, 11);
	assert_ptr_equal(back, there);
	assert_int_equal(frames(), 0);
	assert_int_equal(ephemeral_pages(client), 0);
	assert_int_equal(get_seed(client, handle, 11), -SLUICE_ENOENT);
	tmem_port_free(back, 0);
	end();
}

static void both_ways_meet(void **state)
{
	struct tmem_handle a, b;
	void *frame;

	(void)state;
	begin(0, 0);
	a = handle_of(ephemeral, 7, 3);
	b = handle_of(ephemeral, 7, 4);
	assert_non_null(put_frame(a, 11, 0));
	assert_int_equal(put_seed(client, b, 12), 0);
	assert_int_equal(get_seed(client, a, 11), 0);
	/* It lies in a block of 2 MiB, which stays whole. */
	assert_false(tmem_flips_get(client, &b));
	frame = get_frame(b, 12);
	assert_null(frame);
	assert_int_equal(store_audit(tmem), 0);
	end();
}

static void what_is_copied(void **state)
{
	struct tmem_handle handle, lasting;
	void *frame;

	(void)state;
	begin(0, TMEM_MODE_FILLED);
	handle = handle_of(ephemeral, 1, 1);
	lasting = handle_of(persistent, 1, 1);
	/* A page of zeros needs no frame. */
	assert_null(put_frame(handle, (u64)HOST_PAGE_FILLED << HOST_KIND_SHIFT, 0));
	assert_null(get_frame(handle, (u64)HOST_PAGE_FILLED << HOST_KIND_SHIFT));
	host_fill_page(spare, (u64)HOST_PAGE_FILLED << HOST_KIND_SHIFT);
	assert_false(tmem_flips_put(client, &handle, spare));
	host_fill_page(spare, 11);
	assert_true(tmem_flips_put(client, &handle, spare));
	/* Where pages are looked at, a replacement is a new page; the old one goes first. */
	assert_non_null(put_frame(handle, 11, 0));
	frame = put_frame(handle, 12, 0);
	assert_non_null(frame);
	assert_ptr_equal(get_frame(handle, 12), frame);
	tmem_port_free(frame, 0);
	/* What is got and kept. */
	assert_non_null(put_frame(lasting, 13, 0));
	assert_false(tmem_flips_get(client, &lasting));
	assert_null(get_frame(lasting, 13));
	assert_null(get_frame(lasting, 13));
	assert_int_equal(store_audit(tmem), 0);
	end();
}

static void a_replacement_goes_where_the_page_is(void **state)
{
	struct tmem_handle handle;
	void *frame;

	(void)state;
	begin(0, 0);
	handle = handle_of(ephemeral, 1, 1);
	frame = put_frame(handle, 11, 0);
	assert_non_null(frame);
	assert_null(put_frame(handle, 12, 0));
	assert_int_equal(frames(), 1);
	assert_ptr_equal(get_frame(handle, 12), frame);
	tmem_port_free(frame, 0);
	end();
}

static void modes_that_look_into_pages_copy(void **state)
{
	struct tmem_handle handle;
	void *page;

	(void)state;
	begin(0, TMEM_MODE_FILLED | TMEM_MODE_DEDUP);
	handle = handle_of(ephemeral, 1, 1);
	page = tmem_port_alloc(0);
	host_fill_page(page, 5);
	assert_false(tmem_flips_put(client, &handle, page));
	tmem_port_free(page, 0);
	assert_null(put_frame(handle, 5, 0));
	assert_null(get_frame(handle, 5));
	end();
}

static void refused_puts_evict_nothing(void **state)
{
	struct tmem_handle handle;
	u64 before;

	(void)state;
	begin(40, 0);
	for (u32 i = 0; i < 30; i++)
		assert_non_null(put_frame(handle_of(ephemeral, 1, i), 100 + i, 0));
	for (u32 i = 0; i < 10; i++)
		assert_non_null(put_frame(handle_of(persistent, 1, i), 200 + i, 0));
	before = ephemeral_pages(client);
	handle = handle_of(persistent, 1, 10);
	assert_null(put_frame(handle, 300, -SLUICE_ENOSPC));
	assert_false(tmem_flips_put(client, &handle, spare));
	assert_int_equal(ephemeral_pages(client), before);
	tmem_client_freeze(client, true);
	assert_null(put_frame(handle_of(ephemeral, 1, 0), 301, -SLUICE_ENOSPC));
	/* A refused put leaves no old copy; gets are served. */
	assert_int_equal(get_seed(client, handle_of(ephemeral, 1, 0), 100), -SLUICE_ENOENT);
	assert_int_equal(get_seed(client, handle_of(ephemeral, 1, 1), 101), 0);
	tmem_client_freeze(client, false);
	assert_null(put_frame(handle_of(9, 1, 0), 302, -SLUICE_EBADF));
	assert_int_equal(store_audit(tmem), 0);
	end();
}

/* In a full store a page that goes leaves its place, and its frame goes back to the host. */
static void a_full_store_exchanges(void **state)
{
	struct tmem_stats stats;
	u64 in_use;

	(void)state;
	begin(16, 0);
	for (u32 i = 0; i < 16; i++)
		assert_non_null(put_frame(handle_of(ephemeral, 1, i), 100 + i, 0));
	in_use = host_pages_in_use();
	for (u32 i = 16; i < 200; i++) {
		assert_non_null(put_frame(handle_of(ephemeral, 1, i), 100 + i, 0));
		assert_int_equal(frames(), 16);
	}
	tmem_stats(tmem, &stats);
	assert_int_equal(stats.ephemeral_pages, 16);
	assert_true(host_pages_in_use() <= in_use + 16);
	assert_int_equal(store_audit(tmem), 0);
	for (u32 i = 184; i < 200; i++)
		assert_int_equal(get_seed(client, handle_of(ephemeral, 1, i), 100 + i), 0);
	end();
}

/* Blocks of single frames are filled up before there are more of them. */
static void places_are_used_again(void **state)
{
	struct tmem_stats before, after;

	(void)state;
	begin(0, 0);
	for (u32 i = 0; i < 1500; i++)
		assert_non_null(put_frame(handle_of(ephemeral, 1, i), i, 0));
	tmem_stats(tmem, &before);
	for (u32 round = 0; round < 8; round++) {
		for (u32 i = 0; i < 1500; i++)
			if (i % 512 != round)
				tmem_port_free(get_frame(handle_of(ephemeral, 1, i), i), 0);
		assert_int_equal(store_audit(tmem), 0);
		for (u32 i = 0; i < 1500; i++)
			if (i % 512 != round)
				assert_non_null(put_frame(handle_of(ephemeral, 1, i), i, 0));
	}
	tmem_stats(tmem, &after);
	assert_true(after.metadata_bytes <= before.metadata_bytes);
	assert_int_equal(store_audit(tmem), 0);
	end();
}

/* Reclaim takes flipped frames like others, and moves persistent pages out of the way. */
static void reclaim_takes_flipped_frames(void **state)
{
	void *pages[64];
	unsigned count;
	u64 freed = 0;

	(void)state;
	begin(0, 0);
	for (u32 i = 0; i < 100; i++)
		assert_non_null(put_frame(handle_of(ephemeral, 1, i), i, 0));
	for (u32 i = 0; i < 5; i++)
		assert_non_null(put_frame(handle_of(persistent, 1, i), 200 + i, 0));
	while ((count = tmem_reclaim(tmem, pages, 64)) != 0) {
		freed += count;
		while (count)
			tmem_port_free(pages[--count], 0);
		assert_int_equal(store_audit(tmem), 0);
	}
	assert_true(freed >= 100);
	for (u32 i = 0; i < 5; i++)
		assert_int_equal(get_seed(client, handle_of(persistent, 1, i), 200 + i), 0);
	end();
}

/* Without memory for the records of a place the page is copied, or refused. */
static void no_memory_for_a_place(void **state)
{
	struct tmem_handle handle;
	void *frame;
	bool taken;

	(void)state;
	begin(0, 0);
	assert_int_equal(put_seed(client, handle_of(ephemeral, 1, 0), 10), 0);
	for (u64 failing = 0; failing < 8; failing++) {
		handle = handle_of(ephemeral, 2 + failing, 0);
		frame = tmem_port_alloc(0);
		host_fill_page(frame, 20 + failing);
		host_allocations_until_failure = failing;
		assert_int_equal(tmem_put_flip(client, &handle, frame, &taken), 0);
		host_allocations_until_failure = ~0UL;
		if (!taken)
			tmem_port_free(frame, 0);
		assert_int_equal(store_audit(tmem), 0);
		assert_int_equal(get_seed(client, handle, 20 + failing), 0);
	}
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_frame_goes_and_comes_back),
		cmocka_unit_test(both_ways_meet),
		cmocka_unit_test(what_is_copied),
		cmocka_unit_test(a_replacement_goes_where_the_page_is),
		cmocka_unit_test(modes_that_look_into_pages_copy),
		cmocka_unit_test(refused_puts_evict_nothing),
		cmocka_unit_test(a_full_store_exchanges),
		cmocka_unit_test(places_are_used_again),
		cmocka_unit_test(reclaim_takes_flipped_frames),
		cmocka_unit_test(no_memory_for_a_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
