/*
 * A hostile virtio-balloon driver: the input is a program of register accesses, arrays of frame
 * numbers, ranges, statistics, touches of memory, targets and time. Whatever it does, the audit
 * finds nothing wrong, and after a reset nothing is pinned and nothing in the balloon.
 */
/* Rings of one page each; numbers stand behind them. */
#define QUEUE        8u
#define RINGS(queue) ((queue)*0x3000u)
#define ARRAY        0x10000u
#define RAM_MAY_GO   1
#include "hostile_guest.h"
#include "kernel/virtio/balloon_state.h"

#define GUEST_RAM (MIB(6) + KIB(16))
#define SLOT      PLATFORM_BALLOON_SLOT

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fake_core_start(MIB(32), 1);
	fake_clear_skip = true;
	guest_create(
		&(struct guest_config){
			.name = "fuzz", .memory_min = MIB(1), .memory_max = GUEST_RAM},
		GUEST_RAM);
	REQUIRE(balloon_create(vm) == 0);
	return 0;
}

static void bring_up(void)
{
	REQUIRE(negotiate(SLOT, 0x27) == 11);
	for (unsigned queue = 0; queue < BALLOON_QUEUES; queue++)
		start_queue(SLOT, queue, queue);
	set_reg(SLOT, 0x070, 15);
}

static void send(u32 queue, u16 head)
{
	if (offer_next(queue, head))
		set_reg(SLOT, 0x050, queue);
}

/* Numbers from @first on with a step, so that runs, blocks and repetitions occur. */
static void array(struct input *in, u32 queue)
{
	u32 first = (u32)take(in, 2), count = (u32)take(in, 2) % 1200, step = (u32)take(in, 1) % 3;

	for (u32 i = 0; i < count; i++) {
		u32 number = first + i * step;

		guest_write(ARRAY + i * 4u, &number, 4);
	}
	set_desc(queue, 0, ARRAY, count * 4, 0, 0);
	send(queue, 0);
}

static void step(struct input *in)
{
	unsigned what = (unsigned)take(in, 1);
	u32 queue = what >> 3 & 3;
	struct balloon_status sample;
	u8 *page;

	switch (what & 7) {
	case 0:
		set_reg(SLOT, (u32)take(in, 1) * 4, (u32)take(in, 4));
		break;
	case 1:
		read_anywhere(in, SLOT, 1, what >> 3);
		break;
	case 2:
		any_desc(in, queue, what >> 5, 3, 2);
		break;
	case 3:
		send(queue, (u16)take(in, 1));
		break;
	case 4:
		array(in, queue);
		break;
	case 5: /* a range, as reporting has them */
		set_desc(queue, 0, take(in, 2) << PAGE_SHIFT, (u32)take(in, 2) << PAGE_SHIFT,
			VIRTQ_DESC_WRITE, 0);
		send(queue, 0);
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};

	bring_up();
	while (in.left > 0)
		step(&in);
	REQUIRE(audit_run() == 0);
	check_quiet();
	REQUIRE(vm->memory.ballooned_pages == 0);
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
