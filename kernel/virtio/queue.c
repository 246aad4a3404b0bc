/* The walk over a hostile virtqueue: see queue.h. */
#include "kernel/virtio/queue.h"

#include <string.h>

/* @offset from the start of @area; aligned parts of at most 16 bytes never cross a page. */
static u8 *at(const struct virtq_area *area, u32 offset)
{
	offset += area->offset;
	return area->pages[offset / PAGE_SIZE] + offset % PAGE_SIZE;
}

static u16 load16(const struct virtq_area *area, u32 offset)
{
	return __atomic_load_n((u16 *)(void *)at(area, offset), __ATOMIC_ACQUIRE);
}

static enum virtq_state broken(struct virtq_error *error, const char *what, u64 value, u64 limit)
{
	*error = (struct virtq_error){what, value, limit};
	return VIRTQ_BROKEN;
}

static enum virtq_state walk(const struct virtqueue *queue, u16 head, struct virtq_chain *chain,
	struct virtq_error *error)
{
	u16 index = head;

	chain->head = head;
	chain->readable = chain->count = 0;
	for (;;) {
		struct virtq_desc desc;

		if (index >= queue->size)
			return broken(error, "descriptor", index, queue->size - 1u);
		/* A chain longer than the table visits some descriptor twice. */
		if (chain->count == queue->size)
			return broken(error, "length of a chain (a loop)", chain->count + 1u,
				queue->size);
		memcpy(&desc, at(&queue->desc, VIRTQ_DESC_BYTES(index)), sizeof(desc));
		__asm__ volatile("" : : : "memory"); /* read once */
		if (desc.flags & VIRTQ_DESC_INDIRECT)
			return broken(error, "descriptor flags (indirect was not offered)",
				desc.flags, VIRTQ_DESC_NEXT | VIRTQ_DESC_WRITE);
		chain->buffers[chain->count] = (struct virtq_buffer){desc.address, desc.bytes};
		if (!(desc.flags & VIRTQ_DESC_WRITE)) {
			if (chain->readable != chain->count)
				return broken(error, "readable buffer behind a writable one",
					chain->count, chain->readable);
			chain->readable++;
		}
		chain->count++;
		if (!(desc.flags & VIRTQ_DESC_NEXT))
			return VIRTQ_CHAIN;
		index = desc.next;
	}
}

enum virtq_state virtqueue_peek(
	const struct virtqueue *queue, struct virtq_chain *chain, struct virtq_error *error)
{
	u16 available;

	if (queue->size == 0)
		return VIRTQ_EMPTY;
	available = (u16)(load16(&queue->avail, 2) - queue->avail_next);
	if (available == 0)
		return VIRTQ_EMPTY;
	if (available > queue->size)
		return broken(error, "number of available chains", available, queue->size);
	return walk(queue, load16(&queue->avail, 4 + 2u * (queue->avail_next & (queue->size - 1u))),
		chain, error);
}

void virtqueue_take(struct virtqueue *queue)
{
	queue->avail_next++;
}

void virtqueue_push(struct virtqueue *queue, u16 head, u32 written)
{
	u32 element[2] = {head, written};
	u8 *slot = at(&queue->used, 4 + 8u * (queue->used_next & (queue->size - 1u)));

	/* The used ring is aligned to 4 only, so an element may cross a page, its halves not. */
	memcpy(slot, &element[0], 4);
	memcpy(at(&queue->used, 8 + 8u * (queue->used_next & (queue->size - 1u))), &element[1], 4);
	queue->used_next++;
	__atomic_store_n((u16 *)(void *)at(&queue->used, 2), queue->used_next, __ATOMIC_RELEASE);
}

bool virtqueue_wants_interrupt(const struct virtqueue *queue)
{
	/* The driver clears the flag, then looks at the used index; we publish it, then look here
	 * (virtio 1.2, 2.7.7.2): the store must be seen before the load. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return !(load16(&queue->avail, 0) & VIRTQ_AVAIL_NO_INTERRUPT);
}
