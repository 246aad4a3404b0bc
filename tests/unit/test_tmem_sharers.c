/*
 * Several CPUs at once on what is shared and controlled, under ThreadSanitizer: guests put, get and
 * flush in one shared pool while they join and leave it, are frozen, capped and listed, memory is
 * reclaimed, and one client is saved and restored again and again. Every page that is got must be
 * one that was put under its handle, whole. TMEM_STEPS sets the operations of each thread.
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
#include "tests/unit/tmem_host/stream.h"

#define GUESTS 3U
#define PAGES  400U
#define KEPT   100U /* persistent pages of the client that is saved */
#define SEAT   1    /* the id of the shared pool at every guest */

struct worker {
	pthread_t thread;
	struct tmem *tmem;
	struct tmem_client *client;
	unsigned number;
	u64 steps, hits;
	const char *error;
};

static const struct tmem_shared_grant grant = {.uuid = {5, 6}, .weight = 2};
static bool stop;

static struct tmem_client *create_guest(struct tmem *tmem)
{
	struct tmem_client_config config = {
		.weight = 1, .persistent_max = ~0UL, .shared = &grant, .shared_count = 1};

	tmem_port_random(config.hash_keys, ARRAY_SIZE(config.hash_keys));
	return tmem_client_create(tmem, &config);
}

/* ---- Guests at work ----------------------------------------------------------------- */

static bool is_page(const u64 *words, u32 page)
{
	u64 seed = words[0];

	for (u64 i = 1; i < PAGE_SIZE / 8; i++)
		if (words[i] != (seed ^ i * 0x9e3779b97f4a7c15UL))
			return false;
	return seed >> 32 == page;
}

static void fill(u64 *words, u32 page, u32 version)
{
	for (u64 i = 0; i < PAGE_SIZE / 8; i++)
		words[i] = ((u64)page << 32 | version) ^ i * 0x9e3779b97f4a7c15UL;
}

static bool may_fail(int result)
{
	return result == -SLUICE_EBADF || result == -SLUICE_ENOMEM || result == -SLUICE_ENOSPC;
}

static const char *work_step(struct worker *worker, u64 *state, u64 *buffer)
{
	u64 random = host_random(state);
	u32 page = (u32)(random >> 8) % PAGES;
	struct tmem_handle handle = handle_of(SEAT, page % 7, page);
	int result;

	switch (random >> 40 & 15) {
	case 0:
		result = tmem_flush_page(worker->client, &handle);
		return result && !may_fail(result) ? "flush" : NULL;
	case 1:
		result = random >> 44 & 7 ? 0 : tmem_flush_object(worker->client, &handle);
		return result && result != -SLUICE_EAGAIN && !may_fail(result) ? "flush object"
									       : NULL;
	case 2 ... 8:
		result = tmem_get(worker->client, &handle, buffer);
		worker->hits += result == 0;
		if (result == 0 && !is_page(buffer, page))
			return "wrong page";
		return result && result != -SLUICE_ENOENT && !may_fail(result) ? "get" : NULL;
	default:
		fill(buffer, page, (u32)(random >> 32));
		result = tmem_put(worker->client, &handle, buffer);
		return result && !may_fail(result) ? "put" : NULL;
	}
}

static void *work(void *argument)
{
	struct worker *worker = argument;
	u64 state = worker->number + 77;
	u64 *buffer = aligned_alloc(PAGE_SIZE, PAGE_SIZE);

	for (u64 i = 0; i < worker->steps && !worker->error; i++)
		worker->error = work_step(worker, &state, buffer);
	free(buffer);
	return NULL;
}

/* ---- What is done to them ----------------------------------------------------------- */

static const char *control_step(struct tmem_client *client, u64 random)
{
	struct tmem_pool_info infos[TMEM_POOLS_PER_GUEST];
	int result;

	switch (random >> 33 & 7) {
	case 0:
		do
			result = tmem_pool_destroy(client, SEAT);
		while (result == -SLUICE_EAGAIN);
		if (result && result != -SLUICE_EBADF)
			return "leave";
		return NULL;
	case 1:
	case 2:
		result = tmem_pool_create(client, TMEM_POOL_SHARED, 5, 6);
		return result == SEAT || result == -SLUICE_ENOMEM || result == -SLUICE_EBUSY
			       ? NULL
			       : "join";
	case 3:
		tmem_client_freeze(client, true);
		return NULL;
	case 4:
		return tmem_client_set_weight(client, 1 + (random & 7)) ? "weight" : NULL;
	case 5:
		return tmem_client_list(client, infos) > 2 ? "list" : NULL;
	default:
		tmem_client_freeze(client, false);
		return NULL;
	}
}

static void *control(void *argument)
{
	struct worker *worker = argument;
	u64 state = worker->number + 99;
	struct tmem_client **guests = (struct tmem_client **)worker->client;
	void *pages[8];

	for (u64 i = 0; i < worker->steps / 40 && !worker->error; i++) {
		u64 random = host_random(&state);

		worker->error = control_step(guests[random % GUESTS], random);
		if (i % 16 == 0) {
			unsigned count = tmem_reclaim(worker->tmem, pages, 8);

			while (count)
				tmem_port_free(pages[--count], 0);
			tmem_tick(worker->tmem);
		}
		sched_yield();
	}
	return NULL;
}

/* Saves a client that goes on putting, and restores what was saved to another. */
static void *move(void *argument)
{
	struct worker *worker = argument;

	for (u64 round = 0; round < worker->steps / 1000 && !worker->error; round++) {
		struct tmem_client *heir = store_client(worker->tmem, 1, ~0UL);
		enum tmem_restore_status status = TMEM_RESTORE_NO_ROOM;
		struct stream stream;
		s64 error = 0;

		tmem_client_freeze(worker->client, true);
		if (stream_save(worker->client, 50000, &stream))
			worker->error = "save";
		tmem_client_freeze(worker->client, false);
		if (heir && !worker->error)
			status = stream_restore(heir, stream.bytes, stream.size, 33333, &error);
		if (status != TMEM_RESTORE_DONE && status != TMEM_RESTORE_NO_ROOM)
			worker->error = "restore";
		stream_free(&stream);
		if (heir)
			store_end_client(heir);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	return NULL;
}

/* The client that is saved, at work all the time. */
static void *keep(void *argument)
{
	struct worker *worker = argument;
	u64 *buffer = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	u64 state = 3;

	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE) && !worker->error) {
		u32 page = (u32)host_random(&state) % KEPT;
		struct tmem_handle handle = handle_of(0, page % 3, page);
		int result;

		fill(buffer, page, 1);
		result = tmem_put(worker->client, &handle, buffer);
		if (result && !may_fail(result))
			worker->error = "persistent put";
		if (result == 0 &&
			(tmem_get(worker->client, &handle, buffer) || !is_page(buffer, page)))
			worker->error = "persistent page";
		if (page % 5 == 0 && tmem_flush_page(worker->client, &handle))
			worker->error = "persistent flush";
	}
	free(buffer);
	return NULL;
}

static void start(struct worker *worker, void *(*play)(void *))
{
	assert_int_equal(pthread_create(&worker->thread, NULL, play, worker), 0);
}

static void sharers_come_and_go_while_others_work(void **state)
{
	const char *text = getenv("TMEM_STEPS");
	u64 steps = text ? strtoull(text, NULL, 0) : 20000;
	struct tmem *tmem = store_create(8192, 900);
	struct tmem_client *guests[GUESTS], *keeper = store_client(tmem, 1, ~0UL);
	static struct worker workers[2 * GUESTS + 3];
	u64 hits = 0;

	(void)state;
	host_frees_are_deferred = true;
	stop = false;
	assert_int_equal(tmem_pool_create(keeper, TMEM_POOL_PERSISTENT, 0, 0), 0);
	for (unsigned i = 0; i < GUESTS; i++) {
		guests[i] = create_guest(tmem);
		assert_int_equal(tmem_pool_create(guests[i], 0, 0, 0), 0);
		assert_int_equal(tmem_pool_create(guests[i], TMEM_POOL_SHARED, 5, 6), SEAT);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(workers); i++)
		workers[i] = (struct worker){.tmem = tmem,
			.client = i < 2 * GUESTS ? guests[i % GUESTS] : keeper,
			.number = i,
			.steps = steps};
	for (unsigned i = 0; i < 2 * GUESTS; i++)
		start(&workers[i], work);
	workers[2 * GUESTS].client = (struct tmem_client *)guests;
	start(&workers[2 * GUESTS], control);
	start(&workers[2 * GUESTS + 1], move);
	start(&workers[2 * GUESTS + 2], keep);
	for (unsigned i = 0; i < ARRAY_SIZE(workers); i++) {
		pthread_join(workers[i].thread, NULL);
		hits += workers[i].hits;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(workers); i++)
		if (workers[i].error)
			fail_msg("worker %u: %s", i, workers[i].error);
	/* How many depends on who runs when: guests are frozen and pools gone most of the time. */
	assert_true(hits > 100);
	host_free_deferred();
	host_frees_are_deferred = false;
	assert_int_equal(store_audit(tmem), 0);
	for (unsigned i = 0; i < GUESTS; i++)
		store_end_client(guests[i]);
	store_end_client(keeper);
	assert_int_equal(store_end(tmem), 0);
	assert_int_equal(host_complaints, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sharers_come_and_go_while_others_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
