/*
 * Virtqueues that no driver should make: the device names what is wrong and asks for a reset, or
 * answers the request with an error; after a reset it works as ever.
 */
#include "../common/virtio.h"
#include "acts.h"
#include "machine.h"

#define ENTRIES 8u

#define NOT_YET 0xffu

static struct {
	struct virtq_desc desc[ENTRIES];
	VIRTQ_AVAIL(ENTRIES) avail;
	uint8_t gap[256];
	VIRTQ_USED(ENTRIES) used;
} volatile ring __attribute__((aligned(4096)));

static volatile struct blk_header header __attribute__((aligned(16)));
static volatile uint8_t data[512] __attribute__((aligned(512)));
static volatile uint8_t status;
static volatile uint32_t *device;

/* From reset to a queue of @size entries at @address, and one good request in it that reads sector
 * 0. */
static void start(uint32_t size, uint64_t desc, uint64_t avail, uint64_t used)
{
	device[REG(STATUS)] = 0;
	memset((void *)&ring, 0, sizeof(ring)); /* DRIVER_OK makes the device look at once */
	virtio_negotiate(device, 0);
	virtio_set_queue(device, 0, size, desc, avail, used);
	device[REG(STATUS)] = VIRTIO_STATUS_READY;

	header.type = BLK_T_IN;
	header.sector = 0;
	status = NOT_YET;
	ring.desc[0] = (struct virtq_desc){(uint64_t)&header, 16, VIRTQ_DESC_NEXT, 1};
	ring.desc[1] = (struct virtq_desc){
		(uint64_t)data, sizeof(data), VIRTQ_DESC_NEXT | VIRTQ_DESC_WRITE, 2};
	ring.desc[2] = (struct virtq_desc){(uint64_t)&status, 1, VIRTQ_DESC_WRITE, 0};
	ring.avail.index = 1;
}

static void good_start(void)
{
	start(ENTRIES, (uint64_t)ring.desc, (uint64_t)&ring.avail.flags,
		(uint64_t)&ring.used.flags);
}

static bool needs_reset(void)
{
	device[REG(QUEUE_NOTIFY)] = 0;
	return device[REG(STATUS)] & VIRTIO_STATUS_NEEDS_RESET;
}

/* The status byte of the one request; the disk of this test answers at once. */
static uint8_t answer(void)
{
	device[REG(QUEUE_NOTIFY)] = 0;
	return status;
}

/* Starts well, then spoils one thing. */
#define SPOILED(...)                                                                               \
	({                                                                                         \
		good_start();                                                                      \
		__VA_ARGS__;                                                                       \
		needs_reset() && status == NOT_YET;                                                \
	})

uint64_t act_bad_virtqueue(void)
{
	device = (volatile uint32_t *)map_physical(PLATFORM_VIRTIO_BASE);
	CHECK(device[REG(DEVICE_ID)] == 2);
	good_start();
	CHECK(answer() == BLK_S_OK && ring.used.index == 1);

	/* Chains. */
	CHECK(SPOILED(ring.desc[2].flags = VIRTQ_DESC_NEXT | VIRTQ_DESC_WRITE;
		      ring.desc[2].next = 2));
	CHECK(SPOILED(ring.desc[2].flags = VIRTQ_DESC_NEXT | VIRTQ_DESC_WRITE;
		      ring.desc[2].next = 1));
	CHECK(SPOILED(ring.desc[0].next = ENTRIES));
	CHECK(SPOILED(ring.desc[0].next = 0xffff));
	CHECK(SPOILED(ring.avail.ring[0] = ENTRIES));
	CHECK(SPOILED(ring.avail.ring[0] = 0xffff));
	CHECK(SPOILED(ring.desc[0].flags = VIRTQ_DESC_INDIRECT));
	CHECK(SPOILED(ring.desc[2].flags = 0));

	/* The index runs away. */
	CHECK(SPOILED(ring.avail.index = ENTRIES + 1));
	CHECK(SPOILED(ring.avail.index = 0x8000));
	CHECK(SPOILED(ring.avail.index = 0xffff));

	/* Buffers outside RAM, and lengths that wrap around. */
	CHECK(SPOILED(ring.desc[0].address = ram_end(start_info)));
	CHECK(SPOILED(ring.desc[0].address = ~0ul - 7));
	CHECK(SPOILED(ring.desc[1].address = ram_end(start_info) - 256));
	CHECK(SPOILED(ring.desc[1].address = 0xfec00000));
	CHECK(SPOILED(ring.desc[1].address = 1ul << 63));
	CHECK(SPOILED(ring.desc[1].address = ~0ul - 511));
	CHECK(SPOILED(ring.desc[2].address = ram_end(start_info)));

	/* No place for the answer, or no whole header. */
	CHECK(SPOILED(ring.desc[0].flags = 0));
	CHECK(SPOILED(ring.desc[0].bytes = 15));

	/* Rings outside RAM, of no size, of a size that is none. */
	start(ENTRIES, ram_end(start_info), (uint64_t)&ring.avail.flags,
		(uint64_t)&ring.used.flags);
	CHECK(needs_reset() && status == NOT_YET);
	start(ENTRIES, (uint64_t)ring.desc, 0xfee00000, (uint64_t)&ring.used.flags);
	CHECK(needs_reset() && status == NOT_YET);
	start(ENTRIES, (uint64_t)ring.desc, (uint64_t)&ring.avail.flags, ~0ul & ~15ul);
	CHECK(needs_reset() && status == NOT_YET);
	start(3, (uint64_t)ring.desc, (uint64_t)&ring.avail.flags, (uint64_t)&ring.used.flags);
	CHECK(needs_reset() && status == NOT_YET);
	start(0x8000, (uint64_t)ring.desc, (uint64_t)&ring.avail.flags, (uint64_t)&ring.used.flags);
	CHECK(needs_reset() && status == NOT_YET);

	/* Whole requests that ask for what there is not. */
	good_start();
	header.sector = ~0ul;
	CHECK(answer() == BLK_S_IOERR);
	good_start();
	header.sector = 1ul << 55;
	CHECK(answer() == BLK_S_IOERR);
	good_start();
	header.type = 0x7777;
	CHECK(answer() == BLK_S_UNSUPP);
	good_start();
	ring.desc[1].bytes = 0xfffffe00;
	CHECK(answer() == BLK_S_IOERR);
	good_start();
	ring.desc[1].bytes = 511;
	CHECK(answer() == BLK_S_IOERR);

	/* And the disk is as good as ever. */
	good_start();
	CHECK(answer() == BLK_S_OK && ring.used.index == 1);
	device[REG(STATUS)] = 0;
	return 0;
}
