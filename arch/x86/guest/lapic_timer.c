/*
 * The timer of a LAPIC: one-shot, periodic and TSC-deadline (Intel SDM vol. 3, 11.5.4). It counts
 * TSC ticks, so that no scaling is needed. Runs on the vCPU's CPU, where its struct timer is queued
 * too; no lock.
 */
#include "arch/x86/guest/lapic_state.h"

#include "arch/x86/arch.h"

/* A guest may not make a CPU do nothing but its timer. */
#define PERIOD_MIN_US 50

enum timer_mode lapic_timer_mode(const struct lapic *lapic)
{
	return (enum timer_mode)((lapic->lvt[LVT_TIMER] & LVT_MODE) >> LVT_MODE_SHIFT);
}

/* log2 of the divisor: bits 0, 1 and 3 of the register plus one, and 7 means 1. */
static unsigned divide_shift(const struct lapic *lapic)
{
	u32 code = (lapic->timer_divide & 3) | (lapic->timer_divide & 8) >> 1;

	return (code + 1) & 7;
}

static u64 period(const struct lapic *lapic)
{
	u64 ticks = (u64)lapic->timer_initial << divide_shift(lapic);

	if (lapic_timer_mode(lapic) == MODE_PERIODIC)
		return MAX(ticks, ticks_from_us(PERIOD_MIN_US));
	return ticks;
}

static void fire(struct lapic *lapic)
{
	u32 lvt = lapic->lvt[LVT_TIMER];

	if (lvt & LVT_MASKED)
		return;
	if ((lvt & LVT_VECTOR) < 16)
		lapic_error(lapic, ESR_RECEIVE_ILLEGAL);
	else
		lapic_raise(lapic->vcpu, (u8)lvt, false);
}

void lapic_timer_write_lvt(struct lapic *lapic, u32 value)
{
	enum timer_mode before = lapic_timer_mode(lapic), after;

	lapic->lvt[LVT_TIMER] = value;
	after = lapic_timer_mode(lapic);
	/* Into and out of TSC-deadline mode the timer is disarmed (Intel SDM vol. 3, 11.5.4.1). */
	if (before != after && (before == MODE_DEADLINE || after == MODE_DEADLINE)) {
		timer_cancel(&lapic->timer);
		lapic->timer_initial = 0;
		lapic->deadline = 0;
	}
}

void lapic_timer_write_initial(struct lapic *lapic, u32 value)
{
	if (lapic_timer_mode(lapic) == MODE_DEADLINE)
		return;
	lapic->timer_initial = value;
	if (value)
		timer_arm(&lapic->timer, arch_tsc() + period(lapic));
	else
		timer_cancel(&lapic->timer);
}

u32 lapic_timer_current(const struct lapic *lapic)
{
	u64 now = arch_tsc();

	if (!lapic->timer.armed || lapic_timer_mode(lapic) == MODE_DEADLINE ||
		lapic->timer.deadline <= now)
		return 0;
	return (u32)((lapic->timer.deadline - now) >> divide_shift(lapic));
}

u64 lapic_deadline(const struct vcpu *vcpu)
{
	return vcpu->lapic->deadline;
}

void lapic_set_deadline(struct vcpu *vcpu, u64 tsc)
{
	struct lapic *lapic = vcpu->lapic;

	if (lapic_timer_mode(lapic) != MODE_DEADLINE)
		return;
	if (tsc == 0) {
		lapic->deadline = 0;
		timer_cancel(&lapic->timer);
	} else if (tsc <= arch_tsc()) {
		lapic->deadline = 0;
		timer_cancel(&lapic->timer);
		fire(lapic);
	} else {
		lapic->deadline = tsc;
		timer_arm(&lapic->timer, tsc);
	}
}

void lapic_timer_expired(struct timer *timer)
{
	struct lapic *lapic = container_of(timer, struct lapic, timer);

	/* Nothing may be armed any more (kernel/guests.c). */
	if (vm_is_stopped(lapic->vcpu->vm))
		return;
	lapic->deadline = 0;
	if (lapic_timer_mode(lapic) == MODE_PERIODIC && lapic->timer_initial) {
		u64 now = arch_tsc(), step = period(lapic), next = timer->deadline + step;

		/* Periods that passed unseen are lost, as on a CPU that had interrupts off. */
		if (next <= now)
			next = now + step - (now - timer->deadline) % step;
		timer_arm(timer, next);
	}
	fire(lapic);
}
