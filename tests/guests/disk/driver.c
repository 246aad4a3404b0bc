/*
 * The polling virtio-blk driver of the disk guest (virtio 1.2, 4.2 and 5.2).
 */
#include "driver.h"

static volatile uint32_t *window(const struct disk *disk, unsigned reg)
{
	return (volatile uint32_t *)(uintptr_t)(PLATFORM_VIRTIO_BASE +
						disk->slot * PLATFORM_VIRTIO_STRIDE + reg);
}

uint32_t disk_get(const struct disk *disk, unsigned reg)
{
	return *window(disk, reg);
}

void disk_set(const struct disk *disk, unsigned reg, uint32_t value)
{
	*window(disk, reg) = value;
}

static void set_address(const struct disk *disk, unsigned reg, const void *ring)
{
	disk_set(disk, reg, (uint32_t)(uintptr_t)ring);
	disk_set(disk, reg + 4, 0);
}

bool disk_start(struct disk *disk, unsigned slot)
{
	memset(disk, 0, sizeof(*disk));
	disk->slot = slot;
	if (disk_get(disk, VIRTIO_MMIO_MAGIC) != VIRTIO_MAGIC ||
		disk_get(disk, VIRTIO_MMIO_VERSION) != 2 ||
		disk_get(disk, VIRTIO_MMIO_DEVICE_ID) != VIRTIO_ID_BLOCK)
		return false;
	disk_set(disk, VIRTIO_MMIO_STATUS, 0);
	if (disk_get(disk, VIRTIO_MMIO_STATUS) != 0)
		return false;
	disk_set(disk, VIRTIO_MMIO_STATUS, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
	disk_set(disk, VIRTIO_MMIO_DRIVER_FEATURES_SELECT, 1);
	disk_set(disk, VIRTIO_MMIO_DRIVER_FEATURES, VIRTIO_F_VERSION_1 >> 32);
	disk_set(disk, VIRTIO_MMIO_STATUS, VIRTIO_STATUS_NEGOTIATED);
	if (disk_get(disk, VIRTIO_MMIO_STATUS) != VIRTIO_STATUS_NEGOTIATED)
		return false;
	disk_set(disk, VIRTIO_MMIO_QUEUE_SELECT, 0);
	disk_set(disk, VIRTIO_MMIO_QUEUE_SIZE, QUEUE);
	set_address(disk, VIRTIO_MMIO_DESC_LOW, disk->rings.desc);
	set_address(disk, VIRTIO_MMIO_AVAIL_LOW, &disk->rings.avail);
	set_address(disk, VIRTIO_MMIO_USED_LOW, &disk->rings.used);
	disk_set(disk, VIRTIO_MMIO_QUEUE_READY, 1);
	disk_set(disk, VIRTIO_MMIO_STATUS, VIRTIO_STATUS_READY);
	return disk_get(disk, VIRTIO_MMIO_QUEUE_READY) == 1 &&
	       disk_get(disk, VIRTIO_MMIO_STATUS) == VIRTIO_STATUS_READY;
}

void disk_prepare(struct disk *disk, uint32_t type, uint64_t sector, uint64_t data, uint32_t bytes)
{
	struct virtq_desc *d = disk->rings.desc;

	disk->header.type = type;
	disk->header.sector = sector;
	disk->status = S_NONE;
	d[0] = (struct virtq_desc){(uintptr_t)&disk->header, 16, VIRTQ_DESC_NEXT, 1};
	d[1] = (struct virtq_desc){
		data, bytes, VIRTQ_DESC_NEXT | (type == BLK_T_OUT ? 0 : VIRTQ_DESC_WRITE), 2};
	d[2] = (struct virtq_desc){(uintptr_t)&disk->status, 1, VIRTQ_DESC_WRITE, 0};
}

void disk_add(struct disk *disk, uint16_t head)
{
	disk->rings.avail.ring[disk->rings.avail.index % QUEUE] = head;
	__asm__ volatile("" : : : "memory");
	disk->rings.avail.index++;
	__asm__ volatile("mfence" : : : "memory");
}

void disk_offer(struct disk *disk, uint16_t head)
{
	disk_add(disk, head);
	disk_set(disk, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
}

uint8_t disk_wait(struct disk *disk)
{
	volatile uint16_t *used = &disk->rings.used.index;
	uint64_t end = rdtsc() + 2000 * ticks_per_ms();

	while (*used != disk->rings.avail.index && rdtsc() < end)
		__asm__ volatile("pause");
	return *used == disk->rings.avail.index ? disk->status : S_NONE;
}

uint8_t disk_do(struct disk *disk, uint32_t type, uint64_t sector, void *data, uint32_t bytes)
{
	disk_prepare(disk, type, sector, (uintptr_t)data, bytes);
	disk_offer(disk, 0);
	return disk_wait(disk);
}
