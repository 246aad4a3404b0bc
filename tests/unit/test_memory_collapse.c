/*
 * Large pages put together by copying: when it happens, what ends it before its time, that nothing
 * is lost, and that no CPU can write a page while it is copied.
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
#include "fake/store.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/vm/audit.h"
#include "kernel/vm/limbo.h"
#include "kernel/vm/memory_nested.h"

#define BASE 512u /* the block that most tests are about */

static struct vm *vm;
static struct vcpu vcpu;

static enum outcome fault(u64 frame)
{
	return memory_fault(&vcpu, gfn_to_gpa(gfn(frame)), ACCESS_WRITE);
}

static u64 *word(u64 frame)
{
	u64 *page = memory_page(vm, gfn(frame));

	assert_non_null(page);
	return &page[frame % 512];
}

/* A guest of 8 MiB with block 1 in small pages, each with its number in it. */
static int setup(void **state)
{
	(void)state;
	fake_core_start(MIB(64), 2);
	for (unsigned i = 2; i-- > 0;) {
		fake_run_as(i);
		epoch_quiescent(epoch_now());
	}
	vm = fake_vm(0);
	assert_int_equal(memory_create(vm, MIB(8) + KIB(8), &fake_ept), 0);
	vcpu = (struct vcpu){.vm = vm};
	assert_int_equal(memory_inflate(vm, gfn(BASE), 0), 0);
	for (u64 i = 1; i < BLOCK_PAGES; i++)
		*word(BASE + i) = BASE + i;
	assert_int_equal(memory_deflate(vm, gfn(BASE), 0), 0);
	assert_int_equal(fake_level_at(&vm->memory, BASE + 1), 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_run_as(0);
	assert_int_equal(audit_run(), 0);
	memory_destroy(vm);
	assert_int_equal(audit_run(), 0);
	fake_limbo_empty();
	assert_int_equal(frames_of_class(FRAME_GUEST), 0);
	return 0;
}

static void tick(unsigned count)
{
	while (count-- > 0)
		memory_collapse_tick(vm);
}

static void begin(void)
{
	*word(BASE) = BASE;
	tick(1);
	assert_true(vm->memory.collapse.active);
	assert_int_equal(vm->memory.collapse.base, BASE);
}

static void is_intact(void)
{
	for (u64 i = 0; i < BLOCK_PAGES; i++)
		assert_int_equal(*word(BASE + i), BASE + i);
}

static void small_pages_become_a_large_one(void **state)
{
	u64 generation, tables;
	(void)state;

	tick(10); /* one page is missing */
	assert_false(vm->memory.collapse.active);
	generation = vm->memory.generation;
	tables = vm->memory.table_pages;
	begin();
	assert_true(vm->memory.generation > generation);
	assert_int_equal(fake_level_at(&vm->memory, BASE), 0); /* out of the guest's reach */
	assert_int_equal(audit_run(), 0);
	tick(5); /* and not touched before everybody has flushed */
	assert_true(vm->memory.collapse.active);
	fake_run_as(1);
	epoch_quiescent(epoch_now());
	fake_run_as(0);
	tick(1);
	assert_true(vm->memory.collapse.active);
	epoch_quiescent(epoch_now());
	tick(1);
	assert_false(vm->memory.collapse.active);
	assert_int_equal(fake_level_at(&vm->memory, BASE), 2);
	assert_int_equal(fake_level_at(&vm->memory, BASE + 511), 2);
	assert_int_equal(vm->memory.large_pages, 1);
	assert_int_equal(vm->memory.table_pages, tables - 1);
	assert_int_equal(vm->memory.populated_pages, BLOCK_PAGES);
	assert_int_equal(limbo_frames(), BLOCK_PAGES + 1);
	assert_int_equal(audit_run(), 0);
	is_intact();
	assert_int_equal(vm->memory.collapsed, 1);
	tick(20); /* nothing more to do */
	assert_false(vm->memory.collapse.active);
}

static void a_touch_finishes_it_or_waits(void **state)
{
	(void)state;
	begin();
	/* The guest's own touch comes again until all have passed. */
	assert_int_equal(fault(BASE + 7), DONE);
	assert_true(vm->memory.collapse.active);
	assert_int_equal(fake_level_at(&vm->memory, BASE + 7), 0);
	fake_all_pass();
	assert_int_equal(fault(BASE + 7), DONE);
	assert_int_equal(fake_level_at(&vm->memory, BASE + 7), 2);
	is_intact();
}

static void a_service_does_not_wait(void **state)
{
	u64 free_before;
	(void)state;

	*word(BASE) = BASE;
	free_before = frames_free();
	begin();
	assert_int_equal(*word(BASE + 9), BASE + 9);
	assert_false(vm->memory.collapse.active);
	assert_int_equal(fake_level_at(&vm->memory, BASE + 9), 1);
	assert_int_equal(frames_free(), free_before);
	assert_int_equal(audit_run(), 0);
	is_intact();
	/* Or it has its page from the new block. */
	begin();
	fake_all_pass();
	assert_int_equal(*word(BASE + 9), BASE + 9);
	assert_int_equal(fake_level_at(&vm->memory, BASE + 9), 2);
	is_intact();
}

static void pins_prevent_and_end_it(void **state)
{
	mfn_t host;
	(void)state;

	*word(BASE) = BASE;
	assert_int_equal(memory_pin(vm, gfn(BASE + 3), &host), 0);
	tick(20);
	assert_false(vm->memory.collapse.active);
	memory_unpin(vm, gfn(BASE + 3));
	begin();
	assert_int_equal(memory_pin(vm, gfn(BASE + 3), &host), 0);
	assert_false(vm->memory.collapse.active);
	assert_int_equal(fake_level_at(&vm->memory, BASE + 3), 1);
	is_intact();
	memory_unpin(vm, gfn(BASE + 3));
}

static void whatever_takes_pages_ends_it(void **state)
{
	(void)state;
	begin();
	assert_int_equal(memory_inflate(vm, gfn(BASE + 5), 0), 0);
	assert_false(vm->memory.collapse.active);
	assert_int_equal(audit_run(), 0);
	assert_int_equal(memory_deflate(vm, gfn(BASE + 5), 0), 0);
	*word(BASE + 5) = BASE + 5;
	begin();
	assert_int_equal(memory_report(vm, gfn(BASE), BLOCK_ORDER), 0);
	assert_false(vm->memory.collapse.active);
	assert_int_equal(vm->memory.populated_pages, 0);
	assert_int_equal(audit_run(), 0);
	/* Elsewhere it is none of its business. */
	assert_int_equal(fault(0), DONE);
	assert_int_equal(memory_inflate(vm, gfn(BASE), 0), 0);
	assert_int_equal(fault(BASE + 1), DONE);
	assert_int_equal(memory_deflate(vm, gfn(BASE), 0), 0);
	for (u64 i = 0; i < BLOCK_PAGES; i++)
		*word(BASE + i) = BASE + i;
	begin();
	assert_int_equal(memory_inflate(vm, gfn(0), BLOCK_ORDER), 0);
	assert_true(vm->memory.collapse.active);
	/* The teardown destroys it under way. */
}

static void not_at_the_cost_of_others(void **state)
{
	static mfn_t held[64];
	unsigned count = 0;
	mfn_t block;
	(void)state;

	*word(BASE) = BASE;
	while (frames_free() >= frames_reserve() + 2 * BLOCK_PAGES) {
		block = frame_alloc(FRAME_DEVICE, BLOCK_ORDER, 0);
		assert_false(mfn_is_none(block));
		held[count++] = block;
	}
	tick(20);
	assert_false(vm->memory.collapse.active);
	while (count > 0)
		frame_free(held[--count], BLOCK_ORDER);
	begin();
}

static void planted(const char *report)
{
	fake_log_reset();
	assert_true(audit_run() > 0);
	if (!strstr(fake_log_text, report))
		fail_msg("not reported: \"%s\" in:\n%s", report, fake_log_text);
}

static void the_audit_sees_it(void **state)
{
	struct collapse *collapse = &vm->memory.collapse;
	struct collapse good;
	u64 entry;
	(void)state;

	begin();
	good = *collapse;
	collapse->active = false;
	planted("gfn 0x200 is not mapped, but its entry is");
	collapse->active = true;
	collapse->block.raw += BLOCK_PAGES;
	planted("is used as guest of guest 1, but is free");
	*collapse = good;
	collapse->table += PAGE_SIZE;
	planted("of guest 1");
	*collapse = good;
	entry = vm->memory.gfns[BASE + 4];
	vm->memory.gfns[BASE + 4] += PAGE_SIZE;
	planted("gfn 0x204 is mapped to frame");
	vm->memory.gfns[BASE + 4] = entry + GFN_PIN_ONE;
	planted("has 1 references, but 2 users");
	vm->memory.gfns[BASE + 4] = (entry & GFN_HPA) | GFN_RAM;
	planted("gfn 0x204 is mapped to frame");
	vm->memory.gfns[BASE + 4] = entry;
	assert_int_equal(audit_run(), 0);
}

/* ---- Two CPUs ----------------------------------------------------------------------------------
 */

static u32 running;
static u64 written[4 * BLOCK_PAGES];

/* The guest on CPU 1: every page counts how often it was written; at each "exit" the CPU passes. */
static void *guest_thread(void *argument)
{
	u64 random = 99;

	(void)argument;
	fake_run_as(1);
	while (__atomic_load_n(&running, __ATOMIC_SEQ_CST)) {
		u64 frame, *page;
		mfn_t host;

		random = random * 6364136223846793005 + 1442695040888963407;
		frame = (random >> 33) % ARRAY_SIZE(written);
		switch (random >> 54) { /* of 1024 */
		case 0:
		case 2:
			if (memory_pin(vm, gfn(frame), &host))
				return (void *)"not pinned";
			memory_unpin(vm, gfn(frame));
			break;
		case 1:
			if (memory_inflate(vm, gfn(frame), 0) || memory_deflate(vm, gfn(frame), 0))
				return (void *)"not ballooned";
			written[frame] = 0;
			if (!memory_page(vm, gfn(frame)))
				return (void *)"no page";
			break;
		default:
			page = memory_page(vm, gfn(frame));
			if (!page)
				return (void *)"no page";
			if (*page != written[frame])
				return (void *)"a write was lost";
			*page = ++written[frame];
		}
		epoch_quiescent(epoch_now());
		limbo_drain();
	}
	epoch_enter_idle();
	return NULL;
}

static void no_write_is_lost(void **state)
{
	pthread_t thread;
	(void)state;

	memory_destroy(vm);
	fake_limbo_empty();
	fake_core_start(MIB(64), 2);
	vm = fake_vm(0);
	assert_int_equal(memory_create(vm, sizeof(written) / 8 * PAGE_SIZE, &fake_npt), 0);
	for (unsigned i = 2; i-- > 0;) {
		fake_run_as(i);
		epoch_leave_idle();
		epoch_quiescent(epoch_now());
	}
	for (u64 frame = 0; frame < ARRAY_SIZE(written); frame++)
		assert_non_null(memory_page(vm, gfn(frame)));
	running = 1;
	assert_int_equal(pthread_create(&thread, NULL, guest_thread, NULL), 0);
	for (unsigned i = 0; i < 20000000 && vm->memory.collapsed < 100; i++) {
		memory_collapse_tick(vm);
		epoch_quiescent(epoch_now());
		limbo_drain();
	}
	__atomic_store_n(&running, 0, __ATOMIC_SEQ_CST);
	fake_join(thread);
	assert_int_equal(vm->memory.collapsed, 100);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(small_pages_become_a_large_one),
		TEST(a_touch_finishes_it_or_waits),
		TEST(a_service_does_not_wait),
		TEST(pins_prevent_and_end_it),
		TEST(whatever_takes_pages_ends_it),
		TEST(not_at_the_cost_of_others),
		TEST(the_audit_sees_it),
		TEST(no_write_is_lost),
	};

	return cmocka_run_group_tests_name("memory_collapse", tests, NULL, NULL);
}
