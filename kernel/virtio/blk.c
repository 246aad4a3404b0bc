/*
 * virtio-blk at work (virtio 1.2, 5.2): what runs when the queue was notified or the oldest request
 * is due. blk_flight.c has the requests, device.c decides which CPU runs this.
 */
#include "kernel/virtio/blk.h"

#include "kernel/virtio/blk_state.h"
#include <string.h>

/* The front of struct virtio_blk_config (virtio 1.2, 5.2.4). */
struct blk_config_space {
	u64 capacity; /* sectors */
	u32 size_max;
	u32 seg_max;
	u32 geometry;
	u32 blk_size;
	u8 rest[36]; /* belongs to features that are not offered */
} __packed_struct;
_Static_assert(sizeof(struct blk_config_space) == 60, "virtio 1.2, 5.2.4");

static struct virtio_blk *blk_of(struct virtio_device *device)
{
	return container_of(device, struct virtio_blk, device);
}

static void config_read(struct virtio_device *device, u32 offset, void *to, unsigned size)
{
	struct blk_config_space config = {
		.capacity = blk_of(device)->disk.sectors,
		.size_max = BLK_SIZE_MAX,
		.seg_max = BLK_SEG_MAX,
		.blk_size = SECTOR_SIZE,
	};

	memcpy(to, (u8 *)&config + offset, size);
}

enum submitted { SUBMITTED_ALL, SUBMITTED_SOME, SUBMITTED_SHORT, QUEUE_BROKEN };

/* Takes what the queue offers into flight, at most one queue of it. */
static enum submitted submit(struct virtio_blk *blk, u64 now)
{
	struct virtqueue *queue = &blk->device.queues[0].rings;

	/* One look more than the queue has entries: a driver that filled it is done after that. */
	for (unsigned n = 0; n <= queue->size; n++) {
		struct virtq_error error;

		switch (virtqueue_peek(queue, &blk->chain, &error)) {
		case VIRTQ_EMPTY:
			return SUBMITTED_ALL;
		case VIRTQ_BROKEN:
			vm_complain(blk->device.vm, "disk \"%s\": %s is %lu, valid is 0 to %lu",
				blk->config->name, error.what, error.value, error.limit);
			return QUEUE_BROKEN;
		case VIRTQ_CHAIN:
			break;
		}
		switch (blk_admit(blk, now)) {
		case BLK_BROKEN:
			return QUEUE_BROKEN;
		case BLK_LATER:
			return SUBMITTED_SOME;
		case BLK_SHORT:
			return SUBMITTED_SHORT;
		case BLK_ADMITTED:
			virtqueue_take(queue);
			break;
		}
	}
	return SUBMITTED_SOME;
}

/* Finishes what is due, at most one queue of it: how many requests. */
static unsigned finish_due(struct virtio_blk *blk, u64 now)
{
	unsigned n;

	for (n = 0; n < BLK_REQUESTS; n++) {
		struct blk_request *request = blk_oldest(blk);

		if (!request || request->done_at > now)
			break;
		blk_finish(blk);
	}
	return n;
}

static void run(struct virtio_device *device)
{
	struct virtio_blk *blk = blk_of(device);
	struct blk_request *oldest;
	u64 now = arch_tsc();
	unsigned finished = finish_due(blk, now);
	/* What cannot be copied in the time that the disk has for it is more than is to be had. */
	bool slow = finished > 0 && arch_tsc() - now > finished * blk->service_ticks;
	enum submitted submitted = submit(blk, now);

	if (submitted == QUEUE_BROKEN) {
		virtio_break(device);
		return;
	}
	/* A disk without service time is done at once. */
	finished += finish_due(blk, now);
	if (finished > 0 && virtqueue_wants_interrupt(&device->queues[0].rings))
		virtio_interrupt(device, VIRTIO_INTERRUPT_QUEUE);
	oldest = blk_oldest(blk);
	if (oldest && !slow)
		virtio_run_at(device, oldest->done_at);
	else if (oldest || submitted == SUBMITTED_SOME)
		virtio_run_at(device, virtio_rest_until(device, now));
	else if (submitted == SUBMITTED_SHORT)
		virtio_run_at(device, now + ticks_from_us(VIRTIO_LATER_US));
}

static void forget(struct virtio_device *device, unsigned queue)
{
	(void)queue; /* there is but one */
	blk_forget(blk_of(device));
}

/* Who boots again reads everything for the first time. */
static void power_cycle(struct virtio_device *device)
{
	struct virtio_blk *blk = blk_of(device);

	memset(blk->seen, 0, ROUND_UP(blk->disk.sectors, 64) / 8);
}

const struct virtio_ops blk_ops = {
	.id = VIRTIO_ID_BLOCK,
	.features = BLK_F_SIZE_MAX | BLK_F_SEG_MAX | BLK_F_BLK_SIZE | BLK_F_FLUSH,
	.queues = 1,
	.config_read = config_read,
	.config_bytes = sizeof(struct blk_config_space),
	.run = run,
	.forget = forget,
	.power_cycle = power_cycle,
};
