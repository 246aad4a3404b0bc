/*
 * What every virtio device has: its window of virtio-mmio registers (version 2, virtio 1.2, 4.2),
 * up to VIRTIO_QUEUES_MAX virtqueues, a timer, and the one CPU at a time that works for it.
 *
 * Work on a device (a notified queue, a timer, a reset) is done by whoever finds it idle: @work
 * gathers what is asked for, and the CPU that set DEVICE_RUNNING does it until nothing is left. So
 * no lock is held while guest memory is touched (which may have to reclaim), and no CPU waits for
 * another. Registers are plain words that the guest writes; the runner takes those of a queue when
 * it becomes ready. The fields behind "runner" belong to the runner.
 */
#ifndef VIRTIO_DEVICE_H
#define VIRTIO_DEVICE_H

#include <abi/platform.h>

#include "kernel/core/timer.h"
#include "kernel/virtio/queue.h"
#include "kernel/vm/vm.h"

#define VIRTIO_QUEUES_MAX 4u

/* Bits of @work. */
#define DEVICE_RUNNING  BIT(0)
#define DEVICE_RESET    BIT(1)        /* the driver wrote status 0 */
#define DEVICE_NOTIFY   BIT(2)        /* QueueNotify, or a timer: let run() look at all queues */
#define DEVICE_STOP(q)  BIT(8 + (q))  /* QueueReady = 0 */
#define DEVICE_READY(q) BIT(16 + (q)) /* QueueReady = 1 */

struct virtio_device;

struct virtio_ops {
	u32 id;
	u64 features;          /* VIRTIO_F_VERSION_1 is added */
	u64 features_required; /* of these, what a driver must accept; VIRTIO_F_VERSION_1 is added
				*/
	u32 queues;            /* 1 to VIRTIO_QUEUES_MAX */
	/* Config space: @offset + @size lies inside @config_bytes. */
	void (*config_read)(struct virtio_device *device, u32 offset, void *to, unsigned size);
	u32 config_bytes;
	/* The same for what the driver writes; NULL if it writes nothing. Any CPU. */
	void (*config_write)(struct virtio_device *device, u32 offset, u64 value, unsigned size);
	/* Works off what the queue holds and what is due. Runner only. */
	void (*run)(struct virtio_device *device);
	/* Forgets all requests in flight of queue @queue and drops their pins. Runner only. */
	void (*forget)(struct virtio_device *device, unsigned queue);
	/* The driver resets the device; forget() was called. NULL: nothing more to do. Runner only.
	 */
	void (*reset)(struct virtio_device *device);
	/* The VM is to have another life: reset() was called; what the device keeps over a reset
	 * goes, but for what a disk holds. NULL: nothing more to do. No vCPU runs. */
	void (*power_cycle)(struct virtio_device *device);
};

/* A queue of a device: what the driver wrote of it, and the rings while it is ready. */
struct virtio_queue {
	/* registers */
	u32 size;
	u64 desc_address, avail_address, used_address;

	/* runner */
	struct virtqueue rings;
	gfn_t ring_frames[6]; /* pinned while the queue is ready */
	unsigned ring_frame_count;
};

struct virtio_device {
	const struct virtio_ops *ops;
	struct vm *vm;
	unsigned slot;
	u64 features_offered;

	/* registers */
	u32 status;
	u32 device_features_select, driver_features_select, queue_select;
	u64 driver_features;
	u32 config_generation; /* atomic */
	u32 interrupt_status;  /* atomic */
	u32 work;              /* atomic */

	struct virtio_queue queues[VIRTIO_QUEUES_MAX];
	struct timer timer; /* TIMER_DEVICE: asks for DEVICE_NOTIFY. Armed by the runner */
	/* What a turn took (ticks) that left work to the timer, until that comes. Other devices of
	 * the guest read it while the timer is armed. */
	u64 turn_ticks;
	u64 turn_bytes; /* runner: what run() has moved since the runner began; run() adds to it */
};

/*
 * The virtio devices that @vm has, in the order of their slots; each stands at
 * PLATFORM_VIRTIO_WINDOW(device->slot) and raises PLATFORM_VIRTIO_LINE(device->slot). This is the
 * one list of them, complete once platform_create() is done: whatever names a guest's devices to it
 * is made from here.
 */
#define for_each_virtio_device(vm, device)                                                         \
	for (unsigned slot_ = 0; slot_ < PLATFORM_VIRTIO_SLOTS; slot_++)                           \
		if (((device) = (vm)->devices[slot_]) != NULL)

/* Puts @device, with @ops, @vm and @features_offered set, into @slot. */
void virtio_attach(struct virtio_device *device, unsigned slot);
/* After the VM stopped: cancels the timer and drops everything that is pinned. */
void virtio_detach(struct virtio_device *device);

/* After the VM stopped: as virtio_attach() made it, with its statistics and what a disk holds. */
void virtio_power_cycle(struct virtio_device *device);

/* Asks for work: DEVICE_* bits. Does it here, unless another CPU is at it. No lock may be held. */
void virtio_work(struct virtio_device *device, u32 bits);

/* For run(): the driver broke the rules. Sets NEEDS_RESET, forgets all requests, stops the queues.
 * The caller has said why. */
void virtio_break(struct virtio_device *device);
/* Says what broke a queue of the device that messages call @name. */
void virtio_complain(
	const struct virtio_device *device, const char *name, const struct virtq_error *error);
void virtio_interrupt(struct virtio_device *device, u32 bits);
/* The config space changed: tells a driver that is there. Any CPU. */
void virtio_config_changed(struct virtio_device *device);
/* How long a device waits for what it lacks, above all a frame, before it looks again. */
#define VIRTIO_LATER_US 1000u
/* For run(): makes a timer of this CPU ask for DEVICE_NOTIFY at @deadline (TSC). A timer that is
 * armed already stays: when it comes it looks again. */
void virtio_run_at(struct virtio_device *device, u64 deadline);
/* For run(), which began at @since (TSC) and leaves work undone that it was asked for: when it may
 * go on of itself. All devices of a guest rest for what the turns took that its devices left like
 * that: in no exit of their guests they take a CPU an eighth of its time at most, for all guests
 * together, whatever these ask for. At least VIRTIO_LATER_US from now. A turn counts as 2 ms at
 * most. */
u64 virtio_rest_until(struct virtio_device *device, u64 since);

/* For TIMER_DEVICE: what it takes is charged to the guest's vCPU of this CPU. Dispatch loop only,
 * no lock held. */
void virtio_timer_expired(struct timer *timer);
/* The VM is stopped: no timer of its devices is armed any more. */
void virtio_cancel_timers(struct vm *vm);

/* An access to the windows at PLATFORM_VIRTIO_BASE: @size is 1, 2, 4 or 8, @offset from that base.
 */
u64 virtio_mmio_read(struct vm *vm, u32 offset, unsigned size);
void virtio_mmio_write(struct vm *vm, u32 offset, unsigned size, u64 value);

#endif
