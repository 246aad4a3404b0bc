/*
 * Streams of saved clients that cannot be restored, or not here, or not now: the client is as
 * before, and is told why.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/tmem_host/stream_clients.h"

/* ---- Restoring: what is refused ------------------------------------------------------ */

static void used_client_cannot_be_restored(void **state)
{
	enum tmem_restore_status status;

	(void)state;
	save_all();
	assert_int_equal(
		stream_restore_step(from, stream.bytes, stream.size, &status), -SLUICE_EBUSY);
	assert_int_equal(get_seed(from, nth(1, 5), 1005), 0);
}

/* After @change to the stream a restore ends with @expected, and nothing stays. */
static void check_bad(enum tmem_restore_status expected)
{
	assert_int_equal(restore_all(7 * PAGE_RECORD), expected);
	check_nothing_stayed();
}

static void bad_beginnings(void **state)
{
	(void)state;
	save_all();
	record_at(0)->words[0] ^= 1UL << 40;
	check_bad(TMEM_RESTORE_BAD_MAGIC);
	stream_seal(&stream);
	check_bad(TMEM_RESTORE_BAD_MAGIC);
	record_at(0)->words[0] = TMEM_STREAM_MAGIC;
	record_at(0)->type = TMEM_STREAM_POOL;
	check_bad(TMEM_RESTORE_BAD_MAGIC);
	record_at(0)->type = TMEM_STREAM_BEGIN;
	record_at(0)->words[1] = TMEM_STREAM_VERSION + 1;
	check_bad(TMEM_RESTORE_BAD_VERSION);
	record_at(0)->words[1] = TMEM_STREAM_VERSION;
	record_at(0)->words[2] = 1;
	check_bad(TMEM_RESTORE_BAD_FIELD);
	record_at(0)->words[2] = 0;
	record_at(0)->check++;
	check_bad(TMEM_RESTORE_BAD_CHECK);
	/* Without its beginning. */
	stream_seal(&stream);
	memmove(stream.bytes, stream.bytes + RECORD, stream.size -= RECORD);
	check_bad(TMEM_RESTORE_BAD_MAGIC);
}

static void bad_types_and_orders(void **state)
{
	static const u32 types[] = {0, TMEM_STREAM_BEGIN, TMEM_STREAM_END + 1, 0x80000000, ~0U};
	u64 at;

	(void)state;
	save_all();
	at = find(TMEM_STREAM_POOL, 1);
	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		record_at(at)->type = types[i];
		check_bad(TMEM_RESTORE_BAD_TYPE);
	}
	record_at(at)->type = TMEM_STREAM_POOL;
	/* Two pages exchanged: each is whole, and yet not where it was. */
	at = find(TMEM_STREAM_PAGE, 100);
	for (u64 i = 0; i < PAGE_RECORD; i++) {
		u8 byte = stream.bytes[at + i];

		stream.bytes[at + i] = stream.bytes[at + PAGE_RECORD + i];
		stream.bytes[at + PAGE_RECORD + i] = byte;
	}
	check_bad(TMEM_RESTORE_BAD_CHECK);
}

static void every_changed_byte_is_found(void **state)
{
	u64 seed = 3;

	(void)state;
	save_all();
	for (u32 i = 0; i < 300; i++) {
		u64 at = host_random(&seed) % (i < 200 ? 6 * PAGE_RECORD : stream.size);
		u8 bit = (u8)(1 << (host_random(&seed) % 8));
		enum tmem_restore_status status;
		s64 error;

		stream.bytes[at] ^= bit;
		status = stream_restore(to, stream.bytes, stream.size, 9 * PAGE_RECORD, &error);
		assert_in_range(status, TMEM_RESTORE_BAD, TMEM_RESTORE_STATUS_COUNT - 1);
		assert_int_equal(error, -SLUICE_EINVAL);
		assert_int_equal(persistent_pages(to), 0);
		stream.bytes[at] ^= bit;
	}
	check_nothing_stayed();
}

static void bad_pools(void **state)
{
	static const u32 ids[] = {TMEM_POOLS_PER_GUEST, ~0U, 0x80000001};
	static const u32 flags[] = {3, 4, 0x80000000, ~0U};
	u64 pool, page;

	(void)state;
	save_all();
	pool = find(TMEM_STREAM_POOL, 1);
	page = find(TMEM_STREAM_PAGE, 3);
	for (unsigned i = 0; i < ARRAY_SIZE(ids); i++) {
		u32 id = record_at(pool)->pool;

		record_at(pool)->pool = ids[i];
		stream_seal(&stream);
		check_bad(TMEM_RESTORE_BAD_POOL);
		record_at(pool)->pool = id;
		id = record_at(page)->pool;
		record_at(page)->pool = ids[i];
		stream_seal(&stream);
		check_bad(TMEM_RESTORE_BAD_POOL);
		record_at(page)->pool = id;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(flags); i++) {
		record_at(pool)->flags = flags[i];
		stream_seal(&stream);
		check_bad(TMEM_RESTORE_BAD_POOL);
	}
	record_at(pool)->flags = TMEM_POOL_SHARED;
	stream_seal(&stream);
	check_bad(TMEM_RESTORE_NOT_SHARED);
	/* Pages of a pool that does not keep them, and of one that was not announced. */
	record_at(pool)->flags = 0;
	stream_seal(&stream);
	check_bad(TMEM_RESTORE_BAD_POOL);
	record_at(pool)->flags = TMEM_POOL_PERSISTENT;
	record_at(page)->pool = 2;
	stream_seal(&stream);
	check_bad(TMEM_RESTORE_BAD_POOL);
}

static void bad_fields(void **state)
{
	u64 page, end;

	(void)state;
	save_all();
	page = find(TMEM_STREAM_PAGE, 3);
	end = find(TMEM_STREAM_END, 0);
	record_at(page)->flags = 1;
	stream_seal(&stream);
	check_bad(TMEM_RESTORE_BAD_FIELD);
	record_at(page)->flags = 0;
	record_at(page)->zero[1] = 1;
	stream_seal(&stream);
	check_bad(TMEM_RESTORE_BAD_FIELD);
	record_at(page)->zero[1] = 0;
	record_at(end)->index = 1;
	stream_seal(&stream);
	check_bad(TMEM_RESTORE_BAD_FIELD);
	record_at(end)->index = 0;
	record_at(end)->words[1]--;
	stream_seal(&stream);
	check_bad(TMEM_RESTORE_BAD_COUNT);
	record_at(end)->words[1]++;
	record_at(end)->words[0]++;
	stream_seal(&stream);
	check_bad(TMEM_RESTORE_BAD_COUNT);
}

static void duplicates(void **state)
{
	u64 pool, page;

	(void)state;
	save_all();
	pool = find(TMEM_STREAM_POOL, 1);
	page = find(TMEM_STREAM_PAGE, 40);
	record_at(pool)->pool = 0;
	stream_seal(&stream);
	check_bad(TMEM_RESTORE_DUPLICATE);
	record_at(pool)->pool = 1;
	memcpy(stream.bytes + page + PAGE_RECORD, stream.bytes + page, RECORD);
	stream_seal(&stream);
	check_bad(TMEM_RESTORE_DUPLICATE);
}

static void truncated_streams(void **state)
{
	u64 whole, at = 0;

	(void)state;
	save_all();
	whole = stream.size;
	/* At the ends of records, and within them. */
	for (u32 i = 0; at < whole; i++, at += i < 20 ? 41 : 99991) {
		stream.size = at;
		check_bad(TMEM_RESTORE_TRUNCATED);
	}
	stream.size = whole - 1;
	check_bad(TMEM_RESTORE_TRUNCATED);
	stream.size = whole;
	assert_int_equal(restore_all(100000), TMEM_RESTORE_DONE);
}

static void unfinished_restore_is_hidden_and_can_be_abandoned(void **state)
{
	struct tmem_handle handle = nth(1, 5);
	enum tmem_restore_status status;
	struct tmem_guest_info info = {0};
	static u8 page[PAGE_SIZE] __aligned_to(PAGE_SIZE);
	u64 taken = 0;

	(void)state;
	save_all();
	while (taken < 500 * PAGE_RECORD) {
		s64 bytes = stream_restore_step(
			to, stream.bytes + taken, stream.size - taken, &status);

		assert_true(bytes > 0 && status == TMEM_RESTORE_MORE);
		taken += (u64)bytes;
	}
	tmem_client_info(to, &info);
	assert_int_equal(info.flags, TMEM_GUEST_RESTORING);
	/* Whatever the guest tries meanwhile: there is no such pool, and no new one. */
	for (int pool = 0; pool < 4; pool++) {
		handle.pool = pool;
		assert_int_equal(tmem_get(to, &handle, page), -SLUICE_EBADF);
		assert_int_equal(tmem_put(to, &handle, page), -SLUICE_EBADF);
		assert_int_equal(tmem_put(to, &handle, NULL), -SLUICE_EBADF);
		assert_int_equal(tmem_flush_page(to, &handle), -SLUICE_EBADF);
		assert_int_equal(tmem_flush_object(to, &handle), -SLUICE_EBADF);
		assert_int_equal(tmem_pool_destroy(to, pool), -SLUICE_EBADF);
	}
	assert_int_equal(tmem_pool_create(to, 0, 0, 0), -SLUICE_EBUSY);
	tmem_client_freeze(to, true);
	tmem_client_freeze(to, false);
	assert_int_equal(tmem_get(to, &handle, page), -SLUICE_EBADF);
	assert_int_equal(store_audit(tmem), 0);
	while (tmem_restore_abandon(to) == -SLUICE_EAGAIN)
		;
	check_nothing_stayed();
	assert_int_equal(tmem_restore_abandon(to), 0);
}

static void shared_pools_come_back_where_they_are_granted(void **state)
{
	const struct tmem_shared_grant grant = {.uuid = {8, 9}, .weight = 1};
	struct tmem_client_config config = {
		.weight = 1, .persistent_max = ~0UL, .shared = &grant, .shared_count = 1};

	(void)state;
	store_end_client(from);
	from = tmem_client_create(tmem, &config);
	assert_int_equal(tmem_pool_create(from, TMEM_POOL_SHARED, 8, 9), 0);
	assert_int_equal(put_seed(from, handle_of(0, 1, 1), 1), 0);
	tmem_client_freeze(from, true);
	assert_int_equal(stream_save(from, PAGE_RECORD, &stream), 0);
	check_bad(TMEM_RESTORE_NOT_SHARED);
	store_end_client(to);
	to = tmem_client_create(tmem, &config);
	assert_int_equal(restore_all(100000), TMEM_RESTORE_DONE);
	/* Their pages are not in the stream: they are where they were. */
	assert_int_equal(get_seed(to, handle_of(0, 1, 1), 1), 0);
	assert_int_equal(put_seed(to, handle_of(0, 1, 2), 2), 0);
	assert_int_equal(get_seed(from, handle_of(0, 1, 2), 2), 0);
}

/* Zeros, one word throughout, equal pages, text, noise: @n says which. */
static void fill_some(u64 *page, u32 n)
{
	u64 seed = n;

	for (u32 i = 0; i < PAGE_SIZE / 8; i++)
		switch (n % 5) {
		case 0:
			page[i] = 0;
			break;
		case 1:
			page[i] = n;
			break;
		case 2:
			page[i] = i * 0x9e3779b97f4a7c15UL;
			break;
		case 3:
			page[i] = (n + i / 16) & 0xff;
			break;
		default:
			page[i] = host_random(&seed);
		}
}

/* Pages without frames of their own are saved like any other, whatever modes who gets them has. */
static void dense_pages_are_saved_whole(void **state)
{
	static u64 page[PAGE_SIZE / 8] __aligned_to(PAGE_SIZE);
	static u64 expected[PAGE_SIZE / 8];
	struct tmem_client_config config = {.weight = 1, .persistent_max = ~0UL};

	(void)state;
	for (u8 modes = 0; modes < 8; modes++) {
		struct tmem_client_stats stats;

		store_end_client(from);
		store_end_client(to);
		config.persistent_modes = modes;
		from = tmem_client_create(tmem, &config);
		config.persistent_modes = 7 - modes;
		to = tmem_client_create(tmem, &config);
		assert_int_equal(tmem_pool_create(from, TMEM_POOL_PERSISTENT, 0, 0), 0);
		for (u32 n = 0; n < PAGES; n++) {
			struct tmem_handle handle = nth(0, n);

			fill_some(page, n);
			assert_int_equal(tmem_put(from, &handle, page), 0);
		}
		tmem_client_freeze(from, true);
		stream_free(&stream);
		assert_int_equal(stream_save(from, 20000, &stream), 0);
		assert_int_equal(restore_all(30000), TMEM_RESTORE_DONE);
		tmem_client_stats(to, &stats);
		assert_int_equal(stats.persistent_pages, PAGES);
		for (u32 n = 0; n < PAGES; n++) {
			struct tmem_handle handle = nth(0, n);

			fill_some(expected, n);
			assert_int_equal(tmem_get(to, &handle, page), 0);
			assert_memory_equal(page, expected, PAGE_SIZE);
		}
		assert_int_equal(store_audit(tmem), 0);
	}
}

static void client_may_end_in_the_midst_of_a_restore(void **state)
{
	enum tmem_restore_status status;

	(void)state;
	save_all();
	assert_true(stream_restore_step(to, stream.bytes, stream.size, &status) > 0);
	store_end_client(to);
	to = store_client(tmem, 1, ~0UL);
	check_nothing_stayed();
	assert_int_equal(restore_all(100000), TMEM_RESTORE_DONE);
}

static void caps_hold_for_restored_pages(void **state)
{
	(void)state;
	save_all();
	assert_int_equal(tmem_client_set_caps(to, 2 * PAGES - 1, ~0UL), 0);
	check_bad(TMEM_RESTORE_NO_ROOM);
	assert_int_equal(tmem_client_set_caps(to, 2 * PAGES, ~0UL), 0);
	assert_int_equal(restore_all(100000), TMEM_RESTORE_DONE);
}

static void every_allocation_may_fail(void **state)
{
	u64 failed = 0;

	(void)state;
	save_all();
	for (u64 n = 0; n < 60; n++) {
		enum tmem_restore_status status;
		s64 error;

		host_allocations_until_failure = n;
		status = stream_restore(to, stream.bytes, stream.size, 100000, &error);
		host_allocations_until_failure = ~0UL;
		assert_true(status == TMEM_RESTORE_DONE || status == TMEM_RESTORE_NO_ROOM);
		failed += status == TMEM_RESTORE_NO_ROOM;
		assert_int_equal(persistent_pages(to), status == TMEM_RESTORE_DONE ? 2 * PAGES : 0);
		assert_int_equal(store_audit(tmem), 0);
		store_end_client(to);
		to = store_client(tmem, 1, ~0UL);
	}
	assert_true(failed > 0);
}

static int unreachable(void *argument, u64 offset, void *bytes, u64 count)
{
	u64 *left = argument;

	(void)offset;
	memset(bytes, 0, count);
	return (*left)-- ? 0 : -SLUICE_EFAULT;
}

static void bad_buffer_is_told_and_changes_nothing(void **state)
{
	static u8 page[PAGE_SIZE] __aligned_to(PAGE_SIZE);
	u64 left = 0;
	struct tmem_transfer transfer = {
		.copy = unreachable, .argument = &left, .length = 1 << 20, .page = page};
	struct tmem_save_state save = {0};
	enum tmem_restore_status status;

	(void)state;
	save_all();
	assert_int_equal(tmem_save(from, &save, &transfer), -SLUICE_EFAULT);
	assert_int_equal(save.phase, TMEM_SAVE_BEGIN);
	left = 0;
	assert_int_equal(tmem_restore(to, &transfer, &status), -SLUICE_EFAULT);
	assert_int_equal(status, TMEM_RESTORE_MORE);
	assert_int_equal(restore_all(100000), TMEM_RESTORE_DONE);
}

#define SAVE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SAVE(used_client_cannot_be_restored),
		SAVE(bad_beginnings),
		SAVE(bad_types_and_orders),
		SAVE(every_changed_byte_is_found),
		SAVE(bad_pools),
		SAVE(bad_fields),
		SAVE(duplicates),
		SAVE(truncated_streams),
		SAVE(unfinished_restore_is_hidden_and_can_be_abandoned),
		SAVE(client_may_end_in_the_midst_of_a_restore),
		SAVE(dense_pages_are_saved_whole),
		SAVE(shared_pools_come_back_where_they_are_granted),
		SAVE(caps_hold_for_restored_pages),
		SAVE(every_allocation_may_fail),
		SAVE(bad_buffer_is_told_and_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
