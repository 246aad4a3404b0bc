/*
 * Statistics: each number of a client, a pool and a seat at a shared pool against a scenario that
 * is counted by hand. What is told must agree in tmem_client_stats(), tmem_client_list() and
 * tmem_client_info().
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
#include "tmem/pack_page.h"

#define ALL_MODES (TMEM_MODE_FILLED | TMEM_MODE_DEDUP | TMEM_MODE_COMPRESS)

static struct tmem *tmem;
static struct tmem_client *clients[2];
static struct tmem_pool_info infos[TMEM_POOLS_PER_GUEST];

/* Two clients with pool 0 ephemeral, pool 1 persistent and a seat at the same pool as 2. */
static void start(u8 modes, u32 group, u64 max_pages)
{
	const struct tmem_shared_grant grant = {.uuid = {7, 8}, .weight = 1};
	struct tmem_client_config config = {.weight = 1,
		.persistent_max = ~0UL,
		.ephemeral_modes = modes,
		.persistent_modes = modes,
		.dedup_group = group,
		.shared = &grant,
		.shared_count = 1};

	tmem = store_create(4096, max_pages);
	for (unsigned i = 0; i < 2; i++) {
		tmem_port_random(config.hash_keys, ARRAY_SIZE(config.hash_keys));
		clients[i] = tmem_client_create(tmem, &config);
		assert_non_null(clients[i]);
		assert_int_equal(tmem_pool_create(clients[i], 0, 0, 0), 0);
		assert_int_equal(tmem_pool_create(clients[i], TMEM_POOL_PERSISTENT, 0, 0), 1);
		assert_int_equal(tmem_pool_create(clients[i], TMEM_POOL_SHARED, 7, 8), 2);
	}
}

static void finish(void)
{
	assert_int_equal(store_audit(tmem), 0);
	for (unsigned i = 0; i < 2; i++)
		store_end_client(clients[i]);
	assert_int_equal(store_end(tmem), 0);
	assert_int_equal(host_complaints, 0);
}

static const struct tmem_pool_info *info_of(unsigned i, unsigned pool)
{
	assert_int_equal(tmem_client_list(clients[i], infos), 3);
	return &infos[pool];
}

static void put(unsigned i, int pool, u32 index, u64 seed)
{
	assert_int_equal(put_seed(clients[i], handle_of(pool, 1, index), seed), 0);
}

static int put_bad_frame(unsigned i, int pool, u32 index)
{
	struct tmem_handle handle = handle_of(pool, 1, index);

	return tmem_put(clients[i], &handle, NULL);
}

static int flush_page(unsigned i, int pool, u32 index)
{
	struct tmem_handle handle = handle_of(pool, 1, index);

	return tmem_flush_page(clients[i], &handle);
}

static int flush_object(unsigned i, int pool)
{
	struct tmem_handle handle = handle_of(pool, 1, 0);

	return tmem_flush_object(clients[i], &handle);
}

/* Ten puts, of which two replace; three that fail: over a frozen client with and without an old
 * copy, and from a bad frame; then a get, a flush of a page and of the object. */
static void replaced_dropped_and_flushed_are_told_apart(int pool, u8 modes)
{
	const struct tmem_pool_info *info;
	struct tmem_client_stats stats;

	start(modes, 0, 0);
	for (u32 index = 0; index < 8; index++)
		put(0, pool, index, index);
	put(0, pool, 0, 100);
	put(0, pool, 1, KIND(HOST_PAGE_COMPRESSIBLE, 101));
	tmem_client_freeze(clients[0], true);
	assert_int_equal(put_seed(clients[0], handle_of(pool, 1, 2), 5), -SLUICE_ENOSPC);
	assert_int_equal(put_seed(clients[0], handle_of(pool, 1, 50), 5), -SLUICE_ENOSPC);
	tmem_client_freeze(clients[0], false);
	assert_int_equal(put_bad_frame(0, pool, 3), -SLUICE_EFAULT);
	assert_int_equal(get_seed(clients[0], handle_of(pool, 1, 4), 4), 0);
	assert_int_equal(get_seed(clients[0], handle_of(pool, 1, 2), 4), -SLUICE_ENOENT);
	assert_int_equal(flush_page(0, pool, 5), 0);
	assert_int_equal(flush_page(0, pool, 5), 0);

	info = info_of(0, (unsigned)pool);
	assert_int_equal(info->puts, 10);
	assert_int_equal(info->replaced, 2);
	assert_int_equal(info->dropped, 2);
	assert_int_equal(info->refusals, 2);
	assert_int_equal(info->gets, 2);
	assert_int_equal(info->hits, 1);
	assert_int_equal(info->flushes, 2);
	assert_int_equal(info->flushed_pages, 1);
	assert_int_equal(info->evictions, 0);
	assert_int_equal(info->pages, pool == 0 ? 4 : 5);
	assert_int_equal(info->modes, modes);

	assert_int_equal(flush_object(0, pool), 0);
	stats = stats_of(clients[0]);
	assert_int_equal(stats.puts, 13);
	assert_int_equal(stats.puts_stored, 10);
	assert_int_equal(stats.puts_replaced, 2);
	assert_int_equal(stats.puts_dropped, 2);
	assert_int_equal(stats.puts_refused, 2);
	assert_int_equal(stats.flushes, 3);
	assert_int_equal(stats.flushed_pages, pool == 0 ? 5 : 6);
	/* And they stay when the pool goes. */
	while (tmem_pool_destroy(clients[0], pool) == -SLUICE_EAGAIN)
		;
	stats = stats_of(clients[0]);
	assert_int_equal(stats.puts_replaced, 2);
	assert_int_equal(stats.puts_dropped, 2);
	finish();
}

static void old_copies_of_ephemeral_pages(void **state)
{
	(void)state;
	replaced_dropped_and_flushed_are_told_apart(0, 0);
	replaced_dropped_and_flushed_are_told_apart(0, ALL_MODES);
}

static void old_copies_of_persistent_pages(void **state)
{
	(void)state;
	replaced_dropped_and_flushed_are_told_apart(1, 0);
	replaced_dropped_and_flushed_are_told_apart(1, ALL_MODES);
}

/* With modes the old copy is gone before it is known that there is no room for the new one. */
static void replacement_without_room_counts_as_dropped(void **state)
{
	const struct tmem_pool_info *info;

	(void)state;
	start(TMEM_MODE_FILLED, 0, 10);
	put(0, 1, 0, KIND(HOST_PAGE_FILLED, 1));
	for (u32 index = 1; index < 11; index++)
		put(0, 1, index, index);
	assert_int_equal(put_seed(clients[0], handle_of(1, 1, 0), 77), -SLUICE_ENOMEM);
	info = info_of(0, 1);
	assert_int_equal(info->puts, 11);
	assert_int_equal(info->replaced, 0);
	assert_int_equal(info->dropped, 1);
	assert_int_equal(info->refusals, 1);
	assert_int_equal(info->pages, 10);
	finish();
}

/* The bytes that a page compresses to. */
static u64 compressed(u64 seed)
{
	struct admission admission = {0};
	u8 *copy = tmem_port_scratch()->page;

	host_fill_page(copy, seed);
	return page_compress(&admission, copy);
}

/* What client @who has without frames of its own. */
static void contents_are(unsigned who, u64 filled, u64 shared, u64 packed, u64 bytes)
{
	struct tmem_client_stats stats = stats_of(clients[who]);

	assert_int_equal(stats.filled_pages, filled);
	assert_int_equal(stats.shared_pages, shared);
	assert_int_equal(stats.compressed_pages, packed);
	assert_int_equal(stats.compressed_bytes, bytes);
}

static void contents_without_a_frame_of_their_own(void **state)
{
	const struct tmem_pool_info *info;
	struct tmem_guest_info guest = {0};
	struct tmem_client_stats stats;
	u64 bytes = 0;

	(void)state;
	start(ALL_MODES, 0, 0);
	for (u32 index = 0; index < 3; index++)
		put(0, 0, index, KIND(HOST_PAGE_FILLED, index));
	/* Random pages, so that they are not compressed: five are the same, one is not. */
	for (u32 index = 10; index < 15; index++)
		put(0, 0, index, 999);
	put(0, 0, 15, 998);
	for (u32 index = 20; index < 27; index++) {
		put(0, index < 24 ? 0 : 1, index, KIND(HOST_PAGE_COMPRESSIBLE, index));
		bytes += compressed(KIND(HOST_PAGE_COMPRESSIBLE, index));
	}
	assert_true(bytes > 7 * 400 && bytes < 7 * 3000);

	contents_are(0, 3, 5, 7, bytes);
	stats = stats_of(clients[0]);
	assert_int_equal(stats.equal_found, 4);
	assert_int_equal(stats.dense_pages, 15);
	info = info_of(0, 0);
	assert_int_equal(info->pages, 13);
	assert_int_equal(info->filled_pages, 3);
	assert_int_equal(info->shared_pages, 5);
	assert_int_equal(info->compressed_pages, 4);
	assert_int_equal(infos[1].compressed_pages, 3);
	assert_int_equal(info->compressed_bytes + infos[1].compressed_bytes, bytes);
	assert_int_equal(infos[1].filled_pages + infos[1].shared_pages, 0);
	tmem_client_info(clients[0], &guest);
	assert_int_equal(guest.filled_pages, 3);
	assert_int_equal(guest.shared_pages, 5);
	assert_int_equal(guest.compressed_pages, 7);
	assert_int_equal(guest.compressed_bytes, bytes);
	/* One that is shared, and one for compressed pages of each class and size class. */
	assert_int_equal(guest.dense_frames, stats.dense_frames);
	assert_in_range(guest.dense_frames, 3, 5);

	/* One leaves by a flush, one by a get, one by being replaced; then all of them. */
	assert_int_equal(flush_page(0, 0, 0), 0);
	assert_int_equal(get_seed(clients[0], handle_of(0, 1, 10), 999), 0);
	put(0, 1, 24, 5);
	contents_are(0, 2, 4, 6, bytes - compressed(KIND(HOST_PAGE_COMPRESSIBLE, 24)));
	assert_int_equal(flush_object(0, 0), 0);
	assert_int_equal(flush_object(0, 1), 0);
	contents_are(0, 0, 0, 0, 0);
	stats = stats_of(clients[0]);
	assert_int_equal(stats.shared_peak, 5);
	assert_int_equal(stats.compressed_peak, bytes);
	/* The other one had nothing of it. */
	assert_int_equal(stats_of(clients[1]).shared_peak + stats_of(clients[1]).equal_found, 0);
	finish();
}

static void evicted_contents_are_counted_out(void **state)
{
	struct tmem_client_stats stats;

	(void)state;
	start(ALL_MODES, 0, 0);
	for (u32 index = 0; index < 40; index++)
		put(0, 0, index,
			KIND(index % 2 ? HOST_PAGE_COMPRESSIBLE : HOST_PAGE_FILLED, index));
	while (tmem_client_set_caps(clients[0], ~0UL, 10) == -SLUICE_EAGAIN)
		;
	stats = stats_of(clients[0]);
	/* A page without a frame frees none, so that some more may have gone than the cap demands.
	 * The oldest went, and both kinds took turns. */
	assert_in_range(stats.evictions, 30, 39);
	assert_int_equal(info_of(0, 0)->evictions, stats.evictions);
	assert_int_equal(stats.ephemeral_pages, 40 - stats.evictions);
	assert_int_equal(stats.compressed_pages, (41 - stats.evictions) / 2);
	assert_int_equal(stats.filled_pages, (40 - stats.evictions) / 2);
	finish();
}

static void pages_that_a_group_shares(void **state)
{
	struct tmem_stats store;

	(void)state;
	start(TMEM_MODE_DEDUP, 1, 0);
	for (u32 index = 0; index < 6; index++)
		put(0, 0, index, 100 + index);
	for (u32 index = 0; index < 4; index++)
		put(1, 0, index, 100 + index);
	assert_int_equal(stats_of(clients[0]).equal_found, 0);
	assert_int_equal(stats_of(clients[1]).equal_found, 4);
	assert_int_equal(info_of(0, 0)->shared_pages, 6);
	assert_int_equal(info_of(1, 0)->shared_pages, 4);
	tmem_stats(tmem, &store);
	assert_int_equal(store.common_frames, 6);
	assert_int_equal(flush_object(0, 0), 0);
	tmem_stats(tmem, &store);
	assert_int_equal(store.common_frames, 4);
	assert_int_equal(store.common_peak, 6);
	assert_int_equal(stats_of(clients[0]).shared_pages, 0);
	assert_int_equal(stats_of(clients[0]).shared_peak, 6);
	finish();
}

/* What a sharer did stands at its own seat. */
static void seat_at_a_shared_pool(void **state)
{
	const struct tmem_pool_info *info;

	(void)state;
	start(0, 0, 0);
	for (u32 index = 0; index < 8; index++)
		put(0, 2, index, index);
	put(1, 2, 0, 50);
	put(1, 2, 1, 51);
	put(1, 2, 20, 52);
	assert_int_equal(flush_page(1, 2, 2), 0);
	assert_int_equal(flush_page(1, 2, 2), 0);
	assert_int_equal(put_bad_frame(1, 2, 3), -SLUICE_EFAULT);
	tmem_client_freeze(clients[0], true);
	assert_int_equal(put_seed(clients[0], handle_of(2, 1, 4), 9), -SLUICE_ENOSPC);
	assert_int_equal(put_seed(clients[0], handle_of(2, 1, 40), 9), -SLUICE_ENOSPC);
	assert_int_equal(put_bad_frame(0, 2, 41), -SLUICE_EFAULT);
	tmem_client_freeze(clients[0], false);

	info = info_of(1, 2);
	assert_int_equal(info->pages, 6);
	assert_int_equal(info->puts, 3);
	assert_int_equal(info->replaced, 2);
	assert_int_equal(info->flushes, 2);
	assert_int_equal(info->flushed_pages, 1);
	assert_int_equal(info->dropped, 1);
	assert_int_equal(info->refusals, 0);
	assert_int_equal(flush_object(0, 2), 0);
	info = info_of(0, 2);
	assert_int_equal(info->pages, 0);
	assert_int_equal(info->puts, 8);
	assert_int_equal(info->replaced, 0);
	assert_int_equal(info->dropped, 1);
	assert_int_equal(info->refusals, 2);
	assert_int_equal(info->flushes, 1);
	assert_int_equal(info->flushed_pages, 6);
	assert_int_equal(stats_of(clients[0]).flushed_pages, 6);
	assert_int_equal(stats_of(clients[1]).puts_replaced, 2);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(old_copies_of_ephemeral_pages),
		cmocka_unit_test(old_copies_of_persistent_pages),
		cmocka_unit_test(replacement_without_room_counts_as_dropped),
		cmocka_unit_test(contents_without_a_frame_of_their_own),
		cmocka_unit_test(evicted_contents_are_counted_out),
		cmocka_unit_test(pages_that_a_group_shares),
		cmocka_unit_test(seat_at_a_shared_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
