/*
 * Windows of miss filters in guests: the real engine's pages, shown read-only in the nested tables
 * of both vendors, and taken away through limbo. Built with lock-order assertions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/hypercall.h>

#include "fake/engine.h"
#include "fake/machine.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/vm/audit.h"
#include "kernel/vm/memory_nested.h"
#include "kernel/vm/tmem_port.h"
#include "kernel/vm/window.h"
#include "tmem/port.h"

#define GUEST MIB(16)

static struct vm *vm;
static struct vcpu vcpu;
static s32 pool;
static struct tmem_filter_info info;
static const struct nested_layout *const layouts[] = {&fake_ept, &fake_npt};
static u64 page[PAGE_SIZE / 8] __aligned_to(PAGE_SIZE);

#define INFO gpa(0x3fc0) /* crosses into the next page */

static void start(const struct nested_layout *layout, unsigned cpus)
{
	fake_engine_machine(MIB(128), cpus);
	vm = fake_engine_guest(&vcpu, GUEST, layout);
	vm->tmem = fake_engine_client(256, ~0UL, 0);
	pool = tmem_pool_create(vm->tmem, 0, 0, 0);
	assert_int_equal(pool, 0);
}

static void finish(void)
{
	while (!window_close(vm))
		;
	assert_int_equal(vm->memory.shared_pages, 0);
	assert_int_equal(audit_run(), 0);
	fake_engine_end_client(vm->tmem);
	vm->tmem = NULL;
	fake_engine_end_guest(vm);
	assert_int_equal(audit_run(), 0);
	fake_engine_end();
}

static void open_window(void)
{
	assert_int_equal(window_open(vm, (u64)pool, INFO), 0);
	assert_int_equal(memory_read(vm, INFO, &info, sizeof(info)), 0);
	for (unsigned n = 0; n < 10; n++)
		window_tick(vm);
}

static enum outcome touch(u64 index, u32 access)
{
	return memory_fault(&vcpu, gpa(info.window + index * PAGE_SIZE), access);
}

/* What the guest's processor would read at place @index; NULL: a nested fault. */
static const void *seen(u64 index)
{
	unsigned level;
	u64 address = fake_translate(&vm->memory, info.window + index * PAGE_SIZE, &level);

	return address == ~0UL ? NULL : fake_ram + address;
}

static const void *look(u64 index)
{
	if (!seen(index))
		assert_int_equal(touch(index, ACCESS_READ), DONE);
	return seen(index);
}

static u64 hash_of(u32 index)
{
	const u64 object[3] = {1, 0, 0};

	return tmem_filter_hash(tmem_filter_object(info.key, object), index);
}

static bool surely_lacks(u32 index)
{
	const struct tmem_filter_header *header = look(0);
	struct tmem_filter_view view;
	const u8 *bits;

	if (!tmem_filter_find(header, hash_of(index), &view))
		return false;
	bits = look(view.offset / PAGE_SIZE);
	return tmem_filter_line_lacks(
		header, &view, (const u64 *)(bits + view.offset % PAGE_SIZE), hash_of(index));
}

static void put(u32 index)
{
	struct tmem_handle handle = {.object = {1, 0, 0}, .index = index, .pool = pool};

	assert_int_equal(tmem_put(vm->tmem, &handle, page), 0);
}

static u64 *leaf(u64 index)
{
	unsigned level;

	return nested_lookup(&vm->memory, (info.window >> PAGE_SHIFT) + index, &level);
}

static u64 first_page(void)
{
	return ((const struct tmem_filter_header *)look(0))->first_page;
}

static void pages_are_shown_for_reading_alone(void **state)
{
	(void)state;
	for (unsigned l = 0; l < ARRAY_SIZE(layouts); l++) {
		struct vm *stopped;
		mfn_t host;

		start(layouts[l], 1);
		/* Before it is opened there is nothing. */
		assert_int_equal(
			memory_fault(&vcpu, gpa(vm->memory.window << PAGE_SHIFT), ACCESS_READ),
			BAD);
		open_window();
		assert_int_equal(info.window, GIB(4));
		assert_true(surely_lacks(7));
		put(7);
		assert_false(surely_lacks(7));
		assert_int_equal(
			*leaf(0) & ~NESTED_HPA & ~(layouts[l]->accessed | layouts[l]->dirty),
			layouts[l]->shared);
		assert_int_equal(layouts[l]->shared & layouts[l]->present,
			layouts[l]->present & 0x5 & layouts[l]->shared);
		assert_int_equal(audit_run(), 0);
		/* Writing and running code there is an error, mapped or not. */
		assert_int_equal(touch(0, ACCESS_WRITE), BAD);
		assert_int_equal(touch(0, ACCESS_READ | ACCESS_WRITE), BAD);
		assert_int_equal(touch(0, ACCESS_EXEC), BAD);
		/* No service reads or writes there. */
		assert_null(memory_page(vm, gfn(info.window >> PAGE_SHIFT)));
		assert_int_equal(memory_read(vm, gpa(info.window), page, 8), -SLUICE_EFAULT);
		assert_int_equal(
			memory_pin(vm, gfn(info.window >> PAGE_SHIFT), &host), -SLUICE_EFAULT);
		assert_int_equal(memory_remove(vm, gfn(info.window >> PAGE_SHIFT)), -SLUICE_EFAULT);
		/* Nor is there anything beyond. */
		assert_int_equal(touch(first_page() + 1, ACCESS_READ), BAD);
		assert_int_equal(touch(TMEM_WINDOW_PAGES, ACCESS_READ), BAD);
		assert_int_equal(touch(WINDOWS_PAGES - 1, ACCESS_READ), BAD);
		assert_int_equal(touch(WINDOWS_PAGES, ACCESS_READ), BAD);
		stopped = vm;
		assert_int_equal(stopped->stop_reason, STOP_NONE);
		finish();
	}
}

static void bad_calls_change_nothing(void **state)
{
	(void)state;
	start(&fake_ept, 1);
	assert_int_equal(window_open(vm, 1, INFO), -SLUICE_EBADF);
	assert_int_equal(window_open(vm, 16, INFO), -SLUICE_EBADF);
	assert_int_equal(window_open(vm, ~0UL, INFO), -SLUICE_EBADF);
	assert_int_equal(window_open(vm, 1UL << 32, INFO), -SLUICE_EBADF);
	assert_int_equal(window_open(vm, 0, gpa(GUEST)), -SLUICE_EFAULT);
	assert_int_equal(window_open(vm, 0, gpa(GUEST - 64)), -SLUICE_EFAULT);
	assert_int_equal(window_open(vm, 0, gpa(~0UL - 63)), -SLUICE_EFAULT);
	/* The address was bad, not the call: it may be asked again. */
	open_window();
	finish();
}

static void pages_that_left_are_ones_until_all_have_passed(void **state)
{
	const u64 *old;
	u64 was, generation, limbo;

	(void)state;
	start(&fake_ept, 2);
	open_window();
	was = first_page();
	old = look(was);
	generation = vm->memory.generation;
	/* It grows: the guest is to look elsewhere, and the old page goes at the next tick. */
	for (u32 index = 0; index < 5000; index++)
		put(index);
	assert_int_not_equal(first_page(), was);
	assert_ptr_equal(seen(was), old);
	limbo = limbo_frames();
	window_tick(vm);
	assert_null(seen(was));
	assert_true(vm->memory.generation > generation);
	assert_true(limbo_frames() > limbo);
	assert_int_equal(audit_run(), 0);
	/* The other CPU has not passed: it may still see the frame, and what it sees are ones. */
	fake_run_as(0);
	epoch_quiescent(epoch_now());
	limbo_drain();
	assert_true(limbo_frames() > limbo);
	for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
		assert_int_equal(old[i], ~0UL);
	fake_limbo_empty();
	for (u32 index = 0; index < 5000; index++)
		assert_false(surely_lacks(index));
	finish();
}

static void a_slow_reader_finds_ones(void **state)
{
	u64 was;

	(void)state;
	for (unsigned l = 0; l < ARRAY_SIZE(layouts); l++) {
		start(layouts[l], 1);
		open_window();
		was = first_page();
		for (u32 index = 0; index < 5000; index++)
			put(index);
		window_tick(vm);
		assert_null(seen(was));
		for (unsigned n = 0; n < 3; n++) {
			const u64 *words = look(was);

			for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
				assert_int_equal(words[i], ~0UL);
			assert_int_equal(audit_run(), 0);
			window_tick(vm);
			assert_null(seen(was));
		}
		/* Back there in the end, with the page itself. */
		for (u32 index = 5000; first_page() != was; index++) {
			put(index);
			window_tick(vm);
		}
		assert_false(surely_lacks(1));
		assert_true(surely_lacks(1u << 30));
		finish();
	}
}

/* Many such readers share a few places. */
static void more_slow_readers_than_places(void **state)
{
	u64 was;

	(void)state;
	start(&fake_ept, 1);
	open_window();
	for (u32 index = 0; index < 60000; index++) {
		put(index % 14000);
		if (index % 64 == 0)
			window_tick(vm);
	}
	/* Both areas have had pages; now only one has. */
	was = first_page() == 1 ? TMEM_WINDOW_PAGES / 2 : 1;
	for (unsigned round = 0; round < 20; round++) {
		const u64 *words;

		assert_int_equal(touch(was + round % 2, ACCESS_READ), DONE);
		words = seen(was + round % 2);
		assert_non_null(words);
		assert_int_equal(words[round], ~0UL);
	}
	assert_int_equal(audit_run(), 0);
	finish();
}

static void a_pool_that_comes_again_has_a_new_window(void **state)
{
	struct tmem_filter_info before;
	u64 header;

	(void)state;
	start(&fake_npt, 1);
	open_window();
	put(3);
	before = info;
	assert_int_equal(tmem_pool_destroy(vm->tmem, pool), 0);
	header = *(const u64 *)look(0);
	assert_int_equal(header & 1, 0); /* not yet collected: still whole */
	assert_int_equal(tmem_pool_create(vm->tmem, 0, 0, 0), pool);
	assert_int_equal(window_open(vm, (u64)pool, INFO), -SLUICE_EAGAIN);
	assert_null(seen(0));
	open_window();
	assert_int_equal(info.window, before.window);
	assert_memory_not_equal(info.key, before.key, sizeof(info.key));
	assert_true(surely_lacks(3));
	assert_int_equal(audit_run(), 0);
	finish();
}

static void the_audit_finds_what_is_planted(void **state)
{
	static const u64 flips[] = {0x2, 1UL << 12, 1UL << 20};
	u64 *entry;

	(void)state;
	start(&fake_ept, 1);
	open_window();
	look(0);
	look(first_page());
	entry = leaf(0);
	/* Writable; another frame; one far away. */
	for (unsigned i = 0; i < ARRAY_SIZE(flips); i++) {
		*entry ^= flips[i];
		assert_true(audit_run() > 0);
		*entry ^= flips[i];
		assert_int_equal(audit_run(), 0);
	}
	/* A frame that counts one user less, or a leaf more than the counter says. */
	frame_put(hpa_to_mfn(hpa(*entry & NESTED_HPA)));
	assert_true(audit_run() > 0);
	frame_get(hpa_to_mfn(hpa(*entry & NESTED_HPA)));
	vm->memory.shared_pages++;
	assert_true(audit_run() > 0);
	vm->memory.shared_pages--;
	/* A page shown where the engine has none. */
	assert_int_equal(
		nested_map_shared(&vm->memory, (info.window >> PAGE_SHIFT) + first_page() + 5,
			hpa_to_mfn(hpa(*entry & NESTED_HPA))),
		0);
	assert_true(audit_run() > 0);
	nested_detach(&vm->memory, (info.window >> PAGE_SHIFT) + first_page() + 5, 1);
	assert_int_equal(audit_run(), 0);
	finish();
}

static void a_guest_may_end_at_any_time(void **state)
{
	(void)state;
	for (u32 pages = 0; pages < 9000; pages += 1500) {
		start(&fake_ept, 2);
		open_window();
		for (u32 index = 0; index < pages; index++) {
			put(index);
			if (index % 500 == 0)
				surely_lacks(index);
			if (index % 2500 == 0)
				window_tick(vm);
		}
		finish();
	}
}

/* There is no page for a table: the guest's reserve of tables is gone, and nothing can be had. */
static void without_a_frame_for_a_table_the_guest_ends(void **state)
{
	static mfn_t taken[MIB(128) / PAGE_SIZE];
	unsigned count = 0;

	(void)state;
	start(&fake_ept, 1);
	open_window();
	while (!mfn_is_none(taken[count] = frame_alloc(FRAME_DEVICE, 0, 0)))
		count++;
	assert_int_equal(touch(0, ACCESS_READ), WAIT);
	assert_int_equal(vm->stop_reason, STOP_NO_MEMORY);
	while (count)
		frame_free(taken[--count], 0);
	finish();
}

/* There is no page of ones, or none for the filter: the call fails, and succeeds later. */
static void without_memory_a_window_stays_closed(void **state)
{
	static mfn_t taken[MIB(128) / PAGE_SIZE];
	unsigned count = 0;
	s64 result;

	(void)state;
	start(&fake_ept, 1);
	while (!mfn_is_none(taken[count] = frame_alloc(FRAME_DEVICE, 0, 0)))
		count++;
	assert_int_equal(window_open(vm, (u64)pool, INFO), -SLUICE_ENOMEM);
	assert_null(vm->memory.ones);
	assert_false(vm->memory.windows_open);
	/* One frame after the other comes back. */
	do {
		frame_free(taken[--count], 0);
		result = window_open(vm, (u64)pool, INFO);
		assert_true(result == 0 || result == -SLUICE_ENOMEM || result == -SLUICE_EAGAIN);
		assert_int_equal(vm->memory.windows_open, result == 0);
	} while (result && count);
	assert_int_equal(result, 0);
	while (count)
		frame_free(taken[--count], 0);
	open_window();
	assert_true(surely_lacks(7));
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_are_shown_for_reading_alone),
		cmocka_unit_test(bad_calls_change_nothing),
		cmocka_unit_test(pages_that_left_are_ones_until_all_have_passed),
		cmocka_unit_test(a_slow_reader_finds_ones),
		cmocka_unit_test(more_slow_readers_than_places),
		cmocka_unit_test(a_pool_that_comes_again_has_a_new_window),
		cmocka_unit_test(the_audit_finds_what_is_planted),
		cmocka_unit_test(without_a_frame_for_a_table_the_guest_ends),
		cmocka_unit_test(without_memory_a_window_stays_closed),
		cmocka_unit_test(a_guest_may_end_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
