/*
 * Timers that are over, by their kind: the machine's own paces on the boot CPU, guests' LAPICs and
 * devices on any. kernel/core/timer.c has their queues; a slice's end needs nothing done.
 */
#include "kernel/timers.h"

#include "arch/x86/arch.h"
#include "arch/x86/guest/lapic.h"
#include "kernel/core/percpu.h"
#include "kernel/policy.h"
#include "kernel/virtio/device.h"
#include "kernel/vm/memory_flip.h"
#include "kernel/vm/window.h"

/* The steady pace of the machine: ten times a second. */
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
	uart_poll();
	timer_arm(&tick_timer, arch_tsc() + ticks_from_us(TICK_US));
}

/* The pace of the balloon policies, from the manifest: between the end of one tick and the next, so
 * that guests get on however long a tick takes. */
static COLD void tick_policy(void)
{
	u64 pause_us = policy_tick();

	timer_arm(&policy_timer, arch_tsc() + ticks_from_us(pause_us));
}

void timers_start(void)
{
	tick();
	tick_policy();
}

void timers_serve(void)
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
