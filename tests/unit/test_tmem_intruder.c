/*
 * A put that lets go of its client's lock to evict: what another vCPU of the same guest does just
 * then.
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

static struct tmem_client *intruder;
static struct tmem_handle intruded;
static bool pool_dies;

/* Another vCPU of the same guest stores the same page, or destroys the pool, just then. */
static void intrude(void)
{
	host_unlock_hook = NULL;
	if (pool_dies) {
		while (tmem_pool_destroy(intruder, intruded.pool) == -SLUICE_EAGAIN)
			;
		return;
	}
	assert_int_equal(put_seed(intruder, intruded, 77), 0);
}

/* @pool 0 is ephemeral, 1 persistent. */
static void put_beside_an_intruder(int pool)
{
	static u8 mine[PAGE_SIZE] __aligned_to(PAGE_SIZE);
	struct tmem *tmem = store_create(4096, 300);
	struct tmem_client *rich = store_client_with_pool(tmem, 0);
	int result;

	intruder = store_client_with_pool(tmem, 0);
	assert_int_equal(tmem_pool_create(intruder, TMEM_POOL_PERSISTENT, 0, 0), 1);
	for (u32 index = 0; index < 300; index++)
		assert_int_equal(put_seed(rich, handle_of(0, 1, index), index), 0);
	for (u32 index = 0; index < 20; index++)
		assert_int_equal(put_seed(intruder, handle_of(pool, 1, index * 100), index), 0);
	intruded = handle_of(pool, 2, 5);
	host_fill_page(mine, 78);
	host_unlock_hook = intrude;
	result = tmem_put(intruder, &intruded, mine);
	assert_null(host_unlock_hook);
	assert_int_equal(result, pool_dies ? -SLUICE_EBADF : 0);
	/* Nothing that the put had in hand is lost: its slot, its place among persistent pages. */
	assert_int_equal(store_audit(tmem), 0);
	/* It ended last, so its data counts. */
	assert_int_equal(get_seed(intruder, intruded, 78), pool_dies ? -SLUICE_EBADF : 0);
	store_end_client(intruder);
	store_end_client(rich);
	store_finish(tmem);
}

static void page_stored_by_another_cpu_while_a_put_evicts(void **state)
{
	(void)state;
	pool_dies = false;
	put_beside_an_intruder(0);
	put_beside_an_intruder(1);
}

static void pool_destroyed_by_another_cpu_while_a_put_evicts(void **state)
{
	(void)state;
	pool_dies = true;
	put_beside_an_intruder(0);
	put_beside_an_intruder(1);
}

/* Of the object that the other vCPU gets while the put evicts. */
#define GOT 63u

/* Another vCPU gets as many pages as leave their slots at hand, and stores the same page. */
static void fill_magazine(void)
{
	host_unlock_hook = NULL;
	for (u32 index = 0; index < GOT - 1; index++)
		assert_int_equal(get_seed(intruder, handle_of(0, 2, index), index), 0);
	assert_int_equal(put_seed(intruder, intruded, 77), 0);
	assert_int_equal(get_seed(intruder, handle_of(0, 2, GOT - 1), GOT - 1), 0);
}

/* The evicted frame comes on top of them, and is not used, since the page is there already. */
static void slots_given_back_by_another_cpu_while_a_put_evicts(void **state)
{
	static u8 mine[PAGE_SIZE] __aligned_to(PAGE_SIZE);
	struct tmem *tmem = store_create(4096, 300);
	struct tmem_client *rich = store_client_with_pool(tmem, 0);

	(void)state;
	intruder = store_client_with_pool(tmem, 0);
	for (u32 index = 0; index < 300; index++)
		assert_int_equal(put_seed(rich, handle_of(0, 1, index), index), 0);
	for (u32 index = 0; index < GOT + 2; index++)
		assert_int_equal(put_seed(intruder, handle_of(0, 2, index), index), 0);
	for (u32 index = 0; index < 2; index++)
		assert_int_equal(put_seed(intruder, handle_of(0, 1, index), index), 0);
	intruded = handle_of(0, 1, 2);
	host_fill_page(mine, 78);
	host_unlock_hook = fill_magazine;
	assert_int_equal(tmem_put(intruder, &intruded, mine), 0);
	assert_null(host_unlock_hook);
	assert_int_equal(store_audit(tmem), 0);
	for (u32 index = GOT; index < GOT + 2; index++)
		assert_int_equal(get_seed(intruder, handle_of(0, 2, index), index), 0);
	assert_int_equal(get_seed(intruder, intruded, 78), 0);
	assert_int_equal(store_audit(tmem), 0);
	store_end_client(intruder);
	store_end_client(rich);
	store_finish(tmem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slots_given_back_by_another_cpu_while_a_put_evicts),
		cmocka_unit_test(page_stored_by_another_cpu_while_a_put_evicts),
		cmocka_unit_test(pool_destroyed_by_another_cpu_while_a_put_evicts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
