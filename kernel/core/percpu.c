/*
 * Per-CPU state and quiescence by epochs, after the idea of McKenney and Slingwine's read-copy
 * update: readers cost nothing, whoever frees waits until every CPU has been where it can hold
 * nothing old.
 *
 * One epoch counter; each CPU publishes the newest epoch that it knows to have nothing older of. An
 * idle or stopped CPU publishes EPOCH_IDLE and counts as having passed everything.
 */
#include "kernel/core/percpu.h"

#include <abi/errno.h>

#include "kernel/core/frame.h"
#include "kernel/core/log.h"

#define EPOCH_IDLE (~0UL)

static u64 current_epoch = 1;

__init int percpu_init(unsigned index)
{
	struct percpu *cpu = hypervisor_alloc(order_of(sizeof(*cpu)));

	if (!cpu) {
		log_error("cpu %u: no memory for its state", index);
		return -SLUICE_ENOMEM;
	}
	cpu->seen_epoch = EPOCH_IDLE;
	timer_queue_init(&cpu->timers);
	arch_cpu(index)->core = cpu;
	frames_update_reserve();
	return 0;
}

struct percpu *percpu_of(unsigned index)
{
	return arch_cpu(index)->core;
}

u64 epoch_now(void)
{
	return __atomic_load_n(&current_epoch, __ATOMIC_ACQUIRE);
}

u64 epoch_advance(void)
{
	return __atomic_add_fetch(&current_epoch, 1, __ATOMIC_SEQ_CST);
}

/*
 * A CPU that leaves idle (or starts) must be seen to have left before it loads anything that others
 * remove: the exchange is a full barrier (Intel SDM vol. 3, 8.2.3.4: a load may pass an older
 * store). Otherwise a plain store will do, since the published epoch only promises what is already
 * so.
 */
void epoch_quiescent(u64 epoch)
{
	struct percpu *cpu = this_percpu();

	if (unlikely(cpu->seen_epoch == EPOCH_IDLE))
		__atomic_exchange_n(&cpu->seen_epoch, epoch, __ATOMIC_SEQ_CST);
	else
		__atomic_store_n(&cpu->seen_epoch, epoch, __ATOMIC_RELEASE);
}

void epoch_enter_idle(void)
{
	__atomic_store_n(&this_percpu()->seen_epoch, EPOCH_IDLE, __ATOMIC_RELEASE);
}

void epoch_leave_idle(void)
{
	epoch_quiescent(epoch_now());
}

bool epoch_passed(u64 epoch)
{
	for (unsigned i = 0; i < arch_cpu_count(); i++) {
		const struct percpu *cpu = percpu_of(i);

		if (cpu && __atomic_load_n(&cpu->seen_epoch, __ATOMIC_ACQUIRE) < epoch)
			return false;
	}
	return true;
}

void epoch_kick(u64 epoch)
{
	for (unsigned i = 0; i < arch_cpu_count(); i++) {
		const struct percpu *cpu = percpu_of(i);

		if (cpu && cpu != this_percpu() && READ_ONCE(cpu->seen_epoch) < epoch)
			arch_kick(i);
	}
}
