/*
 * Modes that a guest switches off for one of its pools: each does just what it says, nothing can be
 * switched on, and a restored pool is as it was saved.
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
#include "tests/unit/tmem_host/stream.h"

#define KIND(kind, seed) ((u64)(kind) << HOST_KIND_SHIFT | (seed))
#define ALL_MODES        (TMEM_MODE_FILLED | TMEM_MODE_DEDUP | TMEM_MODE_COMPRESS)

static struct tmem_pool_info infos[TMEM_POOLS_PER_GUEST];

static struct tmem_client *new_client(struct tmem *tmem, u8 modes)
{
	store_modes = modes;
	return store_client(tmem, 1, ~0UL);
}

/* One filled page, two equal ones, one that compresses; none of these in two ways, but the first.
 */
static const u64 seeds[] = {KIND(HOST_PAGE_FILLED, 3), 77, 77, KIND(HOST_PAGE_COMPRESSIBLE, 9)};

static void put_of_all_kinds(struct tmem_client *client, int pool)
{
	for (u32 index = 0; index < ARRAY_SIZE(seeds); index++)
		assert_int_equal(put_seed(client, handle_of(pool, 1, index), seeds[index]), 0);
}

static void check_contents(struct tmem_client *client, int pool)
{
	for (u32 index = 0; index < ARRAY_SIZE(seeds); index++)
		assert_int_equal(get_seed(client, handle_of(pool, 1, index), seeds[index]), 0);
}

static void check_pool(const struct tmem_pool_info *info, u8 modes)
{
	assert_int_equal(info->modes, modes);
	assert_int_equal(info->pages, 4);
	/* A page that is filled compresses, too. */
	assert_int_equal(info->filled_pages, modes & TMEM_MODE_FILLED ? 1 : 0);
	assert_int_equal(info->shared_pages, modes & TMEM_MODE_DEDUP ? 2 : 0);
	assert_int_equal(info->compressed_pages, !(modes & TMEM_MODE_COMPRESS) ? 0
						 : modes & TMEM_MODE_FILLED    ? 1
									       : 2);
}

static void each_flag_switches_one_mode_off(void **state)
{
	(void)state;
	for (u32 all = 0; all < 64; all++) {
		u8 modes = all % 8, off = all / 8;
		u32 flags = (u32)off << TMEM_POOL_NO_SHIFT | (off % 2 ? TMEM_POOL_PERSISTENT : 0);
		struct tmem *tmem = store_create(4096, 0);
		/* Apart, since pages are equal to those of other pools of the client, too. */
		struct tmem_client *client = new_client(tmem, modes);

		assert_int_equal(tmem_pool_create(client, flags, 0, 0), 0);
		put_of_all_kinds(client, 0);
		assert_int_equal(tmem_client_list(client, infos), 1);
		assert_int_equal(infos[0].flags, flags);
		check_pool(&infos[0], modes & (u8)~off);
		assert_int_equal(store_audit(tmem), 0);
		check_contents(client, 0);
		store_end_client(client);
		assert_int_equal(store_end(tmem), 0);
	}
	assert_int_equal(host_complaints, 0);
}

/* Pools with a mode and without stand side by side: a page in a frame of its own is not taken for
 * equal pages of the other pool. */
static void pool_without_a_mode_does_not_lend_its_frames(void **state)
{
	struct tmem *tmem = store_create(4096, 0);
	struct tmem_client *client = new_client(tmem, TMEM_MODE_DEDUP);
	struct tmem_handle handle = handle_of(0, 1, 1);

	(void)state;
	assert_int_equal(tmem_pool_create(client, TMEM_POOL_NO_DEDUP, 0, 0), 0);
	assert_int_equal(tmem_pool_create(client, 0, 0, 0), 1);
	assert_int_equal(put_seed(client, handle_of(0, 1, 1), 5), 0);
	assert_int_equal(put_seed(client, handle_of(1, 1, 1), 5), 0);
	assert_int_equal(put_seed(client, handle_of(1, 1, 2), 5), 0);
	assert_int_equal(tmem_client_list(client, infos), 2);
	assert_int_equal(infos[0].shared_pages, 0);
	assert_int_equal(infos[1].shared_pages, 2);
	assert_int_equal(tmem_flush_page(client, &handle), 0);
	assert_int_equal(get_seed(client, handle_of(1, 1, 1), 5), 0);
	assert_int_equal(get_seed(client, handle_of(1, 1, 2), 5), 0);
	store_end_client(client);
	assert_int_equal(store_end(tmem), 0);
	assert_int_equal(host_complaints, 0);
}

static void restored_pool_keeps_its_flags(void **state)
{
	const u64 flags = TMEM_POOL_PERSISTENT | TMEM_POOL_NO_COMPRESS;
	struct tmem *tmem = store_create(4096, 0);
	struct tmem_client *from = new_client(tmem, ALL_MODES);
	struct tmem_client *to = new_client(tmem, ALL_MODES);
	struct stream stream;
	s64 error;

	(void)state;
	assert_int_equal(tmem_pool_create(from, flags, 1, 2), 0);
	assert_int_equal(tmem_pool_create(from, TMEM_POOL_PERSISTENT, 3, 4), 1);
	assert_int_equal(put_seed(from, handle_of(0, 1, 1), KIND(HOST_PAGE_COMPRESSIBLE, 1)), 0);
	assert_int_equal(put_seed(from, handle_of(1, 1, 1), KIND(HOST_PAGE_COMPRESSIBLE, 2)), 0);
	tmem_client_freeze(from, true);
	assert_int_equal(stream_save(from, 1 << 16, &stream), 0);
	assert_int_equal(
		stream_restore(to, stream.bytes, stream.size, 5000, &error), TMEM_RESTORE_DONE);
	assert_int_equal(tmem_client_list(to, infos), 2);
	assert_int_equal(infos[0].flags, flags);
	assert_int_equal(infos[0].modes, ALL_MODES & ~TMEM_MODE_COMPRESS);
	assert_int_equal(infos[0].compressed_pages, 0);
	assert_int_equal(infos[1].flags, TMEM_POOL_PERSISTENT);
	assert_int_equal(infos[1].compressed_pages, 1);
	assert_int_equal(get_seed(to, handle_of(0, 1, 1), KIND(HOST_PAGE_COMPRESSIBLE, 1)), 0);
	/* Flags that no guest may give come from no stream either. */
	store_end_client(to);
	to = new_client(tmem, ALL_MODES);
	((struct tmem_stream_record *)(stream.bytes + stream_next(&stream, 0)))->flags |= 0x80;
	stream_seal(&stream);
	assert_int_equal(
		stream_restore(to, stream.bytes, stream.size, 5000, &error), TMEM_RESTORE_BAD_POOL);
	stream_free(&stream);
	store_end_client(from);
	store_end_client(to);
	assert_int_equal(store_end(tmem), 0);
	assert_int_equal(host_complaints, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_flag_switches_one_mode_off),
		cmocka_unit_test(pool_without_a_mode_does_not_lend_its_frames),
		cmocka_unit_test(restored_pool_keeps_its_flags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
