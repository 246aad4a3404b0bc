/*
 * Guest-physical memory on several CPUs at once: faults, host pointers, pins and removals in the
 * same blocks, and one huge page that all of them scrub.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fake/ending.h"
#include "fake/machine.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/vm/audit.h"
#include "kernel/vm/memory_nested.h"

#define THREADS 2

static struct vm *shared;
static u32 done_threads;

/* Faults, host pointers, pins and removals in the same few blocks. */
static void *hammer(void *argument)
{
	unsigned cpu = (unsigned)(u64)argument;
	u64 random = cpu * 7919 + 1;
	struct vcpu mine = {.vm = shared};

	fake_run_as(cpu);
	for (unsigned step = 0; step < 30000; step++) {
		u64 frame;
		mfn_t host;
		u8 *page;

		random = random * 6364136223846793005 + 1442695040888963407;
		frame = (random >> 33) % (MIB(8) / PAGE_SIZE);
		switch (random >> 60) {
		case 0:
		case 1:
			(void)!memory_remove(shared, gfn(frame));
			break;
		case 2:
		case 3:
			if (memory_pin(shared, gfn(frame), &host) == 0) {
				if (frame_of(host)->class != FRAME_GUEST)
					return (void *)"a pinned frame is not the guest's";
				memory_unpin(shared, gfn(frame));
			}
			break;
		case 4:
		case 5:
		case 6:
			if (memory_fault(&mine, gfn_to_gpa(gfn(frame)), ACCESS_READ) != DONE)
				return (void *)"a fault was not served";
			break;
		default:
			page = memory_page(shared, gfn(frame));
			if (!page)
				return (void *)"no page";
			__atomic_store_n(&page[cpu], cpu, __ATOMIC_RELAXED);
			if (frame_of(ptr_to_mfn(page))->class == FRAME_FREE)
				return (void *)"a page went free under a host pointer";
		}
		epoch_quiescent(epoch_now());
		limbo_drain();
	}
	epoch_enter_idle();
	__atomic_fetch_add(&done_threads, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void cpus_work_at_once(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	fake_core_start(MIB(64), THREADS);
	shared = fake_vm(0);
	done_threads = 0;
	assert_int_equal(memory_create(shared, MIB(8), &fake_ept), 0);
	for (u64 i = 0; i < THREADS; i++) {
		fake_run_as((unsigned)i);
		epoch_leave_idle();
	}
	for (u64 i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, hammer, (void *)i), 0);
	for (unsigned i = 0; i < THREADS; i++)
		fake_join(threads[i]);
	fake_run_as(0);
	assert_int_equal(done_threads, THREADS);
	fake_end_guest(shared);
}

static void *fault_huge(void *argument)
{
	struct vcpu mine = {.vm = shared};

	fake_run_as((unsigned)(u64)argument);
	while ((READ_ONCE(shared->memory.gfns[HUGE_PAGES]) & GFN_STATE) != GFN_RAM)
		if (memory_fault(&mine, gpa(GIB(1)), ACCESS_READ) != DONE)
			return (void *)"a fault was not served";
	return NULL;
}

static void cpus_scrub_one_huge_page_together(void **state)
{
	pthread_t threads[THREADS];
	u64 cleared;

	(void)state;
	fake_core_start(GIB(3), THREADS);
	shared = fake_vm(0);
	assert_int_equal(memory_create(shared, GIB(2), &fake_ept), 0);
	fake_clear_skip = true;
	cleared = fake_pages_cleared;
	for (u64 i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, fault_huge, (void *)i), 0);
	for (unsigned i = 0; i < THREADS; i++)
		fake_join(threads[i]);
	fake_run_as(0);
	assert_int_equal(shared->memory.huge_pages, 1);
	/* Who comes late may have scrubbed one block in vain, not the page again. */
	assert_in_range(
		fake_pages_cleared - cleared, HUGE_PAGES, HUGE_PAGES + (THREADS - 1) * BLOCK_PAGES);
	assert_int_equal(frames_of_class(FRAME_GUEST), HUGE_PAGES);
	assert_int_equal(audit_run(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cpus_work_at_once),
		cmocka_unit_test(cpus_scrub_one_huge_page_together),
	};

	return cmocka_run_group_tests_name("memory_cpus", tests, NULL, NULL);
}
