/*
 * A virtio-balloon device, for balloon.c and balloon_pages.c. @num_pages and @target are written by
 * balloon_set_target() and what is known of
 * its steps by balloon_device_tick(), both on the boot CPU; the rest is
 * the runner's (device.h), but that others read statistics while they may be changing: a guest's
 * word.
 */
#ifndef VIRTIO_BALLOON_STATE_H
#define VIRTIO_BALLOON_STATE_H

#include "kernel/virtio/balloon.h"
#include "kernel/virtio/device.h"

_Static_assert(BALLOON_QUEUES <= VIRTIO_QUEUES_MAX, "the device has that many");

struct virtio_balloon {
	struct virtio_device device;
	u64 target;    /* pages of RAM that the guest should have */
	u32 num_pages; /* config: pages that should be in the balloon */
	u32 actual;    /* config: the driver's word, which nothing here relies on */

	/* The chain at the head of each queue of pages: how many of its pages are done. */
	u64 done[BALLOON_QUEUES];

	/* Statistics: the driver's buffer waits here until new ones are wanted. */
	bool stats_held;
	bool stats_wanted; /* atomic */
	u16 stats_head;
	u64 stats_age;
	u64 stats[BALLOON_STATS];

	/* How large the guest was when its driver last made a step, or was asked anew; ticks since;
	 * whether the log has named it as unresponsive since. */
	u64 mark;
	u32 quiet_ticks;
	bool named;

	struct virtq_chain chain; /* scratch */
};

/* Works off the queues of pages, a bounded number of pages a call. */
enum balloon_outcome {
	BALLOON_IDLE,  /* nothing is left */
	BALLOON_MORE,  /* go on soon */
	BALLOON_LATER, /* no frame for a table: try again in a while */
	BALLOON_BROKEN /* the driver broke the rules: a message was logged */
};
/* *@pushed: set if a chain was handed back that the driver wants to hear of. */
enum balloon_outcome balloon_serve_pages(struct virtio_balloon *balloon, bool *pushed);

#endif
