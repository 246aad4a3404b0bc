/*
 * Reclaim of whole blocks (tmem/reclaim.c): which block goes, what in it moves elsewhere, and how
 * much one call looks at.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/hypercall.h>

#include "tests/unit/tmem_host/numbered.h"

#define FRAMES 4096U

/* Reclaims until @frames have been had. */
static void reclaim_frames(u64 frames)
{
	for (u64 total = 0; total < frames;) {
		unsigned count = reclaim();

		assert_int_not_equal(count, 0);
		total += count;
	}
	assert_int_equal(store_audit(tmem), 0);
}

static unsigned blocks_of(unsigned class)
{
	unsigned count = 0;

	for (u32 number = 1; number < tmem->arena.block_numbers; number++) {
		const struct block *block = arena_block(tmem, number);

		count += block && block->class == class;
	}
	return count;
}

/* Frames that several ephemeral pages share stay in their blocks: one call does not look through
 * all of them, and gets its frames from the pages themselves. */
static void reclaim_looks_through_few_blocks_in_vain(void **state)
{
	struct tmem_client *client;
	unsigned blocks;

	(void)state;
	start(FRAMES * 2);
	client = join(TMEM_MODE_DEDUP, 0);
	for (u64 number = 0; number < 4 * FRAMES; number++)
		assert_int_equal(put_seed(client, page(number), number / 2 + 1), 0);
	blocks = blocks_of(EPHEMERAL);
	assert_in_range(blocks, FRAMES * 2 / BLOCK_PAGES - 1, FRAMES * 2 / BLOCK_PAGES);
	assert_in_range(reclaim(), 1, 32);
	assert_true(blocks_of(EPHEMERAL) >= blocks - 4);
	finish(client, NULL);
}

/* What guests are promised counts pages: frames at hand for more are given up for it. */
static void reclaim_takes_frames_at_hand(void **state)
{
	struct tmem_client *clients[8];

	(void)state;
	start(FRAMES);
	for (u32 i = 0; i < ARRAY_SIZE(clients); i++) {
		clients[i] = join(0, TMEM_POOL_PERSISTENT);
		assert_int_equal(fill(clients[i], HOST_PAGE_RANDOM, 63), 63);
		for (u64 number = 1; number < 63; number++) {
			const struct tmem_handle handle = page(number);

			assert_int_equal(tmem_flush_page(clients[i], &handle), 0);
		}
	}
	while (reclaim())
		;
	assert_int_equal(frames(), ARRAY_SIZE(clients));
	for (u32 i = 0; i < ARRAY_SIZE(clients); i++)
		assert_int_equal(get_seed(clients[i], page(0), KIND(HOST_PAGE_RANDOM, 1)), 0);
	for (u32 i = 2; i < ARRAY_SIZE(clients); i++)
		store_end_client(clients[i]);
	finish(clients[0], clients[1]);
}

/* Pages of two clients lie mixed in all blocks: the one that holds less than its share keeps its
 * pages of @kind, which move, while the other one gives @given of its own. */
static void check_small_client(u8 modes, enum host_page_kind kind, u64 count, u64 given)
{
	struct tmem_client *small, *large;
	u64 held;

	start(FRAMES);
	small = join(modes, 0);
	large = join(0, 0);
	for (u64 number = 0; number < count; number++)
		assert_int_equal(number % 10
					 ? put_seed(large, page(number), number + 1)
					 : put_seed(small, page(number), KIND(kind, number + 1)),
			0);
	held = ephemeral_pages(large);
	reclaim_frames(given);
	assert_int_equal(ephemeral_pages(small), (count + 9) / 10);
	assert_in_range(ephemeral_pages(large), held - given - 64, held - given + 64);
	for (u64 number = 0; number < count; number += 10)
		assert_int_equal(get_seed(small, page(number), KIND(kind, number + 1)), 0);
	finish(small, large);
}

static void reclaim_leaves_a_client_below_its_share_its_pages(void **state)
{
	(void)state;
	check_small_client(0, HOST_PAGE_RANDOM, FRAMES, FRAMES / 2);
}

/* Packs of compressed pages move as they are. */
static void reclaim_leaves_a_client_below_its_share_its_packs(void **state)
{
	(void)state;
	check_small_client(TMEM_MODE_COMPRESS, HOST_PAGE_COMPRESSIBLE, FRAMES, FRAMES / 2);
}

/* Hot pages, in all blocks, move to where cold ones were. */
static void reclaim_keeps_hot_pages(void **state)
{
	struct tmem_client *client;

	(void)state;
	start(FRAMES);
	store_guest_pages = FRAMES;
	client = join(0, 0);
	store_guest_pages = 0;
	assert_int_equal(fill(client, HOST_PAGE_RANDOM, FRAMES), FRAMES);
	/* Whoever comes back after a hit is hot. */
	for (u64 number = 0; number < FRAMES; number += 10) {
		assert_int_equal(get_seed(client, page(number), number + 1), 0);
		assert_int_equal(put_seed(client, page(number), number + 1), 0);
	}
	assert_in_range(client->main_pages, FRAMES / 11, FRAMES / 10 + 1);
	reclaim_frames(FRAMES / 2);
	assert_in_range(ephemeral_pages(client), FRAMES / 2 - 32, FRAMES / 2);
	for (u64 number = 0; number < FRAMES; number += 10)
		assert_int_equal(get_seed(client, page(number), number + 1), 0);
	finish(client, NULL);
}

/* ---- How many blocks one call looks at ---------------------------------------------------- */

/* The bound of tmem/reclaim.c: while one call looks at so many, it holds the arena's lock. */
#define LOOKED_AT 2048U

#define NEAR_BLOCKS                                                                                \
	230U /* of frames; with eight times as many of slots alone their numbers end at 2,070 */
#define FAR_BLOCKS 10U /* with numbers from there on */
#define BLOCKS     (NEAR_BLOCKS + FAR_BLOCKS)

/* Flushes all but @left of the pages with the numbers of this block of frames; the number that the
 * store gave to it. */
static u32 thin_out(struct tmem_client *client, u32 block, u32 left)
{
	const struct block *emptiest = NULL;

	for (u64 number = (u64)block * BLOCK_PAGES + left; number < (block + 1UL) * BLOCK_PAGES;
		number++) {
		const struct tmem_handle handle = page(number);

		assert_int_equal(tmem_flush_page(client, &handle), 0);
	}
	for (u32 number = 1; number < tmem->arena.block_numbers; number++) {
		const struct block *other = arena_block(tmem, number);

		if (other && other->class == EPHEMERAL &&
			(!emptiest || other->free_count > emptiest->free_count))
			emptiest = other;
	}
	assert_non_null(emptiest);
	assert_in_range(
		emptiest->free_count, BLOCK_PAGES - left - 2 * MAGAZINE_SLOTS, BLOCK_PAGES - 1);
	return emptiest->number;
}

/* Of a store with 2,080 blocks, slots without frames among them, one call
 * compares the first 2,048: the best of those goes, and only when it has gone the better one
 * beyond. */
static void reclaim_compares_no_more_blocks_than_its_bound(void **state)
{
	struct tmem_client *client, *zeros;
	const u64 near_pages = NEAR_BLOCKS * BLOCK_PAGES;
	u32 near, far, calls = 0;

	(void)state;
	tmem = store_create((u64)BLOCKS * BLOCK_PAGES * 3 / 2, (u64)BLOCKS * BLOCK_PAGES);
	assert_non_null(tmem);
	client = join(0, 0);
	zeros = join(TMEM_MODE_FILLED, TMEM_POOL_PERSISTENT);
	assert_int_equal(fill(client, HOST_PAGE_RANDOM, near_pages), near_pages);
	assert_true(fill(zeros, HOST_PAGE_FILLED, 8 * near_pages) == 8 * near_pages);
	for (u64 number = near_pages; number < (u64)BLOCKS * BLOCK_PAGES; number++)
		assert_int_equal(put_seed(client, page(number), number), 0);
	assert_in_range(tmem->arena.block_numbers, LOOKED_AT + FAR_BLOCKS, LOOKED_AT + 64);

	near = thin_out(client, 100, 200);
	assert_true(near < LOOKED_AT);
	far = thin_out(client, BLOCKS - 2, 20);
	assert_true(far > LOOKED_AT);

	assert_int_equal(tmem->reclaim_hand, 0);
	assert_int_equal(reclaim(), 32);
	assert_int_equal(tmem->reclaim_hand, LOOKED_AT);
	assert_int_equal(tmem->reclaim_block, near + 1);
	while (tmem->reclaim_block == near + 1 || !tmem->reclaim_block) {
		assert_int_not_equal(reclaim(), 0);
		assert_true(++calls <= BLOCK_PAGES / 32 + 1);
	}
	assert_int_equal(tmem->reclaim_block, far + 1);
	assert_true(tmem->reclaim_hand < LOOKED_AT);
	finish(client, zeros);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reclaim_looks_through_few_blocks_in_vain),
		cmocka_unit_test(reclaim_takes_frames_at_hand),
		cmocka_unit_test(reclaim_leaves_a_client_below_its_share_its_pages),
		cmocka_unit_test(reclaim_leaves_a_client_below_its_share_its_packs),
		cmocka_unit_test(reclaim_keeps_hot_pages),
		cmocka_unit_test(reclaim_compares_no_more_blocks_than_its_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
