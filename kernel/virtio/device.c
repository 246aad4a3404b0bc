/*
 * The life of a virtio device between reset and NEEDS_RESET, and who works for it: see device.h.
 * The pages of the rings are pinned while the queue is ready, so that requests find them without a
 * lookup.
 */
#include "kernel/virtio/device.h"

#include "arch/x86/arch.h"
#include "arch/x86/guest/ioapic.h"
#include "kernel/core/log.h"
#include "kernel/vm/sched.h"
#include <abi/errno.h>
#include <string.h>

void virtio_interrupt(struct virtio_device *device, u32 bits)
{
	__atomic_fetch_or(&device->interrupt_status, bits, __ATOMIC_ACQ_REL);
	ioapic_raise(device->vm, PLATFORM_VIRTIO_LINE(device->slot));
}

void virtio_config_changed(struct virtio_device *device)
{
	__atomic_fetch_add(&device->config_generation, 1, __ATOMIC_RELEASE);
	if (READ_ONCE(device->status) & VIRTIO_STATUS_DRIVER_OK)
		virtio_interrupt(device, VIRTIO_INTERRUPT_CONFIG);
}

void virtio_run_at(struct virtio_device *device, u64 deadline)
{
	if (!READ_ONCE(device->timer.armed))
		timer_arm(&device->timer, deadline);
}

/* Of a CPU's time this part at most is for devices' timers. */
#define TIMERS_PART 8u
/* A turn is bounded by its work (TURN_BYTES). One that seems longer had no CPU meanwhile: a
 * hypervisor below took it, or the firmware (SMM), and no rest makes up for that. */
#define TURN_US 2000u

u64 virtio_rest_until(struct virtio_device *device, u64 since)
{
	u64 now = arch_tsc(), ticks = MIN(now - since, ticks_from_us(TURN_US));
	struct virtio_device *other;

	WRITE_ONCE(device->turn_ticks, ticks);
	for_each_virtio_device (device->vm, other)
		if (other != device && READ_ONCE(other->timer.armed))
			ticks += READ_ONCE(other->turn_ticks);
	ticks *= TIMERS_PART * vms_running();
	return now + MAX(ticks, ticks_from_us(VIRTIO_LATER_US));
}

void virtio_timer_expired(struct timer *timer)
{
	struct virtio_device *device = container_of(timer, struct virtio_device, timer);
	u64 since = arch_tsc();

	WRITE_ONCE(device->turn_ticks, 0);
	virtio_work(device, DEVICE_NOTIFY);
	sched_charge(device->vm, arch_tsc() - since);
}

void virtio_cancel_timers(struct vm *vm)
{
	struct virtio_device *device;

	for_each_virtio_device (vm, device)
		timer_cancel(&device->timer);
}

static void stop_queue(struct virtio_device *device, unsigned index)
{
	struct virtio_queue *queue = &device->queues[index];

	device->ops->forget(device, index);
	for (unsigned i = 0; i < queue->ring_frame_count; i++)
		memory_unpin(device->vm, queue->ring_frames[i]);
	queue->ring_frame_count = 0;
	memset(&queue->rings, 0, sizeof(queue->rings));
}

static void stop_queues(struct virtio_device *device)
{
	for (unsigned i = 0; i < device->ops->queues; i++)
		stop_queue(device, i);
}

void virtio_break(struct virtio_device *device)
{
	stop_queues(device);
	__atomic_fetch_or(&device->status, VIRTIO_STATUS_NEEDS_RESET, __ATOMIC_ACQ_REL);
	if (READ_ONCE(device->status) & VIRTIO_STATUS_DRIVER_OK)
		virtio_interrupt(device, VIRTIO_INTERRUPT_CONFIG);
}

void virtio_complain(
	const struct virtio_device *device, const char *name, const struct virtq_error *error)
{
	vm_complain(device->vm, "%s: %s is %lu, valid is 0 to %lu", name, error->what, error->value,
		error->limit);
}

static void reset(struct virtio_device *device)
{
	stop_queues(device);
	device->device_features_select = device->driver_features_select = 0;
	device->queue_select = 0;
	device->driver_features = 0;
	for (unsigned i = 0; i < device->ops->queues; i++) {
		struct virtio_queue *queue = &device->queues[i];

		queue->size = 0;
		queue->desc_address = queue->avail_address = queue->used_address = 0;
	}
	if (device->ops->reset)
		device->ops->reset(device);
	__atomic_store_n(&device->interrupt_status, 0, __ATOMIC_RELAXED);
	ioapic_lower(device->vm, PLATFORM_VIRTIO_LINE(device->slot));
	/* Last: a driver that waits for status 0 may set the device up again at once. */
	__atomic_store_n(&device->status, 0, __ATOMIC_RELEASE);
}

/* Pins the pages of one ring part. The alignments are those of virtio 1.2, 2.7. */
static int pin_area(struct virtio_device *device, struct virtio_queue *queue, const char *what,
	u64 address, u32 bytes, u32 align, struct virtq_area *area)
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

		if (err == -SLUICE_ENOMEM)
			return err;
		if (err)
			goto bad;
		queue->ring_frames[queue->ring_frame_count++] = gfn(page);
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

static int start_queue(struct virtio_device *device, unsigned index)
{
	struct virtio_queue *queue = &device->queues[index];
	struct virtqueue *rings = &queue->rings;
	u32 size = READ_ONCE(queue->size);
	int err;

	if (rings->size)
		return 0; /* ready already */
	if (size == 0 || size > VIRTQUEUE_SIZE_MAX || (size & (size - 1))) {
		vm_complain(device->vm,
			"virtio slot %u: queue size %u, valid is a power of two from 1 to %u",
			device->slot, size, VIRTQUEUE_SIZE_MAX);
		return -SLUICE_EINVAL;
	}
	err = pin_area(device, queue, "descriptor", READ_ONCE(queue->desc_address),
		VIRTQ_DESC_BYTES(size), 16, &rings->desc);
	if (!err)
		err = pin_area(device, queue, "available", READ_ONCE(queue->avail_address),
			VIRTQ_AVAIL_BYTES(size), 2, &rings->avail);
	if (!err)
		err = pin_area(device, queue, "used", READ_ONCE(queue->used_address),
			VIRTQ_USED_BYTES(size), 4, &rings->used);
	if (err)
		return err;
	rings->avail_next = rings->used_next = 0;
	WRITE_ONCE(rings->size, (u16)size);
	return 0;
}

/* There is no frame for its rings yet. */
static void start_later(struct virtio_device *device, unsigned index)
{
	stop_queue(device, index);
	__atomic_fetch_or(&device->work, (u32)DEVICE_READY(index), __ATOMIC_ACQ_REL);
	virtio_run_at(device, arch_tsc() + ticks_from_us(VIRTIO_LATER_US));
}

static void run(struct virtio_device *device, u32 bits)
{
	/* Nobody looks any more, and nothing may be armed (kernel/guests.c). */
	if (vm_is_stopped(device->vm))
		return;
	if (bits & DEVICE_RESET)
		reset(device);
	for (unsigned i = 0; i < device->ops->queues; i++)
		if (bits & DEVICE_STOP(i))
			stop_queue(device, i);
	/* A device that needs a reset does nothing before it gets one. */
	if (READ_ONCE(device->status) & VIRTIO_STATUS_NEEDS_RESET)
		return;
	for (unsigned i = 0; i < device->ops->queues; i++)
		if (bits & DEVICE_READY(i)) {
			int err = start_queue(device, i);

			if (err == -SLUICE_ENOMEM) {
				start_later(device, i);
			} else if (err) {
				virtio_break(device);
				return;
			}
		}
	if ((bits & DEVICE_NOTIFY) && (READ_ONCE(device->status) & VIRTIO_STATUS_DRIVER_OK))
		device->ops->run(device);
}

/* A vCPU that rings without end must not keep another vCPU's processor in here. No round begins
 * after the ones before it have moved that much. */
#define ROUNDS_MAX 8
#define TURN_BYTES (512u << 10)

void virtio_work(struct virtio_device *device, u32 bits)
{
	u32 idle = DEVICE_RUNNING;
	u64 since, at;

	if (__atomic_fetch_or(&device->work, bits | DEVICE_RUNNING, __ATOMIC_ACQ_REL) &
		DEVICE_RUNNING)
		return;
	since = arch_tsc();
	device->turn_bytes = 0;
	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		run(device,
			__atomic_exchange_n(&device->work, (u32)DEVICE_RUNNING, __ATOMIC_ACQ_REL));
		if (__atomic_compare_exchange_n(
			    &device->work, &idle, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			return;
		if (device->turn_bytes >= TURN_BYTES)
			break;
		idle = DEVICE_RUNNING;
	}
	/* The bits stay; a timer comes back for them. It is armed anew even if it seems to be
	 * armed: another CPU may be taking it off just now, and leaves the work to this one. */
	at = virtio_rest_until(device, since);
	if (READ_ONCE(device->timer.armed))
		at = MIN(at, READ_ONCE(device->timer.deadline));
	timer_arm(&device->timer, at);
	__atomic_fetch_and(&device->work, ~(u32)DEVICE_RUNNING, __ATOMIC_ACQ_REL);
}

__init void virtio_attach(struct virtio_device *device, unsigned slot)
{
	device->slot = slot;
	device->timer.kind = TIMER_DEVICE;
	device->features_offered = device->ops->features | device->features_offered |
				   VIRTIO_F_VERSION_1;
	device->vm->devices[slot] = device;
}

void virtio_power_cycle(struct virtio_device *device)
{
	timer_cancel(&device->timer);
	reset(device);
	device->work = 0;
	if (device->ops->power_cycle)
		device->ops->power_cycle(device);
}

void virtio_detach(struct virtio_device *device)
{
	timer_cancel(&device->timer);
	stop_queues(device);
	device->vm->devices[device->slot] = NULL;
}
