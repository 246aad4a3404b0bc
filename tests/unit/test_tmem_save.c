/*
 * Saving clients as streams and restoring them: what comes back, what happens when something
 * changes in between, and each thing that can be wrong with a stream.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/hypercall.h>

#include "tests/unit/tmem_host/port.h"
#include "tests/unit/tmem_host/store.h"
#include "tests/unit/tmem_host/stream.h"

#define RECORD      sizeof(struct tmem_stream_record)
#define PAGE_RECORD (RECORD + PAGE_SIZE)
#define PAGES       300U

static struct tmem *tmem;
static struct tmem_client *from, *to;
static struct stream stream;

/* The client that is saved has pools 0 (ephemeral), 1 and 3 (persistent), and no 2. */
static int set_up(void **state)
{
	(void)state;
	tmem = store_create(8192, 0);
	from = store_client(tmem, 1, ~0UL);
	to = store_client(tmem, 1, ~0UL);
	for (int id = 0; id < 4; id++)
		if (tmem_pool_create(from, id & TMEM_POOL_PERSISTENT, (u64)id, ~(u64)id) != id)
			return 1;
	return tmem_pool_destroy(from, 2);
}

static int tear_down(void **state)
{
	int bad = store_audit(tmem);

	(void)state;
	stream_free(&stream);
	store_end_client(from);
	store_end_client(to);
	bad |= store_end(tmem) != 0;
	return bad || host_complaints;
}

/* Objects with many pages, with one, and with indices far apart. */
static struct tmem_handle nth(int pool, u32 n)
{
	struct tmem_handle handle = handle_of(pool, n % 7, n);

	if (n % 3 == 0)
		handle = handle_of(pool, n * 0x10001UL << 20, ~n);
	if (n % 5 == 0)
		handle.index = n * 0x01000193U;
	handle.object[2] = n & 1 ? ~0UL : 0;
	handle.object[1] = n % 3;
	return handle;
}

static void fill(void)
{
	for (u32 n = 0; n < PAGES; n++) {
		assert_int_equal(put_seed(from, nth(0, n), n), 0);
		assert_int_equal(put_seed(from, nth(1, n), n + 1000), 0);
		assert_int_equal(put_seed(from, nth(3, n), n + 2000), 0);
	}
}

static void save_all(void)
{
	fill();
	tmem_client_freeze(from, true);
	assert_int_equal(stream_save(from, 5 * PAGE_RECORD + 17, &stream), 0);
}

static enum tmem_restore_status restore_all(u64 piece)
{
	s64 error;
	enum tmem_restore_status status = stream_restore(
		to, stream.bytes, stream.size, piece, &error);

	assert_int_equal(error, status >= TMEM_RESTORE_BAD ? -SLUICE_EINVAL : 0);
	return status;
}

/* Nothing of a stream is there, and the client can be used for what it likes. */
static void check_nothing_stayed(void)
{
	struct tmem_pool_info infos[TMEM_POOLS_PER_GUEST];
	struct tmem_guest_info info = {0};

	assert_int_equal(persistent_pages(to), 0);
	assert_int_equal(tmem_client_list(to, infos), 0);
	tmem_client_info(to, &info);
	assert_int_equal(info.flags, 0);
	assert_int_equal(store_audit(tmem), 0);
	assert_int_equal(tmem_pool_create(to, 0, 0, 0), 0);
	assert_int_equal(put_seed(to, handle_of(0, 1, 1), 1), 0);
	assert_int_equal(tmem_pool_destroy(to, 0), 0);
}

static struct tmem_stream_record *record_at(u64 offset)
{
	return (struct tmem_stream_record *)(stream.bytes + offset);
}

/* The offset of record @n of @type, from 0. */
static u64 find(enum tmem_stream_type type, u32 n)
{
	u64 at = 0;

	for (; at < stream.size; at = stream_next(&stream, at))
		if (record_at(at)->type == type && n-- == 0)
			return at;
	fail_msg("no such record");
	return 0;
}

/* ---- What comes back ---------------------------------------------------------------- */

static void restored_client_sees_exactly_its_persistent_pages(void **state)
{
	struct tmem_pool_info before[TMEM_POOLS_PER_GUEST], after[TMEM_POOLS_PER_GUEST];

	(void)state;
	save_all();
	assert_int_equal(stream.size, 5 * RECORD + 2 * PAGES * PAGE_RECORD);
	assert_int_equal(restore_all(PAGE_RECORD * 3), TMEM_RESTORE_DONE);
	assert_int_equal(persistent_pages(to), 2 * PAGES);
	assert_int_equal(ephemeral_pages(to), 0);
	assert_int_equal(tmem_client_list(from, before), 3);
	assert_int_equal(tmem_client_list(to, after), 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(before[i].id, after[i].id);
		assert_int_equal(before[i].flags, after[i].flags);
		assert_memory_equal(before[i].uuid, after[i].uuid, sizeof(before[i].uuid));
	}
	for (u32 n = 0; n < PAGES; n++) {
		assert_int_equal(get_seed(to, nth(0, n), n), -SLUICE_ENOENT);
		assert_int_equal(get_seed(to, nth(1, n), n + 1000), 0);
		assert_int_equal(get_seed(to, nth(3, n), n + 2000), 0);
		assert_int_equal(get_seed(to, nth(2, n), n), -SLUICE_EBADF);
	}
	/* The one that was saved still has its own, and both go on as they like. */
	assert_int_equal(get_seed(from, nth(1, 5), 1005), 0);
	assert_int_equal(put_seed(to, nth(1, 5), 77), 0);
	assert_int_equal(put_seed(to, nth(0, 5), 78), 0);
	assert_int_equal(get_seed(to, nth(1, 5), 77), 0);
}

static void pieces_may_be_of_any_size(void **state)
{
	static const u64 pieces[] = {777, 4159, 4160, 4161, 100000, 1UL << 30};

	(void)state;
	save_all();
	for (unsigned i = 0; i < ARRAY_SIZE(pieces); i++) {
		assert_int_equal(restore_all(pieces[i]), TMEM_RESTORE_DONE);
		assert_int_equal(persistent_pages(to), 2 * PAGES);
		store_end_client(to);
		to = store_client(tmem, 1, ~0UL);
	}
}

static void client_without_pools_has_a_stream_too(void **state)
{
	(void)state;
	store_end_client(from);
	from = store_client(tmem, 1, ~0UL);
	tmem_client_freeze(from, true);
	assert_int_equal(stream_save(from, PAGE_RECORD, &stream), 0);
	assert_int_equal(stream.size, 2 * RECORD);
	assert_int_equal(restore_all(1000), TMEM_RESTORE_DONE);
	check_nothing_stayed();
}

static void frozen_client_can_be_restored(void **state)
{
	(void)state;
	save_all();
	tmem_client_freeze(to, true);
	assert_int_equal(restore_all(100000), TMEM_RESTORE_DONE);
	assert_int_equal(get_seed(to, nth(1, 5), 1005), 0);
	assert_int_equal(put_seed(to, nth(1, 5), 77), -SLUICE_ENOSPC);
	tmem_client_freeze(to, false);
	assert_int_equal(put_seed(to, nth(1, 6), 77), 0);
}

/* ---- Saving ------------------------------------------------------------------------- */

static void work_of_a_call_is_bounded(void **state)
{
	u8 *bytes = malloc(100 * PAGE_RECORD);
	struct tmem_save_state save = {0};

	(void)state;
	fill();
	tmem_client_freeze(from, true);
	while (save.phase != TMEM_SAVE_DONE)
		assert_in_range(stream_save_step(from, &save, bytes, 100 * PAGE_RECORD), 0,
			16 * PAGE_RECORD);
	assert_int_equal(stream_save_step(from, &save, bytes, 100 * PAGE_RECORD), 0);
	assert_int_equal(save.pages, 2 * PAGES);
	assert_int_equal(save.pools, 3);
	free(bytes);
}

static void save_needs_a_frozen_client(void **state)
{
	static u8 bytes[PAGE_RECORD];
	struct tmem_save_state save = {0};

	(void)state;
	assert_int_equal(stream_save_step(from, &save, bytes, sizeof(bytes)), -SLUICE_EINVAL);
	tmem_client_freeze(from, true);
	assert_int_equal(stream_save_step(from, &save, bytes, sizeof(bytes) - 1), -SLUICE_EINVAL);
	assert_int_equal(stream_save_step(from, &save, bytes, sizeof(bytes)), RECORD);
	/* Thawed in between, there may have been puts behind the place it had come to. */
	tmem_client_freeze(from, false);
	tmem_client_freeze(from, true);
	assert_int_equal(stream_save_step(from, &save, bytes, sizeof(bytes)), -SLUICE_EINVAL);
}

static void flushes_and_destruction_during_a_save_harm_nothing(void **state)
{
	struct tmem_save_state save = {0};
	u64 seed = 5, written = 0;
	enum tmem_restore_status status;
	s64 error;

	(void)state;
	fill();
	tmem_client_freeze(from, true);
	stream.bytes = malloc(2 * PAGES * PAGE_RECORD + 10 * RECORD);
	for (u32 step = 0; save.phase != TMEM_SAVE_DONE; step++) {
		struct tmem_handle handle = nth(1, host_random(&seed) % PAGES);
		s64 bytes = stream_save_step(from, &save, stream.bytes + written, 2 * PAGE_RECORD);

		assert_true(bytes >= 0);
		written += (u64)bytes;
		assert_int_equal(tmem_flush_page(from, &handle), 0);
		assert_int_equal(tmem_flush_object(from, &handle), 0);
		if (step == 50)
			while (tmem_pool_destroy(from, 3) == -SLUICE_EAGAIN)
				;
	}
	stream.size = written;
	status = stream_restore(to, stream.bytes, stream.size, 100000, &error);
	assert_int_equal(status, TMEM_RESTORE_DONE);
	for (u32 n = 0; n < PAGES; n++) {
		/* What is still there was there all the time, so it has been saved. */
		if (get_seed(from, nth(1, n), n + 1000) == 0)
			assert_int_equal(get_seed(to, nth(1, n), n + 1000), 0);
	}
}

static void any_state_of_a_save_is_survived(void **state)
{
	static u8 bytes[4 * PAGE_RECORD];
	u64 seed = 11;

	(void)state;
	fill();
	tmem_client_freeze(from, true);
	for (u32 i = 0; i < 20000; i++) {
		u64 cursor = host_random(&seed);
		struct tmem_save_state save = {
			.phase = (u32)host_random(&seed) % 7,
			.epoch = 1,
			.cursor = i & 1 ? cursor % 4096 : cursor >> (cursor % 64),
			.pages = host_random(&seed),
		};
		u32 phase = save.phase;
		s64 result = stream_save_step(from, &save, bytes, sizeof(bytes));

		if (phase > TMEM_SAVE_DONE)
			assert_int_equal(result, -SLUICE_EINVAL);
		else
			assert_in_range(result, 0, sizeof(bytes));
	}
}

/* Elsewhere a save went on with what it had found out about another client. Here a walk that began
 * at one finds no pages of its own at another, and ends. */
static void bug_save_goes_on_with_another_client(void **state)
{
	static u8 bytes[4 * PAGE_RECORD];
	struct tmem_save_state save = {.phase = TMEM_SAVE_PAGES, .epoch = 1};

	(void)state;
	fill();
	tmem_client_freeze(to, true);
	assert_int_equal(stream_save_step(to, &save, bytes, sizeof(bytes)), RECORD);
	assert_int_equal(save.phase, TMEM_SAVE_DONE);
	assert_int_equal(save.pages, 0);
}

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
		SAVE(restored_client_sees_exactly_its_persistent_pages),
		SAVE(pieces_may_be_of_any_size),
		SAVE(client_without_pools_has_a_stream_too),
		SAVE(frozen_client_can_be_restored),
		SAVE(work_of_a_call_is_bounded),
		SAVE(save_needs_a_frozen_client),
		SAVE(flushes_and_destruction_during_a_save_harm_nothing),
		SAVE(any_state_of_a_save_is_survived),
		SAVE(bug_save_goes_on_with_another_client),
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
