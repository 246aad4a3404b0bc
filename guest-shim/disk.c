/*
 * See disk.h. One virtqueue a disk; request n owns the descriptors 3n (header), 3n+1 (data), 3n+2
 * (status), so that nothing is allocated. Interrupt handlers change only request states and the
 * used index.
 */
#include "guest-shim/disk.h"

#include <abi/platform.h>
#include <errno.h>
#include <string.h>

#include "guest-shim/apic.h"
#include "guest-shim/counters.h"
#include "guest-shim/cpu.h"
#include "guest-shim/panic.h"
#include "guest-shim/trap.h"
#include "guest-shim/virtio.h"

#define DISKS_MAX  4
#define QUEUE_SIZE 64 /* the power of two that holds 3 * DISK_REQUESTS descriptors */
_Static_assert(3 * DISK_REQUESTS <= QUEUE_SIZE, "every request has its descriptors");

enum request_state { REQUEST_FREE, REQUEST_RUNNING, REQUEST_DONE };

struct request {
	struct blk_header header;
	u8 status; /* written by the device */
	u8 state;  /* enum request_state */
};

/* What the device reads and writes. */
struct queue {
	struct virtq_desc desc[QUEUE_SIZE];
	VIRTQ_AVAIL(QUEUE_SIZE) available;
	VIRTQ_USED(QUEUE_SIZE) used;
	struct request requests[DISK_REQUESTS];
} __aligned_to(PAGE_SIZE);
_Static_assert(sizeof(struct queue) == PAGE_SIZE, "no part crosses a frame's border");

struct disk {
	struct queue *queue;
	u64 base;
	unsigned slot;
	u16 used_seen;
	bool read_only;
	u64 sectors;
	char name[BLK_ID_BYTES + 1];
};

static struct disk disks[DISKS_MAX];
static struct queue queues[DISKS_MAX];
static unsigned disk_count;

/* ---- Requests ----------------------------------------------------------------------------------
 */

static unsigned submit(struct disk *disk, u32 type, u64 sector, u64 address, u32 bytes)
{
	struct queue *queue = disk->queue;
	struct request *request;
	unsigned tag = 0;

	while (tag < DISK_REQUESTS && queue->requests[tag].state != REQUEST_FREE)
		tag++;
	if (tag == DISK_REQUESTS)
		panic("disk %s: %u requests are unfinished", disk->name, DISK_REQUESTS);
	request = &queue->requests[tag];
	request->header = (struct blk_header){.type = type, .sector = sector};
	request->status = 0xff;
	request->state = REQUEST_RUNNING;
	queue->desc[3 * tag + 1].address = address;
	queue->desc[3 * tag + 1].bytes = bytes;
	queue->desc[3 * tag + 1].flags = VIRTQ_DESC_NEXT |
					 (type == BLK_T_OUT ? 0 : VIRTQ_DESC_WRITE);
	queue->available.ring[queue->available.index % QUEUE_SIZE] = (u16)(3 * tag);
	__atomic_store_n(
		&queue->available.index, (u16)(queue->available.index + 1), __ATOMIC_RELEASE);
	mmio_write32(disk->base + VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	return tag;
}

unsigned disk_submit(struct disk *disk, bool write, u64 sector, u64 address, u32 sectors)
{
	return submit(disk, write ? BLK_T_OUT : BLK_T_IN, sector, address, sectors * SECTOR_SIZE);
}

bool disk_is_done(const struct disk *disk, unsigned tag)
{
	return READ_ONCE(disk->queue->requests[tag].state) == REQUEST_DONE;
}

int disk_finish(struct disk *disk, unsigned tag)
{
	struct request *request = &disk->queue->requests[tag];
	u64 flags = interrupts_save();

	while (!disk_is_done(disk, tag)) {
		counters.disk_waits++;
		wait_for_interrupt();
	}
	interrupts_restore(flags);
	request->state = REQUEST_FREE;
	return request->status == BLK_S_OK ? 0 : -EIO;
}

static bool any_is_done(const struct disk *disk)
{
	unsigned running = 0;

	for (unsigned tag = 0; tag < DISK_REQUESTS; tag++) {
		if (disk_is_done(disk, tag))
			return true;
		running += READ_ONCE(disk->queue->requests[tag].state) == REQUEST_RUNNING;
	}
	if (!running)
		panic("disk %s: nothing to wait for", disk->name);
	return false;
}

void disk_wait_any(const struct disk *disk)
{
	u64 flags = interrupts_save();

	while (!any_is_done(disk)) {
		counters.disk_waits++;
		wait_for_interrupt();
	}
	interrupts_restore(flags);
}

static void completions_take(struct disk *disk)
{
	struct queue *queue = disk->queue;

	while (disk->used_seen != __atomic_load_n(&queue->used.index, __ATOMIC_ACQUIRE)) {
		u32 id = queue->used.ring[disk->used_seen % QUEUE_SIZE].id;

		if (id % 3 || id / 3 >= DISK_REQUESTS ||
			queue->requests[id / 3].state != REQUEST_RUNNING)
			panic("disk %s: completes descriptor %u, which is not under way",
				disk->name, (unsigned)id);
		queue->requests[id / 3].state = REQUEST_DONE;
		disk->used_seen++;
	}
}

void disk_interrupt(unsigned slot)
{
	for (unsigned i = 0; i < disk_count; i++) {
		struct disk *disk = &disks[i];

		if (disk->slot != slot)
			continue;
		/* Acknowledged before the ring is read: what completes later interrupts again. */
		mmio_write32(disk->base + VIRTIO_MMIO_INTERRUPT_ACKNOWLEDGE,
			mmio_read32(disk->base + VIRTIO_MMIO_INTERRUPT_STATUS));
		completions_take(disk);
	}
}

/* ---- Finding and starting the devices -----------------------------------------------------------
 */

static void queue_init(struct disk *disk)
{
	struct queue *queue = disk->queue;

	for (unsigned tag = 0; tag < DISK_REQUESTS; tag++) {
		struct request *request = &queue->requests[tag];

		queue->desc[3 * tag] = (struct virtq_desc){.address = (u64)&request->header,
			.bytes = sizeof(request->header),
			.flags = VIRTQ_DESC_NEXT,
			.next = (u16)(3 * tag + 1)};
		queue->desc[3 * tag + 1].next = (u16)(3 * tag + 2);
		queue->desc[3 * tag + 2] = (struct virtq_desc){
			.address = (u64)&request->status, .bytes = 1, .flags = VIRTQ_DESC_WRITE};
	}
}

static void device_start(struct disk *disk)
{
	u64 base = disk->base;

	disk->read_only = virtio_negotiate(base, disk->slot, BLK_F_RO) != 0;
	virtio_queue_start(base, disk->slot, 0, QUEUE_SIZE, disk->queue->desc,
		&disk->queue->available, &disk->queue->used);
	virtio_driver_ok(base);
	disk->sectors = mmio_read32(base + VIRTIO_MMIO_CONFIG) |
			(u64)mmio_read32(base + VIRTIO_MMIO_CONFIG + 4) << 32;
}

static void disk_add(u64 base, unsigned slot, u32 gsi)
{
	struct disk *disk;

	if (disk_count == DISKS_MAX)
		panic("more than %u disks", DISKS_MAX);
	disk = &disks[disk_count];
	*disk = (struct disk){.queue = &queues[disk_count], .base = base, .slot = slot};
	disk_count++;
	queue_init(disk);
	device_start(disk);
	ioapic_route(gsi, (u8)(VECTOR_DEVICE + slot));
	if (disk_finish(disk, submit(disk, BLK_T_GET_ID, 0, (u64)disk->name, BLK_ID_BYTES)) != 0)
		panic("disk in slot %u does not tell its name", slot);
}

void disk_init(u64 base, u64 stride, u32 gsi)
{
	for (unsigned slot = 0; slot < PLATFORM_VIRTIO_SLOTS; slot++) {
		u64 window = base + slot * stride;

		if (gsi + slot < PLATFORM_IOAPIC_PINS && virtio_is_there(window, VIRTIO_ID_BLOCK))
			disk_add(window, slot, gsi + slot);
	}
}

struct disk *disk_find(const char *name)
{
	for (unsigned i = 0; i < disk_count; i++) {
		if (!strcmp(disks[i].name, name))
			return &disks[i];
	}
	return NULL;
}

u64 disk_sectors(const struct disk *disk)
{
	return disk->sectors;
}

bool disk_is_read_only(const struct disk *disk)
{
	return disk->read_only;
}
