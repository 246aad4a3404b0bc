/*
 * Who may hold how much of the tmem store: limits, weights, lending, eviction order, entitlement.
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

static int set_up_1000(void **state)
{
	(void)state;
	tmem = store_create(4096, 1000);
	return tmem == NULL;
}

static int tear_down(void **state)
{
	(void)state;
	return store_end(tmem) != 0 || host_complaints;
}

/* Puts @count pages of object @object; the number refused. */
static u32 fill(struct tmem_client *client, int pool, u64 object, u32 count)
{
	u32 refused = 0;

	for (u32 index = 0; index < count; index++)
		refused += put_seed(client, handle_of(pool, object, index), object + index) != 0;
	return refused;
}

static void pool_limit_is_exact(void **state)
{
	struct tmem_client *client = store_client(tmem, 1, ~0UL);
	int pool = tmem_pool_create(client, 0, 0, 0);
	struct tmem_stats stats;

	(void)state;
	assert_int_equal(fill(client, pool, 1, 5000), 0);
	tmem_stats(tmem, &stats);
	assert_int_equal(stats.ephemeral_pages, 1000);
	assert_int_equal(stats.frames, 1000);
	/* First in, first out: the last 1000 are there, and none else. */
	for (u32 index = 0; index < 5000; index++)
		assert_int_equal(get_seed(client, handle_of(pool, 1, index), 1 + index),
			index < 4000 ? -SLUICE_ENOENT : 0);
	store_end_client(client);
}

/* However the slots are spread over two clients and two classes, all of them can be used. */
static void no_slot_is_stranded(void **state)
{
	struct tmem_client *a = store_client(tmem, 1, ~0UL);
	struct tmem_client *b = store_client(tmem, 1, ~0UL);
	int pools[4] = {
		tmem_pool_create(a, 0, 0, 0),
		tmem_pool_create(a, TMEM_POOL_PERSISTENT, 0, 0),
		tmem_pool_create(b, 0, 0, 0),
		tmem_pool_create(b, TMEM_POOL_PERSISTENT, 0, 0),
	};

	(void)state;
	assert_int_equal(fill(a, pools[0], 1, 30), 0);
	assert_int_equal(fill(a, pools[1], 1, 30), 0);
	assert_int_equal(fill(b, pools[3], 1, 30), 0);
	/* Idle slots in a's magazines: */
	for (u32 index = 0; index < 30; index++)
		assert_int_equal(get_seed(a, handle_of(pools[0], 1, index), 1 + index), 0);
	assert_int_equal(fill(b, pools[2], 1, 940), 0);
	assert_int_equal(ephemeral_pages(b), 940);
	assert_int_equal(store_audit(tmem), 0);
	/* Now it is full; a page more costs one. */
	assert_int_equal(put_seed(b, handle_of(pools[2], 2, 0), 1), 0);
	assert_int_equal(ephemeral_pages(b), 940);
	store_end_client(a);
	store_end_client(b);
}

static void unused_share_is_lent_and_taken_back(void **state)
{
	struct tmem_client *rich = store_client(tmem, 3, ~0UL);
	struct tmem_client *poor = store_client(tmem, 1, ~0UL);
	int rich_pool = tmem_pool_create(rich, 0, 0, 0);
	int poor_pool = tmem_pool_create(poor, 0, 0, 0);

	(void)state;
	assert_int_equal(fill(poor, poor_pool, 1, 2000), 0);
	assert_int_equal(ephemeral_pages(poor), 1000);
	/* The owner of three quarters takes them back page by page, and never more. */
	for (u32 index = 0; index < 750; index++) {
		assert_int_equal(put_seed(rich, handle_of(rich_pool, 1, index), index), 0);
		assert_int_equal(ephemeral_pages(rich), index + 1);
		assert_int_equal(ephemeral_pages(poor), 1000 - index - 1);
	}
	assert_int_equal(fill(rich, rich_pool, 2, 500), 0);
	assert_in_range(ephemeral_pages(rich), 749, 751);
	/* And the poor one keeps its quarter, but gets no more. */
	assert_int_equal(fill(poor, poor_pool, 3, 2000), 0);
	assert_in_range(ephemeral_pages(poor), 249, 251);
	assert_int_equal(ephemeral_pages(rich) + ephemeral_pages(poor), 1000);
	store_end_client(rich);
	store_end_client(poor);
}

static void below_its_share_nobody_is_evicted_from(void **state)
{
	struct tmem_client *quiet = store_client(tmem, 1, ~0UL);
	struct tmem_client *loud[3];
	int pool = tmem_pool_create(quiet, 0, 0, 0);

	(void)state;
	assert_int_equal(fill(quiet, pool, 1, 240), 0);
	for (unsigned i = 0; i < 3; i++) {
		loud[i] = store_client(tmem, 1, ~0UL);
		tmem_pool_create(loud[i], 0, 0, 0);
	}
	for (u32 round = 0; round < 2000; round++)
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(put_seed(loud[i], handle_of(0, round, 0), 1), 0);
	assert_int_equal(ephemeral_pages(quiet), 240);
	for (u32 index = 0; index < 240; index++)
		assert_int_equal(get_seed(quiet, handle_of(pool, 1, index), 1 + index), 0);
	store_end_client(quiet);
	for (unsigned i = 0; i < 3; i++)
		store_end_client(loud[i]);
}

/* An idle client's share is lent whole, and is its own again with its first put. */
static void idle_share_is_lent(void **state)
{
	struct tmem_client *idle = store_client(tmem, 1, ~0UL);
	struct tmem_client *busy = store_client(tmem, 1, ~0UL);
	int idle_pool = tmem_pool_create(idle, 0, 0, 0);
	int busy_pool = tmem_pool_create(busy, 0, 0, 0);

	(void)state;
	assert_int_equal(fill(idle, idle_pool, 1, 500), 0);
	for (unsigned tick = 0; tick < TMEM_IDLE_TICKS; tick++)
		tmem_tick(tmem);
	assert_int_equal(fill(busy, busy_pool, 1, 2000), 0);
	assert_in_range(ephemeral_pages(idle), 499, 500);
	tmem_tick(tmem);
	assert_int_equal(fill(busy, busy_pool, 2, 2000), 0);
	assert_int_equal(ephemeral_pages(idle), 0);
	assert_int_equal(ephemeral_pages(busy), 1000);
	assert_int_equal(fill(idle, idle_pool, 2, 2000), 0);
	assert_in_range(ephemeral_pages(idle), 499, 501);
	assert_int_equal(ephemeral_pages(idle) + ephemeral_pages(busy), 1000);
	store_end_client(idle);
	store_end_client(busy);
}

static void persistent_puts_displace_ephemeral_pages(void **state)
{
	struct tmem_client *swapper = store_client(tmem, 1, ~0UL);
	struct tmem_client *reader = store_client(tmem, 60000, ~0UL);
	int swap = tmem_pool_create(swapper, TMEM_POOL_PERSISTENT, 0, 0);
	int cache = tmem_pool_create(reader, 0, 0, 0);

	(void)state;
	assert_int_equal(fill(reader, cache, 1, 1000), 0);
	assert_int_equal(fill(swapper, swap, 1, 1000), 0);
	assert_int_equal(ephemeral_pages(reader), 0);
	/* Nothing is left that may go. */
	assert_int_equal(put_seed(swapper, handle_of(swap, 2, 0), 1), -SLUICE_ENOMEM);
	assert_int_equal(put_seed(reader, handle_of(cache, 2, 0), 1), -SLUICE_ENOMEM);
	assert_int_equal(store_audit(tmem), 0);
	for (u32 index = 0; index < 1000; index++)
		assert_int_equal(get_seed(swapper, handle_of(swap, 1, index), 1 + index), 0);
	store_end_client(swapper);
	store_end_client(reader);
}

static void entitlement_limits_persistent_pages(void **state)
{
	struct tmem_client *client = store_client(tmem, 1, ~0UL);
	int pool = tmem_pool_create(client, TMEM_POOL_PERSISTENT, 0, 0);
	struct tmem_handle first = handle_of(pool, 1, 0);

	(void)state;
	host_persistent_max = 100;
	assert_int_equal(fill(client, pool, 1, 130), 30);
	assert_int_equal(put_seed(client, handle_of(pool, 1, 120), 1), -SLUICE_ENOSPC);
	assert_int_equal(tmem_persistent_held(tmem), 100);
	assert_int_equal(tmem_flush_page(client, &first), 0);
	assert_int_equal(tmem_persistent_held(tmem), 99);
	assert_int_equal(put_seed(client, handle_of(pool, 1, 120), 1), 0);
	store_end_client(client);
}

static void all_clients_can_come_and_go(void **state)
{
	struct tmem_client *clients[64];

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 64; i++) {
			clients[i] = store_client(tmem, i + 1, ~0UL);
			assert_non_null(clients[i]);
			assert_int_equal(tmem_pool_create(clients[i], i & 1, 0, 0), 0);
			assert_int_equal(put_seed(clients[i], handle_of(0, 1, 1), i), 0);
		}
		assert_null(store_client(tmem, 1, ~0UL));
		assert_int_equal(store_audit(tmem), 0);
		for (unsigned i = 0; i < 64; i++) {
			assert_int_equal(get_seed(clients[i], handle_of(0, 1, 1), i), 0);
			store_end_client(clients[i]);
		}
	}
}

#define SHARES(test) cmocka_unit_test_setup_teardown(test, set_up_1000, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SHARES(pool_limit_is_exact),
		SHARES(no_slot_is_stranded),
		SHARES(unused_share_is_lent_and_taken_back),
		SHARES(below_its_share_nobody_is_evicted_from),
		SHARES(idle_share_is_lent),
		SHARES(persistent_puts_displace_ephemeral_pages),
		SHARES(entitlement_limits_persistent_pages),
		SHARES(all_clients_can_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
