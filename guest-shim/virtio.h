/*
 * Starting a virtio-mmio device: what its drivers (disk.c, balloon.c) have in common.
 */
#ifndef SHIM_VIRTIO_H
#define SHIM_VIRTIO_H

#include <abi/virtio.h>

#include "lib/types.h"

/* Whether a device with @id stands in the window at @base. */
bool virtio_is_there(u64 base, u32 id);

/* Resets the device and agrees on VIRTIO_F_VERSION_1 and those of @wanted, features 0 to 31, that
 * it offers, which it returns. Panics, with @slot, if it refuses. */
u32 virtio_negotiate(u64 base, unsigned slot, u32 wanted);

/* Hands over the rings of queue @queue with @size entries. Panics if it has fewer. */
void virtio_queue_start(u64 base, unsigned slot, u32 queue, u32 size, const void *desc,
	const void *available, const void *used);

/* The device may begin: its queues are set up. */
void virtio_driver_ok(u64 base);

#endif
