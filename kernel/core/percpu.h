/*
 * The core's state of each CPU, and quiescence: a frame put into limbo in epoch E is free once
 * every CPU has passed a quiescent point after E began (docs/memory.md). Written by its own CPU
 * only; others read.
 */
#ifndef CORE_PERCPU_H
#define CORE_PERCPU_H

#include "arch/x86/arch.h"
#include "kernel/core/timer.h"
#include "lib/types.h"

struct percpu {
	u64 seen_epoch; /* ~0 while idle or offline: quiescent for every epoch */
	struct timer_queue timers;
	u32 locks_held; /* bit per enum lock_rank */
	u32 dispatch_count;
	u64 idle_ticks;
	u64 busy_ticks;
};

int __must_check percpu_init(unsigned index); /* allocates and attaches to arch_cpu(index)->core */
static inline struct percpu *this_percpu(void)
{
	return this_cpu()->core;
}
struct percpu *percpu_of(unsigned index);

/* The current epoch; read it before loading what the quiescent point promises to have loaded. */
u64 epoch_now(void);
/* Starts a new epoch and returns it: called after an entry was removed and the generation bumped.
 */
u64 epoch_advance(void);
/* This CPU holds nothing older than @epoch. */
void epoch_quiescent(u64 epoch);
void epoch_enter_idle(void);
void epoch_leave_idle(void);
/* Whether every CPU has seen @epoch. */
bool epoch_passed(u64 epoch);
/* Kicks the CPUs that have not, so that they pass soon. */
void epoch_kick(u64 epoch);

#endif
