/*
 * The LAPIC that a guest sees: registers, messages between vCPUs, the timer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake/pc_guest.h"

/* ---- LAPIC registers
 * ----------------------------------------------------------------------------- */

static void after_reset(void **state)
{
	u64 value;

	(void)state;
	for (unsigned i = 0; i < VCPUS; i++) {
		assert_int_equal(get(i, X2(ID)), i);
		assert_int_equal(get(i, X2(LDR)), 1u << i);
		assert_int_equal(get(i, X2(VERSION)), 0x50014);
		assert_int_equal(get(i, X2(SVR)), 0xff);
		for (u32 entry = TIMER; entry <= LVT_ERR; entry++)
			assert_int_equal(get(i, X2(entry)), LVT_MASKED);
		assert_int_equal(get(i, 0x1b), 0xfee00c00 | (i == 0 ? 0x100 : 0));
	}
	/* Reserved registers, the write-only ones, and xAPIC's DFR and ICR2. */
	for (u32 index = 0; index < 0x100; index++) {
		bool known = index == ID || index == VERSION || index == TPR || index == PPR ||
			     index == LDR || index == SVR || (index >= ISR && index <= ESR) ||
			     index == ICR || (index >= TIMER && index <= CURRENT) ||
			     index == DIVIDE;

		assert_int_equal(msr_read(&vcpus[0], X2(index), &value), known ? DONE : BAD);
	}
}

static void reserved_bits(void **state)
{
	(void)state;
	refuses(0, X2(ID), 0);
	refuses(0, X2(VERSION), 0);
	refuses(0, X2(LDR), 1);
	refuses(0, X2(CURRENT), 1);
	refuses(0, X2(IRR), 0);
	refuses(0, X2(TPR), 0x100);
	refuses(0, X2(EOI), 1);
	refuses(0, X2(SVR), 0x200);
	refuses(0, X2(ESR), 1);
	refuses(0, X2(TIMER), BIT(19));
	refuses(0, X2(TIMER), BIT(32));
	refuses(0, X2(DIVIDE), 4);
	refuses(0, X2(SELF), 0x100);
	refuses(0, X2(ICR), BIT(13));
	refuses(0, X2(ICR), BIT(20));
	refuses(0, 0x1b, 0xfee00800); /* out of x2APIC mode */
	set(0, 0x1b, get(0, 0x1b));
	/* Software-disabled: entries stay masked. */
	set(0, X2(TIMER), 0x40);
	assert_int_equal(get(0, X2(TIMER)), 0x40 | LVT_MASKED);
	set(0, X2(SVR), 0x1ff);
	set(0, X2(TIMER), 0x40);
	assert_int_equal(get(0, X2(TIMER)), 0x40);
	set(0, X2(SVR), 0xff);
	assert_int_equal(get(0, X2(TIMER)), 0x40 | LVT_MASKED);
}

static void priorities(void **state)
{
	(void)state;
	enable_all();
	assert_int_equal(lapic_pending(&vcpus[0]), -1);
	lapic_raise(&vcpus[0], 0x31, false);
	lapic_raise(&vcpus[0], 0x55, false);
	assert_int_equal(wakes[0], 2);
	lapic_raise(&vcpus[0], 0x55, false); /* pending already */
	assert_int_equal(wakes[0], 2);
	assert_true(vcpus[0].requests & VCPU_REQ_EVENT);
	assert_int_equal(get(0, X2(IRR) + 1), BIT(0x31 - 32));
	assert_int_equal(get(0, X2(IRR) + 2), BIT(0x55 - 64));
	take(0, 0x55);
	assert_int_equal(get(0, X2(ISR) + 2), BIT(0x55 - 64));
	assert_int_equal(get(0, X2(PPR)), 0x50);
	assert_int_equal(lapic_pending(&vcpus[0]), -1);
	lapic_raise(&vcpus[0], 0x5f, false); /* the same class does not nest */
	assert_int_equal(lapic_pending(&vcpus[0]), -1);
	lapic_raise(&vcpus[0], 0x60, false);
	take(0, 0x60);
	vcpus[0].requests = 0;
	set(0, X2(EOI), 0);
	assert_int_equal(vcpus[0].requests, 0);
	set(0, X2(EOI), 0);
	assert_int_equal(vcpus[0].requests, VCPU_REQ_EVENT);
	take(0, 0x5f);
	set(0, X2(EOI), 0);
	take(0, 0x31);
	set(0, X2(EOI), 0);
	set(0, X2(EOI), 0); /* with nothing in service: nothing */
	assert_int_equal(lapic_pending(&vcpus[0]), -1);
}

/* An accepted vector may come again, and one that did not reach the guest comes back, once. */
static void withdrawn(void **state)
{
	(void)state;
	enable_all();
	lapic_raise(&vcpus[0], 0x55, false);
	take(0, 0x55);
	lapic_withdraw(&vcpus[0], 0x55);
	take(0, 0x55);
	lapic_raise(&vcpus[0], 0x55, false);
	assert_int_equal(lapic_pending(&vcpus[0]), -1); /* served still */
	set(0, X2(EOI), 0);
	take(0, 0x55);
	lapic_raise(&vcpus[0], 0x55, false);
	lapic_withdraw(&vcpus[0], 0x55);
	take(0, 0x55);
	set(0, X2(EOI), 0);
	assert_int_equal(lapic_pending(&vcpus[0]), -1);
}

static void task_priority(void **state)
{
	(void)state;
	enable_all();
	set(0, X2(TPR), 0x5a);
	assert_int_equal(lapic_get_tpr(&vcpus[0]), 5);
	assert_int_equal(get(0, X2(PPR)), 0x5a);
	lapic_raise(&vcpus[0], 0x5f, false);
	assert_int_equal(lapic_pending(&vcpus[0]), -1);
	vcpus[0].requests = 0;
	lapic_set_tpr(&vcpus[0], 4);
	assert_int_equal(get(0, X2(TPR)), 0x40);
	assert_int_equal(vcpus[0].requests, VCPU_REQ_EVENT);
	take(0, 0x5f);
}

static void disabled_takes_nothing(void **state)
{
	(void)state;
	lapic_raise(&vcpus[0], 0x40, false);
	assert_int_equal(lapic_pending(&vcpus[0]), -1);
	set(0, X2(SVR), 0x1ff);
	assert_int_equal(lapic_pending(&vcpus[0]), -1);
	lapic_raise(&vcpus[0], 15, false);
	assert_int_equal(lapic_pending(&vcpus[0]), -1);
}

static void errors(void **state)
{
	(void)state;
	enable_all();
	set(0, X2(LVT_ERR), 0x44);
	set(0, X2(SELF), 3);
	assert_int_equal(get(0, X2(ESR)), 0); /* latched by a write only */
	set(0, X2(ESR), 0);
	assert_int_equal(get(0, X2(ESR)), ESR_SEND_ILLEGAL);
	take(0, 0x44);
	set(0, X2(ICR), 5);
	set(0, X2(ESR), 0);
	assert_int_equal(get(0, X2(ESR)), ESR_SEND_ILLEGAL);
	set(0, X2(ESR), 0);
	assert_int_equal(get(0, X2(ESR)), 0);
}

/* ---- Messages
 * ------------------------------------------------------------------------------------ */

static void destinations(void **state)
{
	(void)state;
	enable_all();
	set(0, X2(ICR), 2UL << 32 | 0x41);
	expect_pending(-1, -1, 0x41);
	set(0, X2(ICR), 3UL << 32 | 0x41); /* nobody */
	expect_pending(-1, -1, -1);
	set(0, X2(ICR), 5UL << 32 | BIT(11) | 0x42); /* logical: bits 0 and 2 */
	expect_pending(0x42, -1, 0x42);
	set(0, X2(ICR), 0x10005UL << 32 | BIT(11) | 0x42); /* another cluster */
	expect_pending(-1, -1, -1);
	set(0, X2(ICR), 0xffffffffUL << 32 | 0x43);
	expect_pending(0x43, 0x43, 0x43);
	set(1, X2(ICR), 1UL << 18 | 0x44);
	expect_pending(-1, 0x44, -1);
	set(1, X2(ICR), 2UL << 18 | 0x45);
	expect_pending(0x45, 0x45, 0x45);
	set(1, X2(ICR), 3UL << 18 | 0x46);
	expect_pending(0x46, -1, 0x46);
	set(0, X2(ICR), 6UL << 32 | BIT(11) | 1 << 8 | 0x47); /* lowest priority: one of them */
	expect_pending(-1, 0x47, -1);
	set(0, X2(SELF), 0x48);
	expect_pending(0x48, -1, -1);
	set(0, X2(ICR), 2UL << 32 | BIT(12) | 0x49);
	assert_int_equal(get(0, X2(ICR)), 2UL << 32 | 0x49); /* delivery status is idle */
}

static void nmi(void **state)
{
	(void)state;
	set(0, X2(ICR), 1UL << 32 | 4 << 8);
	assert_false(lapic_nmi_pending(&vcpus[1])); /* waits for its SIPI */
	vcpus[1].lapic->waits_for_sipi = false;
	set(0, X2(ICR), 1UL << 32 | 4 << 8);
	assert_true(lapic_nmi_pending(&vcpus[1]));
	assert_int_equal(wakes[1], 1);
	lapic_nmi_accept(&vcpus[1]);
	assert_false(lapic_nmi_pending(&vcpus[1]));
}

static void init_and_sipi(void **state)
{
	struct vcpu_start start;

	(void)state;
	set(0, X2(ICR), 1UL << 32 | BIT(14) | 5 << 8);
	assert_int_equal(inits[1], 1);
	set(0, X2(ICR), 1UL << 32 | BIT(15) | 5 << 8); /* de-assert: nothing */
	assert_int_equal(inits[1], 1);
	set(0, X2(ICR), 1UL << 32 | BIT(14) | 6 << 8 | 0x9a);
	set(0, X2(ICR), 1UL << 32 | BIT(14) | 6 << 8 | 0x11); /* a second one comes too late */
	assert_int_equal(starts[1], 1);
	vcpus[1].regs[RSI] = 5;
	vcpus[1].event.valid = true;
	start = vcpu_take_start(&vcpus[1]);
	assert_int_equal(start.kind, START_SIPI);
	assert_int_equal(start.sipi_vector, 0x9a);
	assert_int_equal(vcpus[1].regs[RSI], 0);
	assert_int_equal(vcpus[1].regs[RDX], cpuid_of(&vcpus[1], 1, 0).eax);
	assert_false(vcpus[1].event.valid);
	assert_int_equal(vcpu_take_start(&vcpus[1]).kind, START_NONE);

	/* Again, with state that INIT must clear. */
	set(1, X2(SVR), 0x1ff);
	lapic_raise(&vcpus[1], 0x40, false);
	set(1, X2(TIMER), 0x41);
	set(1, X2(INITIAL), 1000);
	set(1, 0x4b564d03, 4096 | 1); /* steal time */
	assert_int_equal(vcpus[1].steal_time_at, 4096 | 1);
	set(0, X2(ICR), 1UL << 32 | 5 << 8);
	set(0, X2(ICR), 1UL << 32 | 6 << 8 | 1);
	assert_int_equal(inits[1], 2);
	assert_int_equal(starts[1], 2);
	assert_int_equal(vcpu_take_start(&vcpus[1]).sipi_vector, 1);
	assert_int_equal(vcpus[1].steal_time_at, 0);
	assert_int_equal(get(1, X2(SVR)), 0xff);
	assert_int_equal(lapic_pending(&vcpus[1]), -1);
	pass(100000);
	assert_int_equal(lapic_pending(&vcpus[1]), -1);
	assert_int_equal(starts[0] + starts[2] + inits[0] + inits[2], 0);
}

/* ---- Timer
 * --------------------------------------------------------------------------------------- */

static void one_shot(void **state)
{
	(void)state;
	enable_all();
	set(0, X2(TIMER), 0x40);
	set(0, X2(DIVIDE), 0xa); /* by 128 */
	set(0, X2(INITIAL), 1000);
	pass(64000);
	assert_in_range(get(0, X2(CURRENT)), 490, 500);
	assert_int_equal(lapic_pending(&vcpus[0]), -1);
	pass(64100);
	assert_int_equal(get(0, X2(CURRENT)), 0);
	take(0, 0x40);
	pass(1000000);
	assert_int_equal(lapic_pending(&vcpus[0]), -1);
	set(0, X2(EOI), 0);
	set(0, X2(INITIAL), 1000);
	set(0, X2(INITIAL), 0); /* stops it */
	pass(1000000);
	assert_int_equal(lapic_pending(&vcpus[0]), -1);
}

static void divisors(void **state)
{
	static const struct {
		u8 code, shift;
	} codes[] = {{0, 1}, {1, 2}, {2, 3}, {3, 4}, {8, 5}, {9, 6}, {0xa, 7}, {0xb, 0}};

	(void)state;
	enable_all();
	set(0, X2(TIMER), 0x40);
	for (unsigned i = 0; i < ARRAY_SIZE(codes); i++) {
		u64 before = fake_tsc;

		set(0, X2(DIVIDE), codes[i].code);
		set(0, X2(INITIAL), 100000);
		assert_in_range(next_deadline(), before + (100000UL << codes[i].shift),
			before + (100000UL << codes[i].shift) + 10);
	}
}

static void periodic(void **state)
{
	unsigned fired = 0;

	(void)state;
	enable_all();
	set(0, X2(TIMER), 0x40 | MODE_PERIODIC << 17);
	set(0, X2(DIVIDE), 0xb);
	set(0, X2(INITIAL), 100000);
	for (unsigned n = 0; n < 100; n++) {
		pass(10000);
		if (lapic_pending(&vcpus[0]) == 0x40) {
			fired++;
			take(0, 0x40);
			set(0, X2(EOI), 0);
		}
	}
	assert_in_range(fired, 9, 11);
	/* Ten periods unseen are one interrupt. */
	pass(1000000);
	take(0, 0x40);
	set(0, X2(EOI), 0);
	assert_int_equal(lapic_pending(&vcpus[0]), -1);
	/* One tick a period is not for a guest to have. */
	set(0, X2(INITIAL), 1);
	pass(1);
	assert_true(next_deadline() >= fake_tsc + 40000);
}

static void deadline(void **state)
{
	(void)state;
	enable_all();
	set(0, 0x6e0, fake_tsc + 100); /* not in this mode: ignored */
	assert_int_equal(get(0, 0x6e0), 0);
	set(0, X2(TIMER), 0x40 | MODE_DEADLINE << 17);
	set(0, X2(INITIAL), 1000); /* ignored in deadline mode */
	assert_int_equal(next_deadline(), ~0UL);
	set(0, 0x6e0, fake_tsc + 5000);
	assert_true(get(0, 0x6e0) > fake_tsc);
	pass(2000);
	assert_int_equal(lapic_pending(&vcpus[0]), -1);
	pass(4000);
	take(0, 0x40);
	set(0, X2(EOI), 0);
	assert_int_equal(get(0, 0x6e0), 0);
	set(0, 0x6e0, 1); /* the past */
	take(0, 0x40);
	set(0, X2(EOI), 0);
	set(0, 0x6e0, fake_tsc + 5000);
	set(0, 0x6e0, 0);
	pass(10000);
	assert_int_equal(lapic_pending(&vcpus[0]), -1);
	/* Leaving the mode disarms it. */
	set(0, 0x6e0, fake_tsc + 5000);
	set(0, X2(TIMER), 0x40);
	pass(10000);
	assert_int_equal(lapic_pending(&vcpus[0]), -1);
	assert_int_equal(get(0, 0x6e0), 0);
}

static void masked_timer(void **state)
{
	(void)state;
	enable_all();
	set(0, X2(TIMER), 0x40 | LVT_MASKED);
	set(0, X2(INITIAL), 1000);
	pass(10000);
	assert_int_equal(lapic_pending(&vcpus[0]), -1);
	set(0, X2(TIMER), 5); /* a vector below 16 is an error */
	set(0, X2(INITIAL), 1000);
	pass(10000);
	set(0, X2(ESR), 0);
	assert_int_equal(get(0, X2(ESR)), ESR_RECEIVE_ILLEGAL);
}

/* A stopped VM is about to be freed: nothing is raised, nothing armed. */
static void timer_of_a_stopped_vm(void **state)
{
	(void)state;
	enable_all();
	set(0, X2(TIMER), 0x40 | MODE_PERIODIC << 17);
	set(0, X2(INITIAL), 100000);
	vm->stop_reason = STOP_SHUTDOWN;
	pass(100000000);
	assert_int_equal(next_deadline(), ~0UL);
	assert_int_equal(lapic_pending(&vcpus[0]), -1);
	vm->stop_reason = STOP_NONE;
	set(0, X2(INITIAL), 100000);
	platform_cancel_timers(vm);
	assert_int_equal(next_deadline(), ~0UL);
}

int main(void)
{
#define PC_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		PC_TEST(after_reset),
		PC_TEST(reserved_bits),
		PC_TEST(priorities),
		PC_TEST(withdrawn),
		PC_TEST(task_priority),
		PC_TEST(disabled_takes_nothing),
		PC_TEST(errors),
		PC_TEST(destinations),
		PC_TEST(nmi),
		PC_TEST(init_and_sipi),
		PC_TEST(one_shot),
		PC_TEST(divisors),
		PC_TEST(periodic),
		PC_TEST(deadline),
		PC_TEST(masked_timer),
		PC_TEST(timer_of_a_stopped_vm),
	};

	return cmocka_run_group_tests_name("lapic", tests, NULL, NULL);
}
