/*
 * Where the tmem store's memory comes from and goes to: blocks and single frames, reclaim, and
 * metadata that shrinks again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/hypercall.h>

#include "tests/unit/tmem_host/port.h"
#include "tests/unit/tmem_host/store.h"
#include "tmem/client_slots.h"

static void *taken[BLOCK_PAGES];

static void fill(struct tmem_client *client, u64 object, u32 count)
{
	for (u32 index = 0; index < count; index++)
		assert_int_equal(put_seed(client, handle_of(0, object, index), index), 0);
}

static void give_back(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		tmem_port_free(taken[i], 0);
}

static u64 block_number(const void *page)
{
	return (uintptr_t)page / BLOCK_SIZE;
}

/* ---- Reclaim ------------------------------------------------------------------------ */

static void reclaim_empties_one_block_after_another(void **state)
{
	struct tmem *tmem = store_create(4096, 0);
	struct tmem_client *client = store_client_with_pool(tmem, 0);
	struct tmem_stats before, after;
	u64 block = 0;

	(void)state;
	fill(client, 1, 4 * BLOCK_PAGES);
	tmem_stats(tmem, &before);
	for (unsigned call = 0; call < BLOCK_PAGES / 32; call++) {
		assert_int_equal(tmem_reclaim(tmem, taken, 32), 32);
		for (unsigned i = 0; i < 32; i++) {
			if (!block)
				block = block_number(taken[i]);
			assert_int_equal(block_number(taken[i]), block);
		}
		assert_int_equal(ephemeral_pages(client), 4 * BLOCK_PAGES - (call + 1) * 32);
		give_back(32);
	}
	tmem_stats(tmem, &after);
	/* The oldest block went, with its record. */
	assert_int_equal(before.frames - after.frames, BLOCK_PAGES);
	assert_true(after.metadata_bytes < before.metadata_bytes);
	for (u32 index = 0; index < 4 * BLOCK_PAGES; index++)
		assert_int_equal(get_seed(client, handle_of(0, 1, index), index),
			index < BLOCK_PAGES ? -SLUICE_ENOENT : 0);
	assert_int_equal(store_audit(tmem), 0);
	store_end_client(client);
	store_finish(tmem);
}

static void reclaim_prefers_the_block_that_is_nearly_empty(void **state)
{
	struct tmem *tmem = store_create(4096, 0);
	struct tmem_client *client = store_client_with_pool(tmem, 0);
	u32 lost = 0;

	(void)state;
	fill(client, 1, 3 * BLOCK_PAGES);
	/* The middle one keeps ten pages. */
	for (u32 index = BLOCK_PAGES + 10; index < 2 * BLOCK_PAGES; index++)
		assert_int_equal(get_seed(client, handle_of(0, 1, index), index), 0);
	for (unsigned count = 0; count < BLOCK_PAGES;) {
		unsigned got = tmem_reclaim(tmem, taken, 32);

		assert_true(got > 0);
		give_back(got);
		count += got;
	}
	for (u32 index = 0; index < 3 * BLOCK_PAGES; index++)
		if (index < BLOCK_PAGES + 10 || index >= 2 * BLOCK_PAGES)
			lost += get_seed(client, handle_of(0, 1, index), index) != 0;
	assert_int_equal(lost, 10);
	store_end_client(client);
	store_finish(tmem);
}

static void reclaim_never_takes_persistent_pages(void **state)
{
	struct tmem *tmem = store_create(4096, 2000);
	struct tmem_client *client = store_client(tmem, 1, ~0UL);
	unsigned count, total = 0;
	struct tmem_stats stats;

	(void)state;
	assert_int_equal(tmem_pool_create(client, 0, 0, 0), 0);
	assert_int_equal(tmem_pool_create(client, TMEM_POOL_PERSISTENT, 0, 0), 1);
	/* Until all is full, so that some persistent pages stand between ephemeral ones. */
	fill(client, 1, 2000);
	for (u32 index = 0; index < 700; index++)
		assert_int_equal(put_seed(client, handle_of(1, 1, index), ~(u64)index), 0);
	while ((count = tmem_reclaim(tmem, taken, 32)) != 0) {
		total += count;
		give_back(count);
		assert_int_equal(store_audit(tmem), 0);
	}
	/* Persistent pages in the blocks that were emptied have moved to other frames. */
	assert_in_range(total, 1301, 2000);
	tmem_stats(tmem, &stats);
	assert_in_range(stats.frames, 700, 700 + 2 * BLOCK_PAGES);
	assert_int_equal(ephemeral_pages(client), 0);
	for (u32 index = 0; index < 700; index++)
		assert_int_equal(get_seed(client, handle_of(1, 1, index), ~(u64)index), 0);
	store_end_client(client);
	store_finish(tmem);
}

static void reclaim_of_nothing_gives_nothing(void **state)
{
	struct tmem *tmem = store_create(1024, 0);
	struct tmem_client *client = store_client_with_pool(tmem, 0);

	(void)state;
	assert_int_equal(tmem_reclaim(tmem, taken, 32), 0);
	fill(client, 1, 1);
	assert_int_equal(tmem_reclaim(tmem, taken, 0), 0);
	assert_int_equal(get_seed(client, handle_of(0, 1, 0), 0), 0);
	store_end_client(client);
	store_finish(tmem);
}

/* ---- Where pages lie ---------------------------------------------------------------- */

static u64 copied_to;

static void note_block(void *to, const void *from)
{
	(void)from;
	copied_to = block_number(to);
}

static void ephemeral_and_persistent_pages_lie_in_different_blocks(void **state)
{
	struct tmem *tmem = store_create(4096, 0);
	struct tmem_client *client = store_client(tmem, 1, ~0UL);
	u64 blocks[2] = {0, 0};

	(void)state;
	assert_int_equal(tmem_pool_create(client, 0, 0, 0), 0);
	assert_int_equal(tmem_pool_create(client, TMEM_POOL_PERSISTENT, 0, 0), 1);
	host_copy_hook = note_block;
	for (u32 index = 0; index < 400; index++) {
		for (int pool = 0; pool < 2; pool++) {
			assert_int_equal(put_seed(client, handle_of(pool, 1, index), 1), 0);
			if (!index)
				blocks[pool] = copied_to;
			assert_int_equal(copied_to, blocks[pool]);
		}
	}
	assert_int_not_equal(blocks[0], blocks[1]);
	host_copy_hook = NULL;
	store_end_client(client);
	store_finish(tmem);
}

static void single_frames_do_where_no_block_can_be_had(void **state)
{
	struct tmem *tmem = store_create(4096, 0);
	struct tmem_client *client = store_client_with_pool(tmem, 0);
	struct tmem_stats stats;

	(void)state;
	host_blocks_available = false;
	fill(client, 1, 1500);
	tmem_stats(tmem, &stats);
	assert_int_equal(stats.frames, 1500);
	assert_int_equal(store_audit(tmem), 0);
	assert_int_equal(tmem_reclaim(tmem, taken, 32), 32);
	give_back(32);
	for (u32 index = 0; index < 1500; index++)
		get_seed(client, handle_of(0, 1, index), index);
	assert_int_equal(ephemeral_pages(client), 0);
	assert_int_equal(store_audit(tmem), 0);
	store_end_client(client);
	store_finish(tmem);
}

/* With all memory taken, metadata too is made room for by evicting. */
static void metadata_finds_room_when_memory_is_full(void **state)
{
	struct tmem *tmem = store_create(2048, 0);
	struct tmem_client *client = store_client_with_pool(tmem, 0);

	(void)state;
	for (u32 index = 0; index < 6000; index++)
		assert_int_equal(put_seed(client, handle_of(0, 1, index), index), 0);
	assert_in_range(ephemeral_pages(client), 1900, 2048);
	/* From 64 pages an object to one: several times the metadata. */
	for (u32 object = 0; object < 6000; object++)
		assert_int_equal(put_seed(client, handle_of(0, 100 + object, 0), object), 0);
	assert_in_range(ephemeral_pages(client), 1800, 2048);
	assert_int_equal(store_audit(tmem), 0);
	assert_int_equal(get_seed(client, handle_of(0, 6099, 0), 5999), 0);
	store_end_client(client);
	store_finish(tmem);
}

/* A frame that became one for metadata, and then was not needed: the audit knows it, the end gives
 * it back. */
static void metadata_page_that_nobody_needed(void **state)
{
	struct tmem *tmem = store_create(2048, 0);
	struct tmem_client *client = store_client_with_pool(tmem, 0);
	struct tmem_stats before, after;
	u32 slots[3];

	(void)state;
	fill(client, 1, 100);
	tmem_stats(tmem, &before);
	for (unsigned i = 0; i < ARRAY_SIZE(slots); i++) {
		client_lock(client);
		slots[i] = client_take_slot(client, EPHEMERAL);
		client_unlock(client);
		assert_int_not_equal(slots[i], SLOT_NONE);
		arena_turn_into_metadata(tmem, slots[i]);
	}
	tmem_stats(tmem, &after);
	assert_int_equal(before.frames - after.frames, ARRAY_SIZE(slots));
	assert_int_equal(store_audit(tmem), 0);
	for (u32 index = 0; index < 100; index++)
		assert_int_equal(get_seed(client, handle_of(0, 1, index), index), 0);
	store_end_client(client);
	store_finish(tmem);
}

static void memory_goes_back_when_pages_go(void **state)
{
	struct tmem *tmem = store_create(65536, 0);
	struct tmem_client *client = store_client_with_pool(tmem, 0);
	struct tmem_stats full, empty;

	(void)state;
	for (u32 object = 0; object < 30000; object++)
		assert_int_equal(put_seed(client, handle_of(0, object, object % 3), object), 0);
	tmem_stats(tmem, &full);
	for (u32 object = 0; object < 30000; object++)
		assert_int_equal(get_seed(client, handle_of(0, object, object % 3), object), 0);
	tmem_stats(tmem, &empty);
	assert_true(full.metadata_bytes > 1000000);
	assert_true(empty.metadata_bytes < 120000);
	assert_true(empty.frames <= 2 * BLOCK_PAGES);
	store_end_client(client);
	store_finish(tmem);
}

static void ignore(void *page, void *argument)
{
	(void)page;
	(void)argument;
}

/* What a client remembers of the slots that it used last goes with their block, whose number comes
 * again with other frames. */
static void a_block_that_comes_again_lies_elsewhere(void **state)
{
	struct tmem *tmem = store_create(16 * BLOCK_PAGES, 0);
	struct tmem_client *client = store_client_with_pool(tmem, 0);
	void *former[4];
	u32 left = 0;

	(void)state;
	fill(client, 1, 100);
	for (u32 index = 0; index < 100; index++)
		assert_int_equal(get_seed(client, handle_of(0, 1, index), index), 0);
	for (unsigned count; (count = tmem_reclaim(tmem, taken, 64)) != 0;)
		give_back(count);
	while (left < ARRAY_SIZE(former) && (former[left] = tmem_port_alloc(TMEM_PORT_BLOCK)))
		memset(former[left++], 0x3c, BLOCK_SIZE);
	assert_int_equal(left, ARRAY_SIZE(former));
	fill(client, 1, 100);
	assert_int_equal(tmem_audit(tmem, ignore, NULL), 0);
	for (u32 index = 100; index-- > 0;)
		assert_int_equal(get_seed(client, handle_of(0, 1, index), index), 0);
	while (left) {
		for (u64 i = 0; i < BLOCK_SIZE; i++)
			assert_int_equal(((u8 *)former[left - 1])[i], 0x3c);
		tmem_port_free(former[--left], TMEM_PORT_BLOCK);
	}
	store_end_client(client);
	store_finish(tmem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reclaim_empties_one_block_after_another),
		cmocka_unit_test(reclaim_prefers_the_block_that_is_nearly_empty),
		cmocka_unit_test(reclaim_never_takes_persistent_pages),
		cmocka_unit_test(reclaim_of_nothing_gives_nothing),
		cmocka_unit_test(ephemeral_and_persistent_pages_lie_in_different_blocks),
		cmocka_unit_test(single_frames_do_where_no_block_can_be_had),
		cmocka_unit_test(metadata_finds_room_when_memory_is_full),
		cmocka_unit_test(metadata_page_that_nobody_needed),
		cmocka_unit_test(memory_goes_back_when_pages_go),
		cmocka_unit_test(a_block_that_comes_again_lies_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
