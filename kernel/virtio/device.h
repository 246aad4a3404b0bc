/*
 * What every virtio device has: its window of virtio-mmio registers (version 2, virtio 1.2, 4.2),
 * one virtqueue and the one CPU at a time that works for it.
 *
 * Work on a device (a notified queue, a timer, a reset) is done by whoever finds it idle: @work
 * gathers what is asked for, and the CPU that set DEVICE_RUNNING does it until nothing is left. So
 * no lock is held while guest memory is touched (which may have to reclaim), and no CPU waits for
 * another. Registers are plain words that the guest writes; the runner takes them when the queue
 * becomes ready. The fields behind "runner" belong to the runner.
 */
#ifndef VIRTIO_DEVICE_H
#define VIRTIO_DEVICE_H

#include "kernel/virtio/queue.h"
#include "kernel/vm/vm.h"

#define VIRTIO_ID_BLOCK 2u

#define VIRTIO_F_VERSION_1 BIT(32)

#define VIRTIO_STATUS_ACKNOWLEDGE 0x01u
#define VIRTIO_STATUS_DRIVER      0x02u
#define VIRTIO_STATUS_DRIVER_OK   0x04u
#define VIRTIO_STATUS_FEATURES_OK 0x08u
#define VIRTIO_STATUS_NEEDS_RESET 0x40u
#define VIRTIO_STATUS_FAILED      0x80u

#define VIRTIO_INTERRUPT_QUEUE  0x1u
#define VIRTIO_INTERRUPT_CONFIG 0x2u

/* Bits of @work. */
#define DEVICE_RUNNING BIT(0)
#define DEVICE_RESET   BIT(1) /* the driver wrote status 0 */
#define DEVICE_STOP    BIT(2) /* QueueReady = 0 */
#define DEVICE_READY   BIT(3) /* QueueReady = 1 */
#define DEVICE_NOTIFY  BIT(4) /* QueueNotify, or a timer: let run() look */

struct virtio_device;

struct virtio_ops {
	u32 id;
	u64 features; /* VIRTIO_F_VERSION_1 is added */
	/* Config space: @offset + @size lies inside @config_bytes. */
	void (*config_read)(struct virtio_device *device, u32 offset, void *to, unsigned size);
	u32 config_bytes;
	/* Works off what the queue holds and what is due. Runner only. */
	void (*run)(struct virtio_device *device);
	/* Forgets all requests in flight and drops their pins. Runner only. */
	void (*forget)(struct virtio_device *device);
	/* Makes a timer of this CPU ask for DEVICE_NOTIFY soon. Runner only. */
	void (*defer)(struct virtio_device *device);
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
	u32 queue_size;
	u64 desc_address, avail_address, used_address;
	u32 interrupt_status; /* atomic */
	u32 work;             /* atomic */

	/* runner */
	struct virtqueue queue;
	gfn_t ring_frames[6]; /* pinned while the queue is ready */
	unsigned ring_frame_count;
};

/* Puts @device, with @ops, @vm and @features_offered set, into @slot. */
void virtio_attach(struct virtio_device *device, unsigned slot);
/* After the VM stopped: drops everything that is pinned. */
void virtio_detach(struct virtio_device *device);

/* Asks for work: DEVICE_* bits. Does it here, unless another CPU is at it. No lock may be held. */
void virtio_work(struct virtio_device *device, u32 bits);

/* For run(): the driver broke the rules. Sets NEEDS_RESET, forgets all requests, stops the queue.
 * The caller has said why. */
void virtio_break(struct virtio_device *device);
void virtio_interrupt(struct virtio_device *device, u32 bits);

/* An access to the windows at PLATFORM_VIRTIO_BASE: @size is 1, 2, 4 or 8, @offset from that base.
 */
u64 virtio_mmio_read(struct vm *vm, u32 offset, unsigned size);
void virtio_mmio_write(struct vm *vm, u32 offset, unsigned size, u64 value);

#endif
