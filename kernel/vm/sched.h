/*
 * Run queues: one a CPU, weighted fair by virtual time. A vCPU is placed on a CPU when its VM
 * starts (manifest: cpus, else the least loaded) and stays there. LOCK_SCHED of that CPU guards its
 * queue and the state of the vCPUs placed on it.
 */
#ifndef VM_SCHED_H
#define VM_SCHED_H

#include "kernel/vm/vm.h"

/* Empties the run queues: before the first vCPU is placed. */
void sched_init(void);
/* Chooses a CPU for @vcpu among those @allowed (bit n = CPU n; 0 = any). */
void sched_place(struct vcpu *vcpu, u64 allowed);
/* The vCPU no longer lives on its CPU. */
void sched_remove(struct vcpu *vcpu);
/* Its VM is stopped: off the queue at once, or when it leaves its run loop. */
void sched_stop(struct vcpu *vcpu);
/* The runnable vCPU with the least virtual time on this CPU, now VCPU_RUNNING; NULL if none. */
struct vcpu *sched_pick(void);
/* The vCPU left the run loop after @ticks: charged, and queued again unless it blocked or stopped.
 */
void sched_put(struct vcpu *vcpu, u64 ticks);
/* What this CPU did for @vm outside of its turns, @ticks long: CPU time of @vm, and against others
 * as if the first of its vCPUs that live here had run, if one does. Dispatch loop only. */
void sched_charge(struct vm *vm, u64 ticks);
/* CPU time of @vm, in TSC ticks: its vCPUs' turns, and what was charged to it. Any CPU. */
u64 sched_cpu_ticks(const struct vm *vm);
/* How long @vcpu may run before others get their turn, in TSC ticks; ~0 if it is alone. */
u64 sched_slice(const struct vcpu *vcpu);

#endif
