/*
 * Streams of saved clients that are refused: the client is as before, and is told why. What befalls
 * good ones: test_tmem_restore_course.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/tmem_host/stream_clients.h"

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

static void caps_hold_for_restored_pages(void **state)
{
	(void)state;
	save_all();
	assert_int_equal(tmem_client_set_caps(to, 2 * PAGES - 1, ~0UL), 0);
	check_bad(TMEM_RESTORE_NO_ROOM);
	assert_int_equal(tmem_client_set_caps(to, 2 * PAGES, ~0UL), 0);
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
		SAVE(caps_hold_for_restored_pages),
		SAVE(shared_pools_come_back_where_they_are_granted),
	};

	return cmocka_run_group_tests_name("tmem_restore", tests, NULL, NULL);
}
