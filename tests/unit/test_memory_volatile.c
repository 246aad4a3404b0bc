/*
 * Volatile pages: who may register what, which pages stay and which come back, what a guest sees of
 * a page that is gone, what services and devices get, and that the audit knows of all of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "fake/giver.h"
#include "kernel/vm/memory_nested.h"
#include "kernel/vm/memory_ve.h"

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

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(hostile_registrations_are_refused),
		TEST(state_bytes_are_ram),
		TEST(stable_pages_stay),
		TEST(touches_bring_back),
		TEST(a_write_to_what_was_just_brought_back_keeps_it),
		TEST(pinned_pages_stay),
		TEST(what_is_gone_faults),
		TEST(without_a_handler_the_guest_is_at_fault),
		TEST(services_get_an_error),
		TEST(other_states_and_volatile_ones),
		TEST(unregistering_ends_it),
		TEST(state_bytes_do_not_go),
		TEST(the_audit_sees_it),
	};

	return cmocka_run_group_tests_name("memory_volatile", tests, NULL, NULL);
}
