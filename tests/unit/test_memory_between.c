/*
 * What another vCPU does to a page between its population and the look at its entry: it goes into
 * the balloon, is reported, removed, or on its way to another frame; or it gets the frame that was
 * not to be had. memory_populate() is wrapped (memory.mk), and what happens in between happens at
 * its return.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>

#include "fake/machine.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/vm/audit.h"
#include "kernel/vm/memory_populate.h"

#define FRAME 7UL

static struct vm *vm;
static struct vcpu vcpu;
static void (*between)(void);
static unsigned populations;

int __real_memory_populate(struct vm *of, u64 frame, bool restartable);
int __wrap_memory_populate(struct vm *of, u64 frame, bool restartable);
int __wrap_memory_populate(struct vm *of, u64 frame, bool restartable)
{
	int error = __real_memory_populate(of, frame, restartable);
	void (*once)(void) = between;

	populations++;
	between = NULL;
	if (once)
		once();
	return error;
}

/* One block in small pages, populated but for FRAME. */
static void start(void)
{
	fake_core_start(MIB(32), 2);
	for (unsigned i = 2; i-- > 0;) {
		fake_run_as(i);
		epoch_leave_idle();
		epoch_quiescent(epoch_now());
	}
	between = NULL;
	vm = fake_vm(0);
	assert_int_equal(memory_create(vm, MIB(4), &fake_ept), 0);
	vcpu = (struct vcpu){.vm = vm};
	assert_int_equal(memory_fault(&vcpu, gpa(0), ACCESS_WRITE), DONE);
	assert_int_equal(memory_remove(vm, gfn(FRAME)), 0);
	/* What is ballooned now says so with a number that is no frame of this guest. */
	for (unsigned i = 0; i < 3; i++)
		memory_balloon_forget(vm);
	populations = 0;
}

static void inflate(void)
{
	assert_int_equal(memory_inflate(vm, gfn(FRAME), 0), 0);
}
static void report(void)
{
	assert_int_equal(memory_report(vm, gfn(FRAME), 0), 0);
}
static void take(void)
{
	assert_int_equal(memory_remove(vm, gfn(FRAME)), 0);
}
static void move(void)
{
	memory_collapse_tick(vm);
	assert_int_equal(vm->memory.gfns[FRAME] & GFN_STATE, GFN_MOVING);
}

static void what_went_into_the_balloon_has_no_page(void **state)
{
	mfn_t host;
	u8 byte = 1;

	(void)state;
	for (unsigned way = 0; way < 4; way++) {
		start();
		between = inflate;
		if (way == 0)
			assert_null(memory_page(vm, gfn(FRAME)));
		else if (way == 1)
			assert_int_equal(memory_read(vm, gpa(FRAME << PAGE_SHIFT), &byte, 1),
				-SLUICE_EFAULT);
		else if (way == 2)
			assert_int_equal(memory_write(vm, gpa(FRAME << PAGE_SHIFT), &byte, 1),
				-SLUICE_EFAULT);
		else
			assert_int_equal(memory_pin(vm, gfn(FRAME), &host), -SLUICE_EFAULT);
		assert_int_equal(vm->memory.ballooned_pages, 1);
		assert_int_equal(populations, 2);
		assert_int_equal(audit_run(), 0);
	}
}

static void what_is_open_again_is_populated_again(void **state)
{
	static void (*const ways[])(void) = {report, take, move};

	(void)state;
	for (unsigned way = 0; way < ARRAY_SIZE(ways); way++) {
		unsigned level;
		u64 host;
		void *page;

		start();
		between = ways[way];
		page = memory_page(vm, gfn(FRAME));
		assert_non_null(page);
		assert_int_equal(populations, 2);
		assert_int_equal(vm->memory.gfns[FRAME] & GFN_STATE, GFN_RAM);
		host = fake_translate(&vm->memory, FRAME << PAGE_SHIFT, &level);
		assert_ptr_equal(page, hpa_to_ptr(hpa(host)));
		assert_int_equal(audit_run(), 0);
	}
}

static mfn_t kept[MIB(32) / PAGE_SIZE];
static unsigned kept_count;

/* No frame was there; then some come free, and another vCPU is first to touch the page. */
static void populate_late(void)
{
	while (kept_count > 0)
		frame_free(kept[--kept_count], 0);
	assert_int_equal(memory_fault(&vcpu, gpa(FRAME << PAGE_SHIFT), ACCESS_WRITE), DONE);
}

static void start_without_frames(void)
{
	start();
	while (kept_count < ARRAY_SIZE(kept)) {
		kept[kept_count] = frame_alloc(FRAME_DEVICE, 0, 0);
		if (mfn_is_none(kept[kept_count]))
			break;
		kept_count++;
	}
	between = populate_late;
}

static void who_lacked_a_frame_comes_again(void **state)
{
	u8 byte = 1;
	mfn_t host;

	(void)state;
	start_without_frames();
	assert_int_equal(memory_read(vm, gpa(FRAME << PAGE_SHIFT), &byte, 1), -SLUICE_ENOMEM);
	assert_int_equal(memory_read(vm, gpa(FRAME << PAGE_SHIFT), &byte, 1), 0);
	start_without_frames();
	assert_int_equal(memory_write(vm, gpa(FRAME << PAGE_SHIFT), &byte, 1), -SLUICE_ENOMEM);
	start_without_frames();
	assert_int_equal(memory_pin(vm, gfn(FRAME), &host), -SLUICE_ENOMEM);
	start_without_frames();
	assert_null(memory_page(vm, gfn(FRAME)));
	assert_true(memory_lacks_frame(vm, gfn(FRAME)));
}

static void deflate(void)
{
	assert_int_equal(memory_deflate(vm, gfn(FRAME), 0), 0);
}

/* A touch that came too early for the one to stop the guest may come again. */
static void a_fault_on_what_came_back_is_no_error(void **state)
{
	(void)state;
	start();
	inflate();
	between = deflate;
	assert_int_equal(memory_fault(&vcpu, gpa(FRAME << PAGE_SHIFT), ACCESS_WRITE), DONE);
	assert_int_equal(memory_fault(&vcpu, gpa(FRAME << PAGE_SHIFT), ACCESS_WRITE), DONE);
	assert_int_equal(vm->memory.gfns[FRAME] & GFN_STATE, GFN_RAM);
	assert_int_equal(audit_run(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_went_into_the_balloon_has_no_page),
		cmocka_unit_test(what_is_open_again_is_populated_again),
		cmocka_unit_test(who_lacked_a_frame_comes_again),
		cmocka_unit_test(a_fault_on_what_came_back_is_no_error),
	};

	return cmocka_run_group_tests_name("memory_between", tests, NULL, NULL);
}
