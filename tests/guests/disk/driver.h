/*
 * A virtio-blk driver that does what it is told, right or wrong: for the guest that tests disks.
 */
#ifndef DISK_DRIVER_H
#define DISK_DRIVER_H

#include "../common/guest.h"
#include "../common/virtio.h"

#define SECTOR 512u
#define QUEUE  64u /* as many as the device takes */

#define S_NONE 0xeeu /* no status came */

struct rings {
	struct virtq_desc desc[QUEUE];
	VIRTQ_AVAIL(QUEUE) avail;
	VIRTQ_USED(QUEUE) used;
} __attribute__((aligned(16)));

struct disk {
	unsigned slot;
	struct rings rings;
	struct blk_header header;
	volatile uint8_t status;
};

uint32_t disk_get(const struct disk *disk, unsigned reg);
void disk_set(const struct disk *disk, unsigned reg, uint32_t value);

/* Reset, negotiate, one queue, DRIVER_OK. False if the device does not follow. */
bool disk_start(struct disk *disk, unsigned slot);

/* The three descriptors of a request, from 0 on, and its header; not yet offered. */
void disk_prepare(struct disk *disk, uint32_t type, uint64_t sector, uint64_t data, uint32_t bytes);
/* Makes descriptor @head available. */
void disk_add(struct disk *disk, uint16_t head);
/* The same, and notifies. */
void disk_offer(struct disk *disk, uint16_t head);
/* Waits for one more used chain, at most two seconds; the status byte, or S_NONE. */
uint8_t disk_wait(struct disk *disk);
/* All of it: prepare, offer, wait. */
uint8_t disk_do(struct disk *disk, uint32_t type, uint64_t sector, void *data, uint32_t bytes);

#endif
