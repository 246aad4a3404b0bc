/*
 * What the balloon policies see of one guest: everything is counted by devices, the store and the
 * scheduler, but for the balloon's statistics, which are the guest's word. Boot CPU, no lock held.
 */
#ifndef KERNEL_SAMPLES_H
#define KERNEL_SAMPLES_H

#include "balloon/balloon.h"
#include "kernel/virtio/balloon.h"
#include "kernel/vm/vm.h"

/* A guest's counters as they stood at its last sample. All zero: at its start. */
struct counters {
	u64 puts[BALLOON_CLASSES], gets[BALLOON_CLASSES], hits[BALLOON_CLASSES];
	u64 reads, rereads; /* pages from its disks, and those not for the first time */
	u64 swapped;        /* pages read from and written to the disk named "swap" */
	u64 swap_reads;     /* of these, read */
	u64 cpu_ticks;
	u64 told[BALLOON_STATS]; /* statistics that count */
};

/* Fills in @sample for the time since @last, which is brought up to date. @size: pages of RAM that
 * the guest counts as having. */
void sample_take(struct vm *vm, const struct balloon_status *status, u64 size,
	struct counters *last, struct balloon_sample *sample);

#endif
