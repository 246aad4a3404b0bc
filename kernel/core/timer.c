/*
 * Timers of one CPU: a list in ascending order of deadlines, and the hardware timer armed for its
 * head. The list's lock lets another CPU cancel. The hardware is touched by its own CPU only: a
 * cancel from elsewhere leaves it armed, and the CPU finds nothing expired when it fires.
 */
#include "kernel/core/timer.h"

#include "arch/x86/arch.h"
#include "kernel/core/percpu.h"

#define NEVER (~0UL)

COLD void timer_queue_init(struct timer_queue *queue)
{
	spin_lock_init(&queue->lock, LOCK_TIMER);
	queue->first = NULL;
	queue->hardware = NEVER;
}

/* Under the queue's lock. */
static void unlink_timer(struct timer_queue *queue, struct timer *timer)
{
	struct timer **link = &queue->first;

	while (*link != timer)
		link = &(*link)->next;
	*link = timer->next;
	timer->armed = false;
}

/* Under this CPU's lock: the hardware follows the head, and is left alone if it fires early enough.
 * One whose time is over and that nobody heard of is not relied on: see timer_hear_missed(). */
static void follow_head(struct timer_queue *queue)
{
	u64 deadline = queue->first ? queue->first->deadline : NEVER;

	if (deadline >= queue->hardware && queue->hardware > arch_tsc())
		return;
	queue->hardware = deadline;
	arch_timer_arm(deadline);
}

void timer_arm(struct timer *timer, u64 deadline)
{
	struct timer_queue *queue = &this_percpu()->timers;
	struct timer **link;

	timer_cancel(timer);
	spin_lock(&queue->lock);
	timer->deadline = deadline;
	timer->cpu = this_cpu()->index;
	timer->armed = true;
	link = &queue->first;
	while (*link && (*link)->deadline <= deadline)
		link = &(*link)->next;
	timer->next = *link;
	*link = timer;
	follow_head(queue);
	spin_unlock(&queue->lock);
}

void timer_cancel(struct timer *timer)
{
	struct timer_queue *queue;

	if (!READ_ONCE(timer->armed))
		return;
	queue = &percpu_of(timer->cpu)->timers;
	spin_lock(&queue->lock);
	if (timer->armed) /* it may have expired meanwhile */
		unlink_timer(queue, timer);
	spin_unlock(&queue->lock);
}

struct timer *timer_pop(u64 now)
{
	struct timer_queue *queue = &this_percpu()->timers;
	struct timer *timer;

	if (!READ_ONCE(queue->first))
		return NULL;
	spin_lock(&queue->lock);
	timer = queue->first;
	if (timer && timer->deadline <= now)
		unlink_timer(queue, timer);
	else
		timer = NULL;
	spin_unlock(&queue->lock);
	return timer;
}

void timer_fired(void)
{
	struct timer_queue *queue = &this_percpu()->timers;

	spin_lock(&queue->lock);
	queue->hardware = NEVER;
	follow_head(queue);
	spin_unlock(&queue->lock);
}

COLD void timer_hear_missed(void)
{
	struct timer_queue *queue = &this_percpu()->timers;

	if (arch_timer_is_armed())
		return;
	spin_lock(&queue->lock);
	if (queue->hardware != NEVER) {
		queue->hardware = NEVER;
		follow_head(queue);
	}
	spin_unlock(&queue->lock);
}

/* hz fits in 34 bits and microseconds of interest in 40, so seconds and the rest are scaled apart.
 */
u64 ticks_from_us(u64 us)
{
	u64 hz = arch_tsc_hz();

	return us / 1000000 * hz + us % 1000000 * hz / 1000000;
}

u64 us_from_ticks(u64 ticks)
{
	u64 hz = arch_tsc_hz();

	return ticks / hz * 1000000 + ticks % hz * 1000000 / hz;
}
