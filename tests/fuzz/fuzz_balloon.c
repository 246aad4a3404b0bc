/*
 * A hostile virtio-balloon driver: the input is a program of register accesses, arrays of frame
 * numbers, ranges, statistics, touches of memory, targets and time. Whatever it does, the audit
 * finds nothing wrong, and after a reset nothing is pinned and nothing in the balloon.
 */
#include <stdlib.h>
#include <string.h>

#include <abi/platform.h>

#include "arch/x86/guest/ioapic.h"
#include "fake/machine.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/virtio/balloon_state.h"
#include "kernel/vm/audit.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

#define GUEST_RAM (MIB(6) + KIB(16))
#define SLOT      PLATFORM_BALLOON_SLOT
/* Queue n has its rings from n * RINGS on, one page each; numbers stand behind them. */
#define RINGS 0x3000u
#define ARRAY 0x10000u

static struct vm *vm;
static struct guest_config config = {.name = "fuzz", .memory_min = MIB(1), .memory_max = GUEST_RAM};

void ioapic_raise(struct vm *of, unsigned pin)
{
	REQUIRE(of == vm && pin == PLATFORM_VIRTIO_GSI + SLOT);
}

void ioapic_lower(struct vm *of, unsigned pin)
{
	REQUIRE(of == vm && pin == PLATFORM_VIRTIO_GSI + SLOT);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fake_core_start(MIB(32), 1);
	fake_clear_skip = true;
	epoch_quiescent(epoch_now());
	vm = fake_vm(0);
	vm->config = &config;
	REQUIRE(memory_create(vm, GUEST_RAM, &fake_ept) == 0);
	REQUIRE(balloon_create(vm) == 0);
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

static void set_reg(u32 reg, u32 value)
{
	virtio_mmio_write(vm, SLOT * PLATFORM_VIRTIO_STRIDE + reg, 4, value);
}

static void bring_up(void)
{
	set_reg(0x70, 0);
	set_reg(0x70, 3);
	set_reg(0x24, 0);
	set_reg(0x20, 0x27);
	set_reg(0x24, 1);
	set_reg(0x20, 1);
	set_reg(0x70, 11);
	for (u32 queue = 0; queue < BALLOON_QUEUES; queue++) {
		set_reg(0x30, queue);
		set_reg(0x38, 8);
		set_reg(0x80, queue * RINGS);
		set_reg(0x90, queue * RINGS + 0x1000);
		set_reg(0xa0, queue * RINGS + 0x2000);
		set_reg(0x44, 1);
	}
	set_reg(0x70, 15);
}

/* The memory of the rings may be in the balloon: then nothing is written. */
static void poke(u64 address, const void *from, u64 bytes)
{
	(void)!memory_write(vm, gpa(address), from, bytes);
}

static void set_desc(u32 queue, unsigned index, u64 address, u32 bytes, u16 flags, u16 next)
{
	struct virtq_desc desc = {address, bytes, flags, next};

	poke(queue * RINGS + index * sizeof(desc), &desc, sizeof(desc));
}

static void offer(u32 queue, u16 head)
{
	u16 index = 0;

	if (memory_read(vm, gpa(queue * RINGS + 0x1002), &index, 2))
		return;
	poke(queue * RINGS + 0x1004 + 2 * (index % 8u), &head, 2);
	index++;
	poke(queue * RINGS + 0x1002, &index, 2);
	set_reg(0x50, queue);
}

/* Numbers from @first on with a step, so that runs, blocks and repetitions occur. */
static void array(struct input *in, u32 queue)
{
	u32 first = (u32)take(in, 2), count = (u32)take(in, 2) % 1200, step = (u32)take(in, 1) % 3;

	for (u32 i = 0; i < count; i++) {
		u32 number = first + i * step;

		poke(ARRAY + i * 4u, &number, 4);
	}
	set_desc(queue, 0, ARRAY, count * 4, 0, 0);
	offer(queue, 0);
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

static void step(struct input *in)
{
	unsigned what = (unsigned)take(in, 1);
	u32 queue = what >> 3 & 3;
	struct balloon_status sample;
	u8 *page;

	switch (what & 7) {
	case 0:
		set_reg((u32)take(in, 1) * 4, (u32)take(in, 4));
		break;
	case 1:
		virtio_mmio_read(vm,
			SLOT * PLATFORM_VIRTIO_STRIDE + (u32)take(in, 2) % PLATFORM_VIRTIO_STRIDE,
			1u << (what >> 3 & 3));
		break;
	case 2:
		set_desc(queue, what >> 5, take(in, 3), (u32)take(in, 2), (u16)take(in, 1),
			(u16)take(in, 1));
		break;
	case 3:
		offer(queue, (u16)take(in, 1));
		break;
	case 4:
		array(in, queue);
		break;
	case 5: /* a range, as reporting has them */
		set_desc(queue, 0, take(in, 2) << PAGE_SHIFT, (u32)take(in, 2) << PAGE_SHIFT,
			VIRTQ_DESC_WRITE, 0);
		offer(queue, 0);
		break;
	case 6:
		fake_tsc += take(in, 3);
		serve_timers();
		epoch_quiescent(epoch_now());
		limbo_drain();
		balloon_set_target(vm, take(in, 2), "a test");
		balloon_device_tick(vm);
		REQUIRE(balloon_status(vm, &sample));
		REQUIRE(sample.size_pages <= sample.max_pages &&
			sample.target_pages <= sample.max_pages &&
			sample.target_pages >= MIB(1) / PAGE_SIZE);
		break;
	case 7:
		if (what & 8) {
			bring_up();
			break;
		}
		page = memory_page(vm, gfn(take(in, 2) % (GUEST_RAM / PAGE_SIZE)));
		if (page)
			page[what] = (u8)what;
		break;
	}
}

static void check_quiet(void)
{
	for (u64 frame = 0; frame < vm->memory.gfn_count; frame++)
		REQUIRE(vm->memory.gfns[frame] >> GFN_PIN_SHIFT == 0);
	REQUIRE(vm->memory.ballooned_pages == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};

	bring_up();
	while (in.left > 0)
		step(&in);
	REQUIRE(audit_run() == 0);
	set_reg(0x70, 0);
	check_quiet();
	fake_tsc += 100000000;
	serve_timers();
	check_quiet();
	/* Each input starts with the same memory: populated, in large pages. */
	for (u64 block = 0; block < GUEST_RAM / BLOCK_SIZE; block++)
		REQUIRE(memory_report(vm, gfn(block * BLOCK_PAGES), BLOCK_ORDER) == 0);
	epoch_quiescent(epoch_now());
	while (limbo_frames() > 0)
		limbo_drain();
	for (u64 block = 0; block < GUEST_RAM / BLOCK_SIZE; block++)
		REQUIRE(memory_page(vm, gfn(block * BLOCK_PAGES)));
	for (u64 page = 0; page < 24; page++)
		memset(memory_page(vm, gfn(page)), 0, PAGE_SIZE);
	REQUIRE(audit_run() == 0);
	fake_log_reset();
	return 0;
}
