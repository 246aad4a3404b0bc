/*
 * Packs of compressed pages of which most were flushed: their frames do not stay with them, whether
 * puts want them, reclaim does, or nobody.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/hypercall.h>

#include "tests/unit/tmem_host/numbered.h"

#define PACK_FRAMES 2048U

/* A store full of compressed persistent pages of one client, of which three in four were flushed.
 */
struct sparse {
	struct tmem_client *client;
	u64 count, left; /* pages before and after */
	u64 dense;       /* frames that those left would take without holes */
};

static struct sparse start_sparse(void)
{
	struct sparse sparse = {0};
	u64 state = 1, full;

	start(PACK_FRAMES);
	sparse.client = join(TMEM_MODE_COMPRESS, TMEM_POOL_PERSISTENT);
	sparse.count = fill(sparse.client, HOST_PAGE_COMPRESSIBLE, ~0UL);
	full = stats_of(sparse.client).dense_frames;
	for (u64 number = 0; number < sparse.count; number++) {
		struct tmem_handle handle = page(number);

		if ((host_random(&state) >> 33) % 4)
			assert_int_equal(tmem_flush_page(sparse.client, &handle), 0);
		else
			sparse.left++;
	}
	assert_int_equal(stats_of(sparse.client).persistent_pages, sparse.left);
	sparse.dense = full * sparse.left / sparse.count;
	return sparse;
}

static void finish_sparse(const struct sparse *sparse, struct tmem_client *other)
{
	u64 found = 0;

	assert_int_equal(store_audit(tmem), 0);
	for (u64 number = 0; number < sparse->count; number++) {
		int result = get_seed(
			sparse->client, page(number), KIND(HOST_PAGE_COMPRESSIBLE, number + 1));

		if (result == -SLUICE_ENOENT)
			continue;
		assert_int_equal(result, 0);
		found++;
	}
	assert_int_equal(found, sparse->left);
	finish(sparse->client, other);
}

static void flushes_leave_no_more_than_a_quarter_of_a_pack_free(void **state)
{
	struct sparse sparse = start_sparse();
	u64 dense = sparse.dense;

	(void)state;
	assert_in_range(stats_of(sparse.client).dense_frames, dense, dense * 4 / 3 + 2);
	finish_sparse(&sparse, NULL);
}

/* As dense as packs that were never flushed, but for the sixteenth that compaction leaves. */
static void puts_of_others_get_the_frames_of_sparse_packs(void **state)
{
	struct sparse sparse = start_sparse();
	struct tmem_client *other = join(0, 0);
	u64 dense = sparse.dense;

	(void)state;
	assert_int_equal(fill(other, HOST_PAGE_RANDOM, 2 * PACK_FRAMES), 2 * PACK_FRAMES);
	assert_in_range(stats_of(sparse.client).dense_frames, dense, dense * 17 / 16 + 2);
	assert_true(ephemeral_pages(other) > PACK_FRAMES - dense * 9 / 8);
	finish_sparse(&sparse, other);
}

static void reclaim_takes_the_frames_of_sparse_packs(void **state)
{
	struct sparse sparse = start_sparse();
	u64 dense = sparse.dense;

	(void)state;
	while (reclaim())
		;
	assert_in_range(stats_of(sparse.client).dense_frames, dense, dense * 9 / 8 + 2);
	assert_true(frames() <= dense * 9 / 8 + MAGAZINE_SLOTS);
	finish_sparse(&sparse, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flushes_leave_no_more_than_a_quarter_of_a_pack_free),
		cmocka_unit_test(puts_of_others_get_the_frames_of_sparse_packs),
		cmocka_unit_test(reclaim_takes_the_frames_of_sparse_packs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
