/*
 * The size of each guest, tick by tick: from the manifest's [balloon] to targets of the balloons.
 * All of it runs on the boot CPU, at the head of the dispatch loop.
 */
#ifndef KERNEL_POLICY_H
#define KERNEL_POLICY_H

#include "kernel/vm/vm.h"

/* Before the first guest starts; @config must stay. @has_pool: tmem is on, and keeps pages. False
 * after a message: no memory. */
bool __must_check policy_start(const struct balloon_config *config, bool has_pool);

/* The target of a guest that starts now: memory_start, or as much of memory_max as is not given to
 * others, but at least memory_min. */
void policy_guest_starts(struct vm *vm);

/* What ticks took so far, in TSC ticks: all of them, and the longest. */
struct policy_cost {
	u64 ticks, tsc_ticks, longest;
};
struct policy_cost policy_cost(void);

/* One tick: statistics, the drivers' health, and targets. Returns when the next is due, in us. */
u64 policy_tick(void);

#endif
