/*
 * Several CPUs at once in the tmem engine, under ThreadSanitizer: two threads a client, each with
 * objects of its own and a record of what it stored; one thread that reclaims; clients that end and
 * start again. TMEM_STEPS sets the operations of each thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

#include <abi/errno.h>
#include <abi/hypercall.h>

#include "tests/unit/tmem_host/port.h"
#include "tests/unit/tmem_host/store.h"

#define CLIENTS 3
#define WORKERS (2 * CLIENTS)
#define PAGES   600U
#define OBJECTS 5U

struct worker {
	pthread_t thread;
	struct tmem_client *client;
	struct tmem *tmem;
	unsigned number;
	u64 steps;
	u64 hits;
	const char *error;
	u64 stored[2][PAGES]; /* seed by pool and page; 0 = not stored, for ephemeral pages maybe
				 evicted */
};

static bool stop;

static struct tmem_handle worker_handle(const struct worker *worker, unsigned pool, u32 page)
{
	return handle_of((int)pool, worker->number * OBJECTS + page % OBJECTS, page / OBJECTS * 3);
}

static const char *work_step(struct worker *worker, u64 *state, u8 *buffer)
{
	u64 random = host_random(state);
	unsigned pool = random & 1;
	u32 page = (u32)(random >> 8) % PAGES;
	u64 *stored = &worker->stored[pool][page];
	struct tmem_handle handle = worker_handle(worker, pool, page);
	int result;

	switch (random >> 40 & 7) {
	case 0:
		if (tmem_flush_page(worker->client, &handle))
			return "flush";
		*stored = 0;
		return NULL;
	case 1:
	case 2:
	case 3:
		result = tmem_get(worker->client, &handle, buffer);
		if (result == -SLUICE_ENOENT) {
			if (*stored && pool == 1)
				return "persistent page lost";
			*stored = 0;
			return NULL;
		}
		if (result || !*stored || !host_page_holds(buffer, *stored))
			return "wrong page";
		worker->hits++;
		if (pool == 0)
			*stored = 0;
		return NULL;
	default:
		random = (random & ((1UL << HOST_KIND_SHIFT) - 1)) | 1 |
			 (random >> 44) % HOST_PAGE_KINDS << HOST_KIND_SHIFT;
		host_fill_page(buffer, random);
		result = tmem_put(worker->client, &handle, buffer);
		if (result && result != -SLUICE_ENOMEM && result != -SLUICE_ENOSPC)
			return "put";
		*stored = result ? 0 : random;
		return NULL;
	}
}

static void *work(void *argument)
{
	struct worker *worker = argument;
	u64 state = worker->number + 1;
	u8 *buffer = aligned_alloc(PAGE_SIZE, PAGE_SIZE);

	for (u64 i = 0; i < worker->steps && !worker->error; i++)
		worker->error = work_step(worker, &state, buffer);
	free(buffer);
	return NULL;
}

/* A guest that needs memory, and one that starts and dies again and again. */
static void *disturb(void *argument)
{
	struct tmem *tmem = argument;
	u8 *buffer = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	void *pages[32];

	host_fill_page(buffer, 7);
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		struct tmem_client *client = store_client(tmem, 2, ~0UL);
		unsigned count = tmem_reclaim(tmem, pages, 32);
		struct tmem_stats stats;

		for (unsigned i = 0; i < count; i++)
			tmem_port_free(pages[i], 0);
		tmem_stats(tmem, &stats);
		if (client && tmem_pool_create(client, 0, 0, 0) == 0) {
			for (u32 index = 0; index < 100; index++) {
				struct tmem_handle handle = handle_of(0, 1, index);

				tmem_put(client, &handle, buffer);
			}
		}
		if (client)
			store_end_client(client);
		sched_yield();
	}
	free(buffer);
	return NULL;
}

static void stress(u64 max_pages, u64 memory_pages, u8 modes)
{
	const char *text = getenv("TMEM_STEPS");
	u64 steps = text ? strtoull(text, NULL, 0) : 30000;
	struct tmem *tmem = store_create(memory_pages, max_pages);
	struct tmem_client *clients[CLIENTS];
	static struct worker workers[WORKERS];
	pthread_t disturber;
	u64 hits = 0;

	host_frees_are_deferred = true;
	store_modes = modes;
	store_guest_pages = modes ? 2000 : 0;
	for (unsigned i = 0; i < CLIENTS; i++) {
		clients[i] = store_client(tmem, i + 1, 300);
		assert_non_null(clients[i]);
		assert_int_equal(tmem_pool_create(clients[i], 0, 0, 0), 0);
		assert_int_equal(tmem_pool_create(clients[i], TMEM_POOL_PERSISTENT, 0, 0), 1);
	}
	stop = false;
	assert_int_equal(pthread_create(&disturber, NULL, disturb, tmem), 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker){
			.client = clients[i % CLIENTS], .tmem = tmem, .number = i, .steps = steps};
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		pthread_join(workers[i].thread, NULL);
		hits += workers[i].hits;
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	pthread_join(disturber, NULL);

	for (unsigned i = 0; i < WORKERS; i++)
		if (workers[i].error)
			fail_msg("worker %u: %s", i, workers[i].error);
	assert_true(hits > steps / 10);
	host_free_deferred();
	host_frees_are_deferred = false;
	assert_int_equal(store_audit(tmem), 0);
	for (unsigned i = 0; i < CLIENTS; i++)
		store_end_client(clients[i]);
	assert_int_equal(store_end(tmem), 0);
	assert_int_equal(host_complaints, 0);
}

static void with_room(void **state)
{
	(void)state;
	stress(0, 16384, 0);
}

static void with_eviction(void **state)
{
	(void)state;
	stress(1200, 4096, 0);
}

static void with_memory_full(void **state)
{
	(void)state;
	stress(0, 1536, 0);
}

static void with_dense_pages(void **state)
{
	const u8 all = TMEM_MODE_FILLED | TMEM_MODE_DEDUP | TMEM_MODE_COMPRESS;

	(void)state;
	stress(600, 4096, all);
	stress(0, 1536, all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(with_room),
		cmocka_unit_test(with_eviction),
		cmocka_unit_test(with_memory_full),
		cmocka_unit_test(with_dense_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
