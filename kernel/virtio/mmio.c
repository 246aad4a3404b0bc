/*
 * The registers of virtio-mmio (virtio 1.2, 4.2.2). An access that is not 32 bits wide and aligned
 * reads zero and writes nothing, outside of the config space. device.c does what they ask for.
 */
#include "kernel/virtio/device.h"

#include "arch/x86/guest/ioapic.h"
#include <abi/platform.h>

enum {
	REG_MAGIC = 0x000,
	REG_VERSION = 0x004,
	REG_DEVICE_ID = 0x008,
	REG_VENDOR_ID = 0x00c,
	REG_DEVICE_FEATURES = 0x010,
	REG_DEVICE_FEATURES_SELECT = 0x014,
	REG_DRIVER_FEATURES = 0x020,
	REG_DRIVER_FEATURES_SELECT = 0x024,
	REG_QUEUE_SELECT = 0x030,
	REG_QUEUE_SIZE_MAX = 0x034,
	REG_QUEUE_SIZE = 0x038,
	REG_QUEUE_READY = 0x044,
	REG_QUEUE_NOTIFY = 0x050,
	REG_INTERRUPT_STATUS = 0x060,
	REG_INTERRUPT_ACKNOWLEDGE = 0x064,
	REG_STATUS = 0x070,
	REG_DESC_LOW = 0x080,
	REG_DESC_HIGH = 0x084,
	REG_AVAIL_LOW = 0x090,
	REG_AVAIL_HIGH = 0x094,
	REG_USED_LOW = 0x0a0,
	REG_USED_HIGH = 0x0a4,
	REG_SHM_LENGTH_LOW = 0x0b0,
	REG_SHM_LENGTH_HIGH = 0x0b4,
	REG_SHM_BASE_LOW = 0x0b8,
	REG_SHM_BASE_HIGH = 0x0bc,
	REG_CONFIG_GENERATION = 0x0fc,
	REG_CONFIG = 0x100,
};

#define MAGIC_VALUE  0x74726976u /* "virt" */
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
	case REG_DEVICE_ID:
		return device->ops->id;
	case REG_DEVICE_FEATURES:
		return half(device->features_offered, device->device_features_select);
	case REG_QUEUE_SIZE_MAX:
		return queue ? VIRTQUEUE_SIZE_MAX : 0;
	case REG_QUEUE_READY:
		return queue && READ_ONCE(queue->rings.size) != 0;
	case REG_INTERRUPT_STATUS:
		return READ_ONCE(device->interrupt_status);
	case REG_STATUS:
		return READ_ONCE(device->status);
	case REG_SHM_LENGTH_LOW ... REG_SHM_BASE_HIGH: /* no shared memory: length -1 */
		return ~0U;
	case REG_CONFIG_GENERATION:
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

	if (reg >= REG_CONFIG)
		return device ? read_config(device, reg - REG_CONFIG, size) : 0;
	if (size != 4 || reg % 4)
		return 0;
	switch (reg) {
	case REG_MAGIC:
		return MAGIC_VALUE;
	case REG_VERSION:
		return 2;
	case REG_VENDOR_ID:
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
		ioapic_lower(device->vm, PLATFORM_VIRTIO_GSI + device->slot);
}

static void write_queue_register(struct virtio_device *device, u32 reg, u32 value)
{
	struct virtio_queue *queue = selected_queue(device);
	unsigned index;

	if (!queue)
		return;
	index = (unsigned)(queue - device->queues);
	switch (reg) {
	case REG_QUEUE_SIZE:
		queue->size = value;
		break;
	case REG_QUEUE_READY:
		virtio_work(device, value & 1 ? DEVICE_READY(index) : DEVICE_STOP(index));
		break;
	case REG_DESC_LOW:
	case REG_DESC_HIGH:
		set_half(&queue->desc_address, (reg - REG_DESC_LOW) / 4, value);
		break;
	case REG_AVAIL_LOW:
	case REG_AVAIL_HIGH:
		set_half(&queue->avail_address, (reg - REG_AVAIL_LOW) / 4, value);
		break;
	case REG_USED_LOW:
	case REG_USED_HIGH:
		set_half(&queue->used_address, (reg - REG_USED_LOW) / 4, value);
		break;
	default:
		break;
	}
}

void virtio_mmio_write(struct vm *vm, u32 offset, unsigned size, u64 value)
{
	struct virtio_device *device = vm->devices[offset / PLATFORM_VIRTIO_STRIDE];
	u32 reg = offset % PLATFORM_VIRTIO_STRIDE, word = (u32)value;

	if (device && reg >= REG_CONFIG)
		write_config(device, reg - REG_CONFIG, size, value);
	if (!device || size != 4 || reg % 4)
		return;
	switch (reg) {
	case REG_QUEUE_NOTIFY:
		if (word < device->ops->queues)
			virtio_work(device, DEVICE_NOTIFY);
		break;
	case REG_INTERRUPT_ACKNOWLEDGE:
		acknowledge(device, word);
		break;
	case REG_STATUS:
		write_status(device, word);
		break;
	case REG_DEVICE_FEATURES_SELECT:
		device->device_features_select = word;
		break;
	case REG_DRIVER_FEATURES:
		if (!(READ_ONCE(device->status) & VIRTIO_STATUS_FEATURES_OK))
			set_half(&device->driver_features, device->driver_features_select, word);
		break;
	case REG_DRIVER_FEATURES_SELECT:
		device->driver_features_select = word;
		break;
	case REG_QUEUE_SELECT:
		device->queue_select = word;
		break;
	default:
		write_queue_register(device, reg, word);
		break;
	}
}
