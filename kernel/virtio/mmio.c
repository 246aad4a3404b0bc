/*
 * The registers of virtio-mmio (virtio 1.2, 4.2.2). An access that is not 32 bits wide and aligned
 * reads zero and writes nothing, outside of the config space. device.c does what they ask for.
 */
#include "kernel/virtio/device.h"

#include "arch/x86/guest/ioapic.h"

#define VENDOR_VALUE 0x53554c53u

static u32 half(u64 value, u32 select)
{
	return select < 2 ? (u32)(value >> 32 * select) : 0;
}

static void set_half(u64 *value, u32 select, u32 to)
{
	if (select < 2)
		*value = (*value & ~(0xffffffffUL << 32 * select)) | (u64)to << 32 * select;
}

/* The queue that the driver has selected; NULL if the device has no such queue. */
static struct virtio_queue *selected_queue(struct virtio_device *device)
{
	u32 index = READ_ONCE(device->queue_select);

	return index < device->ops->queues ? &device->queues[index] : NULL;
}

static u32 read_register(struct virtio_device *device, u32 reg)
{
	const struct virtio_queue *queue = selected_queue(device);

	switch (reg) {
	case VIRTIO_MMIO_DEVICE_ID:
		return device->ops->id;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return half(device->features_offered, device->device_features_select);
	case VIRTIO_MMIO_QUEUE_SIZE_MAX:
		return queue ? VIRTQUEUE_SIZE_MAX : 0;
	case VIRTIO_MMIO_QUEUE_READY:
		return queue && READ_ONCE(queue->rings.size) != 0;
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		return READ_ONCE(device->interrupt_status);
	case VIRTIO_MMIO_STATUS:
		return READ_ONCE(device->status);
	case VIRTIO_MMIO_SHM_LENGTH_LOW ... VIRTIO_MMIO_SHM_BASE_HIGH: /* no shared memory: length
									  -1 */
		return ~0U;
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return READ_ONCE(device->config_generation);
	default:
		return 0;
	}
}

static u64 read_config(struct virtio_device *device, u32 offset, unsigned size)
{
	u64 value = 0;

	if (offset < device->ops->config_bytes && size <= device->ops->config_bytes - offset)
		device->ops->config_read(device, offset, &value, size);
	return value;
}

u64 virtio_mmio_read(struct vm *vm, u32 offset, unsigned size)
{
	struct virtio_device *device = vm->devices[offset / PLATFORM_VIRTIO_STRIDE];
	u32 reg = offset % PLATFORM_VIRTIO_STRIDE;

	if (reg >= VIRTIO_MMIO_CONFIG)
		return device ? read_config(device, reg - VIRTIO_MMIO_CONFIG, size) : 0;
	if (size != 4 || reg % 4)
		return 0;
	switch (reg) {
	case VIRTIO_MMIO_MAGIC:
		return VIRTIO_MAGIC;
	case VIRTIO_MMIO_VERSION:
		return 2;
	case VIRTIO_MMIO_VENDOR_ID:
		return VENDOR_VALUE;
	default: /* an empty slot has device id 0 */
		return device ? read_register(device, reg) : 0;
	}
}

static void write_config(struct virtio_device *device, u32 offset, unsigned size, u64 value)
{
	const struct virtio_ops *ops = device->ops;

	if (ops->config_write && offset < ops->config_bytes && size <= ops->config_bytes - offset)
		ops->config_write(device, offset, value, size);
}

/* virtio 1.2, 3.1.1: FEATURES_OK stays clear if the driver wants what we cannot do, or does not
 * accept what we need. */
static void write_status(struct virtio_device *device, u32 value)
{
	u64 required = device->ops->features_required | VIRTIO_F_VERSION_1;
	u32 old = READ_ONCE(device->status);

	if (value == 0) {
		virtio_work(device, DEVICE_RESET);
		return;
	}
	value &= 0xff & ~VIRTIO_STATUS_NEEDS_RESET;
	if ((value & VIRTIO_STATUS_FEATURES_OK) && !(old & VIRTIO_STATUS_FEATURES_OK) &&
		((device->driver_features & ~device->features_offered) ||
			(required & ~device->driver_features)))
		value &= ~VIRTIO_STATUS_FEATURES_OK;
	/* Bits are only ever added, until the reset. */
	__atomic_fetch_or(&device->status, value, __ATOMIC_ACQ_REL);
	if (value & VIRTIO_STATUS_DRIVER_OK)
		virtio_work(device, DEVICE_NOTIFY);
}

static void acknowledge(struct virtio_device *device, u32 bits)
{
	if (!(__atomic_and_fetch(&device->interrupt_status, ~bits, __ATOMIC_ACQ_REL)))
		ioapic_lower(device->vm, PLATFORM_VIRTIO_LINE(device->slot));
}

static void write_queue_register(struct virtio_device *device, u32 reg, u32 value)
{
	struct virtio_queue *queue = selected_queue(device);
	unsigned index;

	if (!queue)
		return;
	index = (unsigned)(queue - device->queues);
	switch (reg) {
	case VIRTIO_MMIO_QUEUE_SIZE:
		queue->size = value;
		break;
	case VIRTIO_MMIO_QUEUE_READY:
		virtio_work(device, value & 1 ? DEVICE_READY(index) : DEVICE_STOP(index));
		break;
	case VIRTIO_MMIO_DESC_LOW:
	case VIRTIO_MMIO_DESC_HIGH:
		set_half(&queue->desc_address, (reg - VIRTIO_MMIO_DESC_LOW) / 4, value);
		break;
	case VIRTIO_MMIO_AVAIL_LOW:
	case VIRTIO_MMIO_AVAIL_HIGH:
		set_half(&queue->avail_address, (reg - VIRTIO_MMIO_AVAIL_LOW) / 4, value);
		break;
	case VIRTIO_MMIO_USED_LOW:
	case VIRTIO_MMIO_USED_HIGH:
		set_half(&queue->used_address, (reg - VIRTIO_MMIO_USED_LOW) / 4, value);
		break;
	default:
		break;
	}
}

void virtio_mmio_write(struct vm *vm, u32 offset, unsigned size, u64 value)
{
	struct virtio_device *device = vm->devices[offset / PLATFORM_VIRTIO_STRIDE];
	u32 reg = offset % PLATFORM_VIRTIO_STRIDE, word = (u32)value;

	if (device && reg >= VIRTIO_MMIO_CONFIG)
		write_config(device, reg - VIRTIO_MMIO_CONFIG, size, value);
	if (!device || size != 4 || reg % 4)
		return;
	switch (reg) {
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		if (word < device->ops->queues)
			virtio_work(device, DEVICE_NOTIFY);
		break;
	case VIRTIO_MMIO_INTERRUPT_ACKNOWLEDGE:
		acknowledge(device, word);
		break;
	case VIRTIO_MMIO_STATUS:
		write_status(device, word);
		break;
	case VIRTIO_MMIO_DEVICE_FEATURES_SELECT:
		device->device_features_select = word;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		if (!(READ_ONCE(device->status) & VIRTIO_STATUS_FEATURES_OK))
			set_half(&device->driver_features, device->driver_features_select, word);
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SELECT:
		device->driver_features_select = word;
		break;
	case VIRTIO_MMIO_QUEUE_SELECT:
		device->queue_select = word;
		break;
	default:
		write_queue_register(device, reg, word);
		break;
	}
}
