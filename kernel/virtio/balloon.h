/*
 * The balloon of a guest (virtio 1.2, 5.5): how large the guest should be, and what its driver says
 * of itself. For the policies' glue, which runs on the boot CPU at the head of the dispatch loop;
 * no lock may be held. What a driver does to the pages is kernel/virtio/balloon_pages.c's.
 */
#ifndef VIRTIO_BALLOON_H
#define VIRTIO_BALLOON_H

#include <abi/virtio.h>

#include "kernel/vm/vm.h"

#define BALLOON_STAT_UNKNOWN (~0UL)
#define BALLOON_NEVER        (~0UL)

struct balloon_status {
	u64 max_pages;       /* the guest's RAM */
	u64 target_pages;    /* what it should have of that */
	u64 size_pages;      /* what it has: RAM less what is in the balloon */
	u64 populated_pages; /* frames behind it */
	bool has_driver;
	/* Has a driver that moves towards its target, at the least rate, or has reached it; or it
	 * is asked again after a while, and has not shown yet whether it listens. */
	bool responsive;
	u64 stats_age; /* ticks since @stats came; BALLOON_NEVER if they never did */
	/* The guest's word, BALLOON_STAT_UNKNOWN where it said nothing or what cannot be. */
	u64 stats[BALLOON_STATS];
};

/* A balloon in PLATFORM_BALLOON_SLOT. Called by platform_create(); 0 or -ENOMEM after a message. */
int __must_check balloon_create(struct vm *vm);
void balloon_destroy(struct vm *vm);

/* The guest should have @pages of RAM, moved into memory_min..memory_max. A change is logged, with
 * @why, and told to the driver, who takes his time. */
void balloon_set_target(struct vm *vm, u64 pages, const char *why);

/* False if the guest has no balloon (any more). */
bool balloon_status(const struct vm *vm, struct balloon_status *sample);

/* Once a tick: asks for new statistics, and judges whether the driver is at work. */
void balloon_device_tick(struct vm *vm);

#endif
