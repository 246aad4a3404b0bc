/*
 * The life of a virtio device between reset and NEEDS_RESET, and who works for it: see device.h.
 * The pages of the rings are pinned while the queue is ready, so that requests find them without a
 * lookup.
 */
#include "kernel/virtio/device.h"

#include "arch/x86/arch.h"
#include "arch/x86/guest/ioapic.h"
#include "kernel/core/log.h"
#include <abi/errno.h>
#include <abi/platform.h>
#include <string.h>

void virtio_interrupt(struct virtio_device *device, u32 bits)
{
	__atomic_fetch_or(&device->interrupt_status, bits, __ATOMIC_ACQ_REL);
	ioapic_raise(device->vm, PLATFORM_VIRTIO_GSI + device->slot);
}

static void stop_queue(struct virtio_device *device)
{
	device->ops->forget(device);
	for (unsigned i = 0; i < device->ring_frame_count; i++)
		memory_unpin(device->vm, device->ring_frames[i]);
	device->ring_frame_count = 0;
	memset(&device->queue, 0, sizeof(device->queue));
}

void virtio_break(struct virtio_device *device)
{
	stop_queue(device);
	__atomic_fetch_or(&device->status, VIRTIO_STATUS_NEEDS_RESET, __ATOMIC_ACQ_REL);
	if (READ_ONCE(device->status) & VIRTIO_STATUS_DRIVER_OK)
		virtio_interrupt(device, VIRTIO_INTERRUPT_CONFIG);
}

static void reset(struct virtio_device *device)
{
	stop_queue(device);
	device->device_features_select = device->driver_features_select = 0;
	device->queue_select = device->queue_size = 0;
	device->driver_features = 0;
	device->desc_address = device->avail_address = device->used_address = 0;
	__atomic_store_n(&device->interrupt_status, 0, __ATOMIC_RELAXED);
	ioapic_lower(device->vm, PLATFORM_VIRTIO_GSI + device->slot);
	/* Last: a driver that waits for status 0 may set the device up again at once. */
	__atomic_store_n(&device->status, 0, __ATOMIC_RELEASE);
}

/* Pins the pages of one ring part. The alignments are those of virtio 1.2, 2.7. */
static int pin_area(struct virtio_device *device, const char *what, u64 address, u32 bytes,
	u32 align, struct virtq_area *area)
{
	u64 ram = device->vm->memory.ram_pages * PAGE_SIZE;
	u64 first = address >> PAGE_SHIFT, last;

	if (address % align || address > ~0UL - bytes)
		goto bad;
	last = (address + bytes - 1) >> PAGE_SHIFT;
	area->offset = (u32)(address & PAGE_MASK);
	for (u64 page = first; page <= last; page++) {
		mfn_t host;
		int err = memory_pin(device->vm, gfn(page), &host);

		if (err)
			goto bad;
		device->ring_frames[device->ring_frame_count++] = gfn(page);
		area->pages[page - first] = mfn_to_ptr(host);
	}
	return 0;
bad:
	vm_complain(device->vm,
		"virtio slot %u: %s ring of %u bytes at %#lx, valid is RAM (%lu bytes), "
		"aligned to %u",
		device->slot, what, bytes, address, ram, align);
	return -SLUICE_EFAULT;
}

static int start_queue(struct virtio_device *device)
{
	struct virtqueue *queue = &device->queue;
	u32 size = READ_ONCE(device->queue_size);
	int err;

	if (queue->size)
		return 0; /* ready already */
	if (size == 0 || size > VIRTQUEUE_SIZE_MAX || (size & (size - 1))) {
		vm_complain(device->vm,
			"virtio slot %u: queue size %u, valid is a power of two from 1 to %u",
			device->slot, size, VIRTQUEUE_SIZE_MAX);
		return -SLUICE_EINVAL;
	}
	err = pin_area(device, "descriptor", READ_ONCE(device->desc_address),
		VIRTQ_DESC_BYTES(size), 16, &queue->desc);
	if (!err)
		err = pin_area(device, "available", READ_ONCE(device->avail_address),
			VIRTQ_AVAIL_BYTES(size), 2, &queue->avail);
	if (!err)
		err = pin_area(device, "used", READ_ONCE(device->used_address),
			VIRTQ_USED_BYTES(size), 4, &queue->used);
	if (err)
		return err;
	queue->avail_next = queue->used_next = 0;
	WRITE_ONCE(queue->size, (u16)size);
	return 0;
}

static void run(struct virtio_device *device, u32 bits)
{
	/* Nobody looks any more, and nothing may be armed (kernel/guests.c). */
	if (vm_is_stopped(device->vm))
		return;
	if (bits & DEVICE_RESET)
		reset(device);
	if (bits & DEVICE_STOP)
		stop_queue(device);
	/* A device that needs a reset does nothing before it gets one. */
	if (READ_ONCE(device->status) & VIRTIO_STATUS_NEEDS_RESET)
		return;
	if ((bits & DEVICE_READY) && start_queue(device)) {
		virtio_break(device);
		return;
	}
	if ((bits & DEVICE_NOTIFY) && (READ_ONCE(device->status) & VIRTIO_STATUS_DRIVER_OK))
		device->ops->run(device);
}

/* A vCPU that rings without end must not keep another vCPU's processor in here. */
#define ROUNDS_MAX 8

void virtio_work(struct virtio_device *device, u32 bits)
{
	u32 idle = DEVICE_RUNNING;

	if (__atomic_fetch_or(&device->work, bits | DEVICE_RUNNING, __ATOMIC_ACQ_REL) &
		DEVICE_RUNNING)
		return;
	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		run(device,
			__atomic_exchange_n(&device->work, (u32)DEVICE_RUNNING, __ATOMIC_ACQ_REL));
		if (__atomic_compare_exchange_n(
			    &device->work, &idle, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			return;
		idle = DEVICE_RUNNING;
	}
	/* The bits stay; a timer comes back for them. */
	device->ops->defer(device);
	__atomic_fetch_and(&device->work, ~(u32)DEVICE_RUNNING, __ATOMIC_ACQ_REL);
}

void virtio_attach(struct virtio_device *device, unsigned slot)
{
	device->slot = slot;
	device->features_offered = device->ops->features | device->features_offered |
				   VIRTIO_F_VERSION_1;
	device->vm->devices[slot] = device;
}

void virtio_detach(struct virtio_device *device)
{
	stop_queue(device);
	device->vm->devices[device->slot] = NULL;
}
