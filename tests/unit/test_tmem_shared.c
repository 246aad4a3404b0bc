/*
 * Shared ephemeral pools: who may share them, what sharers see of each other, and how they come and
 * go.
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

#define SHARERS 3U

static const struct tmem_shared_grant grants[] = {{.uuid = {1, 1}, .weight = 1},
	{.uuid = {1, 2}, .weight = 2}, {.uuid = {2, 1}, .weight = 3}};

static struct tmem *tmem;
static struct tmem_client *sharers[SHARERS], *stranger;

static struct tmem_client *create_sharer(u32 granted)
{
	struct tmem_client_config config = {
		.weight = 1, .persistent_max = ~0UL, .shared = grants, .shared_count = granted};

	tmem_port_random(config.hash_keys, ARRAY_SIZE(config.hash_keys));
	return tmem_client_create(tmem, &config);
}

/* All sharers share {1, 1} as their pool 0. */
static int set_up(void **state)
{
	int bad = 0;

	(void)state;
	tmem = store_create(4096, 1000);
	stranger = store_client(tmem, 1, ~0UL);
	for (unsigned i = 0; i < SHARERS; i++) {
		sharers[i] = create_sharer(ARRAY_SIZE(grants));
		bad |= tmem_pool_create(sharers[i], TMEM_POOL_SHARED, 1, 1);
	}
	return bad | tmem_pool_create(stranger, 0, 0, 0);
}

static int tear_down(void **state)
{
	int bad = store_audit(tmem);

	(void)state;
	for (unsigned i = 0; i < SHARERS; i++)
		if (sharers[i])
			store_end_client(sharers[i]);
	store_end_client(stranger);
	bad |= store_end(tmem) != 0;
	return bad || host_complaints;
}

static u64 all_ephemeral_pages(void)
{
	struct tmem_stats stats;

	tmem_stats(tmem, &stats);
	return stats.ephemeral_pages;
}

static void put_many(struct tmem_client *client, u32 count)
{
	for (u32 i = 0; i < count; i++)
		assert_int_equal(put_seed(client, handle_of(0, i / 50, i % 50), i), 0);
}

/* ---- Authorization ------------------------------------------------------------------ */

static void only_who_is_granted_may_share(void **state)
{
	struct tmem_client *two = create_sharer(2);

	(void)state;
	assert_int_equal(tmem_pool_create(stranger, TMEM_POOL_SHARED, 1, 1), -SLUICE_EINVAL);
	assert_int_equal(tmem_pool_create(two, TMEM_POOL_SHARED, 2, 1), -SLUICE_EINVAL);
	assert_int_equal(tmem_pool_create(two, TMEM_POOL_SHARED, 2, 2), -SLUICE_EINVAL);
	assert_int_equal(tmem_pool_create(two, TMEM_POOL_SHARED, 1, 2), 0);
	/* The same words in other places are another pool. */
	assert_int_equal(put_seed(sharers[0], handle_of(0, 1, 1), 1), 0);
	assert_int_equal(get_seed(two, handle_of(0, 1, 1), 1), -SLUICE_ENOENT);
	store_end_client(two);
}

static void persistent_and_shared_is_refused(void **state)
{
	(void)state;
	assert_int_equal(
		tmem_pool_create(sharers[0], TMEM_POOL_SHARED | TMEM_POOL_PERSISTENT, 1, 2),
		-SLUICE_EINVAL);
	assert_int_equal(tmem_pool_create(sharers[0], TMEM_POOL_SHARED | 4, 1, 2), -SLUICE_EINVAL);
}

static void one_guest_has_one_seat(void **state)
{
	(void)state;
	assert_int_equal(tmem_pool_create(sharers[0], TMEM_POOL_SHARED, 1, 1), -SLUICE_EBUSY);
	assert_int_equal(tmem_pool_create(sharers[0], TMEM_POOL_SHARED, 1, 2), 1);
	assert_int_equal(tmem_pool_create(sharers[0], 0, 1, 1), 2);
}

/* ---- What sharers see --------------------------------------------------------------- */

static void put_of_one_is_a_hit_of_all(void **state)
{
	(void)state;
	put_many(sharers[0], 200);
	for (unsigned round = 0; round < 2; round++)
		for (u32 i = 0; i < 200; i++)
			assert_int_equal(
				get_seed(sharers[i % SHARERS], handle_of(0, i / 50, i % 50), i), 0);
	/* Nobody is charged for it but the pool. */
	assert_int_equal(ephemeral_pages(sharers[0]), 0);
	assert_int_equal(all_ephemeral_pages(), 200);
	/* A private pool beside it knows nothing of that. */
	assert_int_equal(get_seed(stranger, handle_of(0, 0, 0), 0), -SLUICE_ENOENT);
}

static void put_of_another_replaces(void **state)
{
	struct tmem_handle handle = handle_of(0, 1, 1);

	(void)state;
	assert_int_equal(put_seed(sharers[0], handle, 1), 0);
	assert_int_equal(put_seed(sharers[1], handle, 2), 0);
	assert_int_equal(get_seed(sharers[0], handle, 2), 0);
	assert_int_equal(tmem_put(sharers[2], &handle, NULL), -SLUICE_EFAULT);
	assert_int_equal(get_seed(sharers[0], handle, 2), -SLUICE_ENOENT);
}

static void flush_of_one_is_for_all(void **state)
{
	struct tmem_handle page = handle_of(0, 0, 1), object = handle_of(0, 1, 0);

	(void)state;
	put_many(sharers[0], 150);
	assert_int_equal(tmem_flush_page(sharers[1], &page), 0);
	assert_int_equal(tmem_flush_object(sharers[2], &object), 0);
	for (u32 i = 0; i < 150; i++)
		assert_int_equal(get_seed(sharers[0], handle_of(0, i / 50, i % 50), i),
			i == 1 || i / 50 == 1 ? -SLUICE_ENOENT : 0);
	assert_int_equal(tmem_flush_page(sharers[1], &page), 0);
}

static void failed_get_changes_nothing(void **state)
{
	struct tmem_handle handle = handle_of(0, 1, 1);

	(void)state;
	assert_int_equal(put_seed(sharers[0], handle, 1), 0);
	assert_int_equal(tmem_get(sharers[1], &handle, NULL), -SLUICE_EFAULT);
	assert_int_equal(get_seed(sharers[1], handle, 1), 0);
}

static void frozen_sharer_refuses_only_its_own_puts(void **state)
{
	struct tmem_handle handle = handle_of(0, 1, 1);

	(void)state;
	assert_int_equal(put_seed(sharers[0], handle, 1), 0);
	tmem_client_freeze(sharers[1], true);
	assert_int_equal(get_seed(sharers[1], handle, 1), 0);
	assert_int_equal(put_seed(sharers[1], handle, 2), -SLUICE_ENOSPC);
	assert_int_equal(get_seed(sharers[0], handle, 1), -SLUICE_ENOENT);
	assert_int_equal(put_seed(sharers[0], handle, 3), 0);
	assert_int_equal(get_seed(sharers[1], handle, 3), 0);
	assert_int_equal(tmem_flush_page(sharers[1], &handle), 0);
}

static void cap_is_for_private_pages(void **state)
{
	(void)state;
	assert_int_equal(tmem_client_set_caps(sharers[0], ~0UL, 10), 0);
	put_many(sharers[0], 100);
	assert_int_equal(all_ephemeral_pages(), 100);
}

/* ---- Eviction ----------------------------------------------------------------------- */

static void page_that_was_got_lives_longer(void **state)
{
	(void)state;
	/* One page is used again and again while the others run through a full pool. */
	assert_int_equal(put_seed(sharers[0], handle_of(0, 99, 0), 99), 0);
	for (u32 i = 0; i < 4000; i++) {
		assert_int_equal(put_seed(sharers[i % 2], handle_of(0, 100, i), i), 0);
		if (i % 500 == 0)
			assert_int_equal(get_seed(sharers[2], handle_of(0, 99, 0), 99), 0);
	}
	assert_int_equal(get_seed(sharers[2], handle_of(0, 100, 2000), 2000), -SLUICE_ENOENT);
}

/* The pool weighs 3 with three sharers of 1, so it gets three quarters beside the stranger. */
static void pool_weighs_what_its_sharers_bring(void **state)
{
	(void)state;
	for (u32 i = 0; i < 3000; i++) {
		assert_int_equal(put_seed(sharers[i % SHARERS], handle_of(0, 5, i), i), 0);
		assert_int_equal(put_seed(stranger, handle_of(0, 5, i), i), 0);
	}
	assert_in_range(ephemeral_pages(stranger), 245, 255);
	/* With one it weighs 1. */
	assert_int_equal(tmem_pool_destroy(sharers[0], 0), 0);
	assert_int_equal(tmem_pool_destroy(sharers[1], 0), 0);
	for (u32 i = 3000; i < 6000; i++) {
		assert_int_equal(put_seed(sharers[2], handle_of(0, 5, i), i), 0);
		assert_int_equal(put_seed(stranger, handle_of(0, 5, i), i), 0);
	}
	assert_in_range(ephemeral_pages(stranger), 495, 505);
	/* And who comes brings its own. */
	assert_int_equal(tmem_pool_create(sharers[0], TMEM_POOL_SHARED, 1, 1), 0);
	assert_int_equal(tmem_pool_create(sharers[1], TMEM_POOL_SHARED, 1, 1), 0);
	for (u32 i = 6000; i < 9000; i++) {
		assert_int_equal(put_seed(sharers[2], handle_of(0, 5, i), i), 0);
		assert_int_equal(put_seed(stranger, handle_of(0, 5, i), i), 0);
	}
	assert_in_range(ephemeral_pages(stranger), 245, 255);
}

static void reclaim_takes_shared_pages_too(void **state)
{
	void *pages[32];
	unsigned count, all = 0;

	(void)state;
	put_many(sharers[0], 300);
	while ((count = tmem_reclaim(tmem, pages, 32)) != 0) {
		all += count;
		for (unsigned i = 0; i < count; i++)
			tmem_port_free(pages[i], 0);
	}
	assert_true(all >= 300);
	assert_int_equal(all_ephemeral_pages(), 0);
	assert_int_equal(store_audit(tmem), 0);
	put_many(sharers[1], 300);
}

/* ---- Coming and going --------------------------------------------------------------- */

/* Elsewhere, one sharer's exit marked the pool as dying, and the others lost it. */
static void bug_exit_of_a_sharer_marks_the_pool_as_dying(void **state)
{
	(void)state;
	put_many(sharers[0], 100);
	/* One destroys its pool, one dies: also the one that made it and put all that is there. */
	assert_int_equal(tmem_pool_destroy(sharers[1], 0), 0);
	assert_int_equal(put_seed(sharers[1], handle_of(0, 1, 1), 1), -SLUICE_EBADF);
	assert_int_equal(tmem_pool_destroy(sharers[1], 0), -SLUICE_EBADF);
	store_end_client(sharers[0]);
	sharers[0] = NULL;
	for (u32 i = 0; i < 100; i++)
		assert_int_equal(get_seed(sharers[2], handle_of(0, i / 50, i % 50), i), 0);
	put_many(sharers[2], 200);
	/* Who comes back finds what is there. */
	assert_int_equal(tmem_pool_create(sharers[1], TMEM_POOL_SHARED, 1, 1), 0);
	assert_int_equal(get_seed(sharers[1], handle_of(0, 3, 49), 199), 0);
}

static void pool_goes_with_the_last_sharer(void **state)
{
	u32 steps = 1;

	(void)state;
	put_many(sharers[0], 300);
	assert_int_equal(tmem_pool_destroy(sharers[0], 0), 0);
	assert_int_equal(tmem_pool_destroy(sharers[1], 0), 0);
	assert_int_equal(all_ephemeral_pages(), 300);
	while (tmem_pool_destroy(sharers[2], 0) == -SLUICE_EAGAIN) {
		struct tmem_handle handle = handle_of(0, 0, 0);

		/* As with any pool that is being destroyed. */
		assert_int_equal(put_seed(sharers[2], handle, 1), -SLUICE_EBADF);
		assert_int_equal(get_seed(sharers[2], handle, 1), -SLUICE_EBADF);
		assert_int_equal(tmem_flush_page(sharers[2], &handle), 0);
		assert_int_equal(tmem_flush_object(sharers[2], &handle), 0);
		steps++;
	}
	assert_in_range(steps, 300 / 64, 300 / 64 + 2);
	assert_int_equal(all_ephemeral_pages(), 0);
	/* Made anew, it is empty. */
	assert_int_equal(tmem_pool_create(sharers[1], TMEM_POOL_SHARED, 1, 1), 0);
	assert_int_equal(get_seed(sharers[1], handle_of(0, 0, 0), 0), -SLUICE_ENOENT);
}

static void who_comes_while_the_last_one_leaves_gets_a_new_pool(void **state)
{
	(void)state;
	put_many(sharers[0], 300);
	assert_int_equal(tmem_pool_destroy(sharers[0], 0), 0);
	assert_int_equal(tmem_pool_destroy(sharers[1], 0), 0);
	assert_int_equal(tmem_pool_destroy(sharers[2], 0), -SLUICE_EAGAIN);
	assert_int_equal(tmem_pool_create(sharers[0], TMEM_POOL_SHARED, 1, 1), 0);
	assert_int_equal(get_seed(sharers[0], handle_of(0, 5, 49), 299), -SLUICE_ENOENT);
	put_many(sharers[0], 50);
	while (tmem_pool_destroy(sharers[2], 0) == -SLUICE_EAGAIN)
		;
	for (u32 i = 0; i < 50; i++)
		assert_int_equal(get_seed(sharers[0], handle_of(0, 0, i), i), 0);
	assert_int_equal(all_ephemeral_pages(), 50);
}

static void pools_come_and_go_for_long(void **state)
{
	(void)state;
	/* More than there are structures of clients. */
	for (u32 i = 0; i < 500; i++) {
		int id = tmem_pool_create(sharers[i % SHARERS], TMEM_POOL_SHARED, 2, 1);

		assert_int_equal(id, 1);
		assert_int_equal(put_seed(sharers[i % SHARERS], handle_of(1, 1, 1), i), 0);
		assert_int_equal(tmem_pool_destroy(sharers[i % SHARERS], 1), 0);
	}
	assert_int_equal(all_ephemeral_pages(), 0);
}

static void allocations_may_fail(void **state)
{
	(void)state;
	for (u64 n = 0; n < 5; n++) {
		int id;

		host_allocations_until_failure = n;
		id = tmem_pool_create(sharers[0], TMEM_POOL_SHARED, 1, 2);
		host_allocations_until_failure = ~0UL;
		assert_true(id == 1 || id == -SLUICE_ENOMEM);
		assert_int_equal(store_audit(tmem), 0);
		if (id == 1)
			assert_int_equal(tmem_pool_destroy(sharers[0], 1), 0);
	}
}

static void list_tells_the_whole_pool_and_the_own_part(void **state)
{
	struct tmem_pool_info infos[TMEM_POOLS_PER_GUEST];

	(void)state;
	put_many(sharers[0], 100);
	assert_int_equal(get_seed(sharers[1], handle_of(0, 0, 5), 5), 0);
	assert_int_equal(get_seed(sharers[1], handle_of(0, 7, 5), 5), -SLUICE_ENOENT);
	assert_int_equal(tmem_client_list(sharers[1], infos), 1);
	assert_int_equal(infos[0].flags, TMEM_POOL_SHARED);
	assert_int_equal(infos[0].uuid[0], 1);
	assert_int_equal(infos[0].pages, 100);
	assert_int_equal(infos[0].puts, 0);
	assert_int_equal(infos[0].gets, 2);
	assert_int_equal(infos[0].hits, 1);
	assert_int_equal(tmem_client_list(sharers[0], infos), 1);
	assert_int_equal(infos[0].puts, 100);
}

#define SHARED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SHARED(only_who_is_granted_may_share),
		SHARED(persistent_and_shared_is_refused),
		SHARED(one_guest_has_one_seat),
		SHARED(put_of_one_is_a_hit_of_all),
		SHARED(put_of_another_replaces),
		SHARED(flush_of_one_is_for_all),
		SHARED(failed_get_changes_nothing),
		SHARED(frozen_sharer_refuses_only_its_own_puts),
		SHARED(cap_is_for_private_pages),
		SHARED(page_that_was_got_lives_longer),
		SHARED(pool_weighs_what_its_sharers_bring),
		SHARED(reclaim_takes_shared_pages_too),
		SHARED(bug_exit_of_a_sharer_marks_the_pool_as_dying),
		SHARED(pool_goes_with_the_last_sharer),
		SHARED(who_comes_while_the_last_one_leaves_gets_a_new_pool),
		SHARED(pools_come_and_go_for_long),
		SHARED(allocations_may_fail),
		SHARED(list_tells_the_whole_pool_and_the_own_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
