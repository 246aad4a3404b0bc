/*
 * The sample of operations that the host is told of: which keys, how many of them, without a pool
 * and beside a miss filter. What is told of random operations is compared one by one in
 * test_tmem_model.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/hypercall.h>

#include "tests/unit/tmem_host/port.h"
#include "tests/unit/tmem_host/store.h"
#include "tests/unit/tmem_host/window.h"

#define ONE_PERCENT 42949673U

static struct tmem *tmem;
static struct tmem_client *client;
static u8 page[PAGE_SIZE] __aligned_to(PAGE_SIZE);

/* What was told, by event. */
static u64 told[TMEM_EVENT_FLUSH + 1];
static struct tmem_sample last;

static void note(void *owner, enum tmem_event event, const struct tmem_sample *sample)
{
	assert_ptr_equal(owner, &told);
	told[event]++;
	last = *sample;
}

static void start(bool keys_only, u32 threshold, u64 guest_pages)
{
	struct tmem_config store = {.max_pages = 4096, .keys_only = keys_only};
	struct tmem_client_config config = {.weight = 1,
		.persistent_max = ~0UL,
		.guest_pages = guest_pages,
		.sample_threshold = threshold,
		.owner = &told};

	host_memory_init(16 * BLOCK_PAGES);
	host_sampled_hook = note;
	memset(told, 0, sizeof(told));
	tmem = tmem_create(&store);
	tmem_port_random(config.hash_keys, ARRAY_SIZE(config.hash_keys));
	client = tmem_client_create(tmem, &config);
	assert_int_equal(tmem_pool_create(client, 0, 0, 0), 0);
	assert_int_equal(tmem_pool_create(client, TMEM_POOL_PERSISTENT, 0, 0), 1);
}

static void end(void)
{
	assert_int_equal(store_audit(tmem), 0);
	store_end_client(client);
	assert_int_equal(store_end(tmem), 0);
}

/* The handle of page @n under ways to number pages that guests may have. */
static struct tmem_handle handle_in(unsigned way, u64 n)
{
	switch (way) {
	case 0: /* one file, or a disk */
		return handle_of(0, 1, (u32)n);
	case 1: /* many files */
		return handle_of(0, n / 64, n % 64);
	case 2: /* of one page */
		return handle_of(0, n, 0);
	case 3: /* objects that differ in their upper bits */
		return handle_of(0, n << 44, 7);
	case 4: /* every 16th page */
		return handle_of(0, 1, (u32)n * 16);
	default: /* a persistent pool */
		return handle_of(1, 1, (u32)n);
	}
}

#define KEYS 200000U

static void one_in_a_hundred_whatever_the_keys(void **state)
{
	(void)state;
	for (unsigned way = 0; way < 6; way++) {
		start(false, ONE_PERCENT, way % 2 ? 3000 : 0);
		for (u64 n = 0; n < KEYS; n++) {
			struct tmem_handle handle = handle_in(way, n);

			assert_int_equal(tmem_get(client, &handle, page), -SLUICE_ENOENT);
		}
		assert_in_range(told[TMEM_EVENT_GET], KEYS / 120, KEYS / 85);
		end();
	}
}

/* Each sampled page is told of at every operation, hit or miss, and no other page ever is. */
static void a_sampled_page_is_always_told_of(void **state)
{
	static u64 hashes[1000];
	u64 sampled = 0;

	(void)state;
	start(false, 1U << 30, 3000);
	for (unsigned n = 0; n < 1000; n++) {
		struct tmem_handle handle = handle_of((int)n % 2, n / 100, n);
		u64 before = told[TMEM_EVENT_GET];

		assert_int_equal(tmem_get(client, &handle, page), -SLUICE_ENOENT);
		hashes[n] = told[TMEM_EVENT_GET] > before ? last.hash : 0;
		sampled += hashes[n] != 0;
	}
	assert_in_range(sampled, 200, 300);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned n = 0; n < 1000; n++) {
			struct tmem_handle handle = handle_of((int)n % 2, n / 100, n);

			memset(told, 0, sizeof(told));
			assert_int_equal(tmem_put(client, &handle, page), 0);
			assert_int_equal(tmem_put(client, &handle, page), 0);
			assert_int_equal(tmem_get(client, &handle, page), 0);
			assert_int_equal(tmem_flush_page(client, &handle), 0);
			assert_int_equal(tmem_get(client, &handle, page), -SLUICE_ENOENT);

			assert_int_equal(told[TMEM_EVENT_PUT], hashes[n] ? 2 : 0);
			assert_int_equal(told[TMEM_EVENT_GET], hashes[n] ? 2 : 0);
			assert_int_equal(told[TMEM_EVENT_FLUSH], hashes[n] ? 1 : 0);
			assert_true(!hashes[n] || last.hash == hashes[n]);
			assert_true(hashes[n] >> 32 < 1U << 30);
		}
	}
	/* Totals are of all pages, also of pools that are gone. */
	assert_int_equal(tmem_pool_destroy(client, 1), 0);
	for (unsigned n = 0; n < 100; n++) {
		struct tmem_handle handle = handle_of(0, 5, n);

		assert_int_equal(tmem_flush_page(client, &handle), 0);
	}
	assert_int_equal(last.puts, 6000);
	assert_int_equal(last.gets, 7000);
	end();
}

/* What is marked in groups is compared by the audit, whatever the threshold. */
static void the_places_of_groups_are_marked(void **state)
{
	const u32 thresholds[] = {1, ONE_PERCENT, ~0U / 34, ~0U / 34 + 1, 1U << 30};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(thresholds); i++) {
		start(false, thresholds[i], 0);
		for (unsigned n = 0; n < 3600; n++) {
			struct tmem_handle handle = handle_of(0, n / 8, n / 2 * 40 + n % 2);

			assert_int_equal(tmem_put(client, &handle, page), 0);
		}
		end();
	}
}

static void nobody_is_told_without_a_threshold_or_of_what_did_not_happen(void **state)
{
	struct tmem_handle nowhere = handle_of(7, 1, 1), handle = handle_of(0, 1, 1);

	(void)state;
	start(false, 0, 0);
	for (unsigned n = 0; n < 1000; n++) {
		handle.index = n;
		assert_int_equal(tmem_put(client, &handle, page), 0);
		assert_int_equal(tmem_get(client, &handle, page), 0);
	}
	end();
	assert_int_equal(told[TMEM_EVENT_PUT] + told[TMEM_EVENT_GET], 0);

	start(false, ~0U, 0);
	assert_int_equal(tmem_put(client, &nowhere, page), -SLUICE_EBADF);
	assert_int_equal(tmem_get(client, &nowhere, page), -SLUICE_EBADF);
	assert_int_equal(tmem_put(client, &handle, NULL), -SLUICE_EFAULT);
	assert_int_equal(tmem_get(client, &handle, NULL), -SLUICE_EFAULT);
	assert_int_equal(tmem_flush_object(client, &handle), 0);
	assert_int_equal(told[TMEM_EVENT_PUT] + told[TMEM_EVENT_GET] + told[TMEM_EVENT_FLUSH], 0);
	/* A refusal is told like any other put. */
	tmem_client_freeze(client, true);
	assert_int_equal(tmem_put(client, &handle, page), -SLUICE_ENOSPC);
	assert_int_equal(told[TMEM_EVENT_PUT], 1);
	assert_int_equal(last.puts, 1);
	end();
}

static void keys_only_stores_nothing_and_tells_all_the_same(void **state)
{
	struct tmem_client_stats stats;
	u64 before;

	(void)state;
	start(true, ONE_PERCENT, 3000);
	before = host_pages_in_use();
	for (unsigned round = 0; round < 2; round++)
		for (unsigned n = 0; n < KEYS; n++) {
			struct tmem_handle handle = handle_of(n % 4 == 1, 1, n);

			assert_int_equal(tmem_put(client, &handle, page), -SLUICE_ENOSPC);
			assert_int_equal(tmem_get(client, &handle, page), -SLUICE_ENOENT);
			assert_int_equal(tmem_flush_page(client, &handle), 0);
		}
	assert_in_range(told[TMEM_EVENT_PUT], 2 * KEYS / 120, 2 * KEYS / 85);
	assert_int_equal(told[TMEM_EVENT_GET], told[TMEM_EVENT_PUT]);
	assert_int_equal(told[TMEM_EVENT_FLUSH], told[TMEM_EVENT_PUT]);
	assert_in_range(last.puts, 2 * KEYS * 95 / 100, 2 * KEYS);
	assert_int_equal(last.gets, last.puts);
	assert_int_equal(host_pages_in_use(), before);
	tmem_client_stats(client, &stats);
	assert_int_equal(stats.puts, 2 * KEYS);
	assert_int_equal(stats.puts_refused, 2 * KEYS);
	assert_int_equal(stats.gets, 2 * KEYS);
	assert_int_equal(stats.ephemeral_peak + stats.persistent_peak, 0);
	end();
}

/* With a filter the guest knows the sample, and asks for its pages; of all others, which are not
 * there, it knows that too. */
static void a_filter_lacks_no_sampled_page(void **state)
{
	struct guest_window window;
	u64 asked = 0;

	(void)state;
	start(false, ONE_PERCENT, 0);
	assert_int_equal(guest_window_open(&window, client, 0), 0);
	guest_windows_settle(client);
	for (unsigned n = 0; n < KEYS; n++) {
		struct tmem_handle handle = handle_of(0, n / 1000, n);

		if (guest_surely_lacks(&window, handle))
			continue;
		asked++;
		assert_int_equal(tmem_get(client, &handle, page), -SLUICE_ENOENT);
		assert_int_equal(told[TMEM_EVENT_GET], asked);
	}
	assert_in_range(asked, KEYS / 120, KEYS / 85);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_in_a_hundred_whatever_the_keys),
		cmocka_unit_test(a_sampled_page_is_always_told_of),
		cmocka_unit_test(the_places_of_groups_are_marked),
		cmocka_unit_test(nobody_is_told_without_a_threshold_or_of_what_did_not_happen),
		cmocka_unit_test(keys_only_stores_nothing_and_tells_all_the_same),
		cmocka_unit_test(a_filter_lacks_no_sampled_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
