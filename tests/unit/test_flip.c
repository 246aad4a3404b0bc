/*
 * Page flip between guests and the real engine: ranges, what stands at a gfn afterwards, what is
 * copied in its place, and that every frame is accounted for. Built with lock-order assertions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "fake/flip_guests.h"

static void frames_change_hands(void **state)
{
	(void)state;
	for (unsigned l = 0; l < ARRAY_SIZE(layouts); l++) {
		u64 *was, generation;

		start(layouts[l], 1);
		fake_engine_fill(touch(0, FIRST), 1);
		assert_int_equal(fake_level_at(&vms[0]->memory, FIRST), 2);
		declare(0, FIRST, PAGES);
		assert_int_equal(fake_level_at(&vms[0]->memory, FIRST), 1);
		assert_int_equal(vms[0]->memory.splits, 1);
		was = mapped(0, FIRST);
		generation = vms[0]->memory.generation;
		assert_int_equal(put(&vcpus[0][0], precache[0], 7, FIRST), 0);
		assert_int_equal(flips(0), 1);
		assert_true(vms[0]->memory.generation > generation);
		/* A scrubbed frame stands there, and what was there is the store's. */
		assert_ptr_not_equal(mapped(0, FIRST), was);
		assert_true(is_zero(mapped(0, FIRST)));
		assert_int_equal(frame_of(ptr_to_mfn(was))->class, FRAME_TMEM);
		assert_int_equal(audit_run(), 0);

		fake_engine_fill(mapped(0, FIRST), 2);
		assert_int_equal(get(&vcpus[0][0], precache[0], 7, FIRST), 0);
		assert_ptr_equal(mapped(0, FIRST), was);
		assert_true(fake_engine_holds(was, 1));
		assert_int_equal(vms[0]->memory.flip.spare_count, 1);
		assert_int_equal(get(&vcpus[0][0], precache[0], 7, FIRST), -SLUICE_ENOENT);
		assert_int_equal(flips(0), 2);
		/* The next one gets the guest's own frame back, as it was. */
		assert_int_equal(put(&vcpus[0][0], precache[0], 8, FIRST), 0);
		assert_true(fake_engine_holds(mapped(0, FIRST), 2));
		assert_int_equal(vms[0]->memory.flip.spare_count, 0);
		assert_int_equal(get(&vcpus[0][0], precache[0], 8, FIRST), 0);
		assert_true(fake_engine_holds(mapped(0, FIRST), 1));
		finish();
	}
}

static void what_is_not_declared_is_copied(void **state)
{
	const u64 *was;

	(void)state;
	start(&fake_ept, 1);
	fake_engine_fill(touch(0, FIRST), 1);
	fake_engine_fill(touch(0, FIRST + 1), 2);
	was = mapped(0, FIRST);
	assert_int_equal(put(&vcpus[0][0], precache[0], 1, FIRST), 0);
	assert_ptr_equal(mapped(0, FIRST), was);
	assert_true(fake_engine_holds(was, 1));
	declare(0, FIRST + 1, 1);
	assert_int_equal(get(&vcpus[0][0], precache[0], 1, FIRST), 0);
	assert_int_equal(flips(0), 0);
	assert_int_equal(put(&vcpus[0][0], precache[0], 1, FIRST + 1), 0);
	assert_int_equal(flips(0), 1);
	/* Got where nothing is flipped. */
	assert_int_equal(get(&vcpus[0][0], precache[0], 1, FIRST), 0);
	assert_true(fake_engine_holds(mapped(0, FIRST), 2));
	/* A persistent page stays in the store. */
	fake_engine_fill(mapped(0, FIRST + 1), 3);
	assert_int_equal(put(&vcpus[0][0], preswap[0], 1, FIRST + 1), 0);
	assert_int_equal(flips(0), 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(get(&vcpus[0][0], preswap[0], 1, FIRST + 1), 0);
		assert_true(fake_engine_holds(mapped(0, FIRST + 1), 3));
	}
	assert_int_equal(flips(0), 2);
	finish();
}

static void ranges_are_checked(void **state)
{
	const u64 end = GUEST >> PAGE_SHIFT;
	struct vcpu *vcpu = &vcpus[0][0];

	(void)state;
	start(&fake_ept, 1);
	assert_int_equal(flip_declare(vcpu, 0, 0), -SLUICE_EINVAL);
	assert_int_equal(flip_declare(vcpu, end, 1), -SLUICE_EFAULT);
	assert_int_equal(flip_declare(vcpu, end - 1, 2), -SLUICE_EFAULT);
	assert_int_equal(flip_declare(vcpu, ~0UL, 1), -SLUICE_EFAULT);
	assert_int_equal(flip_declare(vcpu, 1, ~0UL), -SLUICE_EFAULT);
	assert_int_equal(flip_declare(vcpu, PLATFORM_HOLE_START >> PAGE_SHIFT, 1), -SLUICE_EFAULT);
	declare(0, 100, 50);
	assert_int_equal(flip_declare(vcpu, 100, 50), -SLUICE_EINVAL);
	assert_int_equal(flip_declare(vcpu, 149, 1), -SLUICE_EINVAL);
	assert_int_equal(flip_declare(vcpu, 99, 2), -SLUICE_EINVAL);
	assert_int_equal(flip_declare(vcpu, 0, 1000), -SLUICE_EINVAL);
	for (u64 i = 1; i < FLIP_RANGES; i++)
		declare(0, 200 + i, 1);
	assert_int_equal(flip_declare(vcpu, 300, 1), -SLUICE_ENOSPC);
	assert_int_equal(flip_undeclare(vcpu, 100, 49), -SLUICE_EINVAL);
	assert_int_equal(flip_undeclare(vcpu, 101, 49), -SLUICE_EINVAL);
	assert_int_equal(flip_undeclare(vcpu, 0, ~0UL), -SLUICE_EINVAL);
	assert_int_equal(flip_undeclare(vcpu, 100, 50), 0);
	assert_int_equal(flip_undeclare(vcpu, 100, 50), -SLUICE_EINVAL);
	for (u64 i = 1; i < FLIP_RANGES; i++)
		assert_int_equal(flip_undeclare(vcpu, 200 + i, 1), 0);
	assert_int_equal(vms[0]->memory.flip.range_count, 0);
	/* Outside of RAM there is nothing to put; in the balloon neither. */
	declare(0, FIRST, 10);
	assert_int_equal(put(vcpu, precache[0], 1, end), -SLUICE_EFAULT);
	assert_int_equal(put(vcpu, precache[0], 1, ~0UL), -SLUICE_EFAULT);
	assert_int_equal(memory_inflate(vms[0], gfn(FIRST), 0), 0);
	assert_int_equal(put(vcpu, precache[0], 1, FIRST), -SLUICE_EFAULT);
	assert_int_equal(get(vcpu, precache[0], 1, FIRST), -SLUICE_EFAULT);
	/* An untouched page is one of zeros. */
	assert_int_equal(put(vcpu, precache[0], 1, FIRST + 1), 0);
	assert_int_equal(get(vcpu, precache[0], 1, FIRST + 2), 0);
	assert_true(is_zero(mapped(0, FIRST + 2)));
	finish();
}

/* A large range is split in steps, and what is declared already is not mapped large again. */
static void large_pages_stay_away(void **state)
{
	unsigned steps = 1;

	(void)state;
	start(&fake_ept, 1);
	fake_clear_skip = true;
	for (u64 frame = 0; frame < GUEST >> PAGE_SHIFT; frame += BLOCK_PAGES)
		if (frame != 3 * BLOCK_PAGES)
			touch(0, frame);
	/* All but the first and the last page. */
	while (flip_declare(&vcpus[0][0], 1, (GUEST >> PAGE_SHIFT) - 2) == -SLUICE_EAGAIN)
		steps++;
	assert_true(steps > 1);
	assert_int_equal(vms[0]->memory.large_pages, 0);
	touch(0, 3 * BLOCK_PAGES + 5);
	assert_int_equal(fake_level_at(&vms[0]->memory, 3 * BLOCK_PAGES + 5), 1);
	/* All pages of block 1 are there: still no copy into a large one. */
	for (unsigned i = 0; i < 100; i++) {
		memory_collapse_tick(vms[0]);
		fake_all_pass();
	}
	assert_int_equal(vms[0]->memory.collapsed, 0);
	assert_int_equal(fake_level_at(&vms[0]->memory, BLOCK_PAGES), 1);
	assert_int_equal(flip_undeclare(&vcpus[0][0], 1, (GUEST >> PAGE_SHIFT) - 2), 0);
	for (unsigned i = 0; i < 100; i++) {
		memory_collapse_tick(vms[0]);
		fake_all_pass();
	}
	assert_true(vms[0]->memory.collapsed > 0);
	fake_clear_skip = false;
	finish();
}

static void a_collapse_under_way_is_called_off(void **state)
{
	(void)state;
	start(&fake_ept, 1);
	fake_engine_fill(touch(0, FIRST), 1);
	declare(0, FIRST, 1);
	assert_int_equal(flip_undeclare(&vcpus[0][0], FIRST, 1), 0);
	memory_collapse_tick(vms[0]);
	assert_true(vms[0]->memory.collapse.active);
	declare(0, FIRST, 1);
	assert_false(vms[0]->memory.collapse.active);
	assert_true(fake_engine_holds(mapped(0, FIRST), 1));
	finish();
}

static void pinned_pages_stay(void **state)
{
	struct vcpu *vcpu = &vcpus[0][0];
	mfn_t host;

	(void)state;
	start(&fake_ept, 1);
	fake_engine_fill(touch(0, FIRST), 1);
	declare(0, FIRST, PAGES);
	assert_int_equal(put(vcpu, precache[0], 1, FIRST), 0);
	fake_engine_fill(mapped(0, FIRST), 2);
	assert_int_equal(memory_pin(vms[0], gfn(FIRST), &host), 0);
	/* Nothing changes for a get. */
	assert_int_equal(get(vcpu, precache[0], 1, FIRST), -SLUICE_EBUSY);
	assert_true(fake_engine_holds(mapped(0, FIRST), 2));
	/* A put that fails leaves no old copy. */
	assert_int_equal(put(vcpu, precache[0], 1, FIRST), -SLUICE_EBUSY);
	assert_int_equal(put(vcpu, 9, 1, FIRST), -SLUICE_EBADF);
	assert_true(fake_engine_holds(mapped(0, FIRST), 2));
	memory_unpin(vms[0], gfn(FIRST));
	assert_int_equal(get(vcpu, precache[0], 1, FIRST), -SLUICE_ENOENT);
	finish();
}

/* A put that fails leaves the page, since its guest will need it. */
static void refused_pages_stay(void **state)
{
	struct vcpu *vcpu = &vcpus[0][0];

	(void)state;
	start(&fake_ept, 1);
	declare(0, FIRST, PAGES);
	for (u32 i = 0; i < 100; i++) {
		fake_engine_fill(touch(0, FIRST + i), i);
		assert_int_equal(put(vcpu, preswap[0], i, FIRST + i), 0);
	}
	assert_int_equal(flips(0), 100);
	fake_engine_fill(touch(0, FIRST), 1000);
	assert_int_equal(put(vcpu, preswap[0], 100, FIRST), -SLUICE_ENOSPC);
	assert_true(fake_engine_holds(mapped(0, FIRST), 1000));
	tmem_client_freeze(vms[0]->tmem, true);
	assert_int_equal(put(vcpu, precache[0], 100, FIRST), -SLUICE_ENOSPC);
	assert_true(fake_engine_holds(mapped(0, FIRST), 1000));
	for (u32 i = 0; i < 100; i++) {
		assert_int_equal(get(vcpu, preswap[0], i, FIRST + 200), 0);
		assert_true(fake_engine_holds(mapped(0, FIRST + 200), i));
	}
	finish();
}

/* With the reserve alone left no frame is taken for it. */
static void short_memory_copies(void **state)
{
	struct vcpu *vcpu = &vcpus[0][0];
	const u64 *was;

	(void)state;
	start(&fake_ept, 1);
	declare(0, FIRST, PAGES);
	fake_engine_fill(touch(0, FIRST), 1);
	fake_engine_fill(touch(0, FIRST + 1), 2);
	was = mapped(0, FIRST);
	frames_set_reserve((frames_free() + 1) * PAGE_SIZE);
	assert_int_equal(put(vcpu, precache[0], 1, FIRST), -SLUICE_ENOMEM);
	assert_ptr_equal(mapped(0, FIRST), was);
	frames_set_reserve(0);
	assert_int_equal(put(vcpu, precache[0], 1, FIRST), 0);
	assert_int_equal(flips(0), 1);
	fake_engine_fill(touch(0, FIRST + 2), 3);
	assert_int_equal(put(vcpu, precache[0], 3, FIRST + 2), 0);
	/* One that was kept needs nobody's memory. */
	assert_int_equal(get(vcpu, precache[0], 1, FIRST), 0);
	frames_set_reserve((frames_free() + 1) * PAGE_SIZE);
	assert_int_equal(put(vcpu, precache[0], 2, FIRST + 1), 0);
	assert_int_equal(flips(0), 4);
	frames_set_reserve(0);
	finish();
}

static void frames_are_not_kept_for_long(void **state)
{
	struct vcpu *vcpu = &vcpus[0][0];

	(void)state;
	start(&fake_ept, 1);
	declare(0, FIRST, PAGES);
	for (u32 i = 0; i < FLIP_SPARES + 10; i++) {
		fake_engine_fill(touch(0, FIRST + i), i);
		assert_int_equal(put(vcpu, precache[0], i, FIRST + i), 0);
	}
	for (u32 i = 0; i < FLIP_SPARES + 10; i++)
		assert_int_equal(get(vcpu, precache[0], i, FIRST + i), 0);
	assert_int_equal(vms[0]->memory.flip.spare_count, FLIP_SPARES);
	assert_int_equal(limbo_frames(), 10);
	assert_int_equal(audit_run(), 0);
	memory_flip_tick(vms[0]);
	assert_int_equal(vms[0]->memory.flip.spare_count, FLIP_SPARES);
	memory_flip_tick(vms[0]);
	assert_int_equal(vms[0]->memory.flip.spare_count, 0);
	assert_int_equal(limbo_frames(), FLIP_SPARES + 10);
	assert_int_equal(audit_run(), 0);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_change_hands),
		cmocka_unit_test(what_is_not_declared_is_copied),
		cmocka_unit_test(ranges_are_checked),
		cmocka_unit_test(large_pages_stay_away),
		cmocka_unit_test(a_collapse_under_way_is_called_off),
		cmocka_unit_test(pinned_pages_stay),
		cmocka_unit_test(refused_pages_stay),
		cmocka_unit_test(short_memory_copies),
		cmocka_unit_test(frames_are_not_kept_for_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
