/*
 * Where the tmem store's memory comes from and goes to: blocks and single frames, reclaim, metadata
 * that shrinks again, an index that no guest can aim at, and every single allocation failing.
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
#include "tmem/client.h"

static void *taken[BLOCK_PAGES];

static struct tmem_client *client_with_pool(struct tmem *tmem, u64 flags)
{
	struct tmem_client *client = store_client(tmem, 1, ~0UL);

	assert_non_null(client);
	assert_int_equal(tmem_pool_create(client, flags, 0, 0), 0);
	return client;
}

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

static void finish(struct tmem *tmem)
{
	assert_int_equal(store_end(tmem), 0);
	assert_int_equal(host_complaints, 0);
}

/* ---- Reclaim ------------------------------------------------------------------------ */

static void reclaim_empties_one_block_after_another(void **state)
{
	struct tmem *tmem = store_create(4096, 0);
	struct tmem_client *client = client_with_pool(tmem, 0);
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
	finish(tmem);
}

static void reclaim_prefers_the_block_that_is_nearly_empty(void **state)
{
	struct tmem *tmem = store_create(4096, 0);
	struct tmem_client *client = client_with_pool(tmem, 0);
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
	finish(tmem);
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
	finish(tmem);
}

static void reclaim_of_nothing_gives_nothing(void **state)
{
	struct tmem *tmem = store_create(1024, 0);
	struct tmem_client *client = client_with_pool(tmem, 0);

	(void)state;
	assert_int_equal(tmem_reclaim(tmem, taken, 32), 0);
	fill(client, 1, 1);
	assert_int_equal(tmem_reclaim(tmem, taken, 0), 0);
	assert_int_equal(get_seed(client, handle_of(0, 1, 0), 0), 0);
	store_end_client(client);
	finish(tmem);
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
	finish(tmem);
}

static void single_frames_do_where_no_block_can_be_had(void **state)
{
	struct tmem *tmem = store_create(4096, 0);
	struct tmem_client *client = client_with_pool(tmem, 0);
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
	finish(tmem);
}

/* With all memory taken, metadata too is made room for by evicting. */
static void metadata_finds_room_when_memory_is_full(void **state)
{
	struct tmem *tmem = store_create(2048, 0);
	struct tmem_client *client = client_with_pool(tmem, 0);

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
	finish(tmem);
}

/* A frame that became one for metadata, and then was not needed: the audit knows it, the end gives
 * it back. */
static void metadata_page_that_nobody_needed(void **state)
{
	struct tmem *tmem = store_create(2048, 0);
	struct tmem_client *client = client_with_pool(tmem, 0);
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
	finish(tmem);
}

static void memory_goes_back_when_pages_go(void **state)
{
	struct tmem *tmem = store_create(65536, 0);
	struct tmem_client *client = client_with_pool(tmem, 0);
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
	finish(tmem);
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
	struct tmem_client *client = client_with_pool(tmem, 0);
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
	finish(tmem);
}

/* ---- A put that lets go of its lock to evict ---------------------------------------- */

static struct tmem_client *intruder;
static struct tmem_handle intruded;
static bool pool_dies;

/* Another vCPU of the same guest stores the same page, or destroys the pool, just then. */
static void intrude(void)
{
	host_unlock_hook = NULL;
	if (pool_dies) {
		while (tmem_pool_destroy(intruder, intruded.pool) == -SLUICE_EAGAIN)
			;
		return;
	}
	assert_int_equal(put_seed(intruder, intruded, 77), 0);
}

/* @pool 0 is ephemeral, 1 persistent. */
static void put_beside_an_intruder(int pool)
{
	static u8 mine[PAGE_SIZE] __aligned_to(PAGE_SIZE);
	struct tmem *tmem = store_create(4096, 300);
	struct tmem_client *rich = client_with_pool(tmem, 0);
	int result;

	intruder = client_with_pool(tmem, 0);
	assert_int_equal(tmem_pool_create(intruder, TMEM_POOL_PERSISTENT, 0, 0), 1);
	fill(rich, 1, 300);
	for (u32 index = 0; index < 20; index++)
		assert_int_equal(put_seed(intruder, handle_of(pool, 1, index * 100), index), 0);
	intruded = handle_of(pool, 2, 5);
	host_fill_page(mine, 78);
	host_unlock_hook = intrude;
	result = tmem_put(intruder, &intruded, mine);
	assert_null(host_unlock_hook);
	assert_int_equal(result, pool_dies ? -SLUICE_EBADF : 0);
	/* Nothing that the put had in hand is lost: its slot, its place among persistent pages. */
	assert_int_equal(store_audit(tmem), 0);
	/* It ended last, so its data counts. */
	assert_int_equal(get_seed(intruder, intruded, 78), pool_dies ? -SLUICE_EBADF : 0);
	store_end_client(intruder);
	store_end_client(rich);
	finish(tmem);
}

static void page_stored_by_another_cpu_while_a_put_evicts(void **state)
{
	(void)state;
	pool_dies = false;
	put_beside_an_intruder(0);
	put_beside_an_intruder(1);
}

static void pool_destroyed_by_another_cpu_while_a_put_evicts(void **state)
{
	(void)state;
	pool_dies = true;
	put_beside_an_intruder(0);
	put_beside_an_intruder(1);
}

/* ---- The index ---------------------------------------------------------------------- */

static void bug_bucket_that_a_guest_can_aim_at(void **state)
{
	struct tmem_client_config config = {.weight = 1, .persistent_max = ~0UL};
	struct tmem *tmem = store_create(32768, 0);
	struct tmem_client *client = tmem_client_create(tmem, &config);
	const struct table *objects, *groups;

	(void)state;
	/* All keys zero: what a guest would achieve that had found them out. Everything collides.
	 */
	assert_int_equal(tmem_pool_create(client, 0, 0, 0), 0);
	objects = &client->pools[0]->object_table;
	groups = &client->pools[0]->group_table;
	for (u32 object = 0; object < 4000; object++)
		for (u32 index = 0; index < 3; index++)
			assert_int_equal(
				put_seed(client, handle_of(0, object, index * 100), object), 0);
	assert_in_range(objects->rekeys, 1, 2);
	assert_in_range(groups->rekeys, 1, 2);
	assert_int_equal(objects->old.buckets, 0);
	assert_int_equal(groups->old.buckets, 0);
	assert_int_equal(store_audit(tmem), 0);
	for (u32 object = 0; object < 4000; object++)
		for (u32 index = 0; index < 3; index++)
			assert_int_equal(
				get_seed(client, handle_of(0, object, index * 100), object), 0);
	store_end_client(client);
	finish(tmem);
}

/* Keys that differ in high bits only, or only between words: the classic failures of hashing by
 * multiplication. No chain may grow beyond one further line. */
static void no_family_of_keys_collides(void **state)
{
	struct tmem *tmem = store_create(32768, 0);
	struct tmem_client *client = client_with_pool(tmem, 0);

	(void)state;
	for (u32 i = 0; i < 8192; i++) {
		struct tmem_handle handle = {.index = 0, .pool = 0};

		handle.object[0] = (u64)(i & 31) << 59;
		handle.object[1] = (u64)(i >> 5 & 31) << 59;
		handle.object[2] = (u64)(i >> 10) << 61;
		assert_int_equal(put_seed(client, handle, i), 0);
	}
	assert_int_equal(client->pools[0]->object_table.rekeys, 0);
	assert_true(slab_used(&client->pools[0]->lines) < 8192 / 8);
	store_end_client(client);
	finish(tmem);
}

/* ---- Every allocation fails once ---------------------------------------------------- */

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
		struct tmem_client *client = client_with_pool(tmem, 0);

		host_blocks_available = false;
		host_allocations_until_failure = n;
		put_seed(client, handle_of(0, 1, 1), 1);
		assert_int_equal(store_audit(tmem), 0);
		store_end_client(client);
		finish(tmem);
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
		cmocka_unit_test(page_stored_by_another_cpu_while_a_put_evicts),
		cmocka_unit_test(pool_destroyed_by_another_cpu_while_a_put_evicts),
		cmocka_unit_test(bug_bucket_that_a_guest_can_aim_at),
		cmocka_unit_test(no_family_of_keys_collides),
		cmocka_unit_test(bug_no_page_for_the_first_block),
		cmocka_unit_test(every_allocation_may_fail),
		cmocka_unit_test(every_allocation_may_fail_with_modes),
		cmocka_unit_test(every_allocation_may_fail_in_a_group),
		cmocka_unit_test(every_allocation_may_fail_with_histories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
