/*
 * A virtio-blk device and its requests in flight, for blk.c, blk_flight.c and disks.c. All of it
 * but @stats is the runner's (device.h). The device's timer is armed for the oldest request.
 *
 * Invariant: requests are a queue in time; requests [first, last) of the ring are in flight, their
 * pieces are [piece_first, piece_last) of theirs, each pinned once. Indices run free.
 */
#ifndef VIRTIO_BLK_STATE_H
#define VIRTIO_BLK_STATE_H

#include "kernel/block/ramdisk.h"
#include "kernel/virtio/blk_request.h"
#include "kernel/virtio/device.h"

#define BLK_REQUESTS VIRTQUEUE_SIZE_MAX
/* Also the most pages of one request, the one with its status byte included, and of what one look
 * at the queue moves: a disk without service time has nothing in flight when it looks, and others
 * finish nothing that they have just taken. */
#define BLK_PIECES 256u
/* What drivers are told, so that a request fits: 56 segments of 12 KiB touch at most 4 pages each.
 */
#define BLK_SEG_MAX  56u
#define BLK_SIZE_MAX (12u << 10)
_Static_assert(BLK_SEG_MAX * 4 + 1 <= BLK_PIECES, "a request must fit");
_Static_assert(BLK_SEG_MAX + 2 <= VIRTQUEUE_SIZE_MAX, "and its chain too");

/* Bytes inside one pinned guest frame. */
struct blk_piece {
	gfn_t guest;
	mfn_t host;
	u16 offset;
	u16 bytes;
};

struct blk_request {
	u64 done_at; /* TSC */
	u64 sector;
	u64 data_bytes;
	u32 type;
	u16 head;
	u16 pieces; /* the last one is the status byte */
	u8 status;
};

struct virtio_blk {
	struct virtio_device device;
	struct ramdisk disk;
	const struct disk_config *config;
	u64 service_ticks;
	u64 busy_until; /* TSC */
	u64 *seen;      /* a bit for each sector that was read */
	struct vm_disk_stats stats;

	u32 first, last;
	u32 piece_first, piece_last;
	struct blk_request requests[BLK_REQUESTS];
	struct blk_piece pieces[BLK_PIECES];
	struct virtq_chain chain; /* scratch */
};

extern const struct virtio_ops blk_ops;

/* ---- blk_flight.c --------------------------------------------------------------------------- */

enum blk_admission {
	BLK_ADMITTED, /* in flight, pinned */
	BLK_LATER,    /* no room: try again when something has completed */
	BLK_SHORT,    /* no frame for a page of the guest: try again in a while */
	BLK_BROKEN,   /* the chain is no request: a message was logged */
};
/* Takes blk->chain into flight; it is done service_ticks after the disk is idle. */
enum blk_admission blk_admit(struct virtio_blk *blk, u64 now);
/* Moves the data of the oldest request, hands it back and drops its pins. */
void blk_finish(struct virtio_blk *blk);
/* Drops all requests in flight. */
void blk_forget(struct virtio_blk *blk);

/* The request that ends first, NULL if none is in flight. Runner only. */
static inline struct blk_request *blk_oldest(struct virtio_blk *blk)
{
	return blk->first == blk->last ? NULL : &blk->requests[blk->first % BLK_REQUESTS];
}

#endif
