/*
 * What the plans of the balloon engine moved, RAM and shares of the pool together: who gave, who
 * got, how much, and why; a line of the log for every 4 MiB that went from one to another, and the
 * sums for the summary. Boot CPU, no lock held.
 */
#ifndef KERNEL_POLICY_RECORD_H
#define KERNEL_POLICY_RECORD_H

#include "balloon/balloon.h"
#include "kernel/vm/vm.h"

/* Forgets all moves: before the first guest starts. Boot CPU. */
void policy_record_start(void);

/* Takes in the moves of @plan; @vms: the guests by their places in it. */
void policy_record(const struct balloon_plan *plan, struct vm *const *vms);

/* Why @move was made, and what its two sides save and lose, in words. */
void policy_record_reason(char *words, u64 room, const struct balloon_move *move);

/* The summary's table, and its lines for tools: pairs between which 2 MiB or more went. */
void policy_record_print(void);
void policy_record_print_for_tools(void);

#endif
