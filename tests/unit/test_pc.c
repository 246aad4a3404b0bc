/*
 * The interrupt controllers, MSRs, CPUID, ports and HLT of a guest's PC, on three vCPUs whose
 * scheduler is this test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <abi/cpuid.h>
#include <abi/platform.h>

#include "arch/x86/guest/ioapic.h"
#include "arch/x86/guest/lapic_state.h"
#include "arch/x86/guest/platform.h"
#include "arch/x86/guest/platform_state.h"
#include "arch/x86/processor.h"
#include "fake/machine.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/vm/sched.h"

#define VCPUS     3
#define X2(index) (0x800u + (index))
enum {
	ID = 2,
	VERSION = 3,
	TPR = 8,
	PPR = 0xa,
	EOI = 0xb,
	LDR = 0xd,
	SVR = 0xf,
	ISR = 0x10,
	TMR = 0x18,
	IRR = 0x20,
	ESR = 0x28,
	ICR = 0x30,
	TIMER = 0x32,
	LVT_ERR = 0x37,
	INITIAL = 0x38,
	CURRENT = 0x39,
	DIVIDE = 0x3e,
	SELF = 0x3f
};

static struct vm *vm;
static struct guest_config config;
static struct vcpu vcpus[VCPUS];
static unsigned wakes[VCPUS], blocks[VCPUS], starts[VCPUS], inits[VCPUS];
static char console[64];
static unsigned console_bytes;

/* ---- What the scheduler and the rest of floor 4 would do ------------------------------------- */

void vcpu_wake(struct vcpu *vcpu)
{
	wakes[vcpu->id]++;
	vcpu->wake_pending = true;
}

void vcpu_block(struct vcpu *vcpu)
{
	blocks[vcpu->id]++;
}

void sched_start(struct vcpu *vcpu)
{
	starts[vcpu->id]++;
	vcpu_request(vcpu, VCPU_REQ_START);
}

void vcpu_wait_for_sipi(struct vcpu *vcpu)
{
	inits[vcpu->id]++;
}

unsigned guest_console_write(struct guest_console *to, const char *bytes, unsigned count)
{
	(void)to;
	for (unsigned i = 0; i < count && console_bytes < sizeof(console); i++)
		console[console_bytes++] = bytes[i];
	return count;
}

static int setup(void **state)
{
	(void)state;
	fake_core_start(MIB(32), 1);
	epoch_quiescent(epoch_now());
	vm = fake_vm(0);
	memset(&config, 0, sizeof(config));
	strcpy(config.name, "web");
	vm->config = &config;
	spin_lock_init(&vm->lock, LOCK_VM);
	memset(vcpus, 0, sizeof(vcpus));
	vm->vcpu_count = VCPUS;
	for (unsigned i = 0; i < VCPUS; i++) {
		vcpus[i].vm = vm;
		vcpus[i].id = i;
		vm->vcpus[i] = &vcpus[i];
		wakes[i] = blocks[i] = starts[i] = inits[i] = 0;
	}
	console_bytes = 0;
	assert_int_equal(memory_create(vm, MIB(1), &fake_ept), 0);
	assert_int_equal(platform_create(vm), 0);
	cpuid_init(SLUICE_INSTRUCTION_VMCALL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	platform_destroy(vm);
	return 0;
}

static u64 get(unsigned id, u32 msr)
{
	u64 value;

	assert_int_equal(msr_read(&vcpus[id], msr, &value), DONE);
	return value;
}

static void set(unsigned id, u32 msr, u64 value)
{
	assert_int_equal(msr_write(&vcpus[id], msr, value), DONE);
}

static void refuses(unsigned id, u32 msr, u64 value)
{
	assert_int_equal(msr_write(&vcpus[id], msr, value), BAD);
}

static void enable_all(void)
{
	for (unsigned i = 0; i < VCPUS; i++)
		set(i, X2(SVR), 0x1ff);
}

static void take(unsigned id, u8 vector)
{
	assert_int_equal(lapic_pending(&vcpus[id]), vector);
	lapic_accept(&vcpus[id], vector);
}

/* The deadline of vCPU 0's timer, ~0 if it is not armed. */
static u64 next_deadline(void)
{
	const struct timer *timer = &vcpus[0].lapic->timer;

	return timer->armed ? timer->deadline : ~0UL;
}

static void serve_timers(void)
{
	struct timer *timer;

	for (unsigned n = 0; (timer = timer_pop(arch_tsc())) != NULL; n++) {
		assert_true(n < 100);
		assert_int_equal(timer->kind, TIMER_LAPIC);
		lapic_timer_expired(timer);
	}
}

static void pass(u64 ticks)
{
	fake_tsc += ticks;
	serve_timers();
}

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

static void expect_pending(int a, int b, int c)
{
	const int want[VCPUS] = {a, b, c};

	for (unsigned i = 0; i < VCPUS; i++) {
		assert_int_equal(lapic_pending(&vcpus[i]), want[i]);
		if (want[i] >= 0) {
			take(i, (u8)want[i]);
			set(i, X2(EOI), 0);
		}
	}
}

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
	set(0, X2(ICR), 1UL << 32 | 5 << 8);
	set(0, X2(ICR), 1UL << 32 | 6 << 8 | 1);
	assert_int_equal(inits[1], 2);
	assert_int_equal(starts[1], 2);
	assert_int_equal(vcpu_take_start(&vcpus[1]).sipi_vector, 1);
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

/* ---- IOAPIC
 * --------------------------------------------------------------------------------------- */

static void route(unsigned pin, u64 entry)
{
	ioapic_write(vm, 0, 0x11 + 2 * pin);
	ioapic_write(vm, 0x10, (u32)(entry >> 32));
	ioapic_write(vm, 0, 0x10 + 2 * pin);
	ioapic_write(vm, 0x10, (u32)entry);
}

static u32 entry_low(unsigned pin)
{
	ioapic_write(vm, 0, 0x10 + 2 * pin);
	return ioapic_read(vm, 0x10);
}

static void ioapic_registers(void **state)
{
	(void)state;
	ioapic_write(vm, 0, 1);
	assert_int_equal(ioapic_read(vm, 0x10), 0x170020);
	for (unsigned pin = 0; pin < PLATFORM_IOAPIC_PINS; pin++)
		assert_int_equal(entry_low(pin), BIT(16));
	route(23, 0x05ffffffffffffff);
	ioapic_write(vm, 0, 0x10 + 2 * 23);
	assert_int_equal(ioapic_read(vm, 0x10), 0x1afff); /* read-only and reserved bits stay */
	ioapic_write(vm, 0, 0x40);                        /* behind the last entry */
	ioapic_write(vm, 0x10, 0);
	assert_int_equal(ioapic_read(vm, 0x10), 0);
	assert_int_equal(ioapic_read(vm, 0x44), 0);
	ioapic_write(vm, 0xffc, 1);
}

static void edge(void **state)
{
	(void)state;
	enable_all();
	ioapic_raise(vm, 5); /* masked: lost */
	route(5, 2UL << 56 | 0x51);
	expect_pending(-1, -1, -1);
	ioapic_raise(vm, 5);
	expect_pending(-1, -1, 0x51);
	ioapic_raise(vm, 5); /* each call is an edge, lowered or not */
	expect_pending(-1, -1, 0x51);
	route(5, 0xffUL << 56 | 0x52);
	ioapic_raise(vm, 5);
	expect_pending(0x52, 0x52, 0x52);
	route(5, 3UL << 56 | BIT(11) | 0x53); /* logical: vCPUs 0 and 1 */
	ioapic_raise(vm, 5);
	expect_pending(0x53, 0x53, -1);
	route(5, 1UL << 56 | 5 << 8); /* INIT by a line is not done */
	ioapic_raise(vm, 5);
	assert_int_equal(inits[1], 0);
}

static void level(void **state)
{
	(void)state;
	enable_all();
	route(7, 1UL << 56 | BIT(15) | 0x61);
	ioapic_raise(vm, 7);
	take(1, 0x61);
	assert_int_equal(entry_low(7), BIT(15) | BIT(14) | 0x61);
	assert_int_equal(get(1, X2(TMR) + 3), BIT(1));
	ioapic_raise(vm, 7);
	set(1, X2(EOI), 0); /* still high: at once again */
	take(1, 0x61);
	ioapic_lower(vm, 7);
	set(1, X2(EOI), 0);
	assert_int_equal(lapic_pending(&vcpus[1]), -1);
	assert_int_equal(entry_low(7), BIT(15) | 0x61);
	/* High while masked: comes with the unmasking. */
	route(7, 1UL << 56 | BIT(16) | BIT(15) | 0x61);
	ioapic_raise(vm, 7);
	assert_int_equal(lapic_pending(&vcpus[1]), -1);
	route(7, 1UL << 56 | BIT(15) | 0x61);
	take(1, 0x61);
	/* An edge-triggered interrupt of the same vector leaves the pin alone. */
	ioapic_write(vm, 0x40, 0x61);
	assert_int_equal(entry_low(7), BIT(15) | BIT(14) | 0x61);
	ioapic_lower(vm, 7);
	ioapic_write(vm, 0x40, 0x61);
	assert_int_equal(entry_low(7), BIT(15) | 0x61);
}

/* ---- HLT
 * ------------------------------------------------------------------------------------------ */

static void halt_waits(void **state)
{
	(void)state;
	enable_all();
	vcpus[0].wake_pending = true; /* from an interrupt that was delivered long ago */
	vcpu_halt(&vcpus[0], true);
	assert_int_equal(blocks[0], 1);
	assert_false(vcpus[0].wake_pending);
	lapic_raise(&vcpus[0], 0x40, false);
	assert_int_equal(wakes[0], 1);
	vcpu_halt(&vcpus[0], true); /* something to take: no sleep */
	assert_int_equal(blocks[0], 1);
	vcpus[1].lapic->waits_for_sipi = vcpus[2].lapic->waits_for_sipi = false;
	vcpu_halt(&vcpus[0], false); /* it cannot be taken: sleep */
	assert_int_equal(blocks[0], 2);
	lapic_raise(&vcpus[0], 0x50, false);
	assert_int_equal(wakes[0], 1); /* does not end a HLT with interrupts off */
	set(1, X2(ICR), 4 << 8);       /* an NMI does */
	assert_int_equal(wakes[0], 2);
	assert_int_equal(vm->stop_reason, STOP_NONE);
}

static void all_halted(void **state)
{
	(void)state;
	vcpus[1].lapic->waits_for_sipi = false;
	vcpu_halt(&vcpus[1], false);
	assert_int_equal(vm->stop_reason, STOP_NONE);
	vcpu_halt(&vcpus[0], false); /* vCPU 2 never started */
	assert_int_equal(vm->stop_reason, STOP_ALL_HALTED);
}

static void last_one_inits_itself(void **state)
{
	(void)state;
	set(0, X2(ICR), 1UL << 18 | 5 << 8);
	assert_int_equal(vm->stop_reason, STOP_ALL_HALTED);
}

/* ---- CPUID, MSRs, ports
 * ----------------------------------------------------------------------------- */

static void cpuid_leaves(void **state)
{
	struct cpuid_result r = cpuid_of(&vcpus[1], 1, 0);

	(void)state;
	assert_int_equal(r.ebx >> 24, 1);
	assert_int_equal(r.ebx >> 16 & 0xff, VCPUS);
	assert_int_equal(r.ecx & (BIT(21) | BIT(24) | BIT(31)), BIT(21) | BIT(24) | BIT(31));
	/* MONITOR, VMX, SMX, FMA, PDCM, PCID, XSAVE, OSXSAVE, AVX; MCE, MTRR, MCA, DS. */
	assert_int_equal(r.ecx & (BIT(3) | BIT(5) | BIT(6) | BIT(12) | BIT(15) | BIT(17) | BIT(26) |
					 BIT(27) | BIT(28)),
		0);
	assert_int_equal(r.edx & (BIT(7) | BIT(12) | BIT(14) | BIT(21)), 0);
	assert_int_equal(r.edx & BIT(28), BIT(28));
	assert_int_equal(cpuid_of(&vcpus[0], 6, 0).eax, BIT(2));
	r = cpuid_of(&vcpus[0], 7, 0);
	assert_int_equal(r.ebx & (BIT(1) | BIT(5) | BIT(10) | BIT(16)), 0);
	assert_int_equal(r.ecx, 0);
	r = cpuid_of(&vcpus[0], 7, 1);
	assert_int_equal(r.eax | r.ebx | r.ecx | r.edx, 0);
	r = cpuid_of(&vcpus[2], 0xb, 1);
	assert_int_equal(r.eax, 2);
	assert_int_equal(r.ebx, VCPUS);
	assert_int_equal(r.edx, 2);
	assert_int_equal(cpuid_of(&vcpus[0], 0xb, 2).ecx, 2);
	r = cpuid_of(&vcpus[0], 0xa, 0);
	assert_int_equal(r.eax | r.ebx | r.ecx | r.edx, 0);
	r = cpuid_of(&vcpus[0], 0xd, 0);
	assert_int_equal(r.eax | r.ebx | r.ecx | r.edx, 0);
	assert_int_equal(cpuid_of(&vcpus[0], 0x80000007, 0).edx, BIT(8));
	assert_int_equal(cpuid_of(&vcpus[0], 0x80000001, 0).ecx & BIT(2), 0);  /* SVM */
	assert_int_equal(cpuid_of(&vcpus[0], 0x80000001, 0).edx & BIT(27), 0); /* RDTSCP */
	r = cpuid_of(&vcpus[0], 0x8000000a, 0);
	assert_int_equal(r.eax | r.ebx | r.ecx | r.edx, 0);
	r = cpuid_of(&vcpus[0], KVM_CPUID_SIGNATURE, 0);
	assert_memory_equal(&r.ebx, "KVMKVMKVM\0\0\0", 12);
	assert_int_equal(cpuid_of(&vcpus[0], KVM_CPUID_SIGNATURE + 1, 0).eax, 0);
	assert_int_equal(cpuid_of(&vcpus[0], HV_CPUID_TIMING, 0).eax, 1000000);
	r = cpuid_of(&vcpus[0], SLUICE_CPUID_SIGNATURE, 0);
	assert_memory_equal(&r.ebx, "SluiceSluice", 12);
	/* tmem is off, and the tables are EPT's */
	assert_int_equal(cpuid_of(&vcpus[0], SLUICE_CPUID_FEATURES, 0).ebx,
		SLUICE_FEATURE_VOLATILE | SLUICE_FEATURE_VE);
	vcpus[0].regs[RAX] = 0xdeadbeef00000000;
	vcpus[0].regs[RCX] = ~0UL;
	cpuid_emulate(&vcpus[0]);
	assert_int_equal(vcpus[0].regs[RAX], 0x16);
	assert_int_equal(vcpus[0].regs[RCX] >> 32, 0);
}

static void msr_table(void **state)
{
	u64 value;

	(void)state;
	for (unsigned i = 0; i < msr_rule_count; i++) {
		assert_true(msr_rules[i].first <= msr_rules[i].last);
		if (i > 0)
			assert_true(msr_rules[i].first > msr_rules[i - 1].last);
		assert_int_equal(msr_class_of(msr_rules[i].first), msr_rules[i].class);
		assert_int_equal(msr_class_of(msr_rules[i].last), msr_rules[i].class);
	}
	assert_int_equal(msr_class_of(0), MSR_FAULT);
	assert_int_equal(msr_class_of(0xffffffff), MSR_FAULT);
	assert_int_equal(msr_class_of(MSR_LSTAR), MSR_PASS);
	assert_int_equal(msr_class_of(MSR_EFER), MSR_VENDOR);
	assert_int_equal(get(0, 0x1a0) & 1, 1); /* fast strings */
	assert_int_equal(get(0, 0x8b), 0);
	set(0, 0x8b, 7);
	assert_int_equal(get(0, 0x8b), 0);
	assert_int_equal(msr_read(&vcpus[0], 0x480, &value), BAD); /* VMX capabilities */
	refuses(0, 0x480, 0);
	refuses(0, 0xc0010114, 0);
	refuses(0, 0x4b564d01, 1); /* kvmclock is not offered */
	assert_true(get(0, 0x10) < fake_tsc + 2);
}

static u32 in(u16 port, unsigned size)
{
	u32 value = 0x12345678;

	port_io(&vcpus[0], port, size, false, &value);
	return value;
}

static void out(u16 port, unsigned size, u32 value)
{
	port_io(&vcpus[0], port, size, true, &value);
}

static void ports(void **state)
{
	(void)state;
	assert_int_equal(in(0xcfc, 4), 0xffffffff);
	assert_int_equal(in(0x80, 1), 0xff);
	assert_int_equal(in(0xcf8, 2), 0xffff);
	out(0xcf8, 4, 0x80000000);
	out(0x70, 1, 0x0a);
	assert_int_equal(in(0x71, 1) & 0x80, 0); /* UIP */
	assert_int_equal(
		in(0xffff, 4), 0xffffff00 | in(0xffff, 1)); /* wraps to port 0, unclaimed */
	out(0x600, 1, 0x1f);
	assert_int_equal(vm->stop_reason, STOP_NONE);
	out(0x600, 1, 0x20);
	assert_int_equal(vm->stop_reason, STOP_POWER_OFF);
}

static void reset_port(void **state)
{
	(void)state;
	out(0x64, 1, 0xff);
	assert_int_equal(vm->stop_reason, STOP_NONE);
	out(0x64, 1, 0xfe);
	assert_int_equal(vm->stop_reason, STOP_RESET);
}

static void uart(void **state)
{
	(void)state;
	enable_all();
	route(PLATFORM_UART_GSI, 0x71);
	assert_int_equal(in(0x3fd, 1), 0x60);
	out(0x3f8, 1, 'h');
	out(0x3fb, 1, 0x83); /* the divisor is no text */
	out(0x3f8, 1, 1);
	out(0x3f9, 1, 0);
	assert_int_equal(in(0x3f8, 1), 1);
	out(0x3fb, 1, 3);
	out(0x3f8, 1, 'i');
	assert_int_equal(console_bytes, 2);
	assert_memory_equal(console, "hi", 2);
	expect_pending(-1, -1, -1);
	assert_int_equal(in(0x3fa, 1), 1);
	out(0x3fa, 1, 1);
	assert_int_equal(in(0x3fa, 1), 0xc1); /* FIFOs: a 16550A */
	out(0x3f9, 1, 2);
	expect_pending(0x71, -1, -1);
	assert_int_equal(in(0x3fa, 1), 0xc2);
	assert_int_equal(in(0x3fa, 1), 0xc1); /* reading it took it */
	out(0x3f8, 1, '!');
	expect_pending(0x71, -1, -1);
	out(0x3ff, 1, 0x5a);
	assert_int_equal(in(0x3ff, 1), 0x5a);
	/* Loopback: nothing goes out, the outputs come back as inputs. */
	out(0x3fc, 1, 0x1a);
	out(0x3f8, 1, 'x');
	assert_int_equal(console_bytes, 3);
	assert_int_equal(in(0x3fe, 1), 0x90);
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
		PC_TEST(ioapic_registers),
		PC_TEST(edge),
		PC_TEST(level),
		PC_TEST(halt_waits),
		PC_TEST(all_halted),
		PC_TEST(last_one_inits_itself),
		PC_TEST(cpuid_leaves),
		PC_TEST(msr_table),
		PC_TEST(ports),
		PC_TEST(reset_port),
		PC_TEST(uart),
	};

	return cmocka_run_group_tests_name("pc", tests, NULL, NULL);
}
