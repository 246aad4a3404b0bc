/*
 * Three guests and a pool, under a policy: the smallest situation in which memory can go from one
 * to another while a third looks on.
 */
#ifndef TESTS_BALLOON_THREE_H
#define TESTS_BALLOON_THREE_H

#include "balloon/ghosts.h"

extern struct balloon balloon;
extern struct balloon_plan plan;
extern struct balloon_sample samples[3];
extern struct ghosts ghosts[3];

/* Three guests of 8000 pages each, 1000 to 20000, and a pool of 6000. */
void start(const char *policy);
/* Guest @i misses @reads times a tick what lies 4000 pages beyond its 8000. */
void hungry(unsigned i, u64 reads);
/* Guests follow each plan at once. */
void ticks(unsigned count);
/* Pages of RAM and share that guest @i is to have. */
u64 holds(unsigned i);

#endif
