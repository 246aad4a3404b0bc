/*
 * A hostile virtio-blk driver: the input is a program of register accesses, writes into guest
 * memory, notifications and time. Whatever it does, the device writes inside its guest only, keeps
 * its disk's borders, and after a reset nothing is pinned or under way.
 */
#include <stdlib.h>
#include <string.h>

#include <abi/platform.h>

#include "arch/x86/guest/ioapic.h"
#include "fake/machine.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/virtio/blk.h"
#include "kernel/virtio/blk_state.h"
#include "kernel/vm/memory_nested.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

#define GUEST_RAM MIB(1)
#define DISK      KIB(64)

static struct vm *vm;
static struct guest_config config = {
	.name = "fuzz",
	.disk_count = 2,
	.disks = {{.name = "slow", .size = DISK, .service_us = 1}, {.name = "fast", .size = DISK}},
};

void ioapic_raise(struct vm *of, unsigned pin)
{
	REQUIRE(of == vm && pin >= PLATFORM_VIRTIO_GSI && pin < PLATFORM_VIRTIO_GSI + 2);
}

void ioapic_lower(struct vm *of, unsigned pin)
{
	REQUIRE(of == vm && pin >= PLATFORM_VIRTIO_GSI && pin < PLATFORM_VIRTIO_GSI + 2);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fake_core_start(MIB(32), 1);
	epoch_quiescent(epoch_now());
	vm = fake_vm(0);
	vm->config = &config;
	REQUIRE(memory_create(vm, GUEST_RAM, &fake_ept) == 0);
	REQUIRE(disks_create(vm) == 0);
	return 0;
}

struct input {
	const uint8_t *at;
	size_t left;
};

static u64 take(struct input *in, unsigned bytes)
{
	u64 value = 0;

	for (unsigned i = 0; i < bytes && in->left > 0; i++, in->left--)
		value |= (u64)*in->at++ << 8 * i;
	return value;
}

static void set_reg(unsigned slot, u32 reg, u32 value)
{
	virtio_mmio_write(vm, slot * PLATFORM_VIRTIO_STRIDE + reg, 4, value);
}

/* A queue that works, with its rings at 0, 0x1000 and 0x2000, so that the rest gets past the
 * set-up. */
static void bring_up(unsigned slot)
{
	static const struct {
		u16 reg;
		u32 value;
	} steps[] = {{0x70, 0}, {0x70, 3}, {0x24, 1}, {0x20, 1}, {0x70, 11}, {0x30, 0}, {0x38, 8},
		{0x80, 0}, {0x84, 0}, {0x90, 0x1000}, {0x94, 0}, {0xa0, 0x2000}, {0xa4, 0},
		{0x44, 1}, {0x70, 15}};

	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++)
		set_reg(slot, steps[i].reg, steps[i].value);
}

static void serve_timers(void)
{
	unsigned served = 0;
	struct timer *timer;

	while ((timer = timer_pop(arch_tsc())) != NULL) {
		REQUIRE(timer->kind == TIMER_DEVICE);
		virtio_timer_expired(timer);
		REQUIRE(++served < 10000);
	}
}

static void poke(u64 address, u8 value)
{
	REQUIRE(memory_write(vm, gpa(address), &value, 1) == 0);
}

static void set_desc(unsigned index, u64 address, u32 bytes, u16 flags, u16 next)
{
	struct virtq_desc desc = {address, bytes, flags, next};

	REQUIRE(memory_write(vm, gpa(index * sizeof(desc)), &desc, sizeof(desc)) == 0);
}

static void offer(u16 head)
{
	u16 index;

	REQUIRE(memory_read(vm, gpa(0x1002), &index, 2) == 0);
	REQUIRE(memory_write(vm, gpa(0x1004 + 2 * (index % 8u)), &head, 2) == 0);
	index++;
	REQUIRE(memory_write(vm, gpa(0x1002), &index, 2) == 0);
}

/* Three descriptors from 0 or 4 on; types that exist and one that does not. */
static void request(struct input *in, unsigned shape)
{
	static const u32 types[] = {BLK_T_IN, BLK_T_OUT, BLK_T_FLUSH, BLK_T_GET_ID, 77};
	struct blk_header header = {types[take(in, 1) % 5], 0, take(in, 1)};
	u16 first = shape & 1 ? 4 : 0;
	bool out = header.type == BLK_T_OUT;

	REQUIRE(memory_write(vm, gpa(0x4000 + first * 16u), &header, sizeof(header)) == 0);
	set_desc(first, 0x4000 + first * 16u, 16, VIRTQ_DESC_NEXT, first + 1);
	set_desc(first + 1u, take(in, 3), (u32)take(in, 2) & ~(shape & 2 ? 0 : 511u),
		VIRTQ_DESC_NEXT | (out ? 0 : VIRTQ_DESC_WRITE), first + 2);
	set_desc(first + 2u, 0x5000 + first, 1, VIRTQ_DESC_WRITE, 0);
	offer(first);
}

static void step(struct input *in)
{
	unsigned what = (unsigned)take(in, 1), slot = what >> 7;

	switch (what & 7) {
	case 0:
		set_reg(slot, (u32)take(in, 1) * 4, (u32)take(in, 4));
		break;
	case 1:
		virtio_mmio_read(
			vm, (u32)take(in, 2) % (2 * PLATFORM_VIRTIO_STRIDE), 1u << (what >> 3 & 3));
		break;
	case 2:
		set_desc((what >> 3 & 7), take(in, 3), (u32)take(in, 2), (u16)take(in, 1),
			(u16)take(in, 1));
		break;
	case 3:
		offer((u16)take(in, 1));
		break;
	case 4: /* a request that is right, or nearly so */
		request(in, what >> 3 & 3);
		set_reg(slot, 0x50, 0);
		break;
	case 5:
		set_reg(slot, 0x50, 0);
		break;
	case 6:
		fake_tsc += take(in, 2);
		serve_timers();
		break;
	case 7:
		if (what & 8)
			bring_up(slot);
		else /* one byte of the rings */
			poke(take(in, 2) % 0x3000, (u8)take(in, 1));
		break;
	}
}

static void check_quiet(void)
{
	for (u64 frame = 0; frame < vm->memory.gfn_count; frame++)
		REQUIRE(vm->memory.gfns[frame] >> GFN_PIN_SHIFT == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct vm_disk_stats stats;

	bring_up(0);
	bring_up(1);
	while (in.left > 0)
		step(&in);
	for (unsigned slot = 0; slot < 2; slot++) {
		set_reg(slot, 0x70, 0);
		REQUIRE(virtio_mmio_read(vm, slot * PLATFORM_VIRTIO_STRIDE + 0x70, 4) == 0);
		REQUIRE(disk_stats(vm, slot, NULL, &stats));
		REQUIRE(stats.first_sectors <= DISK / SECTOR_SIZE);
	}
	check_quiet();
	fake_tsc += 1000000;
	serve_timers();
	check_quiet();
	/* Each input starts with the same memory. */
	for (u64 page = 0; page < 4; page++)
		memset(memory_page(vm, gfn(page)), 0, PAGE_SIZE);
	fake_log_reset();
	return 0;
}
