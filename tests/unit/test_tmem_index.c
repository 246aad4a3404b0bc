/*
 * The index through the store: keys that no guest can aim at a bucket.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/tmem_host/port.h"
#include "tests/unit/tmem_host/store.h"
#include "tmem/client.h"

static void bug_bucket_that_a_guest_can_aim_at(void **state)
{
	struct tmem_client_config config = {.weight = 1, .persistent_max = ~0UL};
	struct tmem *tmem = store_create(32768, 0);
	struct tmem_client *client = tmem_client_create(tmem, &config);
	const struct table *objects, *groups;

	(void)state;
	/* All keys zero: what a guest would achieve that had found them out. Everything collides.
	 */
	assert_int_equal(tmem_pool_create(client, 0, 0, 0), 0);
	objects = &client->pools[0]->object_table;
	groups = &client->pools[0]->group_table;
	for (u32 object = 0; object < 4000; object++)
		for (u32 index = 0; index < 3; index++)
			assert_int_equal(
				put_seed(client, handle_of(0, object, index * 100), object), 0);
	assert_in_range(objects->rekeys, 1, 2);
	assert_in_range(groups->rekeys, 1, 2);
	assert_int_equal(objects->old.buckets, 0);
	assert_int_equal(groups->old.buckets, 0);
	assert_int_equal(store_audit(tmem), 0);
	for (u32 object = 0; object < 4000; object++)
		for (u32 index = 0; index < 3; index++)
			assert_int_equal(
				get_seed(client, handle_of(0, object, index * 100), object), 0);
	store_end_client(client);
	store_finish(tmem);
}

/* Keys that differ in high bits only, or only between words: the classic failures of hashing by
 * multiplication. No chain may grow beyond one further line. */
static void no_family_of_keys_collides(void **state)
{
	struct tmem *tmem = store_create(32768, 0);
	struct tmem_client *client = store_client_with_pool(tmem, 0);

	(void)state;
	for (u32 i = 0; i < 8192; i++) {
		struct tmem_handle handle = {.index = 0, .pool = 0};

		handle.object[0] = (u64)(i & 31) << 59;
		handle.object[1] = (u64)(i >> 5 & 31) << 59;
		handle.object[2] = (u64)(i >> 10) << 61;
		assert_int_equal(put_seed(client, handle, i), 0);
	}
	assert_int_equal(client->pools[0]->object_table.rekeys, 0);
	assert_true(slab_used(&client->pools[0]->lines) < 8192 / 8);
	store_end_client(client);
	store_finish(tmem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bug_bucket_that_a_guest_can_aim_at),
		cmocka_unit_test(no_family_of_keys_collides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
