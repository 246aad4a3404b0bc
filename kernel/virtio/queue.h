/*
 * A split virtqueue as the device sees it (virtio 1.2, 2.7). Pure: the rings are host pages that
 * the caller keeps pinned; the guest may change them at any time, so every field is read once and
 * checked. Whoever runs the device owns the queue.
 */
#ifndef VIRTIO_QUEUE_H
#define VIRTIO_QUEUE_H

#include <abi/virtio.h>

#include "lib/types.h"

#define VIRTQUEUE_SIZE_MAX 64u

/* Bytes of the three parts for a queue of @n entries; each part may cross one page boundary. */
#define VIRTQ_DESC_BYTES(n)  (16u * (n))
#define VIRTQ_AVAIL_BYTES(n) (6u + 2u * (n))
#define VIRTQ_USED_BYTES(n)  (6u + 8u * (n))
_Static_assert(VIRTQ_DESC_BYTES(VIRTQUEUE_SIZE_MAX) <= PAGE_SIZE, "at most two pages");

struct virtq_area {
	u8 *pages[2];
	u32 offset; /* in the first page */
};

struct virtqueue {
	struct virtq_area desc, avail, used;
	u16 size;       /* a power of two, at most VIRTQUEUE_SIZE_MAX; 0: not ready */
	u16 avail_next; /* free-running: the next entry to take */
	u16 used_next;  /* free-running: the next entry to fill */
};

struct virtq_buffer {
	u64 address;
	u32 bytes;
};

/* One request of the driver: what the device reads, then what it writes. */
struct virtq_chain {
	u16 head;
	u16 readable; /* buffers [0, readable) */
	u16 count;    /* buffers [readable, count) are written */
	struct virtq_buffer buffers[VIRTQUEUE_SIZE_MAX];
};

enum virtq_state {
	VIRTQ_EMPTY,
	VIRTQ_CHAIN, /* *chain is filled in */
	VIRTQ_BROKEN /* *error says why; the device needs a reset */
};

struct virtq_error {
	const char *what; /* "@what is @value, valid is 0 to @limit" */
	u64 value, limit;
};

/* Looks at the next available chain without taking it. */
enum virtq_state virtqueue_peek(
	const struct virtqueue *queue, struct virtq_chain *chain, struct virtq_error *error);
/* Takes the chain that virtqueue_peek() showed. */
void virtqueue_take(struct virtqueue *queue);
/* Hands the chain @head back to the driver, with @written bytes written from the start of its
 * writable buffers. */
void virtqueue_push(struct virtqueue *queue, u16 head, u32 written);
/* Whether the driver wants to hear of the chains pushed so far. */
bool virtqueue_wants_interrupt(const struct virtqueue *queue);

#endif
