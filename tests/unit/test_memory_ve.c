/*
 * #VE for discarded pages: where a vCPU is told of them, and which nested entries raise it. The
 * taker's tables are EPT's, the giver's know no such exception.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "fake/giver.h"
#include "kernel/vm/memory_nested.h"
#include "kernel/vm/memory_ve.h"

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

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_vcpu_has_one_page_for_exceptions),
		TEST(entries_of_discarded_pages_raise_exceptions),
	};

	return cmocka_run_group_tests_name("memory_ve", tests, NULL, NULL);
}
