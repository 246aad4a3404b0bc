/*
 * A virtio-rng device, for rng.c and its tests: all of it is the runner's (device.h).
 */
#ifndef VIRTIO_RNG_STATE_H
#define VIRTIO_RNG_STATE_H

#include "kernel/core/random.h"
#include "kernel/virtio/device.h"

/* What a guest gets at most, at once and within each RNG_REFILL_US, or longer where that keeps
 * others from their work (virtio_rest_until()): drivers see a used length that is shorter than they
 * asked for. An empty request counts as RNG_CHAIN_COST. */
#define RNG_BYTES      4096u
#define RNG_CHAIN_COST 64u
#define RNG_REFILL_US  1000u

struct virtio_rng {
	struct virtio_device device;
	struct random random;     /* this guest's alone, seeded at its first use */
	u32 budget;               /* bytes, until @refill_at */
	u64 refill_at;            /* TSC; outlives resets */
	struct virtq_chain chain; /* scratch */
};
_Static_assert(sizeof(struct virtio_rng) <= PAGE_SIZE, "it is allocated as one page");

#endif
