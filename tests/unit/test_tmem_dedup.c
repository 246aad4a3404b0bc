/*
 * Equal pages of different clients: who shares with whom, who pays, and what happens when pages,
 * clients and blocks go.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/hypercall.h>

#include "tests/unit/tmem_host/port.h"
#include "tests/unit/tmem_host/store.h"
#include "tests/unit/tmem_host/stream.h"
#include "tmem/dedup.h"
#include "tmem/dense.h"

#define CLIENTS 3U

static struct tmem *tmem;
static struct tmem_client *clients[CLIENTS];

static struct tmem_client *new_client(u32 group)
{
	struct tmem_client_config config = {.weight = 1,
		.persistent_max = ~0UL,
		.ephemeral_modes = TMEM_MODE_DEDUP,
		.persistent_modes = TMEM_MODE_DEDUP,
		.dedup_group = group};
	struct tmem_client *client;

	tmem_port_random(config.hash_keys, ARRAY_SIZE(config.hash_keys));
	client = tmem_client_create(tmem, &config);
	assert_non_null(client);
	assert_int_equal(tmem_pool_create(client, 0, 0, 0), 0);
	assert_int_equal(tmem_pool_create(client, TMEM_POOL_PERSISTENT, 0, 0), 1);
	return client;
}

/* The first two are in a group, the third is in another one, or in none. */
static void begin(u64 max_pages, u32 third)
{
	tmem = store_create(8192, max_pages);
	clients[0] = new_client(1);
	clients[1] = new_client(1);
	clients[2] = new_client(third);
}

static void end(void)
{
	assert_int_equal(store_audit(tmem), 0);
	for (unsigned i = 0; i < CLIENTS; i++)
		if (clients[i])
			store_end_client(clients[i]);
	assert_int_equal(store_audit(tmem), 0);
	assert_int_equal(store_end(tmem), 0);
}

static u64 common(void)
{
	struct tmem_stats stats;

	tmem_stats(tmem, &stats);
	return stats.common_frames;
}

static void put_range(unsigned i, int pool, u32 count, u64 seed)
{
	for (u32 index = 0; index < count; index++)
		assert_int_equal(put_seed(clients[i], handle_of(pool, 1, index), seed + index), 0);
}

static void get_range(unsigned i, int pool, u32 count, u64 seed)
{
	for (u32 index = 0; index < count; index++)
		assert_int_equal(get_seed(clients[i], handle_of(pool, 1, index), seed + index), 0);
}

static void members_share_and_others_do_not(void **state)
{
	(void)state;
	for (u32 third = 0; third < 3; third += 2) {
		begin(0, third);
		put_range(0, 0, 100, 1000);
		assert_int_equal(common(), 100);
		put_range(1, 0, 100, 1000);
		assert_int_equal(common(), 100);
		put_range(2, 0, 100, 1000);
		assert_int_equal(common(), third ? 200 : 100);
		/* Classes apart. */
		put_range(0, 1, 100, 1000);
		put_range(1, 1, 100, 1000);
		assert_int_equal(common(), third ? 300 : 200);
		assert_int_equal(store_audit(tmem), 0);
		/* A get of the one leaves the other's. */
		get_range(0, 0, 100, 1000);
		assert_int_equal(common(), third ? 300 : 200);
		get_range(1, 0, 100, 1000);
		get_range(2, 0, 100, 1000);
		assert_int_equal(common(), 100);
		get_range(0, 1, 100, 1000);
		get_range(1, 1, 100, 1000);
		end();
	}
}

/* A put to one page changes nobody else's. */
static void a_replacement_is_the_clients_own(void **state)
{
	(void)state;
	begin(0, 0);
	put_range(0, 1, 50, 1000);
	put_range(1, 1, 50, 1000);
	put_range(0, 1, 50, 2000);
	get_range(0, 1, 50, 2000);
	get_range(1, 1, 50, 1000);
	assert_int_equal(common(), 100);
	for (u32 index = 0; index < 50; index++) {
		struct tmem_handle handle = handle_of(1, 1, index);

		assert_int_equal(tmem_flush_page(clients[1], &handle), 0);
	}
	assert_int_equal(common(), 50);
	get_range(0, 1, 50, 2000);
	end();
}

/* Who brought a page may go: those that share it keep it, and so does who comes after him. */
static void a_client_goes(void **state)
{
	(void)state;
	begin(0, 1);
	put_range(0, 1, 600, 1000);
	put_range(1, 1, 600, 1000);
	put_range(2, 1, 300, 1000);
	store_end_client(clients[0]);
	assert_int_equal(common(), 600);
	assert_int_equal(store_audit(tmem), 0);
	get_range(1, 1, 600, 1000);
	clients[0] = new_client(1);
	put_range(0, 1, 600, 1000);
	assert_int_equal(common(), 600);
	store_end_client(clients[1]);
	clients[1] = NULL;
	assert_int_equal(store_audit(tmem), 0);
	get_range(0, 1, 600, 1000);
	get_range(2, 1, 300, 1000);
	store_end_client(clients[0]);
	clients[0] = NULL;
	assert_int_equal(common(), 300);
	end();
}

/* Each pays for all of its pages: sharing makes nobody's share of a full store larger. */
static void each_pays_for_its_pages(void **state)
{
	(void)state;
	begin(300, 0);
	put_range(0, 0, 200, 1000);
	put_range(1, 0, 200, 1000);
	assert_int_equal(ephemeral_pages(clients[0]) + ephemeral_pages(clients[1]), 400);
	/* Two of them have 200 pages in 200 frames; the third takes its third. */
	for (u32 index = 0; index < 1000; index++)
		assert_int_equal(put_seed(clients[2], handle_of(0, 1, index), 5000 + index), 0);
	assert_int_equal(store_audit(tmem), 0);
	assert_true(ephemeral_pages(clients[2]) >= 100);
	assert_true(ephemeral_pages(clients[0]) <= 200 && ephemeral_pages(clients[1]) <= 200);
	/* What is left of each is right. */
	for (unsigned i = 0; i < 2; i++)
		for (u32 index = 0; index < 200; index++) {
			int result = get_seed(clients[i], handle_of(0, 1, index), 1000 + index);

			assert_true(result == 0 || result == -SLUICE_ENOENT);
		}
	end();
}

/* Blocks that reclaim empties: common contents move, whoever brought them. */
static void reclaim_moves_what_is_common(void **state)
{
	void *pages[64];
	unsigned count;
	u64 freed = 0;

	(void)state;
	begin(0, 0);
	put_range(0, 1, 300, 1000);
	put_range(1, 1, 300, 1000);
	put_range(0, 0, 700, 3000);
	put_range(1, 0, 700, 3000);
	put_range(2, 0, 700, 9000);
	store_end_client(clients[0]);
	clients[0] = NULL;
	for (unsigned round = 0; round < 30 && (count = tmem_reclaim(tmem, pages, 64)); round++) {
		freed += count;
		while (count)
			tmem_port_free(pages[--count], 0);
		assert_int_equal(store_audit(tmem), 0);
	}
	assert_true(freed > 500);
	get_range(1, 1, 300, 1000);
	for (u32 index = 0; index < 700; index++) {
		int result = get_seed(clients[1], handle_of(0, 1, index), 3000 + index);

		assert_true(result == 0 || result == -SLUICE_ENOENT);
	}
	end();
}

/* A client in no group: pages that are noted by their hash are reclaimed like any others. */
static void reclaim_takes_noted_pages(void **state)
{
	void *pages[32];

	(void)state;
	begin(0, 0);
	put_range(2, 0, 400, 1000);
	for (unsigned round = 0; round < 4; round++) {
		assert_int_equal(tmem_reclaim(tmem, pages, 32), 32);
		assert_true(tmem->reclaim_block != 0); /* one block, until it is empty */
		for (unsigned i = 0; i < 32; i++)
			tmem_port_free(pages[i], 0);
		assert_int_equal(store_audit(tmem), 0);
	}
	end();
}

static void no_memory_for_records(void **state)
{
	(void)state;
	begin(0, 0);
	for (u64 failing = 0; failing < 20; failing++) {
		struct tmem_handle handle = handle_of(1, 50 + failing, 0);
		int result, expected;

		host_allocations_until_failure = failing;
		result = put_seed(clients[0], handle, 700 + failing);
		host_allocations_until_failure = ~0UL;
		assert_true(result == 0 || result == -SLUICE_ENOMEM);
		expected = result ? -SLUICE_ENOENT : 0;
		assert_int_equal(store_audit(tmem), 0);
		assert_int_equal(put_seed(clients[1], handle, 700 + failing), 0);
		assert_int_equal(get_seed(clients[0], handle, 700 + failing), expected);
		assert_int_equal(get_seed(clients[1], handle, 700 + failing), 0);
	}
	end();
}

static void saved_and_restored(void **state)
{
	struct stream stream = {0};
	s64 error;

	(void)state;
	begin(0, 1);
	put_range(0, 1, 200, 1000);
	put_range(1, 1, 200, 1000);
	tmem_client_freeze(clients[0], true);
	assert_int_equal(stream_save(clients[0], 65536, &stream), 0);
	store_end_client(clients[0]);
	clients[0] = NULL;
	/* Into a client of the group that has no pools yet. */
	store_end_client(clients[2]);
	clients[2] = NULL;
	{
		struct tmem_client_config config = {.weight = 1,
			.persistent_max = ~0UL,
			.persistent_modes = TMEM_MODE_DEDUP,
			.dedup_group = 1};

		clients[0] = tmem_client_create(tmem, &config);
		assert_non_null(clients[0]);
	}
	assert_int_equal(stream_restore(clients[0], stream.bytes, stream.size, 50000, &error),
		TMEM_RESTORE_DONE);
	stream_free(&stream);
	assert_int_equal(common(), 200);
	get_range(0, 1, 200, 1000);
	get_range(1, 1, 200, 1000);
	end();
}

static void the_audit_finds_what_is_wrong(void **state)
{
	struct dedup_group *group;
	struct common_content *content;
	u32 id;

	(void)state;
	begin(0, 0);
	put_range(0, 1, 10, 1000);
	put_range(1, 1, 10, 1000);
	group = tmem->groups[0];
	for (id = 1; !common_at(group, id)->refs; id++)
		;
	content = common_at(group, id);
	assert_int_equal(content->refs, 2);
	content->refs++;
	assert_int_not_equal(store_audit(tmem), 0);
	content->refs--;
	content->slot++;
	assert_int_not_equal(store_audit(tmem), 0);
	content->slot--;
	group->frames[PERSISTENT]++;
	assert_int_not_equal(store_audit(tmem), 0);
	group->frames[PERSISTENT]--;
	page_at(tmem, content->slot)->owner++;
	assert_int_not_equal(store_audit(tmem), 0);
	page_at(tmem, content->slot)->owner--;
	clients[0]->dense->common[PERSISTENT]++;
	assert_int_not_equal(store_audit(tmem), 0);
	clients[0]->dense->common[PERSISTENT]--;
	end();
}

/* Where pages are shared, much may have to go before there is a frame: a put gives up then, and
 * the next one goes on. */
static void a_put_does_bounded_work(void **state)
{
	const u32 pages = 3000;
	u64 before;
	int result;

	(void)state;
	begin(pages, 1);
	put_range(0, 0, pages, 1000);
	/* In the opposite order: the oldest of the one are the newest of the other. */
	for (u32 index = pages; index-- > 0;)
		assert_int_equal(put_seed(clients[1], handle_of(0, 1, index), 1000 + index), 0);
	assert_int_equal(common(), pages);
	before = ephemeral_pages(clients[0]) + ephemeral_pages(clients[1]);
	result = put_seed(clients[2], handle_of(0, 2, 0), 77);
	assert_int_equal(result, -SLUICE_ENOMEM);
	assert_true(before - ephemeral_pages(clients[0]) - ephemeral_pages(clients[1]) <= 1024);
	for (u32 tries = 0; tries < 10 && result; tries++)
		result = put_seed(clients[2], handle_of(0, 2, 0), 77);
	assert_int_equal(result, 0);
	end();
}

/* ---- Threads ------------------------------------------------------------------------ */

static void *play(void *argument)
{
	struct tmem_client *client = argument;
	u8 *page = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	u64 state = (u64)(uintptr_t)argument, bad = 0;

	for (u32 i = 0; i < 20000; i++) {
		u32 index = (u32)(host_random(&state) % 64);
		struct tmem_handle handle = handle_of(host_random(&state) & 1, 1, index);
		int result;

		/* What a page holds follows from its index: equal for all, but for one in four. */
		if (host_random(&state) & 1) {
			host_fill_page(page, 100 + index / 4);
			result = tmem_put(client, &handle, page);
			bad += result != 0 && result != -SLUICE_ENOMEM;
		} else {
			result = tmem_get(client, &handle, page);
			bad += result ? result != -SLUICE_ENOENT
				      : !host_page_holds(page, 100 + index / 4);
		}
	}
	free(page);
	return (void *)bad;
}

static void *reclaim(void *argument)
{
	volatile bool *stop = argument;
	void *pages[32];

	while (!__atomic_load_n(stop, __ATOMIC_ACQUIRE)) {
		unsigned count = tmem_reclaim(tmem, pages, 32);

		while (count)
			tmem_port_free(pages[--count], 0);
		sched_yield();
	}
	return NULL;
}

static void members_at_work_at_once(void **state)
{
	pthread_t threads[CLIENTS + 1];
	bool stop = false;

	(void)state;
	begin(100, 1);
	for (unsigned i = 0; i < CLIENTS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, play, clients[i]), 0);
	assert_int_equal(pthread_create(&threads[CLIENTS], NULL, reclaim, &stop), 0);
	for (unsigned i = 0; i < CLIENTS; i++) {
		void *bad;

		pthread_join(threads[i], &bad);
		assert_null(bad);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	pthread_join(threads[CLIENTS], NULL);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_share_and_others_do_not),
		cmocka_unit_test(a_replacement_is_the_clients_own),
		cmocka_unit_test(a_client_goes),
		cmocka_unit_test(each_pays_for_its_pages),
		cmocka_unit_test(reclaim_moves_what_is_common),
		cmocka_unit_test(reclaim_takes_noted_pages),
		cmocka_unit_test(no_memory_for_records),
		cmocka_unit_test(saved_and_restored),
		cmocka_unit_test(the_audit_finds_what_is_wrong),
		cmocka_unit_test(a_put_does_bounded_work),
		cmocka_unit_test(members_at_work_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
