/*
 * When an application is hungry. Time is cut into turns of equal length; turn n belongs to the
 * application whose number is n modulo the number of applications: it wants more memory than it has
 * then, and little otherwise. So the peaks are staggered, which is when a shared pool can pay.
 */
#ifndef APPS_SCHEDULE_H
#define APPS_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

struct schedule {
	uint64_t start_ns; /* of turn 0 */
	uint64_t turn_ns;  /* length of a turn; 0: do not wait */
	uint32_t turns;    /* in all */
	uint32_t mine;     /* this application's number */
	uint32_t applications;
	uint32_t next; /* turn that schedule_next() enters */
};

/* From the command line: turn_ms, rounds, turn, of. */
void schedule_init(struct schedule *schedule, int argc, char **argv);
/* Waits for the next turn; false when all are over. *@hungry says whose turn it is. A turn that has
 * begun already, since the last one took longer, begins at once. */
bool schedule_next(struct schedule *schedule, bool *hungry);

#endif
