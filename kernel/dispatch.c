/*
 * The loop of each CPU. At its head the CPU holds no lock, no guest page and no stale translation,
 * so this is where frames leave limbo, the log drains, timers are served, the operator is heard,
 * the world can be stopped, and stopped guests are given back. Then one vCPU gets its turn.
 */
#include "kernel/dispatch.h"

#include "arch/x86/arch.h"
#include "arch/x86/guest/cpuid.h"
#include "arch/x86/guest/platform.h"
#include "arch/x86/guest/steal_time.h"
#include "arch/x86/port.h"
#include "kernel/core/bug.h"
#include "kernel/core/log.h"
#include "kernel/core/percpu.h"
#include "kernel/guests.h"
#include "kernel/ending.h"
#include "kernel/monitor.h"
#include "kernel/timers.h"
#include "kernel/vm/sched.h"
#include "kernel/vm/virt.h"
#include "kernel/world.h"

/* What this CPU had loaded last, so that vector state moves only when the vCPU changes. */
static struct vcpu *fpu_owner[MAX_CPUS];
static struct timer slice_timer[MAX_CPUS];
/* Whose turn it is, for BUG. */
static struct vcpu *running[MAX_CPUS];

static void switch_fpu(struct vcpu *vcpu)
{
	struct vcpu **owner = &fpu_owner[this_cpu()->index];

	if (*owner == vcpu && likely(!vcpu->is_fresh))
		return;
	if (*owner)
		(*owner)->xcr0 = arch_fpu_save((*owner)->fpu);
	if (unlikely(vcpu->is_fresh)) {
		arch_fpu_reset(vcpu->fpu);
		vcpu->xcr0 = XCR0_RESET;
	}
	vcpu->is_fresh = false;
	arch_fpu_load(vcpu->fpu, vcpu->xcr0);
	*owner = vcpu;
}

/* The owner may be freed after this turn: its state is dead. */
static void forget_fpu(const struct vcpu *vcpu)
{
	if (fpu_owner[this_cpu()->index] == vcpu)
		fpu_owner[this_cpu()->index] = NULL;
}

static COLD void check_time_limit(struct vm *vm)
{
	if (!vm->config->time_limit || vm_is_stopped(vm))
		return;
	if ((sched_cpu_ticks(vm) - vm->past_cpu_ticks) / arch_tsc_hz() >= vm->config->time_limit)
		vm_stop(vm, STOP_TIME_LIMIT, vm->config->time_limit);
}

/* A turn while guests_reap() has more to do, which comes between turns. */
#define HURRY_US 5000

static void run_turn(struct vcpu *vcpu, bool hurry)
{
	struct timer *slice = &slice_timer[this_cpu()->index];
	u64 start = arch_tsc();
	u64 until = start + (unlikely(hurry) ? ticks_from_us(HURRY_US) : sched_slice(vcpu));
	u64 ticks;

	switch_fpu(vcpu);
	steal_time_turn(vcpu);
	if (!virt->ends_turn) {
		slice->kind = TIMER_SLICE;
		timer_arm(slice, until);
	}
	ending_note_first_entry();
	running[this_cpu()->index] = vcpu;
	virt->run(vcpu, until);
	running[this_cpu()->index] = NULL;
	if (slice->armed)
		timer_cancel(slice);

	ticks = arch_tsc() - start;
	this_percpu()->busy_ticks += ticks;
	if (vm_is_stopped(vcpu->vm))
		forget_fpu(vcpu);
	check_time_limit(vcpu->vm);
	sched_put(vcpu, ticks);
}

COLD void dispatch_report(void)
{
	const struct vcpu *vcpu = running[this_cpu()->index];

	if (!vcpu) {
		bug_print("no vCPU was running on this CPU");
		return;
	}
	bug_print("running guest \"%s\" vCPU %u, rip %#llx when last looked at",
		vcpu->vm->config->name, vcpu->id, (unsigned long long)vcpu->context.rip);
	for (unsigned c = 0; c < EXITED_CLASSES; c++)
		if (vcpu->exits[c])
			bug_print("  %s exits: %llu", exit_class_name(c),
				(unsigned long long)vcpu->exits[c]);
}

static void idle(void)
{
	u64 start = arch_tsc();

	timer_hear_missed();
	epoch_enter_idle();
	arch_idle();
	epoch_leave_idle();
	this_percpu()->idle_ticks += arch_tsc() - start;
}

void dispatch(void)
{
	const bool boot_cpu = this_cpu()->index == 0;

	if (boot_cpu)
		timers_start();
	for (;;) {
		struct vcpu *vcpu;
		bool hurry = false;

		epoch_quiescent(epoch_now());
		world_stop_point();
		limbo_drain();
		timers_serve();
		memory_wake_waiters();
		if (boot_cpu) {
			log_drain();
			if (unlikely(monitor_is_due()))
				monitor_turn();
			hurry = guests_reap();
			if (guests_all_done())
				ending();
		}
		vcpu = sched_pick();
		if (vcpu)
			run_turn(vcpu, hurry);
		else if ((!boot_cpu || (!guests_to_reap() && !monitor_is_due())) &&
			 !memory_wait_is_over_soon())
			idle();
	}
}

__init bool cpu_is_fit(void)
{
	return virt->cpu_check() == 0 && cpuid_check_processor() == 0;
}

__init void cpu_main(void)
{
	/* The boot CPU could: that this one cannot is no state to go on in. */
	if (percpu_init(this_cpu()->index) || virt->cpu_enable())
		BUG("CPU %u cannot be brought up like the boot CPU", this_cpu()->index);
	dispatch();
}
