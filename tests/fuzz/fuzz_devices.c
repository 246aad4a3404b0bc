/*
 * Hostile drivers of virtio-rng and virtio-console: the input is a program of register accesses,
 * ring contents, requests that are nearly right, typing, pages that go into the balloon and come
 * back, another CPU that rings while a device is at work, how long that takes, and time. Whatever
 * it does, no more comes out than was asked for or is allowed, the audit finds nothing wrong, and
 * after a reset nothing is pinned.
 */
/* Three queues: the console's two and the generator's one; three pages each. */
#define QUEUE        8u
#define RINGS(queue) ((queue)*0x3000u)
#define QUEUES       3u
#define RAM_MAY_GO   1
#include "hostile_guest.h"
#include "kernel/virtio/console.h"
#include "kernel/virtio/console_state.h"
#include "kernel/virtio/rng.h"
#include "kernel/virtio/rng_state.h"

#define PAGES (KIB(256) / PAGE_SIZE)

/* How many bytes may have come out, at most. */
static u64 allowed, sent;
/* What each piece of output and each interrupt takes, ticks; and all of them so far. */
static u64 slow, taken;
/* How often the other CPU still rings meanwhile, and which queue. */
static unsigned rings;
static u32 rung_queue;

static unsigned slot_of(unsigned queue)
{
	return queue < CONSOLE_QUEUES ? PLATFORM_CONSOLE_SLOT : PLATFORM_RNG_SLOT;
}

/* A device is at work. */
static void meanwhile(unsigned slot)
{
	unsigned index = this_cpu()->index;

	(void)slot;
	fake_tsc += slow;
	taken += slow;
	if (rings == 0)
		return;
	rings--;
	allowed += CONSOLE_TURN_BYTES;
	fake_run_as(1 - index);
	set_reg(slot_of(rung_queue), 0x050, rung_queue % CONSOLE_QUEUES);
	fake_run_as(index);
}

unsigned guest_console_write(struct guest_console *console, const char *bytes, unsigned count)
{
	static volatile char last;

	REQUIRE(!console && count > 0);
	for (unsigned i = 0; i < count; i++)
		last = bytes[i]; /* for the sanitizers */
	(void)last;
	sent += count;
	meanwhile(PLATFORM_CONSOLE_SLOT);
	return count;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fake_core_start(MIB(32), 2);
	guest_create(&(struct guest_config){.name = "fuzz", .rng = true}, PAGES * PAGE_SIZE);
	on_interrupt = meanwhile;
	REQUIRE(console_create(vm) == 0 && rng_create(vm) == 0);
	return 0;
}

/* Each write of a register may be a turn of the console's. */
static void write_reg(unsigned slot, u32 offset, u32 value)
{
	allowed += CONSOLE_TURN_BYTES;
	set_reg(slot, offset, value);
	REQUIRE(sent <= allowed);
}

static void bring_up(unsigned slot)
{
	REQUIRE(negotiate(slot, 0) == 11);
	for (unsigned queue = 0; queue < QUEUES; queue++)
		if (slot_of(queue) == slot)
			start_queue(slot, queue % CONSOLE_QUEUES, queue);
	write_reg(slot, 0x070, 15);
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
	/* A turn may have another one in it, and each look at the clock takes a tick. */
	REQUIRE(rng->refill_at <=
		fake_tsc + MAX(ticks_from_us(RNG_REFILL_US), 8 * 2 * taken + 100000));
}

static void send(u32 queue, u16 head)
{
	if (offer_next(queue, head))
		write_reg(slot_of(queue), 0x050, queue % CONSOLE_QUEUES);
}

static void let_pass(u64 ticks)
{
	fake_tsc += ticks;
	for (unsigned i = arch_cpu_count(); i-- > 0;) {
		bool served;

		fake_run_as(i);
		do {
			allowed += CONSOLE_TURN_BYTES;
			served = serve_timer();
			REQUIRE(sent <= allowed);
		} while (served);
	}
}

/* A page behind the rings goes into the balloon, or comes back. */
static void move_page(struct input *in)
{
	gfn_t frame = gfn(take(in, 1) % PAGES);

	if (memory_inflate(vm, frame, 0) != 0)
		(void)!memory_deflate(vm, frame, 0);
	fake_all_pass();
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
	send(queue, 0);
}

static void step(struct input *in)
{
	unsigned what = (unsigned)take(in, 1);
	u32 queue = (what >> 3) % QUEUES;
	char text[64] = "typed, and typed, and typed, and typed, and typed, and typed";

	switch (what & 7) {
	case 0:
		write_reg(slot_of(queue), (u32)take(in, 1) * 4, (u32)take(in, 4));
		break;
	case 1:
		read_anywhere(in, slot_of(queue), 1, what >> 5);
		break;
	case 2:
		any_desc(in, queue, what >> 5, 8, 4);
		break;
	case 3:
		send(queue, (u16)take(in, 1));
		break;
	case 4:
		request(in, queue, what >> 5);
		break;
	case 5:
		allowed += CONSOLE_TURN_BYTES;
		REQUIRE(console_input(vm, text, what >> 2) <= CONSOLE_INPUT_BYTES);
		break;
	case 6:
		if (what & 8) {
			slow = take(in, 3);
			rings = (unsigned)take(in, 1);
			rung_queue = (what >> 4) % QUEUES;
		} else {
			let_pass(take(in, 3));
		}
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
	allowed = sent = slow = taken = 0;
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
	rings = 0;
	check_quiet();
	begin_anew();
	return 0;
}
