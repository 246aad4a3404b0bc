/*
 * The glue of the balloon policies and the tmem pool: guests' shares of it follow the plan, and
 * what it may have is what guests leave.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fake/engine.h"
#include "fake/policy_guests.h"
#include "kernel/policy.h"
#include "kernel/vm/audit.h"
#include "kernel/vm/balloon_control.h"
#include "kernel/vm/tmem_port.h"

static void with_store(unsigned slot, u32 share)
{
	vms[slot]->tmem = fake_engine_client(share, ~0UL, 0);
	configs[slot].tmem_share = share;
}

static u64 weight_of(unsigned slot)
{
	struct tmem_guest_info info;

	tmem_client_info(vms[slot]->tmem, &info);
	return info.weight;
}

static void leave_store(unsigned slot)
{
	fake_engine_end_client(vms[slot]->tmem);
	vms[slot]->tmem = NULL;
}

static void shares_of_the_pool_follow_the_plan(void **state)
{
	(void)state;

	fake_engine_start(0);
	start(BALLOON_POLICY_SHARES, 0);
	add(0, 4, 16, 16);
	add(1, 4, 16, 16);
	configs[0].priority = 300;
	configs[1].priority = 100;
	with_store(0, 5);
	with_store(1, 7);
	policy_tick();
	assert_int_equal(weight_of(0), 65535);
	assert_in_range(weight_of(1), 65535 / 3 - 20, 65535 / 3 + 20);
	/* Under static the manifest's count again. */
	balloon_control_set(BALLOON_CONTROL_STATIC);
	policy_tick();
	assert_int_equal(weight_of(0), 5);
	assert_int_equal(weight_of(1), 7);
	leave_store(0);
	leave_store(1);
	fake_engine_end();
}

/* Data pages; @missing may be, for metadata or in blocks. */
static void pool_has(u64 mib, u64 missing)
{
	struct tmem_stats stats;

	tmem_stats(tmem_store, &stats);
	assert_in_range(stats.frames, (MIB(mib) >> PAGE_SHIFT) - missing, MIB(mib) >> PAGE_SHIFT);
}

/* A guest of 16 to 32 MiB, where there are 40 with the pool, which may have @max_pages (0: all). */
static void start_beside_pool(u64 max_pages)
{
	fake_engine_start(max_pages);
	start(BALLOON_POLICY_STATIC, 40);
	add(0, 4, 16, 32);
	obey(0);
	with_store(0, 100);
	policy_tick();
	assert_int_equal(tmem_pool_create(vms[0]->tmem, 0, 0, 0), 0);
}

static void put_pages(u32 count)
{
	static u8 page[PAGE_SIZE] __aligned_to(PAGE_SIZE);
	struct tmem_handle handle = {.object = {1}};

	for (; handle.index < count; handle.index++)
		assert_int_equal(tmem_put(vms[0]->tmem, &handle, page), 0);
}

static void guests_and_pool_share_what_the_manifest_gives(void **state)
{
	(void)state;

	start_beside_pool(0);
	put_pages(10000);
	pool_has(24, 64);
	/* The guest grows: what the pool has too much is taken from it. */
	balloon_set_target(vms[0], MIB(32) >> PAGE_SHIFT, "a test");
	for (unsigned mib = 16; mib >= 8; mib -= 8) {
		policy_tick();
		pool_has(mib, 64);
	}
	policy_tick();
	pool_has(8, 64);
	/* A little is always the pool's. */
	balloon.memory = MIB(30);
	memory_set_together(MIB(30) >> PAGE_SHIFT);
	policy_tick();
	pool_has(1, 64);
	put_pages(1000);
	pool_has(1, 64);
	assert_int_equal(audit_run(), 0);
	leave_store(0);
	fake_engine_end();
}

/* What the guests leave is more than pool_max: that holds. */
static void the_pool_keeps_to_its_own_limit(void **state)
{
	(void)state;

	start_beside_pool(MIB(4) >> PAGE_SHIFT);
	put_pages(3000);
	pool_has(4, MIB(1) >> PAGE_SHIFT);
	leave_store(0);
	fake_engine_end();
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(shares_of_the_pool_follow_the_plan),
		TEST(guests_and_pool_share_what_the_manifest_gives),
		TEST(the_pool_keeps_to_its_own_limit),
	};

	return cmocka_run_group_tests_name("policy_pool", tests, NULL, NULL);
}
