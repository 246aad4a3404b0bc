/*
 * Volatile pages: who may register what, which pages go and which come back, what a guest sees of a
 * page that is gone, what services and devices get, and that the audit knows of all of it. The last
 * test has a guest that obeys the rules on one CPU, and wants of frames on another.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/hypercall.h>
#include <abi/volatile.h>

#include "fake/ending.h"
#include "fake/machine.h"
#include "fake/store.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/vm/audit.h"
#include "kernel/vm/limbo.h"
#include "kernel/vm/memory_nested.h"
#include "kernel/vm/memory_ve.h"
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

static s64 call(struct vcpu *vcpu, u64 number, u64 first, u64 pages, u64 states, u64 magic)
{
	vcpu->regs[RDI] = first;
	vcpu->regs[RSI] = pages;
	vcpu->regs[RDX] = states;
	vcpu->regs[R10] = magic;
	vcpu->regs[R8] = 0;
	return memory_volatile_call(vcpu, number);
}

static s64 enrol(u64 first, u64 pages, u64 states, u64 magic)
{
	return call(&giver_vcpu, HYPERCALL_VOLATILE_REGISTER, first, pages, states, magic);
}

static u8 *state_of(u64 frame)
{
	u8 *page = memory_page(giver, gfn((STATES + frame) >> PAGE_SHIFT));

	assert_non_null(page);
	return page + ((STATES + frame) & PAGE_MASK);
}

static enum outcome touch(struct vcpu *vcpu, u64 frame, u32 access)
{
	return memory_fault(vcpu, gfn_to_gpa(gfn(frame)), access);
}

/* What the guest would read at @frame: it must be mapped. */
static u64 *word(u64 frame)
{
	unsigned level;
	u64 at = fake_translate(&giver->memory, frame << PAGE_SHIFT, &level);

	assert_int_not_equal(at, ~0UL);
	return (u64 *)(fake_ram + at);
}

static bool is_mapped(u64 frame)
{
	unsigned level;

	return fake_translate(&giver->memory, frame << PAGE_SHIFT, &level) != ~0UL;
}

static unsigned state_in_table(u64 frame)
{
	return giver->memory.gfns[frame] & GFN_STATE;
}

static void all_pass(void)
{
	fake_all_pass();
	limbo_drain();
}

/* Takes frames until only the reserve and @spare are free. */
static void fill_machine(u64 spare)
{
	while (frames_free() > frames_reserve() + spare) {
		mfn_t frame = frame_alloc(FRAME_DEVICE, 0, 0);

		assert_false(mfn_is_none(frame));
		ballast[ballast_pages++] = frame;
	}
}

/* Gives the pages [first, first + count) content that tells them, and makes them volatile. */
static void make_volatile(u64 first, u64 count)
{
	for (u64 frame = first; frame < first + count; frame++) {
		assert_int_equal(touch(&giver_vcpu, frame, ACCESS_WRITE), DONE);
		*word(frame) = frame;
	}
	for (u64 frame = first; frame < first + count; frame++)
		volatile_release(state_of(frame));
}

static int setup(void **state)
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

static int teardown(void **state)
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

static void hostile_registrations_are_refused(void **state)
{
	(void)state;
	assert_int_equal(enrol(0, 0, STATES, 0), -SLUICE_EINVAL);
	assert_int_equal(enrol(0, PAGES + 1, STATES, 0), -SLUICE_EFAULT);
	assert_int_equal(enrol(PAGES, 1, STATES, 0), -SLUICE_EFAULT);
	assert_int_equal(enrol(1, ~0UL, STATES, 0), -SLUICE_EFAULT);
	assert_int_equal(enrol(~0UL, 2, STATES, 0), -SLUICE_EFAULT);
	/* The state bytes. */
	assert_int_equal(enrol(0, PAGES, RAM, 0), -SLUICE_EFAULT);
	assert_int_equal(enrol(0, PAGES, ~PAGE_MASK, 0), -SLUICE_EFAULT);
	assert_int_equal(enrol(0, PAGES, STATES + 1, 0), -SLUICE_EINVAL);
	/* Addresses that a page fault cannot have, or that run out of their half. */
	assert_int_equal(enrol(0, PAGES, STATES, MAGIC + 8), -SLUICE_EINVAL);
	assert_int_equal(enrol(0, PAGES, STATES, BIT(47)), -SLUICE_EINVAL);
	assert_int_equal(enrol(0, PAGES, STATES, BIT(63)), -SLUICE_EINVAL);
	assert_int_equal(enrol(0, PAGES, STATES, BIT(47) - RAM + PAGE_SIZE), -SLUICE_EINVAL);
	assert_int_equal(enrol(0, PAGES, STATES, -RAM + PAGE_SIZE), -SLUICE_EINVAL);
	giver_vcpu.regs[R8] = 1; /* no flag is known */
	assert_int_equal(
		memory_volatile_call(&giver_vcpu, HYPERCALL_VOLATILE_REGISTER), -SLUICE_EINVAL);
	assert_int_equal(
		call(&giver_vcpu, HYPERCALL_VOLATILE_UNREGISTER, 0, 0, 0, 0), -SLUICE_EINVAL);
	assert_int_equal(enrol(0, PAGES, STATES, BIT(47) - RAM), 0);
	assert_int_equal(enrol(0, PAGES, STATES, 0), -SLUICE_EBUSY);
	assert_int_equal(call(&giver_vcpu, HYPERCALL_VOLATILE_UNREGISTER, 0, 0, 0, 0), 0);
	assert_int_equal(enrol(0, PAGES, STATES, -RAM), 0);
}

/* In the hole there is no RAM for state bytes, though pages may be numbered across it. */
static void state_bytes_are_ram(void **state)
{
	struct vm *wide = fake_vm(2);
	struct vcpu vcpu = {.vm = wide};
	u64 pages = (GIB(4) + MIB(2)) / PAGE_SIZE;
	(void)state;

	assert_int_equal(memory_create(wide, GIB(3) + MIB(2), &fake_npt), 0);
	assert_int_equal(call(&vcpu, HYPERCALL_VOLATILE_REGISTER, 0, pages, GIB(3) - MIB(1), MAGIC),
		-SLUICE_EFAULT);
	assert_int_equal(
		call(&vcpu, HYPERCALL_VOLATILE_REGISTER, 0, pages, GIB(3), MAGIC), -SLUICE_EFAULT);
	assert_int_equal(call(&vcpu, HYPERCALL_VOLATILE_REGISTER, 0, pages, GIB(4), MAGIC), 0);
	memory_destroy(wide);
}

static void pages_go_when_frames_are_wanted(void **state)
{
	u64 before, generation;
	(void)state;

	assert_int_equal(enrol(0, PAGES, STATES, MAGIC), 0);
	make_volatile(512, 100);
	before = giver->memory.populated_pages;
	/* As long as there are frames nothing happens. */
	assert_int_equal(touch(&taker_vcpu, 0, ACCESS_WRITE), DONE);
	assert_false(memory_discards_are_under_way());
	fill_machine(0);
	generation = giver->memory.generation;
	assert_int_equal(touch(&taker_vcpu, 1024, ACCESS_WRITE), DONE); /* from the reserve */
	assert_true(memory_discards_are_under_way());
	assert_true(giver->memory.generation > generation);
	assert_int_equal(giver->memory.discards.left, DISCARD_PAGES);
	/* Out of reach, but neither gone nor told. */
	assert_int_equal(giver->memory.populated_pages, before);
	assert_int_equal(state_in_table(512), GFN_DISCARDING);
	assert_false(is_mapped(512));
	assert_int_equal(*state_of(512), VOLATILE_VOLATILE);
	assert_int_equal(audit_run(), 0);
	memory_discards_finish();
	assert_int_equal(state_in_table(512), GFN_DISCARDING); /* not everybody has flushed */
	fake_run_as(1);
	epoch_quiescent(epoch_now());
	memory_discards_finish();
	assert_int_equal(state_in_table(512), GFN_DISCARDING);
	fake_run_as(0);
	epoch_quiescent(epoch_now());
	memory_wake_waiters();
	assert_int_equal(giver->memory.discarded, DISCARD_PAGES);
	assert_int_equal(giver->memory.populated_pages, before - DISCARD_PAGES);
	assert_int_equal(state_in_table(512), GFN_DISCARDED);
	assert_int_equal(*state_of(512), VOLATILE_DISCARDED);
	assert_true(frames_free() > frames_reserve());
	assert_int_equal(audit_run(), 0);
	/* And what was stable is as it was. */
	assert_int_equal(*word(512 + DISCARD_PAGES), 512 + DISCARD_PAGES);
}

/* As many discards as there are pages, whoever asks. */
static void discard_all(struct vcpu *asking)
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

static void stable_pages_stay(void **state)
{
	(void)state;
	assert_int_equal(enrol(0, PAGES, STATES, MAGIC), 0);
	make_volatile(512, 200);
	for (u64 frame = 512; frame < 712; frame += 2)
		assert_true(volatile_hold(state_of(frame)));
	fill_machine(0);
	discard_all(&taker_vcpu);
	assert_int_equal(giver->memory.discarded, 100);
	for (u64 frame = 512; frame < 712; frame += 2) {
		assert_int_equal(*word(frame), frame);
		assert_int_equal(*state_of(frame + 1), VOLATILE_DISCARDED);
		assert_false(volatile_hold(state_of(frame + 1)));
		assert_true(volatile_hold(state_of(frame + 1))); /* known by now */
	}
}

static void begin(u64 pages)
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

static void touches_bring_back(void **state)
{
	mfn_t host;
	u64 value = 0;
	(void)state;

	begin(8);
	/* Reading leaves it volatile, writing does not, and what the hypervisor does for the guest
	 * may be either. */
	assert_int_equal(touch(&giver_vcpu, 512, ACCESS_READ), DONE);
	assert_int_equal(*word(512), 512);
	assert_int_equal(*state_of(512), VOLATILE_VOLATILE);
	assert_int_equal(touch(&giver_vcpu, 513, ACCESS_READ | ACCESS_WRITE), DONE);
	assert_int_equal(*word(513), 513);
	assert_int_equal(*state_of(513), VOLATILE_STABLE);
	assert_int_equal(memory_read(giver, gpa(514 * PAGE_SIZE), &value, sizeof(value)), 0);
	assert_int_equal(value, 514);
	assert_int_equal(*state_of(514), VOLATILE_STABLE);
	assert_int_equal(memory_pin(giver, gfn(515), &host), 0);
	assert_int_equal(*state_of(515), VOLATILE_STABLE);
	assert_int_equal(giver->memory.discards.left, 4);
	assert_int_equal(giver->memory.rescued, 4);
	assert_int_equal(audit_run(), 0);
	/* A guest that made it stable and did not touch it finds it there all the same. */
	assert_true(volatile_hold(state_of(516)));
	all_pass();
	memory_discards_finish();
	assert_int_equal(*word(516), 516);
	assert_int_equal(giver->memory.discarded, 3);
	assert_int_equal(giver->memory.rescued, 5);
	memory_unpin(giver, gfn(515));
	assert_int_equal(*word(512), 512);
	assert_int_equal(state_in_table(517), GFN_DISCARDED);
}

static void a_write_to_what_was_just_brought_back_keeps_it(void **state)
{
	(void)state;
	begin(2);
	/* Another vCPU reads at the same time, and is first. */
	assert_int_equal(touch(&giver_vcpu, 512, ACCESS_READ), DONE);
	assert_int_equal(touch(&giver_vcpu, 512, ACCESS_WRITE), DONE);
	assert_int_equal(*state_of(512), VOLATILE_STABLE);
	discard_all(&taker_vcpu);
	assert_int_equal(*word(512), 512);
}

static void pinned_pages_stay(void **state)
{
	mfn_t host;
	(void)state;

	assert_int_equal(enrol(0, PAGES, STATES, MAGIC), 0);
	make_volatile(512, 3);
	assert_int_equal(memory_pin(giver, gfn(513), &host), 0);
	fill_machine(0);
	discard_all(&taker_vcpu);
	assert_int_equal(giver->memory.discarded, 2);
	assert_int_equal(*word(513), 513);
	memory_unpin(giver, gfn(513));
	discard_all(&taker_vcpu);
	assert_int_equal(giver->memory.discarded, 3);
}

static void what_is_gone_faults(void **state)
{
	u64 *event = &giver_vcpu.event.address;
	u32 *error = &giver_vcpu.event.error;
	(void)state;

	begin(4);
	discard_all(&taker_vcpu);
	assert_int_equal(giver->memory.discarded, 4);
	assert_int_equal(touch(&giver_vcpu, 513, ACCESS_READ), DONE);
	assert_true(giver_vcpu.event.valid && giver_vcpu.event.vector == VECTOR_PF);
	assert_int_equal(*event, MAGIC + 513 * PAGE_SIZE);
	assert_int_equal(*error, VOLATILE_FAULT);
	assert_int_equal(touch(&giver_vcpu, 512, ACCESS_WRITE | ACCESS_READ), DONE);
	assert_int_equal(*event, MAGIC + 512 * PAGE_SIZE);
	assert_int_equal(*error, VOLATILE_FAULT | 2);
	assert_int_equal(touch(&giver_vcpu, 514, ACCESS_EXEC), DONE);
	assert_int_equal(*error, VOLATILE_FAULT | 16);
	assert_false(is_mapped(512));
	assert_int_equal(giver->memory.discard_faults, 3);
	/* A guest that calls it volatile again has not understood. */
	*state_of(512) = VOLATILE_VOLATILE;
	assert_int_equal(touch(&giver_vcpu, 512, ACCESS_READ), DONE);
	assert_int_equal(giver->memory.discard_faults, 4);
	*state_of(512) = VOLATILE_STABLE;
	assert_int_equal(touch(&giver_vcpu, 512, ACCESS_READ), DONE);
	assert_int_equal(giver->memory.discard_faults, 4);
	assert_int_equal(*word(512), 0);
	assert_int_equal(giver->memory.discarded_pages, 3);
	assert_int_equal(audit_run(), 0);
}

static void without_a_handler_the_guest_is_at_fault(void **state)
{
	(void)state;
	assert_int_equal(enrol(0, PAGES, STATES, 0), 0);
	make_volatile(512, 1);
	fill_machine(0);
	discard_all(&taker_vcpu);
	assert_int_equal(touch(&giver_vcpu, 512, ACCESS_READ), BAD);
	assert_non_null(strstr(fake_log_text, "gfn 0x200 is touched, but it was discarded"));
}

static void services_get_an_error(void **state)
{
	u64 value = 1;
	mfn_t host;
	(void)state;

	begin(2);
	discard_all(&taker_vcpu);
	assert_null(memory_page(giver, gfn(512)));
	assert_true(memory_is_discarded(giver, gfn(512)));
	assert_false(memory_lacks_frame(giver, gfn(512))); /* nobody waits for it */
	assert_int_equal(memory_read(giver, gpa(512 * PAGE_SIZE), &value, 8), -SLUICE_EFAULT);
	assert_int_equal(memory_write(giver, gpa(512 * PAGE_SIZE), &value, 8), -SLUICE_EFAULT);
	assert_int_equal(memory_pin(giver, gfn(512), &host), -SLUICE_EFAULT);
	/* A page made stable is there at once, without a touch. */
	assert_false(volatile_hold(state_of(512)));
	assert_int_equal(memory_pin(giver, gfn(512), &host), 0);
	assert_int_equal(memory_read(giver, gpa(512 * PAGE_SIZE), &value, 8), 0);
	assert_int_equal(value, 0);
	memory_unpin(giver, gfn(512));
	assert_false(memory_is_discarded(giver, gfn(PAGES)));
}

static void used_pages_are_spared(void **state)
{
	unsigned level;
	(void)state;

	assert_int_equal(enrol(0, PAGES, STATES, MAGIC), 0);
	make_volatile(512, 2 * DISCARD_PAGES);
	for (u64 frame = 512; frame < 512 + DISCARD_PAGES; frame++) {
		assert_int_equal(nested_split(&giver->memory, frame, 1), 0);
		*nested_lookup(&giver->memory, frame, &level) |= fake_npt.accessed;
	}
	fill_machine(0);
	memory_discard(taker);
	assert_int_equal(state_in_table(512), GFN_RAM);
	assert_int_equal(state_in_table(512 + DISCARD_PAGES), GFN_DISCARDING);
	discard_all(&taker_vcpu);
	assert_int_equal(giver->memory.discarded, 2 * DISCARD_PAGES);
}

/* What a guest is promised is not taken for another, but may be for itself. */
static void the_entitled_keep_theirs(void **state)
{
	(void)state;
	assert_int_equal(enrol(0, PAGES, STATES, MAGIC), 0);
	make_volatile(512, 10);
	giver->entitled_pages = PAGES;
	fill_machine(0);
	discard_all(&taker_vcpu);
	assert_int_equal(giver->memory.discarded, 0);
	giver->entitled_pages = giver->memory.populated_pages - 1;
	discard_all(&taker_vcpu);
	/* A group is taken while there is anything above. */
	assert_int_equal(giver->memory.discarded, 10);
	make_volatile(1536, 10);
	giver->entitled_pages = PAGES;
	discard_all(&giver_vcpu);
	assert_int_equal(giver->memory.discarded, 20);
}

static void make_volatile_in_taker(u64 first, u64 count)
{
	u8 *states = memory_page(taker, gfn(STATES >> PAGE_SHIFT));

	for (u64 frame = first; frame < first + count; frame++)
		assert_non_null(memory_page(taker, gfn(frame)));
	for (u64 frame = first; frame < first + count; frame++)
		volatile_release(states + frame);
	taker->entitled_pages = 0;
}

/* One hand goes round all of them, and takes what was not used, whoever has more. */
static void guests_give_in_turn(void **state)
{
	unsigned level;
	(void)state;

	assert_int_equal(enrol(0, PAGES, STATES, MAGIC), 0);
	assert_int_equal(
		call(&taker_vcpu, HYPERCALL_VOLATILE_REGISTER, 0, PAGES, STATES, MAGIC), 0);
	make_volatile(512, 100);
	make_volatile_in_taker(512, 200);
	/* Ten of the pages are in use. */
	for (u64 frame = 512; frame < 522; frame++) {
		assert_int_equal(nested_split(&giver->memory, frame, 1), 0);
		*nested_lookup(&giver->memory, frame, &level) |= fake_npt.accessed;
	}
	fill_machine(0);
	for (unsigned i = 0; i < 12; i++) {
		memory_discard(giver);
		all_pass();
		memory_discards_finish();
		fill_machine(0);
		/* Those ten are not taken before the hand comes by again. */
		if (giver->memory.discarded > 90)
			assert_int_equal(taker->memory.discarded, 200);
	}
	assert_int_equal(taker->memory.discarded, 200);
	assert_int_equal(giver->memory.discarded, 100);
}

/* Looking for pages makes processors forget, or they would not tell of the next use. */
static void who_is_looked_at_flushes(void **state)
{
	u64 generation;
	unsigned level;
	(void)state;

	assert_int_equal(enrol(0, PAGES, STATES, MAGIC), 0);
	make_volatile(512, 4);
	for (u64 frame = 512; frame < 516; frame++) {
		assert_int_equal(nested_split(&giver->memory, frame, 1), 0);
		*nested_lookup(&giver->memory, frame, &level) |= fake_npt.accessed;
	}
	assert_int_equal(
		call(&taker_vcpu, HYPERCALL_VOLATILE_REGISTER, 0, PAGES, STATES, MAGIC), 0);
	make_volatile_in_taker(512, 4);
	fill_machine(0);
	generation = giver->memory.generation;
	memory_discard(giver);
	assert_int_equal(giver->memory.discards.left, 0);
	assert_int_equal(taker->memory.discards.left, 4);
	assert_true(giver->memory.generation > generation);
	assert_int_equal(*nested_lookup(&giver->memory, 512, &level) & fake_npt.accessed, 0);
}

/* ---- #VE: the taker's tables are EPT's ------------------------------------------------------ */

static s64 tell_at(struct vcpu *vcpu, u64 word)
{
	vcpu->regs[RDI] = word;
	return memory_ve_call(vcpu);
}

static void a_vcpu_has_one_page_for_exceptions(void **state)
{
	(void)state;
	assert_true(memory_has_ve(&taker->memory));
	assert_false(memory_has_ve(&giver->memory));
	assert_int_equal(tell_at(&giver_vcpu, MIB(1) | VOLATILE_VE_ON), -SLUICE_ENOSYS);
	assert_int_equal(tell_at(&taker_vcpu, MIB(1)), -SLUICE_EINVAL);
	assert_int_equal(tell_at(&taker_vcpu, (MIB(1) + 8) | VOLATILE_VE_ON), -SLUICE_EINVAL);
	assert_int_equal(tell_at(&taker_vcpu, MIB(1) | 2 | VOLATILE_VE_ON), -SLUICE_EINVAL);
	assert_int_equal(tell_at(&taker_vcpu, RAM | VOLATILE_VE_ON), -SLUICE_EFAULT);
	assert_int_equal(tell_at(&taker_vcpu, ~PAGE_MASK | VOLATILE_VE_ON), -SLUICE_EFAULT);
	assert_int_equal(taker_vcpu.requests & VCPU_REQ_VE, 0);
	assert_int_equal(taker_vcpu.ve_page.raw, 0);

	/* It stays where it is as long as the processor may write there. */
	assert_int_equal(tell_at(&taker_vcpu, MIB(1) | VOLATILE_VE_ON), 0);
	assert_true(taker_vcpu.requests & VCPU_REQ_VE);
	assert_int_equal(taker_vcpu.ve_page.raw, taker->memory.gfns[256] & GFN_HPA);
	assert_int_equal(memory_inflate(taker, gfn(256), 0), -SLUICE_EBUSY);
	/* The same again, and another one. */
	assert_int_equal(tell_at(&taker_vcpu, MIB(1) | VOLATILE_VE_ON), 0);
	assert_int_equal(taker->memory.gfns[256] >> GFN_PIN_SHIFT, 1);
	assert_int_equal(tell_at(&taker_vcpu, MIB(2) | VOLATILE_VE_ON), 0);
	assert_int_equal(memory_inflate(taker, gfn(256), 0), 0);
	assert_int_equal(taker->memory.gfns[512] >> GFN_PIN_SHIFT, 1);
	assert_int_equal(tell_at(&taker_vcpu, 0), 0);
	assert_int_equal(tell_at(&taker_vcpu, 0), 0);
	assert_int_equal(taker_vcpu.ve_page.raw, 0);
	assert_int_equal(taker->memory.gfns[512] >> GFN_PIN_SHIFT, 0);
	/* One that is in use when the VM goes (teardown). */
	assert_int_equal(tell_at(&taker_vcpu, MIB(2) | VOLATILE_VE_ON), 0);
}

static u64 entry_of(u64 frame)
{
	unsigned level;
	u64 entry = *nested_lookup(&taker->memory, frame, &level);

	assert_int_equal(level, 1);
	return entry;
}

/* The audit looks at all entries, too. */
static void entries_of_discarded_pages_raise_exceptions(void **state)
{
	u8 *states;
	(void)state;

	assert_int_equal(
		call(&taker_vcpu, HYPERCALL_VOLATILE_REGISTER, 0, PAGES, STATES, MAGIC), 0);
	make_volatile_in_taker(512, 4);
	states = memory_page(taker, gfn(STATES >> PAGE_SHIFT));
	fill_machine(0);
	memory_discard(giver);
	assert_int_equal(taker->memory.discards.left, 4);
	assert_int_equal(entry_of(512), fake_ept.empty); /* not yet: a touch brings it back */
	all_pass();
	memory_discards_finish();
	assert_int_equal(taker->memory.discarded, 4);
	for (u64 frame = 512; frame < 516; frame++)
		assert_int_equal(entry_of(frame), fake_ept.gone);
	assert_int_equal(audit_run(), 0);

	/* Where the exception did not come, with a page that is not stable, and stable. */
	assert_int_equal(touch(&taker_vcpu, 512, ACCESS_READ), DONE);
	assert_true(taker_vcpu.event.valid);
	assert_int_equal(entry_of(512), fake_ept.gone);
	assert_false(volatile_hold(states + 512));
	assert_int_equal(memory_volatile_open(taker, 512), 0);
	assert_int_equal(entry_of(512), fake_ept.empty);
	assert_false(volatile_hold(states + 513));
	assert_int_equal(touch(&taker_vcpu, 513, ACCESS_READ), DONE);
	assert_int_equal(entry_of(513) & fake_ept.present, fake_ept.present);
	/* Taken by the balloon, whose pages are not the guest's to know about. */
	assert_int_equal(memory_inflate(taker, gfn(514), 0), 0);
	assert_int_equal(entry_of(514), fake_ept.empty);
	assert_int_equal(audit_run(), 0);

	taker->memory.gfns[515] = GFN_UNPOPULATED;
	taker->memory.discarded_pages--;
	fake_log_reset();
	assert_int_not_equal(audit_run(), 0);
	assert_non_null(strstr(fake_log_text, "gfn 0x203 has a malformed empty entry 0"));
	nested_set_gone(&taker->memory, 515, false);
	taker_vcpu.event.valid = false;
}

/* Frames are free, but those with volatile pages are not to have them. */
static void all_together_have_no_more(void **state)
{
	u64 limit, got = 0;
	(void)state;

	assert_int_equal(enrol(0, PAGES, STATES, MAGIC), 0);
	make_volatile(512, 100);
	limit = frames_of_class(FRAME_GUEST) + frames_of_class(FRAME_TMEM);
	memory_set_together(limit);
	assert_false(guest_has_room(giver, 1));
	/* Who has none is the policies' affair. */
	assert_true(guest_has_room(taker, 1));
	assert_int_equal(touch(&taker_vcpu, 0, ACCESS_WRITE), DONE);
	assert_false(memory_discards_are_under_way());
	assert_int_equal(memory_report(taker, gfn(0), BLOCK_ORDER), 0);
	all_pass();
	assert_int_equal(touch(&giver_vcpu, 1536, ACCESS_WRITE), DONE);
	assert_int_equal(giver->memory.discards.left, DISCARD_PAGES);
	all_pass();
	memory_discards_finish();
	assert_int_equal(giver->memory.discarded, DISCARD_PAGES);
	assert_true(guest_has_room(giver, 1));
	/* Without anything left to discard there is an end to it, but not to what is promised. */
	for (u64 frame = 1537; frame < 2048; frame++) {
		if (touch(&giver_vcpu, frame, ACCESS_WRITE) != DONE)
			break;
		all_pass();
		memory_discards_finish();
		got++;
	}
	assert_int_equal(giver->memory.discarded, 100);
	assert_int_equal(got + 1, 100 + 2 * DISCARD_PAGES);
	assert_true(giver_vcpu.waits_for_memory);
	memory_wake_waiters();
	assert_true(giver_vcpu.waits_for_memory);
	giver->entitled_pages = PAGES;
	memory_wake_waiters();
	assert_false(giver_vcpu.waits_for_memory);
	assert_int_equal(touch(&giver_vcpu, 2047, ACCESS_WRITE), DONE);
	memory_set_together(~0UL);
}

/* The pool takes what is free. */
static u64 pool_takes(void)
{
	u64 count = 0;

	for (mfn_t frame; !mfn_is_none(frame = pool_frame_alloc(0)); count++)
		fake_store_add(mfn_to_ptr(frame));
	return count;
}

/* As a tick goes by in which the pool asked for a frame. */
static u64 pool_gets_in_a_tick(void)
{
	assert_int_equal(pool_takes(), 0);
	pool_tick();
	all_pass();
	memory_discards_finish();
	return pool_takes();
}

static void the_pool_gets_what_nobody_uses(void **state)
{
	unsigned level;
	u64 had;
	(void)state;

	fake_store_reset(true);
	assert_int_equal(enrol(0, PAGES, STATES, MAGIC), 0);
	make_volatile(512, 1024);
	fill_machine(0);
	for (unsigned ticks = 1; ticks <= 5; ticks++) {
		/* All but what the tables of splits take. */
		assert_in_range(pool_gets_in_a_tick(), DISCARD_PAGES - 1, DISCARD_PAGES);
		assert_int_equal(giver->memory.discarded, ticks * DISCARD_PAGES);
	}
	/* Pages in use stay, whatever the pool wants, but not if a guest is in need. */
	for (u64 frame = 512; frame < 1536; frame++)
		if (state_in_table(frame) == GFN_RAM && !nested_split(&giver->memory, frame, 1))
			*nested_lookup(&giver->memory, frame, &level) |= fake_npt.accessed;
	assert_int_equal(pool_gets_in_a_tick(), 0);
	had = frames_of_class(FRAME_TMEM);
	pool_tick();
	for (u64 frame = 512; frame < 1536; frame++)
		if (state_in_table(frame) == GFN_RAM)
			*nested_lookup(&giver->memory, frame, &level) |= fake_npt.accessed;
	assert_int_equal(touch(&taker_vcpu, 0, ACCESS_WRITE), DONE);
	assert_true(memory_discards_are_under_way());
	assert_int_equal(frames_of_class(FRAME_TMEM), had);
	/* It has more than is always its own, and did not ask again: it gives first. */
	all_pass();
	memory_discards_finish();
	fill_machine(0);
	pool_tick();
	assert_int_equal(touch(&taker_vcpu, 1, ACCESS_WRITE), DONE);
	assert_false(memory_discards_are_under_way());
	assert_int_equal(frames_of_class(FRAME_TMEM), had - 32);
}

/* What a guest with volatile pages has is what it claims of all; of others it is their size. */
static void the_pool_has_what_is_left(void **state)
{
	u64 has;
	(void)state;

	fake_store_reset(true);
	assert_int_equal(enrol(0, PAGES, STATES, MAGIC), 0);
	make_volatile(512, 100);
	has = giver->memory.populated_pages;
	memory_set_together(has + PAGES + 500);
	pool_tick();
	assert_int_equal(pool_takes(), 500);
	memory_set_together(has + PAGES + 400);
	pool_tick();
	assert_in_range(frames_of_class(FRAME_TMEM), 400 - 31, 400);
	memory_set_together(~0UL);
}

static void other_states_and_volatile_ones(void **state)
{
	(void)state;
	begin(20);
	/* The balloon takes pages that are going, and such as are gone. */
	assert_int_equal(memory_inflate(giver, gfn(512), 0), 0);
	assert_int_equal(giver->memory.discards.left, 19);
	assert_int_equal(audit_run(), 0);
	all_pass();
	memory_discards_finish();
	assert_int_equal(giver->memory.discarded, 19);
	assert_int_equal(memory_inflate(giver, gfn(513), 0), 0);
	assert_int_equal(memory_report(giver, gfn(514), 0), 0);
	assert_int_equal(giver->memory.discarded_pages, 17);
	assert_int_equal(audit_run(), 0);
	/* What comes out of the balloon is new, whatever the byte says. */
	assert_int_equal(memory_deflate(giver, gfn(513), 0), 0);
	assert_int_equal(touch(&giver_vcpu, 513, ACCESS_READ), DONE);
	assert_int_equal(*word(513), 0);
	assert_int_equal(memory_deflate(giver, gfn(512), 0), 0);
	/* A whole block. */
	assert_int_equal(memory_report(giver, gfn(512), BLOCK_ORDER), 0);
	assert_int_equal(giver->memory.discarded_pages, 0);
	assert_int_equal(audit_run(), 0);
	/* And one with pages that are going. */
	make_volatile(1536, 20);
	while (limbo_frames() > 0) /* that would do */
		all_pass();
	fill_machine(0);
	memory_discard(taker);
	assert_true(giver->memory.discards.left > 0);
	assert_int_equal(memory_inflate(giver, gfn(1536), BLOCK_ORDER), 0);
	assert_false(memory_discards_are_under_way());
}

static void unregistering_ends_it(void **state)
{
	(void)state;
	begin(4);
	discard_all(&taker_vcpu);
	make_volatile(1536, 4);
	fill_machine(0);
	memory_discard(taker);
	assert_int_equal(giver->memory.discards.left, 4);
	assert_int_equal(call(&giver_vcpu, HYPERCALL_VOLATILE_UNREGISTER, 0, 0, 0, 0), 0);
	assert_false(memory_discards_are_under_way());
	assert_int_equal(*word(1537), 1537);
	/* What is gone needs no word any more. */
	assert_int_equal(giver->memory.discarded_pages, 4);
	assert_int_equal(touch(&giver_vcpu, 513, ACCESS_READ), DONE);
	assert_false(giver_vcpu.event.valid);
	assert_int_equal(*word(513), 0);
	discard_all(&taker_vcpu);
	assert_int_equal(giver->memory.discarded, 4);
}

/* The page of the state bytes is in the range, and says of itself that it is volatile. */
static void state_bytes_do_not_go(void **state)
{
	u64 own = STATES >> PAGE_SHIFT;
	(void)state;

	assert_int_equal(enrol(0, PAGES, STATES, MAGIC), 0);
	volatile_release(state_of(own));
	make_volatile(512, 4);
	fill_machine(0);
	discard_all(&taker_vcpu);
	assert_int_equal(giver->memory.discarded, 4);
	assert_true(is_mapped(own));
	/* It gives it away: then nothing is volatile, and what is gone needs no word. */
	assert_int_equal(memory_inflate(giver, gfn(own), 0), 0);
	assert_int_equal(touch(&giver_vcpu, 512, ACCESS_READ), DONE);
	assert_int_equal(*word(512), 0);
	assert_int_equal(memory_deflate(giver, gfn(own), 0), 0);
	/* A page that is gone becomes that of the state bytes, its own among them. */
	assert_int_equal(call(&giver_vcpu, HYPERCALL_VOLATILE_UNREGISTER, 0, 0, 0, 0), 0);
	assert_int_equal(enrol(0, PAGES, 513 * PAGE_SIZE, MAGIC), 0);
	assert_int_equal(touch(&giver_vcpu, 513, ACCESS_READ), DONE);
	assert_int_equal(*word(513), 0);
	assert_int_equal(touch(&giver_vcpu, 514, ACCESS_READ), DONE);
	assert_int_equal(*word(514), 0);
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
	u64 *entry = &giver->memory.gfns[515], good;
	(void)state;

	begin(4);
	good = *entry;
	*entry = GFN_DISCARDED;
	planted("is lost: guest of guest 1 with 1 references");
	*entry = good + PAGE_SIZE;
	planted("but 2 users");
	*entry = good + GFN_PIN_ONE;
	planted("gfn 0x203 is not mapped, but its entry is");
	*entry = good;
	giver->memory.discards.left++;
	planted("4 pages being discarded, but the counter says 5");
	giver->memory.discards.left--;
	giver->memory.discarded_pages++;
	planted("0 pages discarded, but the counter says 1");
	giver->memory.discarded_pages--;
	assert_int_equal(audit_run(), 0);
}

/* ---- Two CPUs ------------------------------------------------------------------------------- */

#define CACHE_FIRST 1024u
#define CACHE_PAGES 1024u

static u32 running;
static u64 lost, kept, faults;

/* The guest: each page of its cache holds its number and a count of its writes. Every access goes
 * through the nested tables like a processor's, with translations kept between exits. */
static u64 cached_translation[CACHE_PAGES];

static void exit_and_enter(void)
{
	u64 epoch = epoch_now();

	memset(cached_translation, 0, sizeof(cached_translation));
	epoch_quiescent(epoch);
}

static u64 *access_page(u64 index, u32 access)
{
	u64 frame = CACHE_FIRST + index;
	unsigned level;

	while (!cached_translation[index]) {
		u64 at = fake_translate(&giver->memory, frame << PAGE_SHIFT, &level);

		if (at != ~0UL) {
			cached_translation[index] = at;
			break;
		}
		if (touch(&giver_vcpu, frame, access) == WAIT)
			exit_and_enter(); /* what is to come needs this CPU to pass */
		if (giver_vcpu.event.valid) {
			giver_vcpu.event.valid = false;
			faults++;
			return NULL;
		}
	}
	return (u64 *)(fake_ram + cached_translation[index]);
}

static void *guest_thread(void *argument)
{
	static u64 count[CACHE_PAGES];
	u64 random = 7;

	(void)argument;
	fake_run_as(1);
	epoch_leave_idle();
	while (__atomic_load_n(&running, __ATOMIC_SEQ_CST)) {
		u64 index, *page;
		u8 *byte;

		random = random * 6364136223846793005 + 1442695040888963407;
		index = (random >> 33) % CACHE_PAGES;
		byte = state_of(CACHE_FIRST + index);
		if (volatile_hold(byte)) {
			kept += count[index] > 0;
		} else {
			lost++;
			count[index] = 0; /* as after reading it from the disk */
			page = access_page(index, ACCESS_WRITE);
			if (!page || *page != 0)
				return (void *)"what was discarded is not zeros";
		}
		page = access_page(index, ACCESS_WRITE);
		if (!page)
			return (void *)"a stable page faults";
		if (*page != count[index])
			return (void *)"a write to a stable page was lost";
		__atomic_store_n(page, ++count[index], __ATOMIC_SEQ_CST);
		volatile_release(byte);
		if (random >> 61 == 0)
			exit_and_enter();
	}
	epoch_enter_idle();
	return NULL;
}

static void no_stable_page_is_lost(void **state)
{
	pthread_t thread;
	(void)state;

	assert_int_equal(enrol(0, PAGES, STATES, MAGIC), 0);
	for (u64 i = 0; i < CACHE_PAGES; i++)
		assert_int_equal(touch(&giver_vcpu, CACHE_FIRST + i, ACCESS_WRITE), DONE);
	lost = kept = faults = 0;
	memset(cached_translation, 0, sizeof(cached_translation));
	fill_machine(0);
	running = 1;
	assert_int_equal(pthread_create(&thread, NULL, guest_thread, NULL), 0);
	for (unsigned i = 0; i < 20000000 && giver->memory.discarded < 20000; i++) {
		memory_discard(taker);
		if (__atomic_load_n(&lost, __ATOMIC_RELAXED) > 20000)
			break;
		epoch_quiescent(epoch_now());
		memory_discards_finish();
		limbo_drain();
		fill_machine(0);
	}
	__atomic_store_n(&running, 0, __ATOMIC_SEQ_CST);
	fake_join(thread);
	assert_true(giver->memory.discarded >= 20000);
	assert_true(lost > 10000 && kept > 0);
	assert_int_equal(faults, 0);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(hostile_registrations_are_refused),
		TEST(state_bytes_are_ram),
		TEST(pages_go_when_frames_are_wanted),
		TEST(stable_pages_stay),
		TEST(touches_bring_back),
		TEST(a_write_to_what_was_just_brought_back_keeps_it),
		TEST(pinned_pages_stay),
		TEST(what_is_gone_faults),
		TEST(without_a_handler_the_guest_is_at_fault),
		TEST(services_get_an_error),
		TEST(used_pages_are_spared),
		TEST(the_entitled_keep_theirs),
		TEST(guests_give_in_turn),
		TEST(who_is_looked_at_flushes),
		TEST(a_vcpu_has_one_page_for_exceptions),
		TEST(entries_of_discarded_pages_raise_exceptions),
		TEST(all_together_have_no_more),
		TEST(the_pool_gets_what_nobody_uses),
		TEST(the_pool_has_what_is_left),
		TEST(other_states_and_volatile_ones),
		TEST(unregistering_ends_it),
		TEST(state_bytes_do_not_go),
		TEST(the_audit_sees_it),
		TEST(no_stable_page_is_lost),
	};

	return cmocka_run_group_tests_name("memory_volatile", tests, NULL, NULL);
}
