/*
 * A virtio-blk driver that does what it is told, right or wrong: for the guest that tests disks.
 */
#ifndef DISK_DRIVER_H
#define DISK_DRIVER_H

#include "../common/guest.h"

#define SECTOR 512u
#define QUEUE  16u

enum {
	REG_MAGIC = 0x000,
	REG_VERSION = 0x004,
	REG_DEVICE_ID = 0x008,
	REG_DEVICE_FEATURES = 0x010,
	REG_DEVICE_FEATURES_SELECT = 0x014,
	REG_DRIVER_FEATURES = 0x020,
	REG_DRIVER_FEATURES_SELECT = 0x024,
	REG_QUEUE_SELECT = 0x030,
	REG_QUEUE_SIZE = 0x038,
	REG_QUEUE_READY = 0x044,
	REG_QUEUE_NOTIFY = 0x050,
	REG_INTERRUPT_STATUS = 0x060,
	REG_INTERRUPT_ACKNOWLEDGE = 0x064,
	REG_STATUS = 0x070,
	REG_DESC = 0x080,
	REG_AVAIL = 0x090,
	REG_USED = 0x0a0,
	REG_CAPACITY = 0x100,
};

#define STATUS_NEEDS_RESET 0x40u
#define FEATURE_READ_ONLY  (1u << 5)

enum { TYPE_IN = 0, TYPE_OUT = 1, TYPE_FLUSH = 4, TYPE_GET_ID = 8 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2, S_NONE = 0xee };

#define DESC_NEXT     1u
#define DESC_WRITE    2u
#define DESC_INDIRECT 4u

struct desc {
	uint64_t address;
	uint32_t bytes;
	uint16_t flags, next;
};

struct rings {
	struct desc desc[QUEUE];
	uint16_t avail_flags, avail_index, avail[QUEUE], used_event;
	uint8_t pad[2];
	uint16_t used_flags, used_index;
	struct {
		uint32_t id, bytes;
	} used[QUEUE];
} __attribute__((aligned(16)));

struct disk {
	unsigned slot;
	struct rings rings;
	struct {
		uint32_t type, reserved;
		uint64_t sector;
	} header;
	volatile uint8_t status;
};

void driver_map_windows(void);
uint32_t disk_get(const struct disk *disk, unsigned reg);
void disk_set(const struct disk *disk, unsigned reg, uint32_t value);

/* Reset, negotiate, one queue, DRIVER_OK. False if the device does not follow. */
bool disk_start(struct disk *disk, unsigned slot);

/* The three descriptors of a request, from 0 on, and its header; not yet offered. */
void disk_prepare(struct disk *disk, uint32_t type, uint64_t sector, uint64_t data, uint32_t bytes);
/* Makes descriptor @head available and notifies. */
void disk_offer(struct disk *disk, uint16_t head);
/* Waits for one more used chain, at most two seconds; the status byte, or S_NONE. */
uint8_t disk_wait(struct disk *disk);
/* All of it: prepare, offer, wait. */
uint8_t disk_do(struct disk *disk, uint32_t type, uint64_t sector, void *data, uint32_t bytes);

#endif
