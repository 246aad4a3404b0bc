/*
 * Every single allocation of a store's life fails once: what was stored is still there, nothing
 * else is, and at the end nothing is left.
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

/* What a client may have that takes memory of its own. */
struct kind_of_life {
	u8 modes;
	u64 guest_pages; /* histories of pages that left */
	u32 group;
	u64 max_pages;
};

#define LIVED 400U

static u64 seed_of(u32 i)
{
	/* Random, filled, repeated and compressible pages in turn. */
	return (u64)(i % HOST_PAGE_KINDS) << HOST_KIND_SHIFT | (i / 8 + 1);
}

/* Pages in a persistent (1) or ephemeral pool (0); what was stored must be there, whatever failed,
 * unless it may have been evicted. */
static void live_in_pool(struct tmem *tmem, struct tmem_client *client, int pool, bool persistent)
{
	static bool stored[LIVED];

	for (u32 i = 0; i < LIVED; i++) {
		int result = put_seed(client, handle_of(pool, i / 3, i * 7), seed_of(i));

		assert_true(result == 0 || result == -SLUICE_ENOMEM);
		stored[i] = result == 0;
	}
	assert_int_equal(store_audit(tmem), 0);
	for (u32 i = 0; i < LIVED; i += 3) {
		int result = get_seed(client, handle_of(pool, i / 3, i * 7), seed_of(i));

		assert_true(result == (stored[i] ? 0 : -SLUICE_ENOENT) ||
			    (!persistent && result == -SLUICE_ENOENT));
	}
	/* Other contents in their places. */
	for (u32 i = 0; i < LIVED; i += 5) {
		int result = put_seed(client, handle_of(pool, i / 3, i * 7), seed_of(i + 1));

		assert_true(result == 0 || result == -SLUICE_ENOMEM);
	}
	for (u32 i = 0; i < LIVED; i += 2) {
		struct tmem_handle handle = handle_of(pool, i / 3, i * 7);

		assert_int_equal(tmem_flush_page(client, &handle), 0);
	}
	assert_int_equal(store_audit(tmem), 0);
}

static void live_as_client(struct tmem *tmem, const struct kind_of_life *kind)
{
	struct tmem_client_config config = {.weight = 1,
		.persistent_max = ~0UL,
		.ephemeral_modes = kind->modes,
		.persistent_modes = kind->modes,
		.guest_pages = kind->guest_pages,
		.dedup_group = kind->group};
	struct tmem_client *client = tmem_client_create(tmem, &config);

	assert_int_equal(store_audit(tmem), 0);
	if (!client)
		return;
	for (int persistent = 0; persistent < 2; persistent++) {
		int pool = tmem_pool_create(client, persistent ? TMEM_POOL_PERSISTENT : 0, 0, 0);

		assert_true(pool >= 0 || pool == -SLUICE_ENOMEM);
		if (pool >= 0)
			live_in_pool(tmem, client, pool, persistent);
	}
	store_end_client(client);
}

/* A life with everything in it, and after it nothing is left. How many allocations it asked for. */
static u64 live(const struct kind_of_life *kind, u64 failing_allocation)
{
	const u64 many = 1000000;
	struct tmem_config config = {.max_pages = kind->max_pages};
	struct tmem *tmem;
	u64 left;

	host_memory_init(4096);
	host_allocations_until_failure = failing_allocation == ~0UL ? many : failing_allocation;
	tmem = tmem_create(&config);
	if (!tmem) {
		left = host_pages_in_use();
		host_memory_exit();
		assert_int_equal(left, 0);
		return 0;
	}
	for (unsigned i = 0; i < 2; i++)
		live_as_client(tmem, kind);
	left = many - host_allocations_until_failure;
	assert_int_equal(store_end(tmem), 0);
	assert_int_equal(host_complaints, 0);
	return left;
}

/* The directory of blocks gets its page, and then there is none for the first block's record. Found
 * by the fuzzer. */
static void bug_no_page_for_the_first_block(void **state)
{
	(void)state;
	for (u64 n = 0; n < 20; n++) {
		struct tmem *tmem = store_create(1024, 0);
		struct tmem_client *client = store_client_with_pool(tmem, 0);

		host_blocks_available = false;
		host_allocations_until_failure = n;
		put_seed(client, handle_of(0, 1, 1), 1);
		assert_int_equal(store_audit(tmem), 0);
		store_end_client(client);
		store_finish(tmem);
	}
}

static void each_may_fail(struct kind_of_life kind)
{
	u64 allocations = live(&kind, ~0UL);

	assert_in_range(allocations, 20, 5000);
	for (u64 n = 0; n < allocations; n++)
		live(&kind, n);
}

static void every_allocation_may_fail(void **state)
{
	(void)state;
	each_may_fail((struct kind_of_life){0});
	each_may_fail((struct kind_of_life){.max_pages = 100});
}

#define ALL_MODES (TMEM_MODE_FILLED | TMEM_MODE_DEDUP | TMEM_MODE_COMPRESS)

static void every_allocation_may_fail_with_modes(void **state)
{
	(void)state;
	each_may_fail((struct kind_of_life){.modes = TMEM_MODE_FILLED | TMEM_MODE_DEDUP});
	each_may_fail((struct kind_of_life){.modes = TMEM_MODE_COMPRESS, .max_pages = 60});
	each_may_fail((struct kind_of_life){.modes = ALL_MODES, .guest_pages = 1000});
}

static void every_allocation_may_fail_in_a_group(void **state)
{
	(void)state;
	each_may_fail((struct kind_of_life){.modes = ALL_MODES, .guest_pages = 500, .group = 1});
	each_may_fail((struct kind_of_life){
		.modes = TMEM_MODE_DEDUP, .guest_pages = 500, .group = 2, .max_pages = 80});
}

static void every_allocation_may_fail_with_histories(void **state)
{
	(void)state;
	each_may_fail((struct kind_of_life){.guest_pages = 1000, .max_pages = 100});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bug_no_page_for_the_first_block),
		cmocka_unit_test(every_allocation_may_fail),
		cmocka_unit_test(every_allocation_may_fail_with_modes),
		cmocka_unit_test(every_allocation_may_fail_in_a_group),
		cmocka_unit_test(every_allocation_may_fail_with_histories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
