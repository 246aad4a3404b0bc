/*
 * The balloon engine (balloon/) at work on this machine's guests: samples go in once a tick,
 * targets of balloons and weights in the pool come out. Boot CPU, at the head of
 * the dispatch loop, no lock held.
 */
#ifndef KERNEL_POLICY_PLAN_H
#define KERNEL_POLICY_PLAN_H

#include "kernel/vm/vm.h"

/* Prepares the engine; @config must stay. @has_pool: pages can be put. False after a message if
 * there is no memory for it. */
bool __must_check policy_plan_start(const struct balloon_config *config, bool has_pool);

/* From the next tick on @policy (enum policy_choice) is in force. */
void policy_plan_choose(u32 policy);

/* One tick: all guests that run are sampled, planned for, and told. */
void policy_plan_tick(void);

/* In its place where others set the targets: all guests are sampled, so that what they did is not
 * taken for one tick's later. */
void policy_plan_watch(void);

/* How often a guest's target was changed by plans, and the pages given to it and taken from it. */
struct policy_moves {
	u64 changes, given_pages, taken_pages;
};
struct policy_moves policy_plan_moves(const struct vm *vm);

#endif
