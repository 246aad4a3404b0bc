/*
 * A hostile virtio-blk driver: the input is a program of register accesses, writes into guest
 * memory, notifications and time. Whatever it does, the device writes inside its guest only, keeps
 * its disk's borders, and after a reset nothing is pinned or under way.
 */
#define QUEUE        8u
#define RINGS(queue) ((queue)*0x3000u)
#include "hostile_guest.h"
#include "kernel/virtio/blk.h"
#include "kernel/virtio/blk_state.h"

#define DISK KIB(64)

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fake_core_start(MIB(32), 1);
	guest_create(&(struct guest_config){.name = "fuzz",
			     .disk_count = 2,
			     .disks = {{.name = "slow", .size = DISK, .service_us = 1},
				     {.name = "fast", .size = DISK}}},
		MIB(1));
	REQUIRE(disks_create(vm) == 0);
	return 0;
}

/* A queue that works, so that the rest gets past the set-up. */
static void bring_up(unsigned slot)
{
	REQUIRE(negotiate(slot, 0) == 11);
	start_queue(slot, 0, 0);
	set_reg(slot, 0x070, 15);
}

/* Three descriptors from 0 or 4 on; types that exist and one that does not. */
static void request(struct input *in, unsigned shape)
{
	static const u32 types[] = {BLK_T_IN, BLK_T_OUT, BLK_T_FLUSH, BLK_T_GET_ID, 77};
	struct blk_header header = {types[take(in, 1) % 5], 0, take(in, 1)};
	u16 first = shape & 1 ? 4 : 0;
	bool out = header.type == BLK_T_OUT;

	guest_write(0x4000 + first * 16u, &header, sizeof(header));
	set_desc(0, first, 0x4000 + first * 16u, 16, VIRTQ_DESC_NEXT, first + 1);
	set_desc(0, first + 1u, take(in, 3), (u32)take(in, 2) & ~(shape & 2 ? 0 : 511u),
		VIRTQ_DESC_NEXT | (out ? 0 : VIRTQ_DESC_WRITE), first + 2);
	set_desc(0, first + 2u, 0x5000 + first, 1, VIRTQ_DESC_WRITE, 0);
	offer_next(0, first);
}

static void poke(struct input *in)
{
	u64 address = take(in, 2) % 0x3000;
	u8 value = (u8)take(in, 1);

	guest_write(address, &value, 1);
}

static void step(struct input *in)
{
	unsigned what = (unsigned)take(in, 1), slot = what >> 7;

	switch (what & 7) {
	case 0:
		set_reg(slot, (u32)take(in, 1) * 4, (u32)take(in, 4));
		break;
	case 1:
		read_anywhere(in, 0, 2, what >> 3);
		break;
	case 2:
		any_desc(in, 0, what >> 3 & 7, 3, 2);
		break;
	case 3:
		offer_next(0, (u16)take(in, 1));
		break;
	case 4: /* a request that is right, or nearly so */
		request(in, what >> 3 & 3);
		set_reg(slot, 0x050, 0);
		break;
	case 5:
		set_reg(slot, 0x050, 0);
		break;
	case 6:
		fake_tsc += take(in, 2);
		serve_timers();
		break;
	case 7:
		if (what & 8)
			bring_up(slot);
		else /* one byte of the rings */
			poke(in);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct vm_disk_stats stats;

	bring_up(0);
	bring_up(1);
	while (in.left > 0)
		step(&in);
	check_quiet();
	for (unsigned slot = 0; slot < 2; slot++) {
		REQUIRE(reg(slot, 0x070) == 0);
		REQUIRE(disk_stats(vm, slot, NULL, &stats));
		REQUIRE(stats.first_sectors <= DISK / SECTOR_SIZE);
	}
	/* Each input starts with the same memory. */
	for (u64 page = 0; page < 4; page++)
		memset(memory_page(vm, gfn(page)), 0, PAGE_SIZE);
	fake_log_reset();
	return 0;
}
