/*
 * A virtio-mmio device as an array of 32-bit words, and a split virtqueue that a test may fill as
 * it likes.
 */
#ifndef TESTS_VIRTIO_H
#define TESTS_VIRTIO_H

#include <abi/platform.h>
#include <abi/virtio.h>

/* The word of register VIRTIO_MMIO_@name. */
#define REG(name) (VIRTIO_MMIO_##name / 4)

#define SLOT_WORDS (PLATFORM_VIRTIO_STRIDE / 4)

/* @reg: DESC_LOW, AVAIL_LOW or USED_LOW as a word. */
static inline void virtio_set_address(volatile uint32_t *device, unsigned reg, uint64_t address)
{
	device[reg] = (uint32_t)address;
	device[reg + 1] = (uint32_t)(address >> 32);
}

/* From reset to a driver that may set up queues, with @features and VIRTIO_F_VERSION_1. */
static inline void virtio_negotiate(volatile uint32_t *device, uint32_t features)
{
	device[REG(STATUS)] = 0;
	device[REG(STATUS)] = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER;
	device[REG(DRIVER_FEATURES_SELECT)] = 0;
	device[REG(DRIVER_FEATURES)] = features;
	device[REG(DRIVER_FEATURES_SELECT)] = 1;
	device[REG(DRIVER_FEATURES)] = VIRTIO_F_VERSION_1 >> 32;
	device[REG(STATUS)] = VIRTIO_STATUS_NEGOTIATED;
}

/* Queue @queue of @size entries begins at these addresses, and is ready. */
static inline void virtio_set_queue(volatile uint32_t *device, uint32_t queue, uint32_t size,
	uint64_t desc, uint64_t avail, uint64_t used)
{
	device[REG(QUEUE_SELECT)] = queue;
	device[REG(QUEUE_SIZE)] = size;
	virtio_set_address(device, REG(DESC_LOW), desc);
	virtio_set_address(device, REG(AVAIL_LOW), avail);
	virtio_set_address(device, REG(USED_LOW), used);
	device[REG(QUEUE_READY)] = 1;
}

#endif
