/*
 * The course of a restore from a good stream: unfinished it is hidden and can be given up, it ends
 * with its client, and neither memory nor buffers that are bad leave half of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/tmem_host/stream_clients.h"

static void unfinished_restore_is_hidden_and_can_be_abandoned(void **state)
{
	struct tmem_handle handle = nth(1, 5);
	enum tmem_restore_status status;
	struct tmem_guest_info info = {0};
	static u8 page[PAGE_SIZE] __aligned_to(PAGE_SIZE);
	u64 taken = 0;

	(void)state;
	save_all();
	while (taken < 500 * PAGE_RECORD) {
		s64 bytes = stream_restore_step(
			to, stream.bytes + taken, stream.size - taken, &status);

		assert_true(bytes > 0 && status == TMEM_RESTORE_MORE);
		taken += (u64)bytes;
	}
	tmem_client_info(to, &info);
	assert_int_equal(info.flags, TMEM_GUEST_RESTORING);
	/* Whatever the guest tries meanwhile: there is no such pool, and no new one. */
	for (int pool = 0; pool < 4; pool++) {
		handle.pool = pool;
		assert_int_equal(tmem_get(to, &handle, page), -SLUICE_EBADF);
		assert_int_equal(tmem_put(to, &handle, page), -SLUICE_EBADF);
		assert_int_equal(tmem_put(to, &handle, NULL), -SLUICE_EBADF);
		assert_int_equal(tmem_flush_page(to, &handle), -SLUICE_EBADF);
		assert_int_equal(tmem_flush_object(to, &handle), -SLUICE_EBADF);
		assert_int_equal(tmem_pool_destroy(to, pool), -SLUICE_EBADF);
	}
	assert_int_equal(tmem_pool_create(to, 0, 0, 0), -SLUICE_EBUSY);
	tmem_client_freeze(to, true);
	tmem_client_freeze(to, false);
	assert_int_equal(tmem_get(to, &handle, page), -SLUICE_EBADF);
	assert_int_equal(store_audit(tmem), 0);
	while (tmem_restore_abandon(to) == -SLUICE_EAGAIN)
		;
	check_nothing_stayed();
	assert_int_equal(tmem_restore_abandon(to), 0);
}

/* Zeros, one word throughout, equal pages, text, noise: @n says which. */
static void fill_some(u64 *page, u32 n)
{
	u64 seed = n;

	for (u32 i = 0; i < PAGE_SIZE / 8; i++)
		switch (n % 5) {
		case 0:
			page[i] = 0;
			break;
		case 1:
			page[i] = n;
			break;
		case 2:
			page[i] = i * 0x9e3779b97f4a7c15UL;
			break;
		case 3:
			page[i] = (n + i / 16) & 0xff;
			break;
		default:
			page[i] = host_random(&seed);
		}
}

/* Pages without frames of their own are saved like any other, whatever modes who gets them has. */
static void dense_pages_are_saved_whole(void **state)
{
	static u64 page[PAGE_SIZE / 8] __aligned_to(PAGE_SIZE);
	static u64 expected[PAGE_SIZE / 8];
	struct tmem_client_config config = {.weight = 1, .persistent_max = ~0UL};

	(void)state;
	for (u8 modes = 0; modes < 8; modes++) {
		struct tmem_client_stats stats;

		store_end_client(from);
		store_end_client(to);
		config.persistent_modes = modes;
		from = tmem_client_create(tmem, &config);
		config.persistent_modes = 7 - modes;
		to = tmem_client_create(tmem, &config);
		assert_int_equal(tmem_pool_create(from, TMEM_POOL_PERSISTENT, 0, 0), 0);
		for (u32 n = 0; n < PAGES; n++) {
			struct tmem_handle handle = nth(0, n);

			fill_some(page, n);
			assert_int_equal(tmem_put(from, &handle, page), 0);
		}
		tmem_client_freeze(from, true);
		stream_free(&stream);
		assert_int_equal(stream_save(from, 20000, &stream), 0);
		assert_int_equal(restore_all(30000), TMEM_RESTORE_DONE);
		tmem_client_stats(to, &stats);
		assert_int_equal(stats.persistent_pages, PAGES);
		for (u32 n = 0; n < PAGES; n++) {
			struct tmem_handle handle = nth(0, n);

			fill_some(expected, n);
			assert_int_equal(tmem_get(to, &handle, page), 0);
			assert_memory_equal(page, expected, PAGE_SIZE);
		}
		assert_int_equal(store_audit(tmem), 0);
	}
}

static void client_may_end_in_the_midst_of_a_restore(void **state)
{
	enum tmem_restore_status status;

	(void)state;
	save_all();
	assert_true(stream_restore_step(to, stream.bytes, stream.size, &status) > 0);
	store_end_client(to);
	to = store_client(tmem, 1, ~0UL);
	check_nothing_stayed();
	assert_int_equal(restore_all(100000), TMEM_RESTORE_DONE);
}

static void every_allocation_may_fail(void **state)
{
	u64 failed = 0;

	(void)state;
	save_all();
	for (u64 n = 0; n < 60; n++) {
		enum tmem_restore_status status;
		s64 error;

		host_allocations_until_failure = n;
		status = stream_restore(to, stream.bytes, stream.size, 100000, &error);
		host_allocations_until_failure = ~0UL;
		assert_true(status == TMEM_RESTORE_DONE || status == TMEM_RESTORE_NO_ROOM);
		failed += status == TMEM_RESTORE_NO_ROOM;
		assert_int_equal(persistent_pages(to), status == TMEM_RESTORE_DONE ? 2 * PAGES : 0);
		assert_int_equal(store_audit(tmem), 0);
		store_end_client(to);
		to = store_client(tmem, 1, ~0UL);
	}
	assert_true(failed > 0);
}

static int unreachable(void *argument, u64 offset, void *bytes, u64 count)
{
	u64 *left = argument;

	(void)offset;
	memset(bytes, 0, count);
	return (*left)-- ? 0 : -SLUICE_EFAULT;
}

static void bad_buffer_is_told_and_changes_nothing(void **state)
{
	static u8 page[PAGE_SIZE] __aligned_to(PAGE_SIZE);
	u64 left = 0;
	struct tmem_transfer transfer = {
		.copy = unreachable, .argument = &left, .length = 1 << 20, .page = page};
	struct tmem_save_state save = {0};
	enum tmem_restore_status status;

	(void)state;
	save_all();
	assert_int_equal(tmem_save(from, &save, &transfer), -SLUICE_EFAULT);
	assert_int_equal(save.phase, TMEM_SAVE_BEGIN);
	left = 0;
	assert_int_equal(tmem_restore(to, &transfer, &status), -SLUICE_EFAULT);
	assert_int_equal(status, TMEM_RESTORE_MORE);
	assert_int_equal(restore_all(100000), TMEM_RESTORE_DONE);
}

#define SAVE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SAVE(unfinished_restore_is_hidden_and_can_be_abandoned),
		SAVE(client_may_end_in_the_midst_of_a_restore),
		SAVE(dense_pages_are_saved_whole),
		SAVE(every_allocation_may_fail),
		SAVE(bad_buffer_is_told_and_changes_nothing),
	};

	return cmocka_run_group_tests_name("tmem_restore_course", tests, NULL, NULL);
}
