/*
 * A thread on the second vCPU: it starts, ends and starts again; it has a mutex with main(); it
 * puts and gets pages of its own and computes with vector registers while main() pages.
 */
#include "selftest.h"

#include <abi/errno.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest-shim/hypercall.h"
#include "guest-shim/shim.h"
#include "guest-shim/threads.h"

#define ADDITIONS  20000u
#define POOL_PAGES 64u

static struct mutex mutex;
static volatile uint64_t sum; /* under the mutex */
static volatile bool stop;
static uint64_t thread_failures, thread_rounds;

static void add(void)
{
	for (unsigned n = 0; n < ADDITIONS; n++) {
		mutex_lock(&mutex);
		sum = sum + 1;
		mutex_unlock(&mutex);
	}
}

static void add_in_thread(void *argument)
{
	*(uint64_t *)argument = 0x1234;
	add();
}

static void check_mutex(void)
{
	static uint64_t written;

	CHECK(thread_join() == -ESRCH);
	CHECK(thread_start(add_in_thread, &written) == 0);
	CHECK(thread_start(add_in_thread, &written) == -EBUSY);
	add();
	CHECK(thread_join() == 0);
	CHECK(sum == 2 * ADDITIONS && written == 0x1234);
	CHECK(thread_join() == -ESRCH);
}

/* It waits for a mutex that main() holds while it sleeps. */
static void wait_in_thread(void *argument)
{
	(void)argument;
	mutex_lock(&mutex);
	sum = sum * 2;
	mutex_unlock(&mutex);
}

static void check_sleeping_holder(void)
{
	mutex_lock(&mutex);
	sum = 1;
	CHECK(thread_start(wait_in_thread, NULL) == 0);
	shim_sleep_until(shim_time_ns() + 20000000);
	sum = 20;
	mutex_unlock(&mutex);
	CHECK(thread_join() == 0);
	CHECK(sum == 40);
}

static uint64_t page_call(uint64_t number, int64_t pool, uint32_t index, const void *page)
{
	return (uint64_t)hypercall(
		number, TMEM_HANDLE(pool, index), 0x7468, 0, 0, (uint64_t)page / PAGE_BYTES);
}

/* Pages in and out of a pool of its own, each compared whole; and floating point. */
static void work_in_thread(void *argument)
{
	uint64_t *page = argument;
	int64_t pool = hypercall(HYPERCALL_TMEM_POOL_NEW, TMEM_POOL_PERSISTENT, 0, 0, 0, 0);

	thread_failures += pool < 0;
	for (thread_rounds = 0; !stop; thread_rounds++) {
		uint32_t index = (uint32_t)(thread_rounds % POOL_PAGES);
		double root = sqrt((double)thread_rounds);

		for (unsigned i = 0; i < PAGE_WORDS; i++)
			page[i] = pattern_word(thread_rounds, i);
		thread_failures += page_call(HYPERCALL_TMEM_PUT, pool, index, page) != 0;
		memset(page, 0, PAGE_BYTES);
		thread_failures += page_call(HYPERCALL_TMEM_GET, pool, index, page) != 0;
		for (unsigned i = 0; i < PAGE_WORDS; i++)
			thread_failures += page[i] != pattern_word(thread_rounds, i);
		thread_failures += fabs(root * root - (double)thread_rounds) > 1e-3;
	}
	thread_failures += hypercall(HYPERCALL_TMEM_POOL_DESTROY, (uint64_t)pool, 0, 0, 0, 0) != 0;
}

void check_threads(unsigned pages, unsigned rounds)
{
	/* Image and area are mapped apart: the hypervisor wants the frame, which only the image's
	 * addresses are. */
	static uint64_t page[PAGE_WORDS] __attribute__((aligned(PAGE_BYTES)));
	char *memory = thread_memory(3 * PAGE_BYTES);

	CHECK(memory != NULL);
	for (unsigned i = 0; memory && i < 3 * PAGE_BYTES; i++)
		CHECK(memory[i] == 0);
	CHECK(thread_memory(SIZE_MAX) == NULL);
	check_mutex();
	check_sleeping_holder();
	CHECK(thread_start(work_in_thread, page) == 0);
	check_pressure(pages, rounds, 0);
	stop = true;
	CHECK(thread_join() == 0);
	CHECK(thread_failures == 0);
	CHECK(thread_rounds > 0);
	printf("the thread made %llu rounds\n", (unsigned long long)thread_rounds);
}

static void touch_in_thread(void *argument)
{
	*(volatile char *)argument = 1;
}

void check_thread_on_heap(void)
{
	/* Never touched, so not there. */
	CHECK(thread_start(touch_in_thread, shim_alloc_anonymous(PAGE_BYTES)) == 0);
	CHECK(thread_join() == 0);
}
