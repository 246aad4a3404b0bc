/*
 * Memory that a guest's balloon takes and gives back: random operations against a model of one
 * word a page, and two CPUs that balloon and touch the same blocks.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>

#include "fake/ending.h"
#include "fake/machine.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/vm/audit.h"
#include "kernel/vm/limbo.h"

static struct vm *vm;
static struct vcpu vcpu;

#define BLOCKS 4u
#define PAGES  (BLOCKS * BLOCK_PAGES)

static u64 random_state = 20261;
static u64 random_below(u64 limit)
{
	random_state = random_state * 6364136223846793005 + 1442695040888963407;
	return (random_state >> 33) % limit;
}

/* What the guest wrote last, or where the page is. */
enum { ZEROS = 0, GONE = 1 << 30, FREE = 1 << 29 };
static u32 model[PAGES];
static bool pinned[PAGES];

static int expected_inflate(u64 from, u64 pages)
{
	for (u64 i = from; i < from + pages; i++) {
		if (pinned[i])
			return -SLUICE_EBUSY;
		if (model[i] == GONE)
			return -SLUICE_EINVAL;
	}
	return 0;
}

static void step(unsigned number)
{
	bool block = random_below(8) == 0;
	unsigned order = block ? BLOCK_ORDER : 0;
	u64 pages = 1UL << order;
	u64 at = random_below(PAGES) & ~(pages - 1);
	int expected = 0;
	mfn_t host;
	u32 *page;

	switch (random_below(7)) {
	case 0:
		expected = expected_inflate(at, pages);
		assert_int_equal(memory_inflate(vm, gfn(at), order), expected);
		for (u64 i = at; !expected && i < at + pages; i++)
			model[i] = GONE;
		break;
	case 1:
		expected = expected_inflate(at, pages);
		assert_int_equal(memory_report(vm, gfn(at), order), expected);
		for (u64 i = at; !expected && i < at + pages; i++)
			model[i] = ZEROS;
		break;
	case 2:
		for (u64 i = at; i < at + pages; i++)
			expected |= model[i] == GONE ? 0 : -SLUICE_EINVAL;
		assert_int_equal(memory_deflate(vm, gfn(at), order), expected);
		for (u64 i = at; !expected && i < at + pages; i++)
			model[i] = ZEROS;
		break;
	case 3:
		if (pinned[at]) {
			memory_unpin(vm, gfn(at));
			pinned[at] = false;
		} else if (model[at] == GONE) {
			assert_int_equal(memory_pin(vm, gfn(at), &host), -SLUICE_EFAULT);
		} else {
			assert_int_equal(memory_pin(vm, gfn(at), &host), 0);
			pinned[at] = true;
		}
		break;
	case 4:
		assert_int_equal(memory_fault(&vcpu, gpa(at << PAGE_SHIFT), ACCESS_WRITE),
			model[at] == GONE ? BAD : DONE);
		break;
	default:
		page = memory_page(vm, gfn(at));
		if (model[at] == GONE) {
			assert_null(page);
			break;
		}
		assert_non_null(page);
		assert_int_equal(page[at % 1024], model[at]);
		page[at % 1024] = model[at] = number;
	}
}

static void random_operations_match_a_model(void **state)
{
	(void)state;
	fake_core_start(MIB(32), 1);
	epoch_quiescent(epoch_now());
	vm = fake_vm(0);
	assert_int_equal(memory_create(vm, PAGES * PAGE_SIZE, &fake_ept), 0);
	vcpu.vm = vm;
	memset(model, 0, sizeof(model));
	memset(pinned, 0, sizeof(pinned));
	for (unsigned number = 1; number <= 60000; number++) {
		step(number);
		if (number % 64 == 0) {
			epoch_quiescent(epoch_now());
			limbo_drain();
		}
		if (number % 10000 == 0) {
			u64 gone = 0;

			for (unsigned i = 0; i < PAGES; i++)
				gone += model[i] == GONE;
			assert_int_equal(vm->memory.ballooned_pages, gone);
			assert_int_equal(audit_run(), 0);
		}
	}
	for (unsigned i = 0; i < PAGES; i++)
		if (pinned[i])
			memory_unpin(vm, gfn(i));
}

/* ---- Two CPUs ----------------------------------------------------------------------------------
 */

static u32 running;

/* One balloons and takes back whole blocks and pages, the other touches and pins them. */
static void *balloon_thread(void *argument)
{
	(void)argument;
	fake_run_as(0);
	for (unsigned i = 0; i < 3000; i++) {
		unsigned order = i % 3 ? 0 : BLOCK_ORDER;
		gfn_t first = gfn(i % 3 ? i % PAGES : i % BLOCKS * BLOCK_PAGES);
		int err = memory_inflate(vm, first, order);

		if (err && err != -SLUICE_EBUSY)
			return (void *)"inflate failed";
		if (!err && memory_deflate(vm, first, order))
			return (void *)"deflate failed";
		epoch_quiescent(epoch_now());
		limbo_drain();
	}
	epoch_enter_idle();
	__atomic_store_n(&running, 0, __ATOMIC_SEQ_CST);
	return NULL;
}

static void *touch_thread(void *argument)
{
	(void)argument;
	fake_run_as(1);
	for (u64 i = 0; __atomic_load_n(&running, __ATOMIC_SEQ_CST); i++) {
		u8 *page = memory_page(vm, gfn(i * 7919 % PAGES));
		mfn_t host;

		if (page) {
			__atomic_store_n(page, 1, __ATOMIC_RELAXED);
			if (frame_of(ptr_to_mfn(page))->class == FRAME_FREE)
				return (void *)"a page went free under a host pointer";
		}
		if (memory_pin(vm, gfn(i * 31 % PAGES), &host) == 0) {
			if (frame_of(host)->class != FRAME_GUEST)
				return (void *)"a pinned frame is not the guest's";
			memory_unpin(vm, gfn(i * 31 % PAGES));
		}
		epoch_quiescent(epoch_now());
		limbo_drain();
	}
	epoch_enter_idle();
	return NULL;
}

static void two_cpus_at_once(void **state)
{
	pthread_t threads[2];

	(void)state;
	fake_core_start(MIB(64), 2);
	vm = fake_vm(0);
	assert_int_equal(memory_create(vm, PAGES * PAGE_SIZE, &fake_npt), 0);
	for (unsigned i = 0; i < 2; i++) {
		fake_run_as(i);
		epoch_leave_idle();
	}
	running = 1;
	assert_int_equal(pthread_create(&threads[0], NULL, balloon_thread, NULL), 0);
	assert_int_equal(pthread_create(&threads[1], NULL, touch_thread, NULL), 0);
	for (unsigned i = 0; i < 2; i++)
		fake_join(threads[i]);
	fake_run_as(0);
	assert_int_equal(vm->memory.ballooned_pages, 0);
	fake_end_guest(vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations_match_a_model),
		cmocka_unit_test(two_cpus_at_once),
	};

	return cmocka_run_group_tests_name("memory_balloon_model", tests, NULL, NULL);
}
