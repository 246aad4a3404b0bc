/*
 * See virtio.h (virtio 1.1, 3.1.1 and 4.2.3).
 */
#include "guest-shim/virtio.h"

#include "guest-shim/cpu.h"
#include "guest-shim/panic.h"
#include "guest-shim/virtio_mmio.h"

#define STATUS_DRIVER      (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER)
#define STATUS_FEATURES_OK (STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK)

bool virtio_is_there(u64 base, u32 id)
{
	return mmio_read32(base + VIRTIO_MAGIC) == VIRTIO_MAGIC_VALUE &&
	       mmio_read32(base + VIRTIO_VERSION) == 2 &&
	       mmio_read32(base + VIRTIO_DEVICE_ID) == id;
}

u32 virtio_negotiate(u64 base, unsigned slot, u32 wanted)
{
	u32 features;

	mmio_write32(base + VIRTIO_STATUS, 0);
	mmio_write32(base + VIRTIO_STATUS, VIRTIO_STATUS_ACKNOWLEDGE);
	mmio_write32(base + VIRTIO_STATUS, STATUS_DRIVER);
	mmio_write32(base + VIRTIO_DEVICE_FEATURES_SEL, 0);
	features = mmio_read32(base + VIRTIO_DEVICE_FEATURES) & wanted;
	mmio_write32(base + VIRTIO_DRIVER_FEATURES_SEL, 0);
	mmio_write32(base + VIRTIO_DRIVER_FEATURES, features);
	mmio_write32(base + VIRTIO_DRIVER_FEATURES_SEL, 1);
	mmio_write32(base + VIRTIO_DRIVER_FEATURES, BIT(VIRTIO_F_VERSION_1 - 32));
	mmio_write32(base + VIRTIO_STATUS, STATUS_FEATURES_OK);
	if (!(mmio_read32(base + VIRTIO_STATUS) & VIRTIO_STATUS_FEATURES_OK))
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
	mmio_write32(base + VIRTIO_QUEUE_SEL, queue);
	if (mmio_read32(base + VIRTIO_QUEUE_NUM_MAX) < size)
		panic("the device in slot %u has queue %u of %u, less than %u", slot,
			(unsigned)queue, (unsigned)mmio_read32(base + VIRTIO_QUEUE_NUM_MAX),
			(unsigned)size);
	mmio_write32(base + VIRTIO_QUEUE_NUM, size);
	address_write(base, VIRTIO_QUEUE_DESC, desc);
	address_write(base, VIRTIO_QUEUE_DRIVER, available);
	address_write(base, VIRTIO_QUEUE_DEVICE, used);
	mmio_write32(base + VIRTIO_QUEUE_READY, 1);
}

void virtio_driver_ok(u64 base)
{
	mmio_write32(base + VIRTIO_STATUS, STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK);
}
