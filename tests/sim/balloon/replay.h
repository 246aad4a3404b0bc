/*
 * What a division of memory that is known beforehand would read: the oracle's (oracle.h).
 */
#ifndef SIM_REPLAY_H
#define SIM_REPLAY_H

#include "balloon/balloon.h"
#include "tests/sim/balloon/workload.h"

/*
 * Pages read again when each guest holds path[guest * ticks + tick] MiB: the less of two ways to
 * hold them. In one a holding is one LRU list, what the oracle reckons with. In the other it is RAM
 * and a share of the simulated machine's pool, with the pool's eviction (@fifo: machine.h) and at
 * the pace of balloons.
 */
u64 replay(const struct sim_workload *workload, const u16 *path, bool fifo);

/*
 * Pages of RAM that balloons make of @hold, where a guest has @ram: all but the 16th that `refault`
 * leaves in the pool too, at the pace that the policies' plans have (balloon_defaults()).
 */
u32 replay_ram(
	const struct balloon_parameters *pace, const struct sim_guest *guest, u32 ram, u32 hold);

#endif
