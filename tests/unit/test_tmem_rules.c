/*
 * The coherency rules of docs/tmem.md, one by one, and the bugs that other implementations of tmem
 * had, each as a test of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/hypercall.h>

#include "tests/unit/tmem_host/port.h"
#include "tests/unit/tmem_host/store.h"

static struct tmem *tmem;
static struct tmem_client *client;
static int ephemeral, persistent;

static int set_up(void **state)
{
	(void)state;
	tmem = store_create(4096, 0);
	client = store_client(tmem, 1, ~0UL);
	ephemeral = tmem_pool_create(client, 0, 1, 2);
	persistent = tmem_pool_create(client, TMEM_POOL_PERSISTENT, 3, 4);
	return !client || ephemeral < 0 || persistent < 0;
}

static int tear_down(void **state)
{
	int bad = store_audit(tmem);

	(void)state;
	store_end_client(client);
	bad |= store_end(tmem) != 0;
	return bad || host_complaints;
}

/* ---- The rules ---------------------------------------------------------------------- */

static void put_copies(void **state)
{
	static u8 page[PAGE_SIZE] __aligned_to(PAGE_SIZE);
	struct tmem_handle handle = handle_of(persistent, 1, 1);

	(void)state;
	host_fill_page(page, 42);
	assert_int_equal(tmem_put(client, &handle, page), 0);
	host_fill_page(page, 43);
	assert_int_equal(get_seed(client, handle, 42), 0);
}

static void second_put_replaces(void **state)
{
	const int pools[] = {ephemeral, persistent};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(put_seed(client, handle_of(pools[i], 1, 1), 1), 0);
		assert_int_equal(put_seed(client, handle_of(pools[i], 1, 1), 2), 0);
		assert_int_equal(get_seed(client, handle_of(pools[i], 1, 1), 2), 0);
	}
	assert_int_equal(ephemeral_pages(client), 0);
	assert_int_equal(persistent_pages(client), 1);
}

static void failed_put_leaves_no_old_copy(void **state)
{
	const int pools[] = {ephemeral, persistent};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct tmem_handle handle = handle_of(pools[i], 1, 1);

		assert_int_equal(put_seed(client, handle, 1), 0);
		assert_int_equal(tmem_put(client, &handle, NULL), -SLUICE_EFAULT);
		assert_int_equal(get_seed(client, handle, 1), -SLUICE_ENOENT);
	}
}

static void ephemeral_get_removes(void **state)
{
	(void)state;
	assert_int_equal(put_seed(client, handle_of(ephemeral, 1, 1), 1), 0);
	assert_int_equal(get_seed(client, handle_of(ephemeral, 1, 1), 1), 0);
	assert_int_equal(get_seed(client, handle_of(ephemeral, 1, 1), 1), -SLUICE_ENOENT);
}

static void persistent_get_keeps(void **state)
{
	(void)state;
	assert_int_equal(put_seed(client, handle_of(persistent, 1, 1), 1), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(get_seed(client, handle_of(persistent, 1, 1), 1), 0);
}

static void miss_is_never_followed_by_hit(void **state)
{
	(void)state;
	for (u32 i = 0; i < 100; i++)
		assert_int_equal(put_seed(client, handle_of(ephemeral, i % 7, i), i), 0);
	for (u32 i = 0; i < 100; i++) {
		struct tmem_handle absent = handle_of(ephemeral, i % 7 + 1, i);

		assert_int_equal(get_seed(client, absent, i), -SLUICE_ENOENT);
		assert_int_equal(get_seed(client, absent, i), -SLUICE_ENOENT);
	}
}

static void flush_of_what_is_absent_succeeds(void **state)
{
	struct tmem_handle handle = handle_of(ephemeral, 9, 9);

	(void)state;
	assert_int_equal(tmem_flush_page(client, &handle), 0);
	assert_int_equal(tmem_flush_object(client, &handle), 0);
}

static void flush_page_removes_only_that(void **state)
{
	struct tmem_handle handle = handle_of(persistent, 1, 2);

	(void)state;
	for (u32 index = 0; index < 5; index++)
		assert_int_equal(put_seed(client, handle_of(persistent, 1, index), index), 0);
	assert_int_equal(tmem_flush_page(client, &handle), 0);
	for (u32 index = 0; index < 5; index++)
		assert_int_equal(get_seed(client, handle_of(persistent, 1, index), index),
			index == 2 ? -SLUICE_ENOENT : 0);
}

static void flush_object_removes_all_of_it_in_steps(void **state)
{
	struct tmem_handle handle = handle_of(persistent, 1, 0);
	unsigned steps = 1;

	(void)state;
	/* 150 pages, some next to each other and some far apart. */
	for (u32 i = 0; i < 150; i++) {
		u32 index = i < 100 ? i : i * 1000003;

		assert_int_equal(put_seed(client, handle_of(persistent, 1, index), i), 0);
	}
	assert_int_equal(put_seed(client, handle_of(persistent, 2, 0), 7), 0);
	while (tmem_flush_object(client, &handle) == -SLUICE_EAGAIN)
		steps++;
	assert_int_equal(steps, 3);
	assert_int_equal(persistent_pages(client), 1);
	assert_int_equal(get_seed(client, handle_of(persistent, 2, 0), 7), 0);
}

static void objects_are_told_apart_by_all_bits(void **state)
{
	(void)state;
	for (unsigned bit = 0; bit < 192; bit++) {
		struct tmem_handle handle = handle_of(persistent, 0, 0);

		handle.object[bit / 64] = 1UL << bit % 64;
		assert_int_equal(put_seed(client, handle, bit + 1), 0);
	}
	for (unsigned bit = 0; bit < 192; bit++) {
		struct tmem_handle handle = handle_of(persistent, 0, 0);

		handle.object[bit / 64] = 1UL << bit % 64;
		assert_int_equal(get_seed(client, handle, bit + 1), 0);
	}
	for (unsigned bit = 0; bit < 32; bit++)
		assert_int_equal(
			put_seed(client, handle_of(persistent, 77, 1U << bit), bit + 500), 0);
	for (unsigned bit = 0; bit < 32; bit++)
		assert_int_equal(
			get_seed(client, handle_of(persistent, 77, 1U << bit), bit + 500), 0);
}

static void pools_and_clients_do_not_see_each_other(void **state)
{
	struct tmem_client *other = store_client(tmem, 1, ~0UL);
	int pool = tmem_pool_create(other, 0, 1, 2);

	(void)state;
	assert_int_equal(put_seed(client, handle_of(ephemeral, 1, 1), 1), 0);
	assert_int_equal(get_seed(client, handle_of(persistent, 1, 1), 1), -SLUICE_ENOENT);
	assert_int_equal(get_seed(other, handle_of(pool, 1, 1), 1), -SLUICE_ENOENT);
	assert_int_equal(get_seed(other, handle_of(persistent, 1, 1), 1), -SLUICE_EBADF);
	assert_int_equal(get_seed(client, handle_of(ephemeral, 1, 1), 1), 0);
	store_end_client(other);
}

static void pool_being_destroyed_refuses_all_but_flushes(void **state)
{
	struct tmem_handle handle = handle_of(persistent, 1, 150);

	(void)state;
	for (u32 index = 0; index < 200; index++)
		assert_int_equal(put_seed(client, handle_of(persistent, 1, index), index), 0);
	assert_int_equal(tmem_pool_destroy(client, persistent), -SLUICE_EAGAIN);
	assert_int_equal(persistent_pages(client), 200 - 64);
	assert_int_equal(put_seed(client, handle, 1), -SLUICE_EBADF);
	assert_int_equal(get_seed(client, handle, 1), -SLUICE_EBADF);
	assert_int_equal(tmem_flush_page(client, &handle), 0);
	assert_int_equal(tmem_flush_object(client, &handle), -SLUICE_EAGAIN);
	while (tmem_pool_destroy(client, persistent) == -SLUICE_EAGAIN)
		;
	assert_int_equal(persistent_pages(client), 0);
	assert_int_equal(tmem_pool_destroy(client, persistent), -SLUICE_EBADF);
	assert_int_equal(tmem_flush_page(client, &handle), -SLUICE_EBADF);
	/* The id is free again, and nothing of the old pool shows. */
	assert_int_equal(tmem_pool_create(client, 0, 0, 0), persistent);
	assert_int_equal(get_seed(client, handle, 1), -SLUICE_ENOENT);
}

static void sixteen_pools_and_no_more(void **state)
{
	(void)state;
	for (int id = 2; id < TMEM_POOLS_PER_GUEST; id++)
		assert_int_equal(tmem_pool_create(client, 0, 0, 0), id);
	assert_int_equal(tmem_pool_create(client, 0, 0, 0), -SLUICE_ENOSPC);
}

/* ---- Bugs that others had ----------------------------------------------------------- */

static void bug_negative_pool_id(void **state)
{
	const s64 ids[] = {-1, -2, -16, -0x80000000L, 16, 17, 0x7fffffff};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(ids); i++) {
		struct tmem_handle handle = handle_of((int)ids[i], 1, 1);

		assert_int_equal(put_seed(client, handle, 1), -SLUICE_EBADF);
		assert_int_equal(get_seed(client, handle, 1), -SLUICE_EBADF);
		assert_int_equal(tmem_flush_page(client, &handle), -SLUICE_EBADF);
		assert_int_equal(tmem_flush_object(client, &handle), -SLUICE_EBADF);
	}
}

static void bug_unchecked_id_in_destroy(void **state)
{
	const s64 ids[] = {-1, 2, 15, 16, 1L << 31, 1L << 32, -(1L << 62), 0x7fffffffffffffffL};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(ids); i++)
		assert_int_equal(tmem_pool_destroy(client, ids[i]), -SLUICE_EBADF);
}

static void bug_reserved_flags_accepted(void **state)
{
	(void)state;
	/* Shared pools need an authorization that nobody can give yet. */
	assert_int_equal(tmem_pool_create(client, TMEM_POOL_SHARED, 1, 2), -SLUICE_EINVAL);
	/* Nor may one switch modes off that it has not. */
	for (u64 off = TMEM_POOL_NO_FILLED; off <= TMEM_POOL_NO_COMPRESS; off *= 2)
		assert_int_equal(
			tmem_pool_create(client, TMEM_POOL_SHARED | off, 1, 2), -SLUICE_EINVAL);
	for (unsigned bit = 2; bit < 64; bit++)
		if (bit < 4 || bit > 6)
			assert_int_equal(
				tmem_pool_create(client, 1UL << bit, 0, 0), -SLUICE_EINVAL);
}

/* The port dies when a lock is taken that this thread holds, so the call after the failure would
 * tell. */
static void bug_lock_kept_on_bad_copy_path(void **state)
{
	struct tmem_handle handle = handle_of(ephemeral, 1, 1);

	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		assert_int_equal(tmem_put(client, &handle, NULL), -SLUICE_EFAULT);
		assert_int_equal(tmem_get(client, &handle, NULL), -SLUICE_EFAULT);
		assert_int_equal(put_seed(client, handle, 1), 0);
	}
	assert_int_equal(get_seed(client, handle_of(7, 1, 1), 1), -SLUICE_EBADF);
	assert_int_equal(get_seed(client, handle, 1), 0);
}

static void bug_exclusive_get_of_bad_frame_half_removes(void **state)
{
	struct tmem_handle handle = handle_of(ephemeral, 1, 1);

	(void)state;
	assert_int_equal(put_seed(client, handle, 5), 0);
	assert_int_equal(tmem_get(client, &handle, NULL), -SLUICE_EFAULT);
	assert_int_equal(store_audit(tmem), 0);
	assert_int_equal(ephemeral_pages(client), 1);
	assert_int_equal(get_seed(client, handle, 5), 0);
}

static void bug_inverted_quota_test(void **state)
{
	struct tmem_client *capped = store_client(tmem, 1, 10);
	int pool = tmem_pool_create(capped, TMEM_POOL_PERSISTENT, 0, 0);

	(void)state;
	for (u32 index = 0; index < 10; index++)
		assert_int_equal(put_seed(capped, handle_of(pool, 1, index), index), 0);
	assert_int_equal(put_seed(capped, handle_of(pool, 1, 10), 1), -SLUICE_ENOSPC);
	/* A replacement needs no room. */
	assert_int_equal(put_seed(capped, handle_of(pool, 1, 3), 33), 0);
	assert_int_equal(get_seed(capped, handle_of(pool, 1, 3), 33), 0);
	store_end_client(capped);
}

/* Here for private pools: one guest's end leaves the others' pools as they are. */
static void bug_exit_of_one_kills_pools_of_others(void **state)
{
	struct tmem_client *other = store_client(tmem, 1, ~0UL);
	int pool = tmem_pool_create(other, 0, 1, 2);

	(void)state;
	assert_int_equal(put_seed(client, handle_of(ephemeral, 1, 1), 1), 0);
	assert_int_equal(put_seed(other, handle_of(pool, 1, 1), 2), 0);
	store_end_client(other);
	assert_int_equal(put_seed(client, handle_of(ephemeral, 1, 2), 3), 0);
	assert_int_equal(get_seed(client, handle_of(ephemeral, 1, 1), 1), 0);
	assert_int_equal(get_seed(client, handle_of(ephemeral, 1, 2), 3), 0);
}

#define RULE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(put_copies),
		RULE(second_put_replaces),
		RULE(failed_put_leaves_no_old_copy),
		RULE(ephemeral_get_removes),
		RULE(persistent_get_keeps),
		RULE(miss_is_never_followed_by_hit),
		RULE(flush_of_what_is_absent_succeeds),
		RULE(flush_page_removes_only_that),
		RULE(flush_object_removes_all_of_it_in_steps),
		RULE(objects_are_told_apart_by_all_bits),
		RULE(pools_and_clients_do_not_see_each_other),
		RULE(pool_being_destroyed_refuses_all_but_flushes),
		RULE(sixteen_pools_and_no_more),
		RULE(bug_negative_pool_id),
		RULE(bug_unchecked_id_in_destroy),
		RULE(bug_reserved_flags_accepted),
		RULE(bug_lock_kept_on_bad_copy_path),
		RULE(bug_exclusive_get_of_bad_frame_half_removes),
		RULE(bug_inverted_quota_test),
		RULE(bug_exit_of_one_kills_pools_of_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
