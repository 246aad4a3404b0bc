/*
 * virtio 1.1 over MMIO (section 4.2.2), the split virtqueue (2.6), the block device (5.2) and the
 * balloon (5.5), as far as the shim's drivers use them.
 */
#ifndef SHIM_VIRTIO_MMIO_H
#define SHIM_VIRTIO_MMIO_H

#include "lib/types.h"

#define VIRTIO_MAGIC               0x000
#define VIRTIO_VERSION             0x004
#define VIRTIO_DEVICE_ID           0x008
#define VIRTIO_DEVICE_FEATURES     0x010
#define VIRTIO_DEVICE_FEATURES_SEL 0x014
#define VIRTIO_DRIVER_FEATURES     0x020
#define VIRTIO_DRIVER_FEATURES_SEL 0x024
#define VIRTIO_QUEUE_SEL           0x030
#define VIRTIO_QUEUE_NUM_MAX       0x034
#define VIRTIO_QUEUE_NUM           0x038
#define VIRTIO_QUEUE_READY         0x044
#define VIRTIO_QUEUE_NOTIFY        0x050
#define VIRTIO_INTERRUPT_STATUS    0x060
#define VIRTIO_INTERRUPT_ACK       0x064
#define VIRTIO_STATUS              0x070
#define VIRTIO_QUEUE_DESC          0x080
#define VIRTIO_QUEUE_DRIVER        0x090
#define VIRTIO_QUEUE_DEVICE        0x0a0
#define VIRTIO_CONFIG              0x100

#define VIRTIO_MAGIC_VALUE 0x74726976 /* "virt" */
#define VIRTIO_ID_BLOCK    2
#define VIRTIO_ID_BALLOON  5
#define VIRTIO_F_VERSION_1 32

#define VIRTIO_INTERRUPT_CONFIG 2

#define VIRTIO_STATUS_ACKNOWLEDGE 1
#define VIRTIO_STATUS_DRIVER      2
#define VIRTIO_STATUS_DRIVER_OK   4
#define VIRTIO_STATUS_FEATURES_OK 8

#define VIRTIO_DESC_NEXT  1
#define VIRTIO_DESC_WRITE 2

struct virtq_desc {
	u64 address;
	u32 length;
	u16 flags;
	u16 next;
};
_Static_assert(sizeof(struct virtq_desc) == 16, "virtio 1.1, 2.6.5");

struct virtq_used_element {
	u32 id;
	u32 length;
};

#define VIRTIO_BLK_F_RO   5
#define VIRTIO_BLK_IN     0
#define VIRTIO_BLK_OUT    1
#define VIRTIO_BLK_GET_ID 8
#define VIRTIO_BLK_S_OK   0

#define VIRTIO_BLK_ID_BYTES 20

struct virtio_blk_header {
	u32 type;
	u32 reserved;
	u64 sector;
};
_Static_assert(sizeof(struct virtio_blk_header) == 16, "virtio 1.1, 5.2.6");

#define VIRTIO_BALLOON_F_MUST_TELL_HOST 0
#define VIRTIO_BALLOON_F_STATS_VQ       1
#define VIRTIO_BALLOON_F_DEFLATE_ON_OOM 2

#define VIRTIO_BALLOON_NUM_PAGES VIRTIO_CONFIG
#define VIRTIO_BALLOON_ACTUAL    (VIRTIO_CONFIG + 4)

enum {
	VIRTIO_BALLOON_S_SWAP_IN,
	VIRTIO_BALLOON_S_SWAP_OUT,
	VIRTIO_BALLOON_S_MAJFLT,
	VIRTIO_BALLOON_S_MINFLT,
	VIRTIO_BALLOON_S_MEMFREE,
	VIRTIO_BALLOON_S_MEMTOT,
	VIRTIO_BALLOON_S_AVAIL,
	VIRTIO_BALLOON_S_CACHES,
	VIRTIO_BALLOON_STATS
};

struct virtio_balloon_stat {
	u16 tag;
	u64 value;
} __packed_struct;
_Static_assert(sizeof(struct virtio_balloon_stat) == 10, "virtio 1.1, 5.5.6.3");

#endif
