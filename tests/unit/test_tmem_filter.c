/*
 * The miss filter: against a plain set of what is there, at every step of growing and shrinking,
 * with every allocation failing, and through the engine's puts, gets, evictions and flushes.
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
#include "tmem/client.h"
#include "tmem/filter.h"

#define FALSE_PRESENT_MAX 0.03

/* ---- The filter alone, against a multiset ------------------------------------------- */

#define IDS 60000u

/* What the owner of a filter has: page @id with hash @hashes[id], 0 = none. */
struct reference {
	u64 hashes[IDS];
	u64 count;
	struct filter *filter;
};

static struct reference *reference;
static struct tmem *tmem;
static u64 random_state;

static enum filter_walk_result walk(const void *owner, u32 *cursor, u64 *hash)
{
	const struct reference *set = owner;

	for (unsigned n = 0; n < 8; n++) {
		if (*cursor >= IDS)
			return FILTER_WALK_END;
		*hash = set->hashes[(*cursor)++];
		if (*hash)
			return FILTER_WALK_PAGE;
	}
	return FILTER_WALK_NOTHING;
}

static bool filter_lacks(const struct filter *filter, u64 hash)
{
	const struct tmem_filter_header *header = filter_page(filter, 0);
	struct tmem_filter_view view;
	const u8 *page;

	if (!tmem_filter_find(header, hash, &view))
		return false;
	page = filter_page(filter, (u32)(view.offset / PAGE_SIZE));
	assert_non_null(page);
	return tmem_filter_line_lacks(
		header, &view, (const u64 *)(page + view.offset % PAGE_SIZE), hash);
}

static int start_alone(void **state)
{
	(void)state;
	random_state = 1;
	tmem = store_create(16 * BLOCK_PAGES, 0);
	reference = calloc(1, sizeof(*reference));
	reference->filter = filter_create(tmem, walk, reference, 0, 0);
	return reference->filter ? 0 : -1;
}

static int end_alone(void **state)
{
	u64 left;

	(void)state;
	if (reference->filter)
		filter_destroy(reference->filter);
	free(reference);
	left = store_end(tmem);
	return left ? -1 : 0;
}

static u64 any_hash(void)
{
	return host_random(&random_state) | 1;
}

static void add(u32 id)
{
	reference->hashes[id] = any_hash();
	reference->count++;
	filter_add(reference->filter, reference->hashes[id], id);
}

static void drop(u32 id)
{
	/* The record goes first: a walk must not find it, nor its owner. */
	u64 hash = reference->hashes[id];

	reference->hashes[id] = 0;
	reference->count--;
	filter_remove(reference->filter, hash, id);
}

/* One step, and the pages that it leaves over. */
static int work(void)
{
	int error = filter_step(reference->filter);
	u32 index;
	void *page = filter_take(reference->filter, &index);

	if (page)
		tmem_port_free(page, 0);
	return error;
}

static void settle(void)
{
	while (filter_is_due(reference->filter) || reference->filter->phase != FILTER_STEADY)
		assert_int_equal(work(), 0);
}

static void check_all_present(void)
{
	for (u32 id = 0; id < IDS; id++)
		if (reference->hashes[id]) {
			assert_false(filter_lacks(reference->filter, reference->hashes[id]));
			assert_true(filter_finds(reference->filter, reference->hashes[id], id));
		}
	assert_true(filter_is_sound(reference->filter));
}

/* The walk stands between two pages: the one before is counted in the part being filled, the one
 * after is not yet. */
static void changes_right_at_the_cursor(void **state)
{
	unsigned changes = 0;

	(void)state;
	settle();
	for (u32 id = 1; !filter_is_due(reference->filter); id += 2)
		add(id);
	while (filter_is_due(reference->filter)) {
		u32 cursor;

		assert_int_equal(work(), 0);
		cursor = reference->filter->cursor;
		for (u32 id = cursor - 1; cursor && id <= MIN(cursor + 1, IDS - 1); id++) {
			if (reference->hashes[id])
				drop(id);
			else
				add(id);
			changes++;
		}
	}
	settle();
	assert_true(changes > 50);
	check_all_present();
}

static double false_present(void)
{
	unsigned present = 0;

	for (unsigned n = 0; n < 20000; n++)
		present += !filter_lacks(reference->filter, any_hash());
	return present / 20000.0;
}

static void a_new_filter_knows_nothing(void **state)
{
	(void)state;
	assert_false(filter_lacks(reference->filter, any_hash()));
	settle();
	assert_true(filter_lacks(reference->filter, any_hash()));
	assert_int_equal(reference->filter->parts[reference->filter->now].blocks, 64);
}

static void pages_present_and_gone_at_every_step(void **state)
{
	(void)state;
	/* One page comes or goes, then one step: every state of building meets every change. */
	for (u32 n = 0; n < 40000; n++) {
		u32 id = (u32)(host_random(&random_state) % IDS);

		if (!reference->hashes[id])
			add(id);
		else if (n % 4 == 0)
			drop(id);
		(void)work();
		if (n % 2000 == 0)
			check_all_present();
		if (reference->hashes[id])
			assert_false(filter_lacks(reference->filter, reference->hashes[id]));
	}
	settle();
	check_all_present();
	assert_true(reference->filter->parts[reference->filter->now].blocks > 64);
	for (u32 id = 0; id < IDS; id++) {
		if (reference->hashes[id])
			drop(id);
		(void)work();
		if (id % 3000 == 0)
			check_all_present();
	}
	settle();
	/* Nothing is left, and nothing seems to be. */
	assert_int_equal(reference->filter->parts[reference->filter->now].blocks, 64);
	assert_int_equal(reference->filter->entries, 0);
	for (unsigned n = 0; n < 1000; n++)
		assert_true(filter_lacks(reference->filter, any_hash()));
}

static void at_most_three_in_a_hundred_seem_present(void **state)
{
	double worst = 0;

	(void)state;
	settle();
	for (u32 id = 0; id < 30000; id++) {
		add(id);
		if (filter_is_due(reference->filter) || id % 500 == 499) {
			double rate;

			/* As full as it gets: while it grows it takes more, but few. */
			rate = false_present();
			worst = rate > worst ? rate : worst;
			(void)work();
		}
		(void)work();
	}
	printf("false present at worst: %.2f%%\n", worst * 100);
	assert_true(worst <= FALSE_PRESENT_MAX);
}

static void memory_is_five_to_ten_bytes_a_page(void **state)
{
	(void)state;
	settle();
	for (u32 id = 0; id < 50000; id++) {
		add(id);
		(void)work();
		if (id % 1000 == 999 && id > 8000 && reference->filter->phase == FILTER_STEADY) {
			const struct filter_part *part =
				&reference->filter->parts[reference->filter->now];
			double bytes = (part->bit_pages + part->counter_pages) * 4096.0 / id;

			assert_true(bytes >= 4.9 && bytes <= 8.5);
		}
	}
}

static void a_full_counter_stays(void **state)
{
	u64 hash = any_hash();

	(void)state;
	settle();
	for (u32 id = 0; id < 20; id++)
		filter_add(reference->filter, hash, id);
	for (u32 id = 0; id < 20; id++)
		filter_remove(reference->filter, hash, id);
	assert_false(filter_lacks(reference->filter, hash));
	assert_true(filter_is_sound(reference->filter));
}

static void every_allocation_may_fail(void **state)
{
	(void)state;
	filter_destroy(reference->filter);
	for (u64 n = 0; n < 40; n++) {
		unsigned failures = 0;

		memset(reference, 0, sizeof(*reference));
		host_allocations_until_failure = n;
		reference->filter = filter_create(tmem, walk, reference, 0, 0);
		if (!reference->filter) {
			assert_true(n < 2);
			continue;
		}
		for (u32 id = 0; id < 14000; id++) {
			add(id);
			failures += work() != 0;
			if (id % 3500 == 0)
				check_all_present();
		}
		assert_true(failures == 1 || n > 30);
		settle();
		check_all_present();
		assert_true(false_present() <= FALSE_PRESENT_MAX);
		filter_destroy(reference->filter);
	}
	reference->filter = NULL;
}

/* ---- Through the engine ------------------------------------------------------------- */

static struct tmem_client *client;
static struct guest_window window;
static int pool;

static int start_engine(void **state)
{
	(void)state;
	random_state = 2;
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
#define ALONE(name)  cmocka_unit_test_setup_teardown(name, start_alone, end_alone)
#define ENGINE(name) cmocka_unit_test_setup_teardown(name, start_engine, end_engine)
	const struct CMUnitTest tests[] = {
		ALONE(a_new_filter_knows_nothing),
		ALONE(pages_present_and_gone_at_every_step),
		ALONE(changes_right_at_the_cursor),
		ALONE(at_most_three_in_a_hundred_seem_present),
		ALONE(memory_is_five_to_ten_bytes_a_page),
		ALONE(a_full_counter_stays),
		ALONE(every_allocation_may_fail),
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
