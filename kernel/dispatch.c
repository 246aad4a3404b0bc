/*
 * The loop of each CPU. At its head the CPU holds no lock, no guest page and no stale translation,
 * so this is where frames leave limbo, the log drains, timers are served, the world can be stopped,
 * and stopped guests are given back. Then one vCPU gets its turn.
 */
#include "kernel/dispatch.h"

#include "arch/x86/arch.h"
#include "arch/x86/guest/platform.h"
#include "arch/x86/guest/steal_time.h"
#include "arch/x86/port.h"
#include "kernel/core/bug.h"
#include "kernel/core/log.h"
#include "kernel/core/percpu.h"
#include "kernel/guests.h"
#include "kernel/ending.h"
#include "kernel/policy.h"
#include "kernel/virtio/device.h"
#include "kernel/vm/memory_flip.h"
#include "kernel/vm/sched.h"
#include "kernel/vm/virt.h"
#include "kernel/vm/window.h"
#include "kernel/world.h"

/* What this CPU had loaded last, so that vector state moves only when the vCPU changes. */
static struct vcpu *fpu_owner[MAX_CPUS];
static struct timer slice_timer[MAX_CPUS];
/* Whose turn it is, for BUG. */
static struct vcpu *running[MAX_CPUS];

/* The steady pace of the policies: ten times a second, on the boot CPU. */
#define TICK_US 100000

static struct timer tick_timer = {.kind = TIMER_TICK};
static struct timer policy_timer = {.kind = TIMER_POLICY};

static COLD void tick(void)
{
	struct vm *vm;

	if (tmem_store) {
		tmem_tick(tmem_store);
		for_each_vm (vm)
			window_tick(vm);
	}
	for_each_vm (vm)
		memory_flip_tick(vm);
	memory_wait_tick();
	timer_arm(&tick_timer, arch_tsc() + ticks_from_us(TICK_US));
}

/* The pace of the balloon policies, from the manifest: between the end of one tick and the next, so
 * that guests get on however long a tick takes. */
static COLD void tick_policy(void)
{
	u64 pause_us = policy_tick();

	timer_arm(&policy_timer, arch_tsc() + ticks_from_us(pause_us));
}

static void serve_timers(void)
{
	u32 events = __atomic_exchange_n(&this_cpu()->events, 0, __ATOMIC_ACQ_REL);
	struct timer *timer;
	/* What is armed meanwhile waits for the next turn, however soon it is due: a device that
	 * takes longer than the time to its next request would otherwise keep the CPU in here. */
	const u64 now = arch_tsc();

	while ((timer = timer_pop(now)) != NULL) {
		switch (timer->kind) {
		case TIMER_LAPIC:
			lapic_timer_expired(timer);
			break;
		case TIMER_DEVICE:
			virtio_timer_expired(timer);
			break;
		case TIMER_TICK:
			tick();
			break;
		case TIMER_POLICY:
			tick_policy();
			break;
		case TIMER_SLICE: /* the turn is over: that was all */
			break;
		}
	}
	if (events & CPU_EVENT_TIMER)
		timer_fired();
}

static void switch_fpu(struct vcpu *vcpu)
{
	struct vcpu **owner = &fpu_owner[this_cpu()->index];

	if (*owner == vcpu)
		return;
	if (*owner)
		arch_fpu_save((*owner)->fpu);
	arch_fpu_load(vcpu->fpu);
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
	u64 ticks = 0;

	if (!vm->config->time_limit || vm_is_stopped(vm))
		return;
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		ticks += READ_ONCE(vm->vcpus[i]->cpu_ticks);
	if (ticks / arch_tsc_hz() >= vm->config->time_limit)
		vm_stop(vm, STOP_TIME_LIMIT, vm->config->time_limit);
}

static void run_turn(struct vcpu *vcpu)
{
	struct timer *slice = &slice_timer[this_cpu()->index];
	u64 start = arch_tsc();
	u64 until = start + sched_slice(vcpu);
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

	if (boot_cpu) {
		tick();
		tick_policy();
	}
	for (;;) {
		struct vcpu *vcpu;

		epoch_quiescent(epoch_now());
		world_stop_point();
		limbo_drain();
		serve_timers();
		memory_wake_waiters();
		if (boot_cpu) {
			log_drain();
			guests_reap();
			if (guests_all_done())
				ending();
		}
		vcpu = sched_pick();
		if (vcpu)
			run_turn(vcpu);
		else if ((!boot_cpu || !guests_to_reap()) && !memory_wait_is_over_soon())
			idle();
	}
}

__init void cpu_main(void)
{
	/* The boot CPU could: that this one cannot is no state to go on in. */
	if (percpu_init(this_cpu()->index) || virt->cpu_enable())
		BUG("CPU %u cannot be brought up like the boot CPU", this_cpu()->index);
	dispatch();
}
