/*
 * Two guests that exchange frames with the real engine. To be
 * included after cmocka.h.
 */
#ifndef FAKE_FLIP_GUESTS_H
#define FAKE_FLIP_GUESTS_H

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

static inline void create_guest(unsigned i, const struct nested_layout *layout, unsigned vcpu_count)
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
static inline void start(const struct nested_layout *layout, unsigned vcpu_count)
{
	fake_engine_machine(MIB(64), vcpu_count);
	for (unsigned i = 0; i < GUESTS; i++)
		create_guest(i, layout, vcpu_count);
}

static inline void finish(void)
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

static inline void declare(unsigned i, u64 first, u64 pages)
{
	s64 result;

	do
		result = flip_declare(&vcpus[i][0], first, pages);
	while (result == -SLUICE_EAGAIN);
	assert_int_equal(result, 0);
}

/* What the guest's processor reaches. */
static inline u64 *mapped(unsigned i, u64 frame)
{
	unsigned level;
	u64 address = fake_translate(&vms[i]->memory, frame << PAGE_SHIFT, &level);

	return address == ~0UL ? NULL : (u64 *)(fake_ram + address);
}

static inline u64 *touch(unsigned i, u64 frame)
{
	assert_int_equal(memory_fault(&vcpus[i][0], gfn_to_gpa(gfn(frame)), ACCESS_WRITE), DONE);
	assert_non_null(mapped(i, frame));
	return mapped(i, frame);
}

static inline bool is_zero(const u64 *page)
{
	for (u64 i = 0; i < PAGE_SIZE / 8; i++)
		if (page[i])
			return false;
	return true;
}

static inline struct tmem_handle handle_of(s32 pool, u32 index)
{
	return (struct tmem_handle){.object = {1, 0, 0}, .index = index, .pool = pool};
}

/* As kernel/vm/hypercall.c does it. */
static inline s64 put(struct vcpu *vcpu, s32 pool, u32 index, u64 frame)
{
	struct tmem_handle handle = handle_of(pool, index);
	s64 result = flip_put(vcpu, &handle, frame);

	if (result != FLIP_BY_COPY)
		return result;
	return tmem_put(vcpu->vm->tmem, &handle, memory_page(vcpu->vm, gfn(frame)));
}

static inline s64 get(struct vcpu *vcpu, s32 pool, u32 index, u64 frame)
{
	struct tmem_handle handle = handle_of(pool, index);
	s64 result = flip_get(vcpu, &handle, frame);

	if (result != FLIP_BY_COPY)
		return result;
	return tmem_get(vcpu->vm->tmem, &handle, memory_page(vcpu->vm, gfn(frame)));
}

static inline u64 flips(unsigned i)
{
	return vms[i]->memory.flip.puts + vms[i]->memory.flip.gets;
}

#endif
