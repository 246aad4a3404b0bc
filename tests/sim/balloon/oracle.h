/*
 * The oracle of the balloon simulator: the best division of memory over time that one finds who
 * knows all accesses beforehand, in steps of 1 MiB and ticks, paying for every page that a move
 * makes a guest read again.
 */
#ifndef SIM_ORACLE_H
#define SIM_ORACLE_H

#include "tests/sim/balloon/workload.h"

/* Reads of all guests, first ones left out, as a replay of the division that was found measures
 * them.
 * @fifo: as machine_make() has it. @path: MiB of each guest at each tick, [guest * ticks + tick],
 * the caller's to free. */
u64 oracle_reads(const struct sim_workload *workload, bool fifo, u16 **path);

#endif
