/*
 * A reader without any lock beside threads that put, get and resize, under ThreadSanitizer: what
 * was put before a look began is never surely absent. The window is a table of pages as a guest's
 * nested tables are; pages that were taken out are given back when the reader has begun another
 * look.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/hypercall.h>

#include "tests/unit/tmem_host/port.h"
#include "tests/unit/tmem_host/store.h"
#include "tmem/window.h"

#define KEYS    20000u
#define CHURN   6000u /* pages that come and go, so that the filter grows and shrinks */
#define CHANGES 8u    /* of the filter's size, at least */
#define BEHIND  1000u

static struct tmem *tmem;
static struct tmem_client *client;
static u64 key[TMEM_FILTER_KEY_WORDS];
static u32 published; /* keys below were put */
static u32 lower;     /* the reader looks for none below */
static bool ended;
static u64 looks; /* begun by the reader, or */
#define LOOKS_ENDED (~0UL)
static u64 sure, wrong;

/* The nested tables: under the mutex, but read without it. */
static void *mapped[TMEM_WINDOW_PAGES];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static u64 ones[PAGE_SIZE / 8];

static void *map_page(u32 index)
{
	void *page = ones;

	pthread_mutex_lock(&mutex);
	switch (tmem_window_page(client, 0, index, &page)) {
	case 0:
		__atomic_store_n(&mapped[index], page, __ATOMIC_RELEASE);
		break;
	case -SLUICE_ENOENT:
		page = ones;
		break;
	default:
		fprintf(stderr, "the reader looks at page %u, which never was\n", index);
		abort();
	}
	pthread_mutex_unlock(&mutex);
	return page;
}

static void *look_at(u64 index)
{
	void *page = __atomic_load_n(&mapped[index], __ATOMIC_ACQUIRE);

	return page ? page : map_page((u32)index);
}

static bool surely_lacks(u32 index)
{
	const struct tmem_filter_header *header = look_at(0);
	u64 object[3] = {1, 0, 0};
	u64 hash = tmem_filter_hash(tmem_filter_object(key, object), index);
	struct tmem_filter_view view;
	const u8 *page;

	if (!tmem_filter_find(header, hash, &view))
		return false;
	page = look_at(view.offset / PAGE_SIZE);
	return tmem_filter_line_lacks(
		header, &view, (const u64 *)(page + view.offset % PAGE_SIZE), hash);
}

static void *reader(void *argument)
{
	u64 state = 5;

	(void)argument;
	while (!__atomic_load_n(&ended, __ATOMIC_ACQUIRE)) {
		u32 end = __atomic_load_n(&published, __ATOMIC_ACQUIRE);
		u32 from = end > BEHIND ? end - BEHIND : 0;

		__atomic_fetch_add(&looks, 1, __ATOMIC_SEQ_CST);
		__atomic_store_n(&lower, from, __ATOMIC_SEQ_CST);
		if (end == from)
			continue;
		wrong += surely_lacks(from + (u32)(host_random(&state) % (end - from)));
		wrong += surely_lacks(end - 1);
		sure += surely_lacks(KEYS + (u32)(host_random(&state) % KEYS));
	}
	/* Nothing that was shown is looked at any more. */
	__atomic_store_n(&looks, LOOKS_ENDED, __ATOMIC_SEQ_CST);
	return NULL;
}

/* What the hypervisor does with pages that left: unmap, let everybody pass, free. */
static void collect(void)
{
	u32 pool, index;
	void *page;

	pthread_mutex_lock(&mutex);
	if (!tmem_window_collect(client, &pool, &index, &page))
		page = NULL;
	else
		__atomic_store_n(&mapped[index], NULL, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&mutex);
	if (page) {
		u64 begun = __atomic_load_n(&looks, __ATOMIC_SEQ_CST);

		while (begun != LOOKS_ENDED && __atomic_load_n(&looks, __ATOMIC_SEQ_CST) == begun)
			sched_yield();
		tmem_port_free(page, 0);
	}
}

/* A put of what the thread's own page holds. */
static void put(void *page, u64 object, u32 index)
{
	struct tmem_handle handle = handle_of(0, object, index);

	if (tmem_put(client, &handle, page))
		abort();
}

static void *putter(void *argument)
{
	static u8 page[PAGE_SIZE] __aligned_to(PAGE_SIZE);
	u32 removed = 0;

	for (u32 index = 0; index < KEYS; index++) {
		/* No further ahead, so that what is not yet removed stays little. */
		while (index > __atomic_load_n(&lower, __ATOMIC_SEQ_CST) + 2 * BEHIND)
			sched_yield();
		put(page, 1, index);
		__atomic_store_n(&published, index + 1, __ATOMIC_RELEASE);
		for (; removed < __atomic_load_n(&lower, __ATOMIC_SEQ_CST); removed++) {
			struct tmem_handle handle = handle_of(0, 1, removed);

			if (tmem_get(client, &handle, page))
				abort();
		}
	}
	return argument;
}

static void *churner(void *argument)
{
	static u8 page[PAGE_SIZE] __aligned_to(PAGE_SIZE);

	while (!__atomic_load_n(&ended, __ATOMIC_ACQUIRE)) {
		for (u32 index = 0; index < CHURN; index++) {
			put(page, 2, index);
			collect();
		}
		for (u32 index = 0; index < CHURN; index++) {
			struct tmem_handle handle = handle_of(0, 2, index);

			if (tmem_flush_page(client, &handle))
				abort();
			tmem_window_tick(client);
			collect();
		}
	}
	return argument;
}

static void a_reader_without_lock_misses_nothing(void **state)
{
	const struct tmem_filter_header *header;
	pthread_t threads[3];
	u64 changes;

	(void)state;
	memset(ones, 0xff, sizeof(ones));
	tmem = store_create(128 * BLOCK_PAGES, 0);
	client = store_client(tmem, 1, ~0UL);
	assert_int_equal(tmem_pool_create(client, 0, 0, 0), 0);
	assert_int_equal(tmem_window_open(client, 0, key), 0);
	header = look_at(0);

	pthread_create(&threads[0], NULL, putter, NULL);
	pthread_create(&threads[1], NULL, churner, NULL);
	pthread_create(&threads[2], NULL, reader, NULL);
	pthread_join(threads[0], NULL);
	while (__atomic_load_n(&header->sequence, __ATOMIC_ACQUIRE) < 2 * CHANGES ||
		__atomic_load_n(&looks, __ATOMIC_SEQ_CST) < 2000)
		sched_yield();
	__atomic_store_n(&ended, true, __ATOMIC_RELEASE);
	pthread_join(threads[2], NULL);
	pthread_join(threads[1], NULL);

	changes = header->sequence / 2;
	printf("%llu looks, %llu sure of absence, %llu changes of size\n",
		(unsigned long long)published, (unsigned long long)sure,
		(unsigned long long)changes);
	assert_int_equal(wrong, 0);
	assert_true(sure > 100);
	assert_true(changes >= CHANGES);
	assert_int_equal(store_audit(tmem), 0);
	store_end_client(client);
	assert_int_equal(store_end(tmem), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reader_without_lock_misses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
