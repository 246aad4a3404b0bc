/*
 * Takes a chain of virtio-blk apart (virtio 1.2, 5.2.6): 16 bytes of header, data, one status byte,
 * however the driver spread them over its buffers. Pure.
 */
#ifndef VIRTIO_BLK_REQUEST_H
#define VIRTIO_BLK_REQUEST_H

#include "kernel/virtio/queue.h"

struct blk_layout {
	struct virtq_buffer header[sizeof(struct blk_header)]; /* where the header's bytes stand */
	unsigned header_parts;
	u64 status;    /* guest-physical address of the status byte */
	u64 out_bytes; /* data the device reads */
	u64 in_bytes;  /* data the device writes */
};

/* Fills in @layout and cuts header and status out of @chain, so that only data is left in its
 * buffers. False if there is no room for a header or a status byte. */
bool __must_check blk_split(struct virtq_chain *chain, struct blk_layout *layout);

/* What the request gets before any data moves: BLK_S_OK, or the status to complete it with.
 * @sectors is the size of the disk. */
u8 blk_check(const struct blk_header *header, const struct blk_layout *layout, u64 sectors,
	bool read_only);

#endif
