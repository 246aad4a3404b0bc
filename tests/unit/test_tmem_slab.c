/*
 * Slabs (tmem/slab.c) of records of every size that the engine has, and smaller ones: records lie
 * apart from each other and from the header, a leaf holds as many as it has room for, ids lead back
 * to them, and what is given back is taken again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/tmem_host/port.h"
#include "tests/unit/tmem_host/store.h"
#include "tmem/arena.h"
#include "tmem/slab.h"

#define LEAVES      3U
#define RECORDS_MAX (LEAVES * PAGE_SIZE / 8)

static void *records[RECORDS_MAX];
static u32 ids[RECORDS_MAX];

/* A full leaf has no room for one record more, whose neighbours are those of its lines. */
static void check_leaf(const struct slab *slab, u32 size)
{
	bool aligned = (size & (size - 1)) == 0;
	u32 room = (u32)PAGE_SIZE - (aligned ? MAX(size, 16U) : 16U);

	assert_int_equal(slab->per_leaf, room / size);
	for (u32 i = 0; i < LEAVES * slab->per_leaf; i++) {
		u64 offset = (uintptr_t)records[i] & (PAGE_SIZE - 1);

		assert_true(offset >= sizeof(struct slab_leaf) && offset + size <= PAGE_SIZE);
		assert_true(!aligned || offset % size == 0);
	}
}

static void records_of_a_size(struct tmem *tmem, u16 size)
{
	struct slab slab;
	u32 count;

	slab_init(&slab, size);
	count = LEAVES * slab.per_leaf;
	for (u32 turn = 0; turn < 2; turn++) {
		for (u32 i = 0; i < count; i++) {
			assert_int_equal(slab_reserve(tmem, &slab, 1), 0);
			ids[i] = slab_take(&slab, size, &records[i]);
			assert_true(ids[i] != 0);
			assert_ptr_equal(records[i],
				slab_place(directory_leaf(&slab.leaves, ids[i] >> slab.shift), size,
					ids[i] & ((1U << slab.shift) - 1)));
			memset(records[i], (int)(i % 255 + 1), size);
		}
		assert_int_equal(slab.leaf_count, LEAVES);
		assert_int_equal(slab_used(&slab), count);
		check_leaf(&slab, size);
		/* None was written to by another one. */
		for (u32 i = 0; i < count; i++)
			for (u32 byte = 0; byte < size; byte++)
				assert_int_equal(((u8 *)records[i])[byte], i % 255 + 1);
		/* In another order than they were taken in; the second time they come from the
		 * lists of free ones, where there are leaves left. */
		for (u32 i = 0; i < count; i++) {
			u32 j = (u32)((u64)i * 7919 % count);

			slab_put(tmem, &slab, slab.shift, ids[j], records[j]);
		}
		assert_int_equal(slab_used(&slab), 0);
		assert_int_equal(slab.leaf_count, 1);
	}
	slab_destroy(tmem, &slab);
}

static void records_of_any_size(void **state)
{
	static const u16 sizes[] = {8, 16, 24, 32, 64, 112, 148, 256};
	struct tmem *tmem = store_create(4096, 0);
	u64 held = host_pages_in_use();

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		records_of_a_size(tmem, sizes[i]);
		assert_int_equal(host_pages_in_use(), held);
	}
	assert_int_equal(store_end(tmem), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(records_of_any_size)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
