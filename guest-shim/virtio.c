/*
 * See virtio.h (virtio 1.2, 3.1.1 and 4.2.3).
 */
#include "guest-shim/virtio.h"

#include "guest-shim/cpu.h"
#include "guest-shim/panic.h"

bool virtio_is_there(u64 base, u32 id)
{
	return mmio_read32(base + VIRTIO_MMIO_MAGIC) == VIRTIO_MAGIC &&
	       mmio_read32(base + VIRTIO_MMIO_VERSION) == 2 &&
	       mmio_read32(base + VIRTIO_MMIO_DEVICE_ID) == id;
}

u32 virtio_negotiate(u64 base, unsigned slot, u32 wanted)
{
	u32 features;

	mmio_write32(base + VIRTIO_MMIO_STATUS, 0);
	mmio_write32(base + VIRTIO_MMIO_STATUS, VIRTIO_STATUS_ACKNOWLEDGE);
	mmio_write32(base + VIRTIO_MMIO_STATUS, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
	mmio_write32(base + VIRTIO_MMIO_DEVICE_FEATURES_SELECT, 0);
	features = mmio_read32(base + VIRTIO_MMIO_DEVICE_FEATURES) & wanted;
	mmio_write32(base + VIRTIO_MMIO_DRIVER_FEATURES_SELECT, 0);
	mmio_write32(base + VIRTIO_MMIO_DRIVER_FEATURES, features);
	mmio_write32(base + VIRTIO_MMIO_DRIVER_FEATURES_SELECT, 1);
	mmio_write32(base + VIRTIO_MMIO_DRIVER_FEATURES, VIRTIO_F_VERSION_1 >> 32);
	mmio_write32(base + VIRTIO_MMIO_STATUS, VIRTIO_STATUS_NEGOTIATED);
	if (!(mmio_read32(base + VIRTIO_MMIO_STATUS) & VIRTIO_STATUS_FEATURES_OK))
		panic("the device in slot %u refuses the features of virtio 1", slot);
	return features;
}

static void address_write(u64 base, u32 reg, const void *address)
{
	mmio_write32(base + reg, (u32)(u64)address);
	mmio_write32(base + reg + 4, (u32)((u64)address >> 32));
}

void virtio_queue_start(u64 base, unsigned slot, u32 queue, u32 size, const void *desc,
	const void *available, const void *used)
{
	mmio_write32(base + VIRTIO_MMIO_QUEUE_SELECT, queue);
	if (mmio_read32(base + VIRTIO_MMIO_QUEUE_SIZE_MAX) < size)
		panic("the device in slot %u has queue %u of %u, less than %u", slot,
			(unsigned)queue, (unsigned)mmio_read32(base + VIRTIO_MMIO_QUEUE_SIZE_MAX),
			(unsigned)size);
	mmio_write32(base + VIRTIO_MMIO_QUEUE_SIZE, size);
	address_write(base, VIRTIO_MMIO_DESC_LOW, desc);
	address_write(base, VIRTIO_MMIO_AVAIL_LOW, available);
	address_write(base, VIRTIO_MMIO_USED_LOW, used);
	mmio_write32(base + VIRTIO_MMIO_QUEUE_READY, 1);
}

void virtio_driver_ok(u64 base)
{
	mmio_write32(base + VIRTIO_MMIO_STATUS, VIRTIO_STATUS_READY);
}
