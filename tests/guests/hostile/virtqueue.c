/*
 * Virtqueues that no driver should make: the device names what is wrong and asks for a reset, or
 * answers the request with an error; after a reset it works as ever.
 */
#include "acts.h"
#include "machine.h"
#include <abi/platform.h>

#define ENTRIES 8u

/* virtio-mmio registers (virtio 1.2, 4.2.2), as indexes of 32-bit words. */
enum {
	DEVICE_ID = 0x008 / 4,
	DRIVER_FEATURES = 0x020 / 4,
	DRIVER_FEATURES_SELECT = 0x024 / 4,
	QUEUE_SELECT = 0x030 / 4,
	QUEUE_SIZE = 0x038 / 4,
	QUEUE_READY = 0x044 / 4,
	QUEUE_NOTIFY = 0x050 / 4,
	STATUS = 0x070 / 4,
	QUEUE_DESC = 0x080 / 4,
	QUEUE_AVAIL = 0x090 / 4,
	QUEUE_USED = 0x0a0 / 4,
};

#define STATUS_READY       0x0fu /* acknowledge, driver, driver ok, features ok */
#define STATUS_FEATURES    0x0bu
#define STATUS_NEEDS_RESET 0x40u

#define NEXT     1u
#define WRITE    2u
#define INDIRECT 4u

#define BLK_IN     0u
#define BLK_OK     0u
#define BLK_IOERR  1u
#define BLK_UNSUPP 2u
#define NOT_YET    0xffu

struct desc {
	uint64_t address;
	uint32_t bytes;
	uint16_t flags, next;
};

static struct {
	struct desc desc[ENTRIES];
	uint16_t avail_flags, avail_index, avail[ENTRIES];
	uint8_t gap[256];
	uint16_t used_flags, used_index;
	struct {
		uint32_t id, bytes;
	} used[ENTRIES];
} volatile ring __attribute__((aligned(4096)));

static volatile struct {
	uint32_t type, reserved;
	uint64_t sector;
} header __attribute__((aligned(16)));
static volatile uint8_t data[512] __attribute__((aligned(512)));
static volatile uint8_t status;
static volatile uint32_t *device;

static void set_address(unsigned reg, uint64_t address)
{
	device[reg] = (uint32_t)address;
	device[reg + 1] = (uint32_t)(address >> 32);
}

/* From reset to a queue of @size entries at @address, and one good request in it that reads sector
 * 0. */
static void start(uint32_t size, uint64_t desc, uint64_t avail, uint64_t used)
{
	device[STATUS] = 0;
	memset((void *)&ring, 0, sizeof(ring)); /* DRIVER_OK makes the device look at once */
	device[STATUS] = 3;
	device[DRIVER_FEATURES_SELECT] = 1;
	device[DRIVER_FEATURES] = 1; /* VERSION_1 */
	device[STATUS] = STATUS_FEATURES;
	device[QUEUE_SELECT] = 0;
	device[QUEUE_SIZE] = size;
	set_address(QUEUE_DESC, desc);
	set_address(QUEUE_AVAIL, avail);
	set_address(QUEUE_USED, used);
	device[QUEUE_READY] = 1;
	device[STATUS] = STATUS_READY;

	header.type = BLK_IN;
	header.sector = 0;
	status = NOT_YET;
	ring.desc[0] = (struct desc){(uint64_t)&header, 16, NEXT, 1};
	ring.desc[1] = (struct desc){(uint64_t)data, sizeof(data), NEXT | WRITE, 2};
	ring.desc[2] = (struct desc){(uint64_t)&status, 1, WRITE, 0};
	ring.avail_index = 1;
}

static void good_start(void)
{
	start(ENTRIES, (uint64_t)ring.desc, (uint64_t)&ring.avail_flags,
		(uint64_t)&ring.used_flags);
}

static bool needs_reset(void)
{
	device[QUEUE_NOTIFY] = 0;
	return device[STATUS] & STATUS_NEEDS_RESET;
}

/* The status byte of the one request; the disk of this test answers at once. */
static uint8_t answer(void)
{
	device[QUEUE_NOTIFY] = 0;
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
	CHECK(device[DEVICE_ID] == 2);
	good_start();
	CHECK(answer() == BLK_OK && ring.used_index == 1);

	/* Chains. */
	CHECK(SPOILED(ring.desc[2].flags = NEXT | WRITE; ring.desc[2].next = 2));
	CHECK(SPOILED(ring.desc[2].flags = NEXT | WRITE; ring.desc[2].next = 1));
	CHECK(SPOILED(ring.desc[0].next = ENTRIES));
	CHECK(SPOILED(ring.desc[0].next = 0xffff));
	CHECK(SPOILED(ring.avail[0] = ENTRIES));
	CHECK(SPOILED(ring.avail[0] = 0xffff));
	CHECK(SPOILED(ring.desc[0].flags = INDIRECT));
	CHECK(SPOILED(ring.desc[2].flags = 0));

	/* The index runs away. */
	CHECK(SPOILED(ring.avail_index = ENTRIES + 1));
	CHECK(SPOILED(ring.avail_index = 0x8000));
	CHECK(SPOILED(ring.avail_index = 0xffff));

	/* Buffers outside RAM, and lengths that wrap around. */
	CHECK(SPOILED(ring.desc[0].address = ram_end()));
	CHECK(SPOILED(ring.desc[0].address = ~0ul - 7));
	CHECK(SPOILED(ring.desc[1].address = ram_end() - 256));
	CHECK(SPOILED(ring.desc[1].address = 0xfec00000));
	CHECK(SPOILED(ring.desc[1].address = 1ul << 63));
	CHECK(SPOILED(ring.desc[1].address = ~0ul - 511));
	CHECK(SPOILED(ring.desc[2].address = ram_end()));

	/* No place for the answer, or no whole header. */
	CHECK(SPOILED(ring.desc[0].flags = 0));
	CHECK(SPOILED(ring.desc[0].bytes = 15));

	/* Rings outside RAM, of no size, of a size that is none. */
	start(ENTRIES, ram_end(), (uint64_t)&ring.avail_flags, (uint64_t)&ring.used_flags);
	CHECK(needs_reset() && status == NOT_YET);
	start(ENTRIES, (uint64_t)ring.desc, 0xfee00000, (uint64_t)&ring.used_flags);
	CHECK(needs_reset() && status == NOT_YET);
	start(ENTRIES, (uint64_t)ring.desc, (uint64_t)&ring.avail_flags, ~0ul & ~15ul);
	CHECK(needs_reset() && status == NOT_YET);
	start(3, (uint64_t)ring.desc, (uint64_t)&ring.avail_flags, (uint64_t)&ring.used_flags);
	CHECK(needs_reset() && status == NOT_YET);
	start(0x8000, (uint64_t)ring.desc, (uint64_t)&ring.avail_flags, (uint64_t)&ring.used_flags);
	CHECK(needs_reset() && status == NOT_YET);

	/* Whole requests that ask for what there is not. */
	good_start();
	header.sector = ~0ul;
	CHECK(answer() == BLK_IOERR);
	good_start();
	header.sector = 1ul << 55;
	CHECK(answer() == BLK_IOERR);
	good_start();
	header.type = 0x7777;
	CHECK(answer() == BLK_UNSUPP);
	good_start();
	ring.desc[1].bytes = 0xfffffe00;
	CHECK(answer() == BLK_IOERR);
	good_start();
	ring.desc[1].bytes = 511;
	CHECK(answer() == BLK_IOERR);

	/* And the disk is as good as ever. */
	good_start();
	CHECK(answer() == BLK_OK && ring.used_index == 1);
	device[STATUS] = 0;
	return 0;
}
