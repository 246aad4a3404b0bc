/*
 * Control of clients: freezing, weights, caps, and what is told about pools.
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
static struct tmem_client *client, *other;
static int ephemeral, persistent;

static int set_up(void **state)
{
	(void)state;
	tmem = store_create(4096, 1000);
	client = store_client(tmem, 1, ~0UL);
	other = store_client(tmem, 1, ~0UL);
	ephemeral = tmem_pool_create(client, 0, 1, 2);
	persistent = tmem_pool_create(client, TMEM_POOL_PERSISTENT, 3, 4);
	return !other || ephemeral < 0 || persistent < 0 || tmem_pool_create(other, 0, 0, 0) != 0;
}

static int tear_down(void **state)
{
	int bad = store_audit(tmem);

	(void)state;
	store_end_client(client);
	store_end_client(other);
	bad |= store_end(tmem) != 0;
	return bad || host_complaints;
}

static void put_many(struct tmem_client *whose, int pool, u32 count)
{
	for (u32 i = 0; i < count; i++)
		assert_int_equal(put_seed(whose, handle_of(pool, i / 50, i % 50), i), 0);
}

static u32 hits(struct tmem_client *whose, int pool, u32 count)
{
	u32 found = 0;

	for (u32 i = 0; i < count; i++) {
		int result = get_seed(whose, handle_of(pool, i / 50, i % 50), i);

		assert_true(result == 0 || result == -SLUICE_ENOENT);
		found += result == 0;
	}
	return found;
}

/* ---- Freezing ----------------------------------------------------------------------- */

static void frozen_client_refuses_puts(void **state)
{
	const int pools[] = {ephemeral, persistent};

	(void)state;
	tmem_client_freeze(client, true);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(put_seed(client, handle_of(pools[i], 1, 1), 1), -SLUICE_ENOSPC);
		assert_int_equal(get_seed(client, handle_of(pools[i], 1, 1), 1), -SLUICE_ENOENT);
	}
	/* It is nobody else's concern. */
	assert_int_equal(put_seed(other, handle_of(0, 1, 1), 1), 0);
	tmem_client_freeze(client, false);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(put_seed(client, handle_of(pools[i], 1, 1), 1), 0);
}

static void refused_put_removes_the_old_copy(void **state)
{
	const int pools[] = {ephemeral, persistent};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		/* Beside others and alone, so by the short way and by the long one. */
		for (u32 index = 0; index < 3; index++)
			assert_int_equal(put_seed(client, handle_of(pools[i], 1, index), index), 0);
		assert_int_equal(put_seed(client, handle_of(pools[i], 2, 0), 9), 0);
	}
	tmem_client_freeze(client, true);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(put_seed(client, handle_of(pools[i], 1, 1), 7), -SLUICE_ENOSPC);
		assert_int_equal(put_seed(client, handle_of(pools[i], 2, 0), 7), -SLUICE_ENOSPC);
		assert_int_equal(get_seed(client, handle_of(pools[i], 1, 1), 1), -SLUICE_ENOENT);
		assert_int_equal(get_seed(client, handle_of(pools[i], 2, 0), 9), -SLUICE_ENOENT);
		assert_int_equal(get_seed(client, handle_of(pools[i], 1, 2), 2), 0);
	}
}

static void frozen_client_gets_and_flushes(void **state)
{
	struct tmem_handle page = handle_of(persistent, 1, 1), object = handle_of(persistent, 2, 0);

	(void)state;
	put_many(client, ephemeral, 200);
	put_many(client, persistent, 200);
	tmem_client_freeze(client, true);
	assert_int_equal(tmem_flush_page(client, &page), 0);
	assert_int_equal(tmem_flush_object(client, &object), 0);
	assert_int_equal(hits(client, persistent, 200), 149);
	assert_int_equal(hits(client, ephemeral, 200), 200);
	assert_int_equal(ephemeral_pages(client), 0);
	while (tmem_pool_destroy(client, persistent) == -SLUICE_EAGAIN)
		;
	assert_int_equal(persistent_pages(client), 0);
}

static void pool_made_while_frozen_is_frozen(void **state)
{
	int pool;

	(void)state;
	tmem_client_freeze(client, true);
	pool = tmem_pool_create(client, 0, 0, 0);
	assert_true(pool >= 0);
	assert_int_equal(put_seed(client, handle_of(pool, 1, 1), 1), -SLUICE_ENOSPC);
	tmem_client_freeze(client, false);
	assert_int_equal(put_seed(client, handle_of(pool, 1, 1), 1), 0);
}

static void bad_frame_is_bad_also_when_frozen(void **state)
{
	struct tmem_handle handle = handle_of(persistent, 1, 1);

	(void)state;
	assert_int_equal(put_seed(client, handle, 1), 0);
	tmem_client_freeze(client, true);
	assert_int_equal(tmem_put(client, &handle, NULL), -SLUICE_EFAULT);
	assert_int_equal(get_seed(client, handle, 1), -SLUICE_ENOENT);
}

static void client_in_the_place_of_a_frozen_one_is_not(void **state)
{
	(void)state;
	tmem_client_freeze(other, true);
	assert_int_equal(tmem_client_set_caps(other, 0, 0), 0);
	store_end_client(other);
	other = store_client(tmem, 1, ~0UL);
	assert_int_equal(tmem_pool_create(other, 0, 0, 0), 0);
	assert_int_equal(put_seed(other, handle_of(0, 1, 1), 1), 0);
}

/* ---- Weights and caps --------------------------------------------------------------- */

static void weight_counts_at_once(void **state)
{
	(void)state;
	assert_int_equal(tmem_client_set_weight(client, 0), -SLUICE_EINVAL);
	assert_int_equal(tmem_client_set_weight(client, 65536), -SLUICE_EINVAL);
	assert_int_equal(tmem_client_set_weight(client, 1UL << 32 | 5), -SLUICE_EINVAL);
	assert_int_equal(tmem_client_set_weight(client, 3), 0);
	for (unsigned round = 0; round < 2; round++) {
		put_many(client, ephemeral, 1000);
		put_many(other, 0, 1000);
	}
	assert_in_range(ephemeral_pages(client), 740, 760);
	assert_in_range(ephemeral_pages(other), 240, 260);
}

static void ephemeral_cap_evicts_the_own_oldest(void **state)
{
	(void)state;
	put_many(other, 0, 100);
	put_many(client, persistent, 100);
	assert_int_equal(tmem_client_set_caps(client, ~0UL, 60), 0);
	put_many(client, ephemeral, 200);
	assert_int_equal(ephemeral_pages(client), 60);
	assert_int_equal(hits(other, 0, 100), 100);
	assert_int_equal(hits(client, persistent, 100), 100);
	for (u32 i = 0; i < 200; i++)
		assert_int_equal(get_seed(client, handle_of(ephemeral, i / 50, i % 50), i),
			i < 140 ? -SLUICE_ENOENT : 0);
	/* A second put takes no more room than the first. */
	put_many(client, ephemeral, 60);
	put_many(client, ephemeral, 60);
	assert_int_equal(hits(client, ephemeral, 60), 60);
}

static void lowered_cap_is_reached_in_steps(void **state)
{
	unsigned steps = 1;

	(void)state;
	put_many(client, ephemeral, 500);
	while (tmem_client_set_caps(client, ~0UL, 10) == -SLUICE_EAGAIN)
		steps++;
	assert_in_range(steps, 490 / 64, 490 / 64 + 2);
	assert_int_equal(ephemeral_pages(client), 10);
	assert_int_equal(hits(client, ephemeral, 500), 10);
}

static void cap_of_none_refuses_all(void **state)
{
	(void)state;
	put_many(client, ephemeral, 10);
	assert_int_equal(tmem_client_set_caps(client, 0, 0), 0);
	assert_int_equal(ephemeral_pages(client), 0);
	assert_int_equal(put_seed(client, handle_of(ephemeral, 1, 1), 1), -SLUICE_ENOSPC);
	assert_int_equal(put_seed(client, handle_of(persistent, 1, 1), 1), -SLUICE_ENOSPC);
	assert_int_equal(tmem_client_set_caps(client, ~0UL, ~0UL), 0);
	assert_int_equal(put_seed(client, handle_of(ephemeral, 1, 1), 1), 0);
	assert_int_equal(put_seed(client, handle_of(persistent, 1, 1), 1), 0);
}

static void persistent_cap_below_what_there_is_keeps_it(void **state)
{
	(void)state;
	put_many(client, persistent, 100);
	assert_int_equal(tmem_client_set_caps(client, 50, ~0UL), 0);
	assert_int_equal(put_seed(client, handle_of(persistent, 9, 1), 1), -SLUICE_ENOSPC);
	assert_int_equal(put_seed(client, handle_of(persistent, 0, 0), 0), 0);
	assert_int_equal(hits(client, persistent, 100), 100);
}

/* ---- Lists -------------------------------------------------------------------------- */

static void list_tells_what_happened(void **state)
{
	struct tmem_pool_info infos[TMEM_POOLS_PER_GUEST];
	struct tmem_handle object = handle_of(persistent, 1, 0);

	(void)state;
	put_many(client, ephemeral, 300);
	assert_int_equal(tmem_client_set_caps(client, 110, 290), 0);
	put_many(client, persistent, 110);
	assert_int_equal(put_seed(client, handle_of(persistent, 0, 0), 0), 0);
	assert_int_equal(put_seed(client, handle_of(persistent, 9, 0), 0), -SLUICE_ENOSPC);
	assert_int_equal(tmem_flush_object(client, &object), 0);
	assert_int_equal(hits(client, ephemeral, 20), 10);
	assert_int_equal(hits(client, persistent, 20), 20);

	assert_int_equal(tmem_client_list(client, infos), 2);
	assert_int_equal(infos[0].id, ephemeral);
	assert_int_equal(infos[0].flags, 0);
	assert_int_equal(infos[0].uuid[0], 1);
	assert_int_equal(infos[0].uuid[1], 2);
	assert_int_equal(infos[0].pages, 280);
	assert_int_equal(infos[0].puts, 300);
	assert_int_equal(infos[0].gets, 20);
	assert_int_equal(infos[0].hits, 10);
	assert_int_equal(infos[0].evictions, 10);
	assert_int_equal(infos[0].refusals, 0);
	assert_int_equal(infos[1].id, persistent);
	assert_int_equal(infos[1].flags, TMEM_POOL_PERSISTENT);
	assert_int_equal(infos[1].pages, 60);
	assert_int_equal(infos[1].puts, 111);
	assert_int_equal(infos[1].replaced, 1);
	assert_int_equal(infos[1].gets, 20);
	assert_int_equal(infos[1].hits, 20);
	assert_int_equal(infos[1].flushes, 1);
	assert_int_equal(infos[1].flushed_pages, 50);
	assert_int_equal(infos[1].evictions, 0);
	assert_int_equal(infos[1].refusals, 1);
}

static void info_tells_state_and_caps(void **state)
{
	struct tmem_guest_info info = {0};

	(void)state;
	put_many(client, persistent, 5);
	tmem_client_info(client, &info);
	assert_int_equal(info.flags, 0);
	assert_int_equal(info.persistent_max, TMEM_UNLIMITED);
	assert_int_equal(info.ephemeral_max, TMEM_UNLIMITED);
	tmem_client_freeze(client, true);
	assert_int_equal(tmem_client_set_weight(client, 9), 0);
	assert_int_equal(tmem_client_set_caps(client, 7, 8), 0);
	tmem_client_info(client, &info);
	assert_int_equal(info.flags, TMEM_GUEST_FROZEN);
	assert_int_equal(info.weight, 9);
	assert_int_equal(info.persistent_max, 7);
	assert_int_equal(info.ephemeral_max, 8);
	assert_int_equal(info.persistent_pages, 5);
	assert_int_equal(info.ephemeral_pages, 0);
}

#define CONTROL(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONTROL(frozen_client_refuses_puts),
		CONTROL(refused_put_removes_the_old_copy),
		CONTROL(frozen_client_gets_and_flushes),
		CONTROL(pool_made_while_frozen_is_frozen),
		CONTROL(bad_frame_is_bad_also_when_frozen),
		CONTROL(client_in_the_place_of_a_frozen_one_is_not),
		CONTROL(weight_counts_at_once),
		CONTROL(ephemeral_cap_evicts_the_own_oldest),
		CONTROL(lowered_cap_is_reached_in_steps),
		CONTROL(cap_of_none_refuses_all),
		CONTROL(persistent_cap_below_what_there_is_keeps_it),
		CONTROL(list_tells_what_happened),
		CONTROL(info_tells_state_and_caps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
