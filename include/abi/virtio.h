/*
 * virtio 1.2 as the hypervisor, the shim and the test guests speak it: the registers of virtio-mmio
 * version 2 (4.2.2), the split virtqueue (2.7), block (5.2), console (5.3), entropy (5.4: one queue
 * of buffers to be filled) and balloon (5.5).
 */
#ifndef ABI_VIRTIO_H
#define ABI_VIRTIO_H

#include <stdint.h>

/* ---- Registers (4.2.2) ---------------------------------------------------------------------- */

enum virtio_mmio_register {
	VIRTIO_MMIO_MAGIC = 0x000,
	VIRTIO_MMIO_VERSION = 0x004,
	VIRTIO_MMIO_DEVICE_ID = 0x008,
	VIRTIO_MMIO_VENDOR_ID = 0x00c,
	VIRTIO_MMIO_DEVICE_FEATURES = 0x010,
	VIRTIO_MMIO_DEVICE_FEATURES_SELECT = 0x014,
	VIRTIO_MMIO_DRIVER_FEATURES = 0x020,
	VIRTIO_MMIO_DRIVER_FEATURES_SELECT = 0x024,
	VIRTIO_MMIO_QUEUE_SELECT = 0x030,
	VIRTIO_MMIO_QUEUE_SIZE_MAX = 0x034,
	VIRTIO_MMIO_QUEUE_SIZE = 0x038,
	VIRTIO_MMIO_QUEUE_READY = 0x044,
	VIRTIO_MMIO_QUEUE_NOTIFY = 0x050,
	VIRTIO_MMIO_INTERRUPT_STATUS = 0x060,
	VIRTIO_MMIO_INTERRUPT_ACKNOWLEDGE = 0x064,
	VIRTIO_MMIO_STATUS = 0x070,
	VIRTIO_MMIO_DESC_LOW = 0x080,
	VIRTIO_MMIO_DESC_HIGH = 0x084,
	VIRTIO_MMIO_AVAIL_LOW = 0x090,
	VIRTIO_MMIO_AVAIL_HIGH = 0x094,
	VIRTIO_MMIO_USED_LOW = 0x0a0,
	VIRTIO_MMIO_USED_HIGH = 0x0a4,
	VIRTIO_MMIO_SHM_LENGTH_LOW = 0x0b0,
	VIRTIO_MMIO_SHM_LENGTH_HIGH = 0x0b4,
	VIRTIO_MMIO_SHM_BASE_LOW = 0x0b8,
	VIRTIO_MMIO_SHM_BASE_HIGH = 0x0bc,
	VIRTIO_MMIO_CONFIG_GENERATION = 0x0fc,
	VIRTIO_MMIO_CONFIG = 0x100,
};

#define VIRTIO_MAGIC 0x74726976u /* "virt" */

#define VIRTIO_ID_BLOCK   2u
#define VIRTIO_ID_CONSOLE 3u
#define VIRTIO_ID_RNG     4u
#define VIRTIO_ID_BALLOON 5u

/* Device status (2.1). */
#define VIRTIO_STATUS_ACKNOWLEDGE 0x01u
#define VIRTIO_STATUS_DRIVER      0x02u
#define VIRTIO_STATUS_DRIVER_OK   0x04u
#define VIRTIO_STATUS_FEATURES_OK 0x08u
#define VIRTIO_STATUS_NEEDS_RESET 0x40u
#define VIRTIO_STATUS_FAILED      0x80u
/* A driver before it sets up queues, and after. */
#define VIRTIO_STATUS_NEGOTIATED                                                                   \
	(VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK)
#define VIRTIO_STATUS_READY (VIRTIO_STATUS_NEGOTIATED | VIRTIO_STATUS_DRIVER_OK)

#define VIRTIO_INTERRUPT_QUEUE  0x1u
#define VIRTIO_INTERRUPT_CONFIG 0x2u

#define VIRTIO_F_VERSION_1 (1ull << 32)

/* ---- The split virtqueue (2.7) -------------------------------------------------------------- */

struct virtq_desc {
	uint64_t address;
	uint32_t bytes;
	uint16_t flags, next;
};
_Static_assert(sizeof(struct virtq_desc) == 16, "virtio 1.2, 2.7.5");

#define VIRTQ_DESC_NEXT     0x1u
#define VIRTQ_DESC_WRITE    0x2u
#define VIRTQ_DESC_INDIRECT 0x4u

#define VIRTQ_AVAIL_NO_INTERRUPT 0x1u

struct virtq_used_element {
	uint32_t id, bytes;
};

/* The types of the two rings of a queue of @n entries, without what VIRTIO_F_EVENT_IDX adds. */
#define VIRTQ_AVAIL(n)                                                                             \
	struct {                                                                                   \
		uint16_t flags, index, ring[n];                                                    \
	}
#define VIRTQ_USED(n)                                                                              \
	struct {                                                                                   \
		uint16_t flags, index;                                                             \
		struct virtq_used_element ring[n];                                                 \
	} __attribute__((aligned(4)))

/* ---- Block (5.2) ---------------------------------------------------------------------------- */

#define BLK_F_SIZE_MAX (1ull << 1)
#define BLK_F_SEG_MAX  (1ull << 2)
#define BLK_F_RO       (1ull << 5)
#define BLK_F_BLK_SIZE (1ull << 6)
#define BLK_F_FLUSH    (1ull << 9)

#define BLK_T_IN     0u
#define BLK_T_OUT    1u
#define BLK_T_FLUSH  4u
#define BLK_T_GET_ID 8u

#define BLK_S_OK     0u
#define BLK_S_IOERR  1u
#define BLK_S_UNSUPP 2u

#define BLK_ID_BYTES 20u

struct blk_header {
	uint32_t type, reserved;
	uint64_t sector;
};
_Static_assert(sizeof(struct blk_header) == 16, "virtio 1.2, 5.2.6");

/* ---- Console (5.3) -------------------------------------------------------------------------- */

/* Queues of its one port, as the driver sees them. */
enum console_queue { CONSOLE_RECEIVE, CONSOLE_TRANSMIT, CONSOLE_QUEUES };

/* ---- Balloon (5.5) -------------------------------------------------------------------------- */

#define BALLOON_F_MUST_TELL_HOST (1ull << 0)
#define BALLOON_F_STATS_VQ       (1ull << 1)
#define BALLOON_F_DEFLATE_ON_OOM (1ull << 2)
#define BALLOON_F_PAGE_REPORTING (1ull << 5)

/* Queues, numbered as drivers do when no free page hints are offered (5.5.2). */
enum balloon_queue {
	BALLOON_INFLATE,
	BALLOON_DEFLATE,
	BALLOON_STATISTICS,
	BALLOON_REPORTING,
	BALLOON_QUEUES
};

/* The front of the config space (5.5.4): how many pages should be in the balloon, and the driver's
 * word how many are. */
struct balloon_config_space {
	uint32_t num_pages, actual;
};
_Static_assert(sizeof(struct balloon_config_space) == 8, "virtio 1.2, 5.5.4");

/* Statistics (5.5.6.3): in bytes, but for faults. */
enum balloon_stat {
	BALLOON_STAT_SWAP_IN,
	BALLOON_STAT_SWAP_OUT,
	BALLOON_STAT_MAJOR_FAULTS,
	BALLOON_STAT_MINOR_FAULTS,
	BALLOON_STAT_FREE,
	BALLOON_STAT_TOTAL,
	BALLOON_STAT_AVAILABLE,
	BALLOON_STAT_CACHES,
	BALLOON_STATS
};
struct balloon_statistic {
	uint16_t tag;
	uint64_t value;
} __attribute__((packed));
_Static_assert(sizeof(struct balloon_statistic) == 10, "virtio 1.2, 5.5.6.3");

#endif
