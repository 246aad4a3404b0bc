/*
 * Which hits of a guest are a need. Whoever takes pages back from the pool and puts them again
 * without using them hits no less than one who works on them. But the pages that he brings in do
 * not displace those in his RAM; and what is taken from him he does not read from his disks. Kept
 * in struct balloon_guest; balloon_tick()'s caller has the lock.
 */
#ifndef BALLOON_TRUST_H
#define BALLOON_TRUST_H

#include "balloon/balloon.h"

/* Takes in one tick of a guest, and leaves of the hits in @sample those that are believed. Without
 * accessed bits all are. */
void trust_note(struct balloon_guest *guest, struct balloon_sample *sample);

#endif
