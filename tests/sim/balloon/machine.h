/*
 * The machine of the balloon simulator: guests whose RAM is an LRU list of pages, and one pool
 * behind them that works as tmem does: exclusive gets, first in first out within a guest, the pages
 * of idle guests first, then of the guest that holds most for its share.
 */
#ifndef SIM_MACHINE_H
#define SIM_MACHINE_H

#include "balloon/balloon.h"
#include "tests/sim/balloon/workload.h"

#define SIM_GHOST_ENTRIES 2048U

struct sim_page {
	u32 newer, older; /* in the list of its place; SIM_NONE at the ends */
	u32 tick;         /* last access */
	u8 place;
	u8 seen;
};

struct sim_list {
	u32 newest, oldest, count;
};

struct sim_vm {
	const struct sim_guest *guest;
	struct sim_page *page;
	struct sim_list ram, pool;
	u32 limit;        /* RAM it may have now */
	u64 share;        /* of the pool */
	u32 anonymous;    /* pages of it in RAM */
	u32 used_tick;    /* last put or get */
	u64 key;          /* for hashes */
	u64 reads, first; /* pages read from disk: again, and for the first time */
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

void machine_make(struct sim_machine *machine, const struct sim_workload *workload);
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
