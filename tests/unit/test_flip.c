/*
 * Page flip between guests and the real engine: ranges, what stands at a gfn afterwards, that
 * nobody sees another guest's data, that no frame changes hands while some CPU can write it, and
 * that every frame is accounted for. Built with lock-order assertions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/hypercall.h>
#include <abi/platform.h>

#include "fake/engine.h"
#include "fake/machine.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/vm/audit.h"
#include "kernel/vm/flip.h"
#include "kernel/vm/limbo.h"
#include "kernel/vm/memory_flip.h"
#include "kernel/vm/memory_nested.h"
#include "kernel/vm/tmem_port.h"
#include "tmem/port.h"

#define GUESTS 2U
#define GUEST  MIB(12)
#define FIRST  512u /* the declared range of most tests */
#define PAGES  600u

static struct vm *vms[GUESTS];
static struct vcpu vcpus[GUESTS][2];
static s32 precache[GUESTS], preswap[GUESTS];
static const struct nested_layout *const layouts[] = {&fake_ept, &fake_npt};

static void create_guest(unsigned i, const struct nested_layout *layout, unsigned vcpu_count)
{
	vms[i] = fake_vm(i);
	vms[i]->tmem = fake_engine_client(256, 100, 0);
	precache[i] = tmem_pool_create(vms[i]->tmem, 0, 0, 0);
	preswap[i] = tmem_pool_create(vms[i]->tmem, TMEM_POOL_PERSISTENT, 0, 0);
	assert_true(precache[i] >= 0 && preswap[i] >= 0);
	assert_int_equal(memory_create(vms[i], GUEST, layout), 0);
	for (u32 v = 0; v < vcpu_count; v++) {
		vcpus[i][v] = (struct vcpu){.vm = vms[i], .id = v};
		vms[i]->vcpus[v] = &vcpus[i][v];
	}
	vms[i]->vcpu_count = vcpu_count;
}

/* As many CPUs as vCPUs. */
static void start(const struct nested_layout *layout, unsigned vcpu_count)
{
	fake_engine_machine(MIB(64), vcpu_count);
	for (unsigned i = 0; i < GUESTS; i++)
		create_guest(i, layout, vcpu_count);
}

static void finish(void)
{
	fake_run_as(0);
	assert_int_equal(audit_run(), 0);
	for (unsigned i = 0; i < GUESTS; i++) {
		fake_engine_end_client(vms[i]->tmem);
		vms[i]->tmem = NULL;
		memory_destroy(vms[i]);
		assert_int_equal(audit_run(), 0);
	}
	fake_limbo_empty();
	fake_engine_end();
	assert_int_equal(frames_of_class(FRAME_GUEST), 0);
}

static void declare(unsigned i, u64 first, u64 pages)
{
	s64 result;

	do
		result = flip_declare(&vcpus[i][0], first, pages);
	while (result == -SLUICE_EAGAIN);
	assert_int_equal(result, 0);
}

/* What the guest's processor reaches. */
static u64 *mapped(unsigned i, u64 frame)
{
	unsigned level;
	u64 address = fake_translate(&vms[i]->memory, frame << PAGE_SHIFT, &level);

	return address == ~0UL ? NULL : (u64 *)(fake_ram + address);
}

static u64 *touch(unsigned i, u64 frame)
{
	assert_int_equal(memory_fault(&vcpus[i][0], gfn_to_gpa(gfn(frame)), ACCESS_WRITE), DONE);
	assert_non_null(mapped(i, frame));
	return mapped(i, frame);
}

static void fill(u64 *page, u64 seed)
{
	for (u64 i = 0; i < PAGE_SIZE / 8; i++)
		page[i] = seed * 0x9e3779b97f4a7c15UL + i;
}

static bool holds(const u64 *page, u64 seed)
{
	for (u64 i = 0; i < PAGE_SIZE / 8; i++)
		if (page[i] != seed * 0x9e3779b97f4a7c15UL + i)
			return false;
	return true;
}

static bool is_zero(const u64 *page)
{
	for (u64 i = 0; i < PAGE_SIZE / 8; i++)
		if (page[i])
			return false;
	return true;
}

static struct tmem_handle handle_of(s32 pool, u32 index)
{
	return (struct tmem_handle){.object = {1, 0, 0}, .index = index, .pool = pool};
}

/* As kernel/vm/hypercall.c does it. */
static s64 put(struct vcpu *vcpu, s32 pool, u32 index, u64 frame)
{
	struct tmem_handle handle = handle_of(pool, index);
	s64 result = flip_put(vcpu, &handle, frame);

	if (result != FLIP_BY_COPY)
		return result;
	return tmem_put(vcpu->vm->tmem, &handle, memory_page(vcpu->vm, gfn(frame)));
}

static s64 get(struct vcpu *vcpu, s32 pool, u32 index, u64 frame)
{
	struct tmem_handle handle = handle_of(pool, index);
	s64 result = flip_get(vcpu, &handle, frame);

	if (result != FLIP_BY_COPY)
		return result;
	return tmem_get(vcpu->vm->tmem, &handle, memory_page(vcpu->vm, gfn(frame)));
}

static u64 flips(unsigned i)
{
	return vms[i]->memory.flip.puts + vms[i]->memory.flip.gets;
}

static void frames_change_hands(void **state)
{
	(void)state;
	for (unsigned l = 0; l < ARRAY_SIZE(layouts); l++) {
		u64 *was, generation;

		start(layouts[l], 1);
		fill(touch(0, FIRST), 1);
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

		fill(mapped(0, FIRST), 2);
		assert_int_equal(get(&vcpus[0][0], precache[0], 7, FIRST), 0);
		assert_ptr_equal(mapped(0, FIRST), was);
		assert_true(holds(was, 1));
		assert_int_equal(vms[0]->memory.flip.spare_count, 1);
		assert_int_equal(get(&vcpus[0][0], precache[0], 7, FIRST), -SLUICE_ENOENT);
		assert_int_equal(flips(0), 2);
		/* The next one gets the guest's own frame back, as it was. */
		assert_int_equal(put(&vcpus[0][0], precache[0], 8, FIRST), 0);
		assert_true(holds(mapped(0, FIRST), 2));
		assert_int_equal(vms[0]->memory.flip.spare_count, 0);
		assert_int_equal(get(&vcpus[0][0], precache[0], 8, FIRST), 0);
		assert_true(holds(mapped(0, FIRST), 1));
		finish();
	}
}

static void what_is_not_declared_is_copied(void **state)
{
	const u64 *was;

	(void)state;
	start(&fake_ept, 1);
	fill(touch(0, FIRST), 1);
	fill(touch(0, FIRST + 1), 2);
	was = mapped(0, FIRST);
	assert_int_equal(put(&vcpus[0][0], precache[0], 1, FIRST), 0);
	assert_ptr_equal(mapped(0, FIRST), was);
	assert_true(holds(was, 1));
	declare(0, FIRST + 1, 1);
	assert_int_equal(get(&vcpus[0][0], precache[0], 1, FIRST), 0);
	assert_int_equal(flips(0), 0);
	assert_int_equal(put(&vcpus[0][0], precache[0], 1, FIRST + 1), 0);
	assert_int_equal(flips(0), 1);
	/* Got where nothing is flipped. */
	assert_int_equal(get(&vcpus[0][0], precache[0], 1, FIRST), 0);
	assert_true(holds(mapped(0, FIRST), 2));
	/* A persistent page stays in the store. */
	fill(mapped(0, FIRST + 1), 3);
	assert_int_equal(put(&vcpus[0][0], preswap[0], 1, FIRST + 1), 0);
	assert_int_equal(flips(0), 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(get(&vcpus[0][0], preswap[0], 1, FIRST + 1), 0);
		assert_true(holds(mapped(0, FIRST + 1), 3));
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
	fill(touch(0, FIRST), 1);
	declare(0, FIRST, 1);
	assert_int_equal(flip_undeclare(&vcpus[0][0], FIRST, 1), 0);
	memory_collapse_tick(vms[0]);
	assert_true(vms[0]->memory.collapse.active);
	declare(0, FIRST, 1);
	assert_false(vms[0]->memory.collapse.active);
	assert_true(holds(mapped(0, FIRST), 1));
	finish();
}

static void pinned_pages_stay(void **state)
{
	struct vcpu *vcpu = &vcpus[0][0];
	mfn_t host;

	(void)state;
	start(&fake_ept, 1);
	fill(touch(0, FIRST), 1);
	declare(0, FIRST, PAGES);
	assert_int_equal(put(vcpu, precache[0], 1, FIRST), 0);
	fill(mapped(0, FIRST), 2);
	assert_int_equal(memory_pin(vms[0], gfn(FIRST), &host), 0);
	/* Nothing changes for a get. */
	assert_int_equal(get(vcpu, precache[0], 1, FIRST), -SLUICE_EBUSY);
	assert_true(holds(mapped(0, FIRST), 2));
	/* A put that fails leaves no old copy. */
	assert_int_equal(put(vcpu, precache[0], 1, FIRST), -SLUICE_EBUSY);
	assert_int_equal(put(vcpu, 9, 1, FIRST), -SLUICE_EBADF);
	assert_true(holds(mapped(0, FIRST), 2));
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
		fill(touch(0, FIRST + i), i);
		assert_int_equal(put(vcpu, preswap[0], i, FIRST + i), 0);
	}
	assert_int_equal(flips(0), 100);
	fill(touch(0, FIRST), 1000);
	assert_int_equal(put(vcpu, preswap[0], 100, FIRST), -SLUICE_ENOSPC);
	assert_true(holds(mapped(0, FIRST), 1000));
	tmem_client_freeze(vms[0]->tmem, true);
	assert_int_equal(put(vcpu, precache[0], 100, FIRST), -SLUICE_ENOSPC);
	assert_true(holds(mapped(0, FIRST), 1000));
	for (u32 i = 0; i < 100; i++) {
		assert_int_equal(get(vcpu, preswap[0], i, FIRST + 200), 0);
		assert_true(holds(mapped(0, FIRST + 200), i));
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
	fill(touch(0, FIRST), 1);
	fill(touch(0, FIRST + 1), 2);
	was = mapped(0, FIRST);
	frames_set_reserve((frames_free() + 1) * PAGE_SIZE);
	assert_int_equal(put(vcpu, precache[0], 1, FIRST), -SLUICE_ENOMEM);
	assert_ptr_equal(mapped(0, FIRST), was);
	frames_set_reserve(0);
	assert_int_equal(put(vcpu, precache[0], 1, FIRST), 0);
	assert_int_equal(flips(0), 1);
	fill(touch(0, FIRST + 2), 3);
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
		fill(touch(0, FIRST + i), i);
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

/* ---- Several vCPUs ------------------------------------------------------------------ */

/* What another CPU writes through a translation that it remembers is in the page, or comes before
 * the frame changes hands. */
static void frames_wait_for_every_cpu(void **state)
{
	struct vcpu *vcpu = &vcpus[0][0];
	u64 *stale;

	(void)state;
	start(&fake_ept, 2);
	fill(touch(0, FIRST), 1);
	declare(0, FIRST, PAGES);
	fake_all_pass();
	stale = mapped(0, FIRST);
	fake_run_as(0);
	fake_kicks[1] = 0;
	assert_int_equal(put(vcpu, precache[0], 1, FIRST), -SLUICE_EAGAIN);
	assert_int_equal(fake_kicks[1], 1);
	assert_null(mapped(0, FIRST)); /* who comes now faults */
	assert_int_equal(audit_run(), 0);
	epoch_quiescent(epoch_now());
	stale[9] = 0x55;
	assert_int_equal(put(vcpu, precache[0], 1, FIRST), -SLUICE_EAGAIN);
	assert_int_equal(flips(0), 0);
	fake_run_as(1);
	epoch_quiescent(epoch_now());
	fake_run_as(0);
	assert_int_equal(put(vcpu, precache[0], 1, FIRST), 0);
	assert_int_equal(flips(0), 1);
	assert_ptr_not_equal(mapped(0, FIRST), stale);
	assert_int_equal(frame_of(ptr_to_mfn(stale))->class, FRAME_TMEM);

	/* The same way back. */
	fill(mapped(0, FIRST + 1) ? mapped(0, FIRST + 1) : touch(0, FIRST + 1), 3);
	assert_int_equal(get(vcpu, precache[0], 1, FIRST + 1), -SLUICE_EAGAIN);
	assert_null(mapped(0, FIRST + 1));
	fake_all_pass();
	assert_int_equal(get(vcpu, precache[0], 1, FIRST + 1), 0);
	assert_ptr_equal(mapped(0, FIRST + 1), stale);
	assert_int_equal(stale[9], 0x55);
	assert_int_equal(stale[8], 1 * 0x9e3779b97f4a7c15UL + 8);
	assert_int_equal(flips(0), 2);
	/* A miss keeps nobody waiting. */
	assert_int_equal(get(vcpu, precache[0], 1, FIRST + 1), -SLUICE_ENOENT);
	finish();
}

static void begin_put(void)
{
	fill(touch(0, FIRST), 1);
	declare(0, FIRST, PAGES);
	fake_all_pass();
	fake_run_as(0);
	assert_int_equal(put(&vcpus[0][0], precache[0], 1, FIRST), -SLUICE_EAGAIN);
	assert_null(mapped(0, FIRST));
}

/* By whatever wants the page meanwhile; then the put copies. */
static void a_flip_is_called_off(void **state)
{
	enum { FAULT, SERVICE, PIN, OTHER_PUT, INFLATE, UNDECLARE, OTHER_FLIP, END, WAYS };

	(void)state;
	for (unsigned way = 0; way < WAYS; way++) {
		struct vcpu *vcpu;
		mfn_t host;

		start(layouts[way % 2], 2);
		vcpu = &vcpus[0][0];
		begin_put();
		switch (way) {
		case FAULT:
			fake_run_as(1);
			touch(0, FIRST)[5] = 77;
			break;
		case SERVICE:
			assert_true(holds(memory_page(vms[0], gfn(FIRST)), 1));
			break;
		case PIN:
			assert_int_equal(memory_pin(vms[0], gfn(FIRST), &host), 0);
			break;
		case OTHER_PUT:
			fake_run_as(1);
			assert_int_equal(put(&vcpus[0][1], precache[0], 2, FIRST), 0);
			break;
		case INFLATE:
			assert_int_equal(memory_inflate(vms[0], gfn(FIRST), 0), 0);
			break;
		case UNDECLARE:
			assert_int_equal(flip_undeclare(vcpu, FIRST, PAGES), 0);
			break;
		case OTHER_FLIP: /* by an interrupt's handler on the same vCPU */
			fill(touch(0, FIRST + 1), 2);
			fake_all_pass();
			fake_run_as(0);
			assert_int_equal(put(vcpu, precache[0], 2, FIRST + 1), -SLUICE_EAGAIN);
			assert_true(holds(mapped(0, FIRST), 1));
			break;
		case END:
			finish();
			continue;
		}
		fake_run_as(0);
		if (way != INFLATE)
			assert_non_null(mapped(0, FIRST));
		assert_int_equal(vms[0]->memory.flip.pending_count, way == OTHER_FLIP);
		assert_int_equal(audit_run(), 0);
		fake_all_pass();
		fake_run_as(0);
		if (way == INFLATE) {
			assert_int_equal(put(vcpu, precache[0], 1, FIRST), -SLUICE_EFAULT);
		} else if (way == OTHER_FLIP) {
			assert_int_equal(put(vcpu, precache[0], 2, FIRST + 1), 0);
			assert_int_equal(flips(0), 1);
		} else {
			assert_int_equal(put(vcpu, precache[0], 1, FIRST), 0);
			assert_int_equal(flips(0), 0);
			assert_int_equal(get(vcpu, precache[0], 1, FIRST + 9), 0);
			assert_int_equal(mapped(0, FIRST + 9)[6], 1 * 0x9e3779b97f4a7c15UL + 6);
			if (way == FAULT)
				assert_int_equal(mapped(0, FIRST + 9)[5], 77);
		}
		if (way == PIN)
			memory_unpin(vms[0], gfn(FIRST));
		finish();
	}
}

/* ---- Everything at random ----------------------------------------------------------- */

#define KEYS 200u

static u64 random_state = 1;

static u32 choose(u32 bound)
{
	random_state = random_state * 6364136223846793005UL + 1442695040888963407UL;
	return (u32)((random_state >> 33) % bound);
}

/* What each guest's pages hold, by gfn and by key; 0 = not known. A seed tells whose it is. */
struct expected {
	u64 frames[GUEST >> PAGE_SHIFT];
	u64 ephemeral[KEYS], persistent[KEYS];
};
static struct expected expected[GUESTS];

/* A page whose content is not defined holds nothing of another guest. */
static void check_foreign(unsigned i, u64 frame)
{
	const u64 *page = memory_page(vms[i], gfn(frame));
	u64 seed = (page[1] - 1) * 0xf1de83e19937733dUL; /* the inverse of the factor */

	assert_true(page[1] == 0 || seed % GUESTS == i);
}

static void random_step(unsigned cpus, u64 seed)
{
	unsigned i = choose(GUESTS), cpu = choose(cpus);
	struct expected *guest = &expected[i];
	struct vcpu *vcpu = &vcpus[i][cpu];
	u64 frame = FIRST - 20 + choose(100);
	u32 key = choose(KEYS);
	bool persistent = choose(3) == 0;
	u64 *stored = persistent ? &guest->persistent[key] : &guest->ephemeral[key];
	s32 pool = persistent ? preswap[i] : precache[i];
	s64 result;

	fake_run_as(cpu);
	switch (choose(10)) {
	case 0 ... 2:
		fill(memory_page(vms[i], gfn(frame)), seed * GUESTS + i);
		guest->frames[frame] = seed * GUESTS + i;
		break;
	case 3 ... 5:
		/* Another CPU may come between; so may one that calls it off. */
		while ((result = put(vcpu, pool, key, frame)) == -SLUICE_EAGAIN) {
			if (choose(8) == 0)
				check_foreign(i, frame);
			fake_all_pass();
			fake_run_as(cpu);
		}
		assert_true(result == 0 || result == -SLUICE_ENOSPC);
		*stored = result ? 0 : guest->frames[frame];
		if (!result)
			guest->frames[frame] = 0;
		check_foreign(i, frame);
		break;
	case 6 ... 8:
		while ((result = get(vcpu, pool, key, frame)) == -SLUICE_EAGAIN) {
			fake_all_pass();
			fake_run_as(cpu);
		}
		if (result == 0) {
			if (*stored)
				assert_true(holds(memory_page(vms[i], gfn(frame)), *stored));
			guest->frames[frame] = *stored;
			if (!persistent)
				*stored = 0;
		} else {
			assert_int_equal(result, -SLUICE_ENOENT);
			assert_int_equal(*stored, 0);
		}
		break;
	default:
		if (choose(4) == 0)
			memory_flip_tick(vms[i]);
		if (guest->frames[frame])
			assert_true(holds(memory_page(vms[i], gfn(frame)), guest->frames[frame]));
		else
			check_foreign(i, frame);
		break;
	}
}

static void play(unsigned cpus)
{
	memset(expected, 0, sizeof(expected));
	start(layouts[cpus % 2], cpus);
	for (unsigned i = 0; i < GUESTS; i++)
		declare(i, FIRST, 60);
	for (u64 step = 1; step <= 40000; step++) {
		random_step(cpus, step);
		if (step % 64 == 0) {
			fake_all_pass();
			limbo_drain();
		}
		if (step % 1024 == 0)
			assert_int_equal(audit_run(), 0);
	}
	assert_true(flips(0) > 1000 && flips(1) > 1000);
	finish();
}

static void anything_may_happen(void **state)
{
	(void)state;
	play(1);
	play(2);
}

/* ---- The audit ---------------------------------------------------------------------- */

static void finds(const char *report)
{
	fake_log_reset();
	assert_int_not_equal(audit_run(), 0);
	if (!strstr(fake_log_text, report))
		fail_msg("no \"%s\" in:\n%s", report, fake_log_text);
}

static void the_audit_finds_what_is_wrong(void **state)
{
	struct flip *flip;

	(void)state;
	start(&fake_ept, 2);
	flip = &vms[0]->memory.flip;
	begin_put();
	flip->pending[0].active = false;
	finds("pages to be flipped, but the counter says 1");
	flip->pending_count = 0;
	finds("is not mapped, but its entry is");
	flip->pending_count = 1;
	flip->pending[0].active = true;
	flip->pending[0].gfn++;
	finds("is to be flipped, but its entry is");
	flip->pending[0].gfn--;
	assert_int_equal(audit_run(), 0);
	fake_all_pass();
	fake_run_as(0);
	assert_int_equal(put(&vcpus[0][0], precache[0], 1, FIRST), 0);
	while (get(&vcpus[0][0], precache[0], 1, FIRST) == -SLUICE_EAGAIN) {
		fake_all_pass();
		fake_run_as(0);
	}
	assert_int_equal(flip->spare_count, 1);
	flip->spare_count = 0;
	finds("is lost: guest");
	flip->spare_count = 2;
	flip->spares[1] = flip->spares[0];
	finds("has 1 references, but 2 users");
	flip->spare_count = 1;
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
		cmocka_unit_test(frames_wait_for_every_cpu),
		cmocka_unit_test(a_flip_is_called_off),
		cmocka_unit_test(anything_may_happen),
		cmocka_unit_test(the_audit_finds_what_is_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
