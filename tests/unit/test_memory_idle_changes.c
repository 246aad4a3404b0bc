/*
 * Idle memory while the memory changes: pages are split and put together, its state comes and goes
 * with the guest's memory, and a guest on another CPU uses, gives and takes pages meanwhile.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fake/ending.h"
#include "fake/idle_guest.h"
#include "fake/store.h"
#include "kernel/core/frame.h"
#include "kernel/vm/audit.h"
#include "kernel/vm/limbo.h"

/* ---- Pages that change their size ------------------------------------------------------- */

static void a_split_page_ages_in_parts(void **state)
{
	(void)state;
	start(MIB(32), MIB(2), &fake_ept);
	populate(0, BLOCK_PAGES);
	tick(10);
	use(0, 1);
	/* One page goes; the others inherit the bit. */
	assert_int_equal(memory_inflate(vm, gfn(7), 0), 0);
	tick(1);
	look();
	assert_int_equal(touched[3], BLOCK_PAGES - 1);
	for (unsigned i = 0; i < 4; i++) {
		use(100, 50);
		tick(1);
	}
	look();
	assert_int_equal(touched[0], 50);
	assert_int_equal(idle[2], BLOCK_PAGES - 1 - 50);
	assert_int_equal(audit_run(), 0);
}

static void pages_put_together_age_as_one(void **state)
{
	(void)state;
	start(MIB(32), MIB(2), &fake_ept);
	populate_small(0);
	for (unsigned i = 0; i < 6; i++) {
		use(0, 128);
		tick(1);
	}
	look();
	assert_int_equal(touched[0], 128);
	assert_int_equal(idle[2], BLOCK_PAGES - 128);
	memory_collapse_tick(vm);
	assert_true(vm->memory.collapse.active);
	assert_int_equal(vm->memory.gfns[5] & GFN_STATE, GFN_MOVING);
	tick(1); /* nobody can use it, but it is still the guest's */
	look();
	assert_int_equal(idle[0], 128);
	assert_int_equal(idle[2], BLOCK_PAGES - 128);
	epoch_quiescent(epoch_now());
	memory_collapse_tick(vm);
	assert_int_equal(vm->memory.large_pages, 1);
	use(17, 1);
	tick(1);
	look();
	assert_int_equal(touched[1], 128);
	assert_int_equal(touched[2], BLOCK_PAGES - 128);
	tick(1);
	look();
	assert_int_equal(idle[0], BLOCK_PAGES);
	assert_int_equal(audit_run(), 0);
}

static void huge_pages_are_split_where_a_guest_may_shrink(void **state)
{
	(void)state;
	for (unsigned shrinks = 0; shrinks < 2; shrinks++) {
		start(GIB(5), GIB(2), &fake_npt);
		fake_clear_skip = true;
		vm->entitled_pages = vm->memory.ram_pages - (shrinks ? BLOCK_PAGES : 0);
		for (u64 frame = 0; frame < vm->memory.ram_pages; frame += HUGE_PAGES)
			while (!(vm->memory.gfns[frame] & GFN_RAM))
				populate(frame, 1);
		assert_int_equal(vm->memory.huge_pages, 2);
		use(0, 1);
		tick(1); /* one page a tick */
		assert_int_equal(vm->memory.huge_pages, shrinks ? 1 : 2);
		tick(1);
		assert_int_equal(vm->memory.huge_pages, shrinks ? 0 : 2);
		tick(1);
		look();
		assert_int_equal(idle[1], 2 * HUGE_PAGES);
		use(0, 1);
		use(BLOCK_PAGES * 5, BLOCK_PAGES);
		tick(1);
		look();
		assert_int_equal(sum(touched), shrinks ? 2 * BLOCK_PAGES : HUGE_PAGES);
		assert_int_equal(vm->memory.large_pages, shrinks ? 1024 : 0);
		assert_int_equal(audit_run(), 0);
		fake_clear_skip = false;
	}
}

static void no_frame_to_spare_for_a_split(void **state)
{
	u64 generation;

	(void)state;
	start(GIB(3), GIB(1), &fake_npt);
	fake_clear_skip = true;
	while (!(vm->memory.gfns[0] & GFN_RAM))
		populate(0, 1);
	assert_int_equal(vm->memory.huge_pages, 1);
	while (frames_free() > frames_reserve())
		assert_false(mfn_is_none(frame_alloc(FRAME_DEVICE, 0, 0)));
	generation = vm->memory.generation;
	tick(3);
	assert_int_equal(vm->memory.huge_pages, 1);
	assert_int_equal(vm->memory.generation, generation);
	look();
	assert_int_equal(idle[1], HUGE_PAGES);
	fake_clear_skip = false;
}

/* ---- Life, and other CPUs ---------------------------------------------------------------- */

static void the_state_comes_and_goes_with_the_memory(void **state)
{
	struct idle_memory *good;
	u64 before;

	(void)state;
	fake_core_start(MIB(32), 1);
	epoch_quiescent(epoch_now());
	before = frames_of_class(FRAME_HYPERVISOR);
	vm = fake_vm(0);
	assert_int_equal(memory_create(vm, MIB(4), &fake_ept), 0);
	assert_int_equal(audit_run(), 0);
	good = vm->memory.idle;
	vm->memory.idle = (void *)((u8 *)good + PAGE_SIZE);
	assert_true(audit_run() > 0);
	vm->memory.idle = NULL;
	assert_true(audit_run() > 0); /* a page of the guest's that nobody knows */
	vm->memory.idle = good;
	memory_destroy(vm);
	assert_null(vm->memory.idle);
	tick(1);
	assert_false(memory_idle_sample(vm, idle, touched));
	fake_limbo_empty();
	assert_int_equal(frames_of_class(FRAME_HYPERVISOR), before);
	assert_int_equal(audit_run(), 0);
}

static void no_memory_for_the_state(void **state)
{
	(void)state;
	start(MIB(32), MIB(4), &fake_ept);
	memory_destroy(vm);
	fake_limbo_empty();
	for (unsigned left = 0; left < 8; left++) {
		static mfn_t held[8192];
		unsigned count = 0;
		u64 before = frames_of_class(FRAME_HYPERVISOR);

		while (frames_free() > left)
			held[count++] = frame_alloc(FRAME_DEVICE, 0, 0);
		/* Two pages of gfns, the state, the root. */
		assert_int_equal(memory_create(vm, MIB(4), &fake_ept) == 0, left >= 4);
		if (left >= 4)
			memory_destroy(vm);
		fake_limbo_empty();
		assert_int_equal(frames_of_class(FRAME_HYPERVISOR), before);
		while (count > 0)
			frame_free(held[--count], 0);
		assert_int_equal(audit_run(), 0);
	}
}

static u32 running, uses;

/* A guest that uses its pages, balloons some and takes them back, and has large pages split. */
static const char *run_guest(void)
{
	u64 pages = vm->memory.ram_pages, random = 5;

	while (__atomic_load_n(&running, __ATOMIC_SEQ_CST)) {
		unsigned level;
		u64 frame, *entry;

		random = random * 6364136223846793005 + 1442695040888963407;
		frame = (random >> 33) % pages;
		switch (random >> 58) { /* of 64 */
		case 0:
			if (!memory_inflate(vm, gfn(frame & ~511UL), BLOCK_ORDER) &&
				memory_deflate(vm, gfn(frame & ~511UL), BLOCK_ORDER))
				return "a block was not taken back";
			break;
		case 1:
			if (!memory_inflate(vm, gfn(frame), 0) && memory_deflate(vm, gfn(frame), 0))
				return "a page was not taken back";
			break;
		default:
			if (!memory_page(vm, gfn(frame))) {
				if (!memory_lacks_frame(vm, gfn(frame)))
					return "no page";
				break; /* all are in limbo still */
			}
			__atomic_fetch_add(&uses, 1, __ATOMIC_RELAXED);
			entry = nested_lookup(&vm->memory, frame, &level);
			if (READ_ONCE(*entry) & vm->memory.layout->present)
				__atomic_fetch_or(
					entry, vm->memory.layout->accessed, __ATOMIC_RELAXED);
		}
		epoch_quiescent(epoch_now());
		limbo_drain();
	}
	return NULL;
}

static void *guest_thread(void *argument)
{
	const char *complaint;

	(void)argument;
	fake_run_as(1);
	complaint = run_guest();
	epoch_enter_idle();
	WRITE_ONCE(uses, ~0U);
	return (void *)complaint;
}

static void beside_a_guest_that_runs(void **state)
{
	pthread_t thread;

	(void)state;
	fake_core_start(MIB(64), 2);
	vm = fake_vm(0);
	assert_int_equal(memory_create(vm, MIB(16), &fake_npt), 0);
	for (unsigned i = 2; i-- > 0;) {
		fake_run_as(i);
		epoch_leave_idle();
		epoch_quiescent(epoch_now());
	}
	running = 1;
	assert_int_equal(pthread_create(&thread, NULL, guest_thread, NULL), 0);
	uses = 0;
	for (unsigned i = 0; i < 100 || READ_ONCE(uses) < 100000; i++) {
		memory_idle_tick(vm);
		memory_collapse_tick(vm);
		epoch_quiescent(epoch_now());
		limbo_drain();
	}
	__atomic_store_n(&running, 0, __ATOMIC_SEQ_CST);
	fake_join(thread);
	fake_limbo_empty();
	for (u64 frame = 0; frame < vm->memory.ram_pages; frame++)
		assert_non_null(memory_page(vm, gfn(frame)));
	tick(1);
	look();
	fake_end_guest(vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_split_page_ages_in_parts),
		cmocka_unit_test(pages_put_together_age_as_one),
		cmocka_unit_test(huge_pages_are_split_where_a_guest_may_shrink),
		cmocka_unit_test(no_frame_to_spare_for_a_split),
		cmocka_unit_test(the_state_comes_and_goes_with_the_memory),
		cmocka_unit_test(no_memory_for_the_state),
		cmocka_unit_test(beside_a_guest_that_runs),
	};

	return cmocka_run_group_tests_name("memory_idle_changes", tests, NULL, NULL);
}
