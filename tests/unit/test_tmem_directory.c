/*
 * Directories of pages with up to three levels (tmem/directory.c), which no store in a test grows
 * large enough for: every number leads to its own place, memory may fail at any time, and all pages
 * come back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <abi/errno.h>

#include "tests/unit/tmem_host/port.h"
#include "tests/unit/tmem_host/store.h"
#include "tmem/arena.h"
#include "tmem/directory.h"

/* Around all the ends: of the first leaf, of the first page of pointers, of the last. */
static const u32 numbers[] = {0, 1, 2, DIRECTORY_FANOUT - 1, DIRECTORY_FANOUT, DIRECTORY_FANOUT + 1,
	3 * DIRECTORY_FANOUT - 1, 3 * DIRECTORY_FANOUT, 100000, DIRECTORY_MAX - 1};

static void *leaf_of(u32 number)
{
	return (void *)((uintptr_t)number * 16 + 16);
}

static void count_page(void *page, void *argument)
{
	*(u64 *)argument += host_page_is_in_use(page);
}

static void every_number_has_a_place_of_its_own(void **state)
{
	struct tmem *tmem = store_create(4096, 0);
	u64 held = host_pages_in_use(), visited = 0;
	struct directory directory;

	(void)state;
	directory_init(&directory);
	for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++) {
		assert_int_equal(directory_reach(tmem, &directory, numbers[i], metadata_alloc), 0);
		assert_true(numbers[i] < directory.reach);
		assert_null(directory_leaf(&directory, numbers[i]));
		*directory_place(&directory, numbers[i]) = leaf_of(numbers[i]);
		for (unsigned j = 0; j <= i; j++)
			assert_ptr_equal(
				directory_leaf(&directory, numbers[j]), leaf_of(numbers[j]));
	}
	assert_int_equal(
		directory_reach(tmem, &directory, DIRECTORY_MAX, metadata_alloc), -SLUICE_ENOMEM);
	assert_int_equal(directory_reach(tmem, &directory, ~0U, metadata_alloc), -SLUICE_ENOMEM);
	directory_visit(&directory, count_page, &visited);
	assert_int_equal(visited, host_pages_in_use() - held);
	directory_free(tmem, &directory);
	assert_int_equal(host_pages_in_use(), held);
	assert_int_equal(store_end(tmem), 0);
}

/* Whatever fails, what was there stays, and another try continues. */
static void memory_may_fail_at_any_time(void **state)
{
	(void)state;
	for (u64 failing = 0; failing < 12; failing++) {
		struct tmem *tmem = store_create(4096, 0);
		u64 held = host_pages_in_use();
		struct directory directory;
		unsigned failures = 0;

		directory_init(&directory);
		*directory_place(&directory, 0) = leaf_of(0);
		host_allocations_until_failure = failing;
		while (directory_reach(tmem, &directory, 8 * DIRECTORY_FANOUT, metadata_alloc)) {
			assert_ptr_equal(directory_leaf(&directory, 0), leaf_of(0));
			failures++;
		}
		/* Ten pages are needed: nine of pointers to leaves, one above them. */
		assert_int_equal(failures, failing < 10);
		assert_int_equal(host_pages_in_use() - held, 10);
		assert_ptr_equal(directory_leaf(&directory, 0), leaf_of(0));
		directory_free(tmem, &directory);
		assert_int_equal(host_pages_in_use(), held);
		assert_int_equal(store_end(tmem), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_number_has_a_place_of_its_own),
		cmocka_unit_test(memory_may_fail_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
