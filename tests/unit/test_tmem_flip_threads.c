/*
 * Pages that change hands from several threads, under ThreadSanitizer: four threads of two clients
 * put and get, by copy and by exchange of frames, and flush, while a fifth reclaims. Each thread
 * has handles of its own, so that it knows what it must find.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/hypercall.h>

#include "tests/unit/tmem_host/port.h"
#include "tests/unit/tmem_host/store.h"

#define CLIENTS   2U
#define THREADS   4U
#define STEPS     20000U
#define PAGES     600U
#define RECLAIMED 32U

static struct tmem *tmem;
static struct tmem_client *clients[CLIENTS];
static bool stop;

struct worker {
	pthread_t thread;
	u64 number;
	u64 stored[2][PAGES]; /* seeds; 0 = surely absent */
	u64 wrong, frames_given, frames_got;
};

static struct tmem_handle nth(const struct worker *worker, u32 pool, u32 page)
{
	return handle_of((int)pool, worker->number * 5 + page % 5, page / 5 * 3);
}

static void get(struct worker *worker, struct tmem_client *client, u32 pool, u32 page, void *buffer,
	bool flip)
{
	struct tmem_handle handle = nth(worker, pool, page);
	u64 *seed = &worker->stored[pool][page];
	void *frame = NULL;
	int result = flip ? tmem_get_flip(client, &handle, buffer, &frame)
			  : tmem_get(client, &handle, buffer);

	if (result == -SLUICE_ENOENT) {
		/* Ephemeral pages may be evicted. */
		worker->wrong += *seed && pool == 1;
		*seed = 0;
		return;
	}
	worker->wrong += result || !*seed || !host_page_holds(frame ? frame : buffer, *seed);
	if (pool == 0)
		*seed = 0;
	if (!frame)
		return;
	worker->frames_got++;
	tmem_port_free(frame, 0);
}

static void put(struct worker *worker, struct tmem_client *client, u32 pool, u32 page, void *buffer,
	u64 seed, bool flip)
{
	struct tmem_handle handle = nth(worker, pool, page);
	void *frame = flip ? tmem_port_alloc(0) : NULL;
	bool taken = false;
	int result;

	host_fill_page(frame ? frame : buffer, seed);
	result = frame ? tmem_put_flip(client, &handle, frame, &taken)
		       : tmem_put(client, &handle, buffer);
	worker->frames_given += taken;
	if (frame && !taken)
		tmem_port_free(frame, 0);
	worker->wrong += result && result != -SLUICE_ENOMEM && result != -SLUICE_ENOSPC;
	worker->stored[pool][page] = result ? 0 : seed;
}

static void *work(void *argument)
{
	struct worker *worker = argument;
	struct tmem_client *client = clients[worker->number % CLIENTS];
	void *buffer = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	u64 state = worker->number + 1;

	for (u32 step = 0; step < STEPS; step++) {
		u64 random = host_random(&state);
		u32 pool = random & 1, page = (u32)(random >> 8) % PAGES;
		u32 what = random >> 40 & 7;
		bool flip = random >> 50 & 1;

		if (what == 0) {
			struct tmem_handle handle = nth(worker, pool, page);

			worker->wrong += tmem_flush_page(client, &handle) != 0;
			worker->stored[pool][page] = 0;
		} else if (what < 4) {
			get(worker, client, pool, page, buffer, flip);
		} else {
			put(worker, client, pool, page, buffer, (random >> 8 & 0xffffff) | 1, flip);
		}
	}
	free(buffer);
	return NULL;
}

static void *reclaim(void *argument)
{
	void *pages[RECLAIMED];

	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		unsigned count = tmem_reclaim(tmem, pages, RECLAIMED);

		for (unsigned i = 0; i < count; i++)
			tmem_port_free(pages[i], 0);
		usleep(200);
	}
	return argument;
}

static void play(u64 memory_pages, u64 max_pages, u8 modes)
{
	static struct worker workers[THREADS];
	u64 given = 0, got = 0;
	pthread_t reclaimer;

	tmem = store_create(memory_pages, max_pages);
	host_frees_are_deferred = true;
	store_modes = modes;
	store_guest_pages = 2000;
	stop = false;
	for (unsigned i = 0; i < CLIENTS; i++) {
		clients[i] = store_client(tmem, i + 1, 300);
		assert_int_equal(tmem_pool_create(clients[i], 0, 0, 0), 0);
		assert_int_equal(tmem_pool_create(clients[i], TMEM_POOL_PERSISTENT, 0, 0), 1);
	}
	assert_int_equal(pthread_create(&reclaimer, NULL, reclaim, NULL), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){.number = i};
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(workers[i].thread, NULL);
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	pthread_join(reclaimer, NULL);
	host_free_deferred();
	host_frees_are_deferred = false;
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(workers[i].wrong, 0);
		given += workers[i].frames_given;
		got += workers[i].frames_got;
	}
	/* Both ways were taken, and not now and then only. */
	assert_true(given > STEPS / 20);
	assert_true(got > STEPS / 100);
	assert_int_equal(store_audit(tmem), 0);
	for (unsigned i = 0; i < CLIENTS; i++)
		store_end_client(clients[i]);
	assert_int_equal(store_end(tmem), 0);
	assert_int_equal(host_complaints, 0);
}

static void frames_change_hands_with_room(void **state)
{
	(void)state;
	play(4096, 0, TMEM_MODE_FILLED);
}

static void frames_change_hands_in_a_full_store(void **state)
{
	(void)state;
	play(4096, 900, 0);
}

static void frames_change_hands_where_memory_is_the_limit(void **state)
{
	(void)state;
	play(1536, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_change_hands_with_room),
		cmocka_unit_test(frames_change_hands_in_a_full_store),
		cmocka_unit_test(frames_change_hands_where_memory_is_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
