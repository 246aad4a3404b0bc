/*
 * Workloads for the balloon simulator: for each guest the pages that it touches, tick by tick. A
 * generated one is a name, a number of guests, a length of phases and a seed; the same four give
 * the same accesses everywhere.
 */
#ifndef SIM_WORKLOAD_H
#define SIM_WORKLOAD_H

#include "lib/types.h"

#define SIM_MIB 256U /* pages */

struct sim_guest {
	u32 pages;     /* page numbers are below */
	u32 anonymous; /* of these, the first so many have no file */
	u32 min, max;  /* RAM, pages */
	u32 start;     /* RAM at the start, and always under `static` */
	u32 *access;   /* all page numbers in order */
	u32 *end;      /* of each tick's accesses in @access */
};

struct sim_workload {
	const char *name;
	unsigned guests, ticks, phase;
	u32 tick_ms;
	bool shifting; /* the goal against `static` counts */
	int liar;      /* guest that lies, or -1 */
	bool echo;     /* it lies by taking back what it has in the pool and putting it again */
	bool honest;   /* this time it does not */
	u32 memory;    /* pages of RAM and pool together */
	struct sim_guest *guest;
};

struct sim_random {
	u64 state;
};
u64 sim_random(struct sim_random *random);
/* Uniform below @bound. */
u32 sim_below(struct sim_random *random, u32 bound);

unsigned workload_count(void);
const char *workload_name(unsigned index);
/* Of its first trace. */
u64 workload_seed(unsigned index);
/* Makes workload @index, with @seed instead of its own if that is not 0; ends the program if memory
 * is short. */
void workload_make(struct sim_workload *workload, unsigned index, u64 seed);
/* Reads a recorded one, which is named as the file; ends the program if it is none. */
void workload_read(struct sim_workload *workload, const char *path);
void workload_free(struct sim_workload *workload);

void *sim_alloc(size_t count, size_t size);

#endif
