/*
 * Hostile drivers of virtio-rng and virtio-console: the input is a program of register accesses,
 * ring contents, requests that are nearly right, typing, pages that go into the balloon and come
 * back, and time. Whatever it does, no more comes out than was asked for or is allowed, the audit
 * finds nothing wrong, and after a reset nothing is pinned.
 */
#include <stdlib.h>
#include <string.h>

#include <abi/platform.h>

#include "arch/x86/guest/ioapic.h"
#include "fake/machine.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/virtio/console.h"
#include "kernel/virtio/console_state.h"
#include "kernel/virtio/rng.h"
#include "kernel/virtio/rng_state.h"
#include "kernel/vm/audit.h"
#include "kernel/vm/limbo.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

#define GUEST_RAM KIB(256)
#define PAGES     (GUEST_RAM / PAGE_SIZE)
#define ENTRIES   8u
/* Three queues: the console's two and the generator's one; three pages each. */
#define QUEUES   3u
#define RINGS(q) ((q)*0x3000u)

static struct vm *vm;
static struct guest_config config = {.name = "fuzz", .rng = true};
/* How many bytes may have come out, at most. */
static u64 allowed, sent;

static unsigned slot_of(unsigned queue)
{
	return queue < CONSOLE_QUEUES ? PLATFORM_CONSOLE_SLOT : PLATFORM_RNG_SLOT;
}

void ioapic_raise(struct vm *of, unsigned pin)
{
	REQUIRE(of == vm && (pin == PLATFORM_VIRTIO_LINE(PLATFORM_CONSOLE_SLOT) ||
				    pin == PLATFORM_VIRTIO_LINE(PLATFORM_RNG_SLOT)));
}

void ioapic_lower(struct vm *of, unsigned pin)
{
	ioapic_raise(of, pin);
}

unsigned guest_console_write(struct guest_console *console, const char *bytes, unsigned count)
{
	static volatile char last;

	REQUIRE(!console && count > 0);
	for (unsigned i = 0; i < count; i++)
		last = bytes[i]; /* for the sanitizers */
	(void)last;
	sent += count;
	return count;
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
	REQUIRE(console_create(vm) == 0 && rng_create(vm) == 0);
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

/* Each write of a register may be a turn of the console's. */
static void set_reg(unsigned slot, u32 reg, u32 value)
{
	allowed += CONSOLE_TURN_BYTES;
	virtio_mmio_write(vm, slot * PLATFORM_VIRTIO_STRIDE + reg, 4, value);
	REQUIRE(sent <= allowed);
}

static void bring_up(unsigned slot)
{
	set_reg(slot, VIRTIO_MMIO_STATUS, 0);
	set_reg(slot, VIRTIO_MMIO_STATUS, 3);
	set_reg(slot, VIRTIO_MMIO_DRIVER_FEATURES_SELECT, 1);
	set_reg(slot, VIRTIO_MMIO_DRIVER_FEATURES, 1);
	set_reg(slot, VIRTIO_MMIO_STATUS, VIRTIO_STATUS_NEGOTIATED);
	for (u32 queue = 0; queue < QUEUES; queue++) {
		if (slot_of(queue) != slot)
			continue;
		set_reg(slot, VIRTIO_MMIO_QUEUE_SELECT, queue % CONSOLE_QUEUES);
		set_reg(slot, VIRTIO_MMIO_QUEUE_SIZE, ENTRIES);
		set_reg(slot, VIRTIO_MMIO_DESC_LOW, RINGS(queue));
		set_reg(slot, VIRTIO_MMIO_AVAIL_LOW, RINGS(queue) + 0x1000);
		set_reg(slot, VIRTIO_MMIO_USED_LOW, RINGS(queue) + 0x2000);
		set_reg(slot, VIRTIO_MMIO_QUEUE_READY, 1);
	}
	set_reg(slot, VIRTIO_MMIO_STATUS, VIRTIO_STATUS_READY);
}

/* The memory of the rings may be in the balloon: then nothing is written. */
static void poke(u64 address, const void *from, u64 bytes)
{
	(void)!memory_write(vm, gpa(address), from, bytes);
}

static void set_desc(u32 queue, unsigned index, u64 address, u32 bytes, u16 flags, u16 next)
{
	struct virtq_desc desc = {address, bytes, flags, next};

	poke(RINGS(queue) + index * sizeof(desc), &desc, sizeof(desc));
}

/* What is counted stays in its bounds. (Used rings tell nothing: random bytes may lie there.) */
static void check_counts(void)
{
	const struct virtio_console *console = container_of(
		vm->devices[PLATFORM_CONSOLE_SLOT], struct virtio_console, device);
	const struct virtio_rng *rng = container_of(
		vm->devices[PLATFORM_RNG_SLOT], struct virtio_rng, device);

	REQUIRE(console->input_head - console->input_tail <= CONSOLE_INPUT_BYTES);
	REQUIRE(rng->budget <= RNG_BYTES);
	REQUIRE(rng->refill_at <= fake_tsc + ticks_from_us(RNG_REFILL_US));
}

static void offer(u32 queue, u16 head)
{
	u16 index = 0;

	if (memory_read(vm, gpa(RINGS(queue) + 0x1002), &index, 2))
		return;
	poke(RINGS(queue) + 0x1004 + 2 * (index % ENTRIES), &head, 2);
	index++;
	poke(RINGS(queue) + 0x1002, &index, 2);
	set_reg(slot_of(queue), VIRTIO_MMIO_QUEUE_NOTIFY, queue % CONSOLE_QUEUES);
}

static void serve_timers(void)
{
	unsigned served = 0;
	struct timer *timer;

	while ((timer = timer_pop(arch_tsc())) != NULL) {
		REQUIRE(timer->kind == TIMER_DEVICE);
		allowed += CONSOLE_TURN_BYTES;
		virtio_timer_expired(timer);
		REQUIRE(sent <= allowed);
		REQUIRE(++served < 10000);
	}
}

/* A page behind the rings goes into the balloon, or comes back. */
static void move_page(struct input *in)
{
	gfn_t frame = gfn(take(in, 1) % PAGES);

	if (memory_inflate(vm, frame, 0) != 0)
		(void)!memory_deflate(vm, frame, 0);
	epoch_quiescent(epoch_now());
	limbo_drain();
}

/* A chain of one to three buffers as the device wants them; addresses and lengths are anything. */
static void request(struct input *in, u32 queue, unsigned shape)
{
	u16 flags = queue == CONSOLE_TRANSMIT ? 0 : VIRTQ_DESC_WRITE;
	u16 count = (u16)(1 + shape % 3);

	for (u16 i = 0; i < count; i++)
		set_desc(queue, i, take(in, 3), (u32)take(in, 2),
			flags | (i + 1 < count ? VIRTQ_DESC_NEXT : 0), i + 1);
	offer(queue, 0);
}

static void step(struct input *in)
{
	unsigned what = (unsigned)take(in, 1);
	u32 queue = (what >> 3) % QUEUES;
	char text[64] = "typed, and typed, and typed, and typed, and typed, and typed";

	switch (what & 7) {
	case 0:
		set_reg(slot_of(queue), (u32)take(in, 1) * 4, (u32)take(in, 4));
		break;
	case 1:
		virtio_mmio_read(vm,
			slot_of(queue) * PLATFORM_VIRTIO_STRIDE +
				(u32)take(in, 2) % PLATFORM_VIRTIO_STRIDE,
			1u << (what >> 5 & 3));
		break;
	case 2:
		set_desc(queue, what >> 5, take(in, 8), (u32)take(in, 4), (u16)take(in, 1),
			(u16)take(in, 1));
		break;
	case 3:
		offer(queue, (u16)take(in, 1));
		break;
	case 4:
		request(in, queue, what >> 5);
		break;
	case 5:
		allowed += CONSOLE_TURN_BYTES;
		REQUIRE(console_input(vm, text, what >> 2) <= CONSOLE_INPUT_BYTES);
		break;
	case 6:
		fake_tsc += take(in, 3);
		serve_timers();
		break;
	case 7:
		if (what & 64)
			bring_up(slot_of(queue));
		else
			move_page(in);
		break;
	}
	check_counts();
}

static void check_quiet(void)
{
	for (u64 frame = 0; frame < vm->memory.gfn_count; frame++)
		REQUIRE(vm->memory.gfns[frame] >> GFN_PIN_SHIFT == 0);
}

/* Each input starts with the same memory, and devices as new as can be. */
static void begin_anew(void)
{
	rng_destroy(vm);
	console_destroy(vm);
	memory_balloon_forget(vm);
	for (u64 page = 0; page < PAGES; page++)
		memset(memory_page(vm, gfn(page)), 0, PAGE_SIZE);
	REQUIRE(console_create(vm) == 0 && rng_create(vm) == 0);
	REQUIRE(audit_run() == 0);
	allowed = sent = 0;
	fake_log_reset();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};

	bring_up(PLATFORM_CONSOLE_SLOT);
	bring_up(PLATFORM_RNG_SLOT);
	while (in.left > 0)
		step(&in);
	REQUIRE(audit_run() == 0);
	set_reg(PLATFORM_CONSOLE_SLOT, VIRTIO_MMIO_STATUS, 0);
	set_reg(PLATFORM_RNG_SLOT, VIRTIO_MMIO_STATUS, 0);
	check_quiet();
	fake_tsc += 100000000;
	serve_timers();
	check_quiet();
	begin_anew();
	return 0;
}
