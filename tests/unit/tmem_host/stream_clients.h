/*
 * A client that is saved, and one that it is restored to. To be
 * included after cmocka.h.
 */
#ifndef TESTS_TMEM_STREAM_CLIENTS_H
#define TESTS_TMEM_STREAM_CLIENTS_H

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
static inline int set_up(void **state)
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

static inline int tear_down(void **state)
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
static inline struct tmem_handle nth(int pool, u32 n)
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

static inline void fill(void)
{
	for (u32 n = 0; n < PAGES; n++) {
		assert_int_equal(put_seed(from, nth(0, n), n), 0);
		assert_int_equal(put_seed(from, nth(1, n), n + 1000), 0);
		assert_int_equal(put_seed(from, nth(3, n), n + 2000), 0);
	}
}

static inline void save_all(void)
{
	fill();
	tmem_client_freeze(from, true);
	assert_int_equal(stream_save(from, 5 * PAGE_RECORD + 17, &stream), 0);
}

static inline enum tmem_restore_status restore_all(u64 piece)
{
	s64 error;
	enum tmem_restore_status status = stream_restore(
		to, stream.bytes, stream.size, piece, &error);

	assert_int_equal(error, status >= TMEM_RESTORE_BAD ? -SLUICE_EINVAL : 0);
	return status;
}

/* Nothing of a stream is there, and the client can be used for what it likes. */
static inline void check_nothing_stayed(void)
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

static inline struct tmem_stream_record *record_at(u64 offset)
{
	return (struct tmem_stream_record *)(stream.bytes + offset);
}

/* The offset of record @n of @type, from 0. */
static inline u64 find(enum tmem_stream_type type, u32 n)
{
	u64 at = 0;

	for (; at < stream.size; at = stream_next(&stream, at))
		if (record_at(at)->type == type && n-- == 0)
			return at;
	fail_msg("no such record");
	return 0;
}

#endif
