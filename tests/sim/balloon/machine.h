/*
 * The machine of the balloon simulator: guests whose RAM is an LRU list of pages, and one pool
 * behind them that works as tmem does: exclusive gets, the engine's own queues within a guest
 * (store.h), the pages of idle guests first, then of the guest that holds most for its share.
 */
#ifndef SIM_MACHINE_H
#define SIM_MACHINE_H

#include "balloon/balloon.h"
#include "tests/sim/balloon/store.h"
#include "tests/sim/balloon/workload.h"

#define SIM_GHOST_ENTRIES 2048U

struct sim_vm {
	const struct sim_guest *guest;
	struct sim_page *page;
	struct sim_list ram;
	struct sim_store store; /* its pages in the pool */
	u32 limit;              /* RAM it may have now */
	u64 share;              /* of the pool */
	u32 anonymous;          /* pages of it in RAM */
	u32 used_tick;          /* last put or get */
	u64 key;                /* for hashes */
	u64 reads, first;       /* pages read from disk: again, and for the first time */
	u64 all_puts, all_gets;
	/* Of this tick: */
	u64 puts, gets, hits, tick_reads, tick_refaults, swap_in, swap_out, major;
	u64 touched[BALLOON_AGES];
	struct ghosts *ghosts;
	void *table;
};

struct sim_machine {
	const struct sim_workload *workload;
	struct sim_vm *vm;
	u32 tick;
	u64 pool_used, pool_size;
};

/* @fifo: the pool evicts first in, first out, as with the manifest's `eviction = "fifo"`. */
void machine_make(struct sim_machine *machine, const struct sim_workload *workload, bool fifo);
void machine_free(struct sim_machine *machine);
/* All accesses of the next tick. */
void machine_tick(struct sim_machine *machine);
/* What the hypervisor would know of the tick. @accessed_bits: whether the machine has them. */
void machine_sample(
	struct sim_machine *machine, struct balloon_sample *samples, bool accessed_bits);
/* The balloons and the pool do as planned. */
void machine_apply(struct sim_machine *machine, const struct balloon_plan *plan);
/* Reads from disk, first ones left out. */
u64 machine_reads(const struct sim_machine *machine);

#endif
