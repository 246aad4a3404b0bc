/*
 * The miss filter as a guest sees it: through the engine's puts, gets, evictions and flushes, with
 * windows that are opened late, memory that is full, and pools and clients that go.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/hypercall.h>

#include "tests/unit/tmem_host/port.h"
#include "tests/unit/tmem_host/store.h"
#include "tests/unit/tmem_host/window.h"
#include "tmem/client.h"
#include "tmem/filter.h"

#define FALSE_PRESENT_MAX 0.03

static struct tmem *tmem;
static struct tmem_client *client;
static struct guest_window window;
static int pool;

static int start_engine(void **state)
{
	(void)state;
	tmem = store_create(32 * BLOCK_PAGES, 0);
	client = store_client(tmem, 1, ~0UL);
	pool = tmem_pool_create(client, 0, 0, 0);
	return client && pool == 0 ? 0 : -1;
}

static int end_engine(void **state)
{
	int audit = store_audit(tmem);

	(void)state;
	store_end_client(client);
	return store_end(tmem) || audit ? -1 : 0;
}

static void open_window(void)
{
	assert_int_equal(guest_window_open(&window, client, pool), 0);
	guest_windows_settle(client);
}

static bool lacks(u64 object, u32 index)
{
	return guest_surely_lacks(&window, handle_of(pool, object, index));
}

static void a_put_is_seen_and_a_hit_takes_it_away(void **state)
{
	(void)state;
	open_window();
	assert_true(lacks(1, 7));
	assert_int_equal(put_seed(client, handle_of(pool, 1, 7), 1), 0);
	assert_false(lacks(1, 7));
	assert_int_equal(put_seed(client, handle_of(pool, 1, 7), 2), 0);
	assert_int_equal(get_seed(client, handle_of(pool, 1, 7), 2), 0);
	assert_true(lacks(1, 7));
}

static void flushes_and_failed_puts_take_it_away(void **state)
{
	struct tmem_handle handle = handle_of(pool, 3, 20);

	(void)state;
	open_window();
	for (u32 index = 0; index < 60; index++)
		assert_int_equal(put_seed(client, handle_of(pool, 3, index), index), 0);
	assert_int_equal(tmem_flush_page(client, &handle), 0);
	assert_true(lacks(3, 20));
	handle.index = 21;
	assert_int_equal(tmem_put(client, &handle, NULL), -SLUICE_EFAULT);
	assert_true(lacks(3, 21));
	assert_false(lacks(3, 22));
	assert_int_equal(tmem_flush_object(client, &handle), 0);
	for (u32 index = 0; index < 60; index++)
		assert_true(lacks(3, index));
}

static void evicted_pages_are_absent(void **state)
{
	unsigned absent = 0;

	(void)state;
	open_window();
	for (u32 index = 0; index < 30000; index++) {
		assert_int_equal(put_seed(client, handle_of(pool, 9, index), index), 0);
		assert_false(lacks(9, index));
		if (index % 16 == 0)
			guest_windows_settle(client);
	}
	for (u32 index = 0; index < 30000; index++) {
		bool surely = lacks(9, index);

		absent += surely;
		if (surely)
			assert_int_not_equal(get_seed(client, handle_of(pool, 9, index), index), 0);
	}
	assert_true(absent > 10000);
}

/* Handles as guests make them: indices in a row, one page an object, strides. */
static void regular_handles_are_spread_as_random_ones(void **state)
{
	static const struct {
		const char *name;
		u64 object_step;
		u32 index_step;
	} shapes[] = {{"row", 0, 1}, {"objects", 1, 0}, {"stride", 0, 4096}, {"both", 1u << 20, 3},
		{"top", 1ul << 58, 1u << 27}};

	(void)state;
	open_window();
	for (unsigned s = 0; s < ARRAY_SIZE(shapes); s++) {
		const u32 pages = 10700; /* as full as it gets */
		unsigned present = 0;
		u32 distinct = pages;

		/* Words that wrap around would name the same pages again. */
		if (shapes[s].object_step == 1ul << 58)
			distinct = 64;
		for (u32 n = 0; n < distinct; n++) {
			assert_int_equal(put_seed(client,
						 handle_of(pool, shapes[s].object_step * n + s,
							 shapes[s].index_step * n),
						 n),
				0);
			if (n % 64 == 0)
				guest_windows_settle(client);
		}
		for (u32 n = 0; n < 20000; n++)
			present += !lacks((u64)(1000 + s) << 40 | n, shapes[s].index_step * n);
		for (u32 n = 0; n < 20000; n++)
			present += !lacks(s, 0x40000000 + n);
		printf("%s: %.2f%% false present\n", shapes[s].name, present / 400.0);
		assert_true(present / 40000.0 <= FALSE_PRESENT_MAX);
		for (u32 n = 0; n < distinct; n++)
			assert_false(
				lacks(shapes[s].object_step * n + s, shapes[s].index_step * n));
		assert_int_equal(tmem_pool_destroy(client, 1), -SLUICE_EBADF);
		while (tmem_pool_destroy(client, pool) == -SLUICE_EAGAIN)
			;
		guest_windows_settle(client);
		assert_int_equal(tmem_pool_create(client, 0, 0, 0), pool);
		open_window();
	}
}

static void it_may_be_opened_late_and_beside_other_pools(void **state)
{
	int other = tmem_pool_create(client, TMEM_POOL_PERSISTENT, 0, 0);
	struct guest_window second;

	(void)state;
	for (u32 index = 0; index < 5000; index++) {
		assert_int_equal(put_seed(client, handle_of(pool, index % 5, index), index), 0);
		assert_int_equal(put_seed(client, handle_of(other, index % 7, index), index), 0);
	}
	assert_int_equal(guest_window_open(&window, client, pool), 0);
	/* Nothing is known until all is counted. */
	for (u32 index = 0; index < 5000; index++) {
		assert_false(lacks(index % 5, index));
		if (index % 3 == 0)
			assert_int_equal(
				get_seed(client, handle_of(pool, index % 5, index), index), 0);
		if (index % 3 == 1)
			assert_int_equal(put_seed(client, handle_of(pool, 50, index), index), 0);
	}
	assert_int_equal(guest_window_open(&second, client, other), 0);
	guest_windows_settle(client);
	for (u32 index = 0; index < 5000; index++) {
		struct tmem_handle handle = handle_of(other, index % 7, index);

		assert_false(guest_surely_lacks(&second, handle));
		if (index % 3)
			assert_false(lacks(index % 5, index));
		if (index % 3 == 1)
			assert_false(lacks(50, index));
	}
	/* A persistent get keeps the page. */
	assert_int_equal(get_seed(client, handle_of(other, 0, 0), 0), 0);
	assert_false(guest_surely_lacks(&second, handle_of(other, 0, 0)));
	assert_int_equal(store_audit(tmem), 0);
}

static void when_memory_is_full_pages_make_room_for_it(void **state)
{
	(void)state;
	/* The store fills all memory before the filter has any of its own. */
	for (u32 index = 0; index < 20000; index++)
		assert_int_equal(put_seed(client, handle_of(pool, 1, index), index), 0);
	assert_int_equal(guest_window_open(&window, client, pool), 0);
	for (u32 index = 20000; index < 22000; index++) {
		assert_int_equal(put_seed(client, handle_of(pool, 1, index), index), 0);
		assert_false(lacks(1, index));
	}
	guest_windows_settle(client);
	assert_true(lacks(2, 1));
	assert_true(lacks(1, 0));
}

static void a_window_has_pages_only_where_there_were_some(void **state)
{
	void *page;

	(void)state;
	assert_int_equal(tmem_window_page(client, 0, 0, &page), -SLUICE_EFAULT);
	open_window();
	assert_int_equal(tmem_window_page(client, 0, 0, &page), 0);
	assert_int_equal(tmem_window_page(client, 0, FILTER_AREA(1), &page), 0);
	assert_int_equal(tmem_window_page(client, 0, 1, &page), -SLUICE_ENOENT);
	assert_int_equal(tmem_window_page(client, 0, 2, &page), -SLUICE_EFAULT);
	assert_int_equal(tmem_window_page(client, 0, FILTER_AREA(1) + 1, &page), -SLUICE_EFAULT);
	assert_int_equal(tmem_window_page(client, 0, TMEM_WINDOW_PAGES - 1, &page), -SLUICE_EFAULT);
	assert_int_equal(tmem_window_page(client, 0, TMEM_WINDOW_PAGES, &page), -SLUICE_EFAULT);
	assert_int_equal(tmem_window_page(client, 1, 0, &page), -SLUICE_EFAULT);
	assert_int_equal(tmem_window_page(client, 16, 0, &page), -SLUICE_EFAULT);
	assert_int_equal(tmem_window_page(client, ~0U, 0, &page), -SLUICE_EFAULT);
}

static void bad_pools_have_no_filter(void **state)
{
	static const s64 pools[] = {-1, 1, 15, 16, INT64_MIN, INT64_MAX, 1l << 32};
	u64 key[TMEM_FILTER_KEY_WORDS];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(pools); i++)
		assert_int_equal(tmem_window_open(client, pools[i], key), -SLUICE_EBADF);
	for (u32 index = 0; index < 100; index++)
		assert_int_equal(put_seed(client, handle_of(pool, 1, index), index), 0);
	assert_int_equal(tmem_pool_destroy(client, pool), -SLUICE_EAGAIN);
	assert_int_equal(tmem_window_open(client, pool, key), -SLUICE_EBADF);
	while (tmem_pool_destroy(client, pool) == -SLUICE_EAGAIN)
		;
}

static void the_key_stays_and_is_the_pools_own(void **state)
{
	struct guest_window again, other;
	int second = tmem_pool_create(client, 0, 0, 0);

	(void)state;
	open_window();
	assert_int_equal(guest_window_open(&again, client, pool), 0);
	assert_memory_equal(window.key, again.key, sizeof(window.key));
	assert_int_equal(guest_window_open(&other, client, second), 0);
	for (unsigned i = 0; i < TMEM_FILTER_KEY_WORDS; i++)
		assert_int_not_equal(window.key[i], other.key[i]);
}

static void a_pool_that_goes_leaves_ones_behind(void **state)
{
	u64 key[TMEM_FILTER_KEY_WORDS];
	unsigned taken = 0;
	u32 number, index;
	void *page, *shown;

	(void)state;
	open_window();
	assert_int_equal(tmem_pool_destroy(client, pool), 0);
	assert_int_equal(tmem_pool_create(client, 0, 0, 0), pool);
	/* Its pages have to go first: they stand where the new one's would. */
	assert_int_equal(tmem_window_open(client, pool, key), -SLUICE_EAGAIN);
	assert_int_equal(tmem_window_page(client, 0, FILTER_AREA(1), &shown), 0);
	while (tmem_window_collect(client, &number, &index, &page)) {
		const u64 *words = page;

		assert_int_equal(number, pool);
		assert_true(index == 0 || index == FILTER_AREA(1));
		for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
			assert_int_equal(words[i], ~0UL);
		assert_int_not_equal(tmem_window_page(client, 0, index, &shown), 0);
		tmem_port_free(page, 0);
		taken++;
	}
	assert_int_equal(taken, 2);
	assert_int_equal(tmem_window_open(client, pool, key), 0);
	/* And a client that goes leaves nothing. */
	tmem_window_close_all(client);
	while (tmem_window_collect(client, &number, &index, &page))
		tmem_port_free(page, 0);
}

static void a_client_may_go_with_its_filters(void **state)
{
	struct tmem_client *other = store_client(tmem, 1, ~0UL);
	u64 key[TMEM_FILTER_KEY_WORDS];

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(tmem_pool_create(other, i & 1, 0, 0), i);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(tmem_window_open(other, i, key), 0);
	for (u32 index = 0; index < 9000; index++)
		assert_int_equal(put_seed(other, handle_of((int)index % 3, 1, index), index), 0);
	assert_int_equal(tmem_pool_destroy(other, 1), -SLUICE_EAGAIN);
	store_end_client(other);
}

static void the_audit_finds_a_bit_that_is_missing(void **state)
{
	const struct pool *stored;
	u64 *page;

	(void)state;
	open_window();
	assert_int_equal(put_seed(client, handle_of(pool, 1, 7), 1), 0);
	stored = client->pools[pool];
	page = filter_page(stored->filter, FILTER_AREA(1));
	for (unsigned i = 0; i < PAGE_SIZE / 8; i++) {
		u64 old = page[i];

		if (!old)
			continue;
		page[i] = 0;
		assert_int_not_equal(store_audit(tmem), 0);
		page[i] = old;
	}
	assert_true(host_complaints > 0);
	stored->filter->entries++;
	assert_int_not_equal(store_audit(tmem), 0);
	stored->filter->entries--;
	assert_int_equal(store_audit(tmem), 0);
}

int main(void)
{
#define ENGINE(name) cmocka_unit_test_setup_teardown(name, start_engine, end_engine)
	const struct CMUnitTest tests[] = {
		ENGINE(a_put_is_seen_and_a_hit_takes_it_away),
		ENGINE(flushes_and_failed_puts_take_it_away),
		ENGINE(evicted_pages_are_absent),
		ENGINE(regular_handles_are_spread_as_random_ones),
		ENGINE(it_may_be_opened_late_and_beside_other_pools),
		ENGINE(when_memory_is_full_pages_make_room_for_it),
		ENGINE(a_window_has_pages_only_where_there_were_some),
		ENGINE(bad_pools_have_no_filter),
		ENGINE(the_key_stays_and_is_the_pools_own),
		ENGINE(a_pool_that_goes_leaves_ones_behind),
		ENGINE(a_client_may_go_with_its_filters),
		ENGINE(the_audit_finds_a_bit_that_is_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
