/*
 * Timers of one CPU: a deadline in TSC ticks and a kind that tells the dispatch loop what to do. No
 * callbacks: timer_pop() hands out what expired, and the top floor calls its owner. A timer is
 * armed, cancelled and popped on the CPU it was armed on; cancelling from elsewhere goes through
 * its lock.
 */
#ifndef CORE_TIMER_H
#define CORE_TIMER_H

#include "arch/x86/arch.h"
#include "kernel/core/lock.h"
#include "lib/types.h"

enum timer_kind { TIMER_SLICE, TIMER_TICK, TIMER_POLICY, TIMER_LAPIC, TIMER_DEVICE };

struct timer {
	u64 deadline;       /* TSC */
	struct timer *next; /* ascending deadlines */
	enum timer_kind kind;
	u32 cpu; /* whose queue it is in; valid while armed */
	bool armed;
};

struct timer_queue {
	struct spinlock lock;
	struct timer *first;
	u64 hardware; /* what the CPU's timer is armed for; ~0 if nothing. Its own CPU only */
};

/* Empties a CPU's queue, before it is used. */
void timer_queue_init(struct timer_queue *queue);
/* Arms on this CPU; re-arms if it was armed already. */
void timer_arm(struct timer *timer, u64 deadline);
void timer_cancel(struct timer *timer);
/* An expired timer of this CPU, disarmed; NULL if there is none. */
struct timer *timer_pop(u64 now);
/* Arms the hardware for the next deadline again: after CPU_EVENT_TIMER, once nothing more pops. */
void timer_fired(void);

/*
 * QEMU (7.2) may lose the sign of a pending interrupt at a #VMEXIT, where it changes its word of
 * pending requests without a lock: the LAPIC has the timer's vector in its IRR, and the processor
 * goes on. Firing again makes it look.
 *
 * timer_is_overdue(): this CPU's hardware should have fired: no reason to enter a guest.
 * timer_hear_missed(): before sleeping; arms the hardware again if it has fired and no event came
 * of it.
 */
static inline bool timer_is_overdue(const struct timer_queue *queue)
{
	return queue->hardware <= arch_tsc();
}
void timer_hear_missed(void);

/* Microseconds as TSC ticks, and back, rounded down. */
u64 ticks_from_us(u64 us);
u64 us_from_ticks(u64 ticks);

#endif
