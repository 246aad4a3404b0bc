/*
 * A guest of three vCPUs on the platform, whose scheduler is this file. To be
 * included after cmocka.h.
 */
#ifndef FAKE_PC_GUEST_H
#define FAKE_PC_GUEST_H

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

void vcpu_inject_exception(struct vcpu *vcpu, u8 vector, u32 error)
{
	vcpu->event = (struct vcpu_event){
		.valid = true, .type = EVENT_EXCEPTION, .vector = vector, .error = error};
}

unsigned guest_console_write(struct guest_console *to, const char *bytes, unsigned count)
{
	(void)to;
	for (unsigned i = 0; i < count && console_bytes < sizeof(console); i++)
		console[console_bytes++] = bytes[i];
	return count;
}

static inline int setup(void **state)
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

static inline int teardown(void **state)
{
	(void)state;
	platform_destroy(vm);
	return 0;
}

static inline u64 get(unsigned id, u32 msr)
{
	u64 value;

	assert_int_equal(msr_read(&vcpus[id], msr, &value), DONE);
	return value;
}

static inline void set(unsigned id, u32 msr, u64 value)
{
	assert_int_equal(msr_write(&vcpus[id], msr, value), DONE);
}

static inline void refuses(unsigned id, u32 msr, u64 value)
{
	assert_int_equal(msr_write(&vcpus[id], msr, value), BAD);
}

static inline void enable_all(void)
{
	for (unsigned i = 0; i < VCPUS; i++)
		set(i, X2(SVR), 0x1ff);
}

static inline void take(unsigned id, u8 vector)
{
	assert_int_equal(lapic_pending(&vcpus[id]), vector);
	lapic_accept(&vcpus[id], vector);
}

/* The deadline of vCPU 0's timer, ~0 if it is not armed. */
static inline u64 next_deadline(void)
{
	const struct timer *timer = &vcpus[0].lapic->timer;

	return timer->armed ? timer->deadline : ~0UL;
}

static inline void serve_timers(void)
{
	struct timer *timer;

	for (unsigned n = 0; (timer = timer_pop(arch_tsc())) != NULL; n++) {
		assert_true(n < 100);
		assert_int_equal(timer->kind, TIMER_LAPIC);
		lapic_timer_expired(timer);
	}
}

static inline void pass(u64 ticks)
{
	fake_tsc += ticks;
	serve_timers();
}

static inline void expect_pending(int a, int b, int c)
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

#endif
