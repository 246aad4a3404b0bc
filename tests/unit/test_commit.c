/*
 * Entitlement: what is promised to guests, what tmem may keep, and the message when a guest does
 * not fit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>

#include "fake/machine.h"
#include "fake/store.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/vm/commit.h"

/* Guests of one size. */
static int commit(const char *name, u64 pages)
{
	return memory_commit(name, pages, pages);
}

static void uncommit(u64 pages)
{
	memory_uncommit(pages, pages);
}

static void promises_stop_where_ram_ends(void **state)
{
	u64 pages = MIB(40) / PAGE_SIZE;

	(void)state;
	fake_core_start(MIB(128), 1);
	assert_int_equal(commit("one", pages), 0);
	assert_int_equal(commit("two", pages), 0);
	assert_true(memory_committed() >= 2 * pages);
	assert_int_equal(commit("three", MIB(50) / PAGE_SIZE), -SLUICE_ENOMEM);
	assert_non_null(strstr(fake_log_last, "guest \"three\": does not fit"));
	assert_non_null(strstr(fake_log_last, "of 131072 KiB of RAM"));
	assert_non_null(strstr(fake_log_last, "the reserve 2048"));
	/* A refused promise leaves nothing behind. */
	assert_int_equal(commit("three", pages), 0);
	uncommit(pages);
	uncommit(pages);
	uncommit(pages);
	assert_int_equal(memory_committed(), 0);
}

static void absurd_sizes_are_refused(void **state)
{
	(void)state;
	fake_core_start(MIB(64), 1);
	assert_int_equal(commit("all", MIB(64) / PAGE_SIZE), -SLUICE_ENOMEM);
	assert_int_equal(commit("huge", 1UL << 52), -SLUICE_ENOMEM);
	assert_int_equal(memory_committed(), 0);
}

static void a_promise_can_be_kept_to_the_last_page(void **state)
{
	u64 pages = MIB(64) / PAGE_SIZE;
	struct vcpu vcpu = {0};
	struct vm *vm;

	(void)state;
	fake_core_start(MIB(64), 1);
	while (commit("largest", pages))
		pages--;
	vm = fake_vm(0);
	assert_int_equal(memory_create(vm, pages * PAGE_SIZE, &fake_ept), 0);
	vcpu.vm = vm;
	for (u64 frame = 0; frame < pages; frame++)
		assert_int_equal(memory_fault(&vcpu, gfn_to_gpa(gfn(frame)), ACCESS_READ), DONE);
	assert_true(frames_free() >= frames_reserve());
	assert_true(frames_free() < frames_reserve() + 2 * BLOCK_PAGES);
	uncommit(pages);
}

static void a_promise_can_be_kept_in_small_pages(void **state)
{
	u64 pages = MIB(64) / PAGE_SIZE;
	mfn_t kept[256];
	unsigned count = 0;
	struct vcpu vcpu = {0};
	struct vm *vm;

	(void)state;
	fake_core_start(MIB(64), 1);
	/* One page of every block belongs to the hypervisor: no large page is left. */
	while (!mfn_is_none(kept[count] = frame_alloc(FRAME_HYPERVISOR, BLOCK_ORDER, 0)))
		count++;
	for (unsigned i = 0; i < count; i++)
		for (u64 page = 1; page < BLOCK_PAGES; page++)
			frame_free(mfn(kept[i].raw + page), 0);
	while (commit("largest", pages))
		pages--;
	vm = fake_vm(0);
	assert_int_equal(memory_create(vm, pages * PAGE_SIZE, &fake_ept), 0);
	vcpu.vm = vm;
	for (u64 frame = 0; frame < pages; frame++)
		assert_int_equal(memory_fault(&vcpu, gfn_to_gpa(gfn(frame)), ACCESS_READ), DONE);
	assert_int_equal(vm->memory.large_pages, 0);
	/* All tables there could be are there, and nearly nothing was promised in vain. */
	assert_in_range(frames_free(), frames_reserve(), frames_reserve() + 8);
	uncommit(pages);
}

static void persistent_pages_leave_room_for_promises(void **state)
{
	u64 pages = MIB(20) / PAGE_SIZE;
	u64 most = 0;

	(void)state;
	fake_core_start(MIB(64), 1);
	assert_int_equal(commit("guest", pages), 0);
	while (commit_leaves_room(most + 1))
		most++;
	assert_int_equal(
		most + frames_reserve() + memory_committed() + frames_of_class(FRAME_HYPERVISOR),
		frames_total());
	/* Ephemeral pages do not count, RAM disks do. */
	assert_false(mfn_is_none(frame_alloc(FRAME_TMEM, BLOCK_ORDER, 0)));
	assert_true(commit_leaves_room(most));
	assert_false(mfn_is_none(frame_alloc(FRAME_DEVICE, 0, 0)));
	assert_false(commit_leaves_room(most));
	assert_true(commit_leaves_room(most - 1));
	/* And a new guest must leave room for what is persistent. */
	fake_store_reset(true);
	fake_store_persistent = most - 1;
	assert_int_equal(commit("late", 1), -SLUICE_ENOMEM);
	fake_store_persistent = 0;
	assert_int_equal(commit("late", 1), 0);
	uncommit(1);
	uncommit(pages);
	fake_store_reset(false);
}

static u64 room_left(void)
{
	u64 most = 0;

	while (commit_leaves_room(most + 1))
		most++;
	return most;
}

/* Tables are part of the promise: using what was promised takes no room from others. */
static void keeping_a_promise_takes_no_room(void **state)
{
	u64 pages = MIB(20) / PAGE_SIZE + 100;
	struct vcpu vcpu = {0};
	struct vm *vm;
	u64 before;

	(void)state;
	fake_core_start(MIB(64), 1);
	assert_int_equal(commit("guest", pages), 0);
	before = room_left();
	vm = fake_vm(0);
	assert_int_equal(memory_create(vm, pages * PAGE_SIZE, &fake_npt), 0);
	assert_int_equal(room_left(), before);
	vcpu.vm = vm;
	for (u64 frame = 0; frame < pages; frame += 50)
		assert_int_equal(memory_fault(&vcpu, gfn_to_gpa(gfn(frame)), ACCESS_READ), DONE);
	assert_int_equal(memory_remove(vm, gfn(0)), 0); /* one more table */
	assert_int_equal(room_left(), before);
	memory_destroy(vm);
	fake_limbo_empty();
	assert_int_equal(room_left(), before);
	uncommit(pages);
}

static void no_room_at_all_is_no_room(void **state)
{
	(void)state;
	fake_core_start(MIB(4), 1);
	frames_set_reserve(MIB(64));
	assert_false(commit_leaves_room(1));
	assert_int_equal(commit("any", 1), -SLUICE_ENOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(promises_stop_where_ram_ends),
		cmocka_unit_test(absurd_sizes_are_refused),
		cmocka_unit_test(a_promise_can_be_kept_to_the_last_page),
		cmocka_unit_test(a_promise_can_be_kept_in_small_pages),
		cmocka_unit_test(persistent_pages_leave_room_for_promises),
		cmocka_unit_test(keeping_a_promise_takes_no_room),
		cmocka_unit_test(no_room_at_all_is_no_room),
	};

	return cmocka_run_group_tests_name("commit", tests, NULL, NULL);
}
