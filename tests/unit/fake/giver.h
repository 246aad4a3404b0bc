/*
 * Two guests for tests of volatile pages: the giver has them, the taker wants frames. To be
 * included after cmocka.h.
 */
#ifndef FAKE_GIVER_H
#define FAKE_GIVER_H

#include <string.h>

#include <abi/errno.h>
#include <abi/hypercall.h>
#include <abi/volatile.h>

#include "fake/machine.h"
#include "fake/store.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/vm/audit.h"
#include "kernel/vm/limbo.h"
#include "kernel/vm/memory_volatile.h"

#define MACHINE MIB(32)
#define RAM     MIB(12) /* of each guest */
#define PAGES   (RAM / PAGE_SIZE)
#define STATES  MIB(4) /* gpa of the state bytes: their page has some of them itself */
#define MAGIC   0x7f0000000000UL

static struct vm *giver, *taker;
static struct vcpu giver_vcpu, taker_vcpu;
static mfn_t ballast[MACHINE / PAGE_SIZE];
static unsigned ballast_pages;

static inline s64 call(struct vcpu *vcpu, u64 number, u64 first, u64 pages, u64 states, u64 magic)
{
	vcpu->regs[RDI] = first;
	vcpu->regs[RSI] = pages;
	vcpu->regs[RDX] = states;
	vcpu->regs[R10] = magic;
	vcpu->regs[R8] = 0;
	return memory_volatile_call(vcpu, number);
}

static inline s64 enrol(u64 first, u64 pages, u64 states, u64 magic)
{
	return call(&giver_vcpu, HYPERCALL_VOLATILE_REGISTER, first, pages, states, magic);
}

static inline u8 *state_of(u64 frame)
{
	u8 *page = memory_page(giver, gfn((STATES + frame) >> PAGE_SHIFT));

	assert_non_null(page);
	return page + ((STATES + frame) & PAGE_MASK);
}

static inline enum outcome touch(struct vcpu *vcpu, u64 frame, u32 access)
{
	return memory_fault(vcpu, gfn_to_gpa(gfn(frame)), access);
}

/* What the guest would read at @frame: it must be mapped. */
static inline u64 *word(u64 frame)
{
	unsigned level;
	u64 at = fake_translate(&giver->memory, frame << PAGE_SHIFT, &level);

	assert_int_not_equal(at, ~0UL);
	return (u64 *)(fake_ram + at);
}

static inline bool is_mapped(u64 frame)
{
	unsigned level;

	return fake_translate(&giver->memory, frame << PAGE_SHIFT, &level) != ~0UL;
}

static inline unsigned state_in_table(u64 frame)
{
	return giver->memory.gfns[frame] & GFN_STATE;
}

static inline void all_pass(void)
{
	fake_all_pass();
	limbo_drain();
}

/* Takes frames until only the reserve and @spare are free. */
static inline void fill_machine(u64 spare)
{
	while (frames_free() > frames_reserve() + spare) {
		mfn_t frame = frame_alloc(FRAME_DEVICE, 0, 0);

		assert_false(mfn_is_none(frame));
		ballast[ballast_pages++] = frame;
	}
}

/* Gives the pages [first, first + count) content that tells them, and makes them volatile. */
static inline void make_volatile(u64 first, u64 count)
{
	for (u64 frame = first; frame < first + count; frame++) {
		assert_int_equal(touch(&giver_vcpu, frame, ACCESS_WRITE), DONE);
		*word(frame) = frame;
	}
	for (u64 frame = first; frame < first + count; frame++)
		volatile_release(state_of(frame));
}

static inline int setup(void **state)
{
	(void)state;
	fake_core_start(MACHINE, 2);
	fake_store_reset(false);
	all_pass();
	giver = fake_vm(0);
	taker = fake_vm(1);
	assert_int_equal(memory_create(giver, RAM, &fake_npt), 0);
	assert_int_equal(memory_create(taker, RAM, &fake_ept), 0);
	giver->entitled_pages = 0;
	taker->entitled_pages = PAGES;
	giver_vcpu = (struct vcpu){.vm = giver};
	taker_vcpu = (struct vcpu){.vm = taker};
	giver->vcpus[0] = &giver_vcpu;
	taker->vcpus[0] = &taker_vcpu;
	giver->vcpu_count = taker->vcpu_count = 1;
	fake_log_reset();
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	fake_run_as(0);
	assert_int_equal(audit_run(), 0);
	memory_destroy(giver);
	memory_destroy(taker);
	assert_false(memory_discards_are_under_way());
	while (ballast_pages > 0)
		frame_free(ballast[--ballast_pages], 0);
	fake_limbo_empty();
	assert_int_equal(frames_of_class(FRAME_GUEST), 0);
	assert_int_equal(audit_run(), 0);
	fake_store_reset(false);
	return 0;
}

/* As many discards as there are pages, whoever asks. */
static inline void discard_all(struct vcpu *asking)
{
	for (unsigned i = 0; i < 200; i++) {
		mfn_t frame = guest_frame_alloc(asking->vm, 0);

		if (!mfn_is_none(frame))
			frame_free(frame, 0);
		all_pass();
		memory_discards_finish();
		fill_machine(0);
	}
}

static inline void begin(u64 pages)
{
	mfn_t frame;

	assert_int_equal(enrol(0, PAGES, STATES, MAGIC), 0);
	make_volatile(512, pages);
	fill_machine(0);
	frame = guest_frame_alloc(taker, 0);
	assert_false(mfn_is_none(frame));
	frame_free(frame, 0);
	assert_int_equal(giver->memory.discards.left, pages);
}

static inline void make_volatile_in_taker(u64 first, u64 count)
{
	u8 *states = memory_page(taker, gfn(STATES >> PAGE_SHIFT));

	for (u64 frame = first; frame < first + count; frame++)
		assert_non_null(memory_page(taker, gfn(frame)));
	for (u64 frame = first; frame < first + count; frame++)
		volatile_release(states + frame);
	taker->entitled_pages = 0;
}

#endif
