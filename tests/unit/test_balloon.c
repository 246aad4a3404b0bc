/*
 * A whole virtio-balloon device over real guest memory: a driver written for this test inflates,
 * deflates, reports free pages and gives statistics through the registers and queues, and then
 * breaks every rule. After each test the audit is silent and nothing stays pinned.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/platform.h>

#include "arch/x86/guest/ioapic.h"
#include "fake/machine.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/virtio/balloon_state.h"
#include "kernel/vm/audit.h"
#include "kernel/vm/limbo.h"

#define GUEST_RAM MIB(16)
#define PAGES     (GUEST_RAM / PAGE_SIZE)
#define QUEUE     16u
#define SLOT      PLATFORM_BALLOON_SLOT

/* Where the driver keeps things, guest-physical: queue n has its rings from RINGS(n) on. */
#define RINGS(n) (0x10000u + (n)*0x3000u)
#define ARRAY    0x40000u
#define STATS    0x30000u

#define FEATURES 0x27u /* all four */

static struct vm *vm;
static struct guest_config config;
static unsigned raised;
static u16 offered[4]; /* available indices of the driver */

void ioapic_raise(struct vm *of, unsigned pin)
{
	assert_ptr_equal(of, vm);
	assert_int_equal(pin, PLATFORM_VIRTIO_GSI + SLOT);
	raised++;
}

void ioapic_lower(struct vm *of, unsigned pin)
{
	assert_ptr_equal(of, vm);
	assert_int_equal(pin, PLATFORM_VIRTIO_GSI + SLOT);
}

static u32 reg(u32 offset)
{
	return (u32)virtio_mmio_read(vm, SLOT * PLATFORM_VIRTIO_STRIDE + offset, 4);
}

static void set_reg(u32 offset, u32 value)
{
	virtio_mmio_write(vm, SLOT * PLATFORM_VIRTIO_STRIDE + offset, 4, value);
}

static void guest_write(u64 address, const void *from, u64 bytes)
{
	assert_int_equal(memory_write(vm, gpa(address), from, bytes), 0);
}

static void guest_read(u64 address, void *to, u64 bytes)
{
	assert_int_equal(memory_read(vm, gpa(address), to, bytes), 0);
}

/* 11 if the device takes the features. */
static u32 negotiate(u32 features)
{
	set_reg(0x070, 0);
	set_reg(0x070, 3);
	set_reg(0x024, 0);
	set_reg(0x020, features);
	set_reg(0x024, 1);
	set_reg(0x020, 1);
	set_reg(0x070, 11);
	return reg(0x070);
}

static void start_queue(unsigned queue)
{
	static const u8 zeros[PAGE_SIZE];

	for (unsigned part = 0; part < 3; part++)
		guest_write(RINGS(queue) + part * PAGE_SIZE, zeros, PAGE_SIZE);
	set_reg(0x030, queue);
	set_reg(0x038, QUEUE);
	set_reg(0x080, RINGS(queue));
	set_reg(0x090, RINGS(queue) + 0x1000);
	set_reg(0x0a0, RINGS(queue) + 0x2000);
	set_reg(0x044, 1);
	assert_int_equal(reg(0x044), 1);
	offered[queue] = 0;
}

static void bring_up(void)
{
	assert_int_equal(negotiate(FEATURES), 11);
	for (unsigned queue = 0; queue < 4; queue++)
		start_queue(queue);
	set_reg(0x070, 15);
	raised = 0;
}

static int setup(void **state)
{
	(void)state;
	fake_core_start(MIB(64), 1);
	epoch_quiescent(epoch_now());
	memset(&config, 0, sizeof(config));
	strcpy(config.name, "web");
	config.memory_min = MIB(4);
	config.memory_max = GUEST_RAM;
	vm = fake_vm(0);
	vm->config = &config;
	assert_int_equal(memory_create(vm, GUEST_RAM, &fake_ept), 0);
	assert_int_equal(balloon_create(vm), 0);
	bring_up();
	fake_log_reset();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(audit_run(), 0);
	balloon_destroy(vm);
	for (u64 frame = 0; frame < vm->memory.gfn_count; frame++)
		assert_int_equal(vm->memory.gfns[frame] >> GFN_PIN_SHIFT, 0);
	assert_null(timer_pop(~0UL));
	assert_int_equal(audit_run(), 0);
	return 0;
}

static void set_desc(unsigned queue, u16 index, u64 address, u32 bytes, u16 flags, u16 next)
{
	struct virtq_desc desc = {address, bytes, flags, next};

	guest_write(RINGS(queue) + index * 16u, &desc, sizeof(desc));
}

static void offer(unsigned queue, u16 head)
{
	guest_write(RINGS(queue) + 0x1004 + 2u * (offered[queue] % QUEUE), &head, 2);
	offered[queue]++;
	guest_write(RINGS(queue) + 0x1002, &offered[queue], 2);
}

static u16 used_index(unsigned queue)
{
	u16 index;

	guest_read(RINGS(queue) + 0x2002, &index, 2);
	return index;
}

static void notify(unsigned queue)
{
	set_reg(0x050, queue);
}

/* What the dispatch loop does: timers, and the head where limbo is emptied. */
static unsigned serve(void)
{
	struct timer *timer;
	unsigned turns = 0;

	while ((timer = timer_pop(arch_tsc() + 10000000)) != NULL) {
		assert_int_equal(timer->kind, TIMER_DEVICE);
		virtio_timer_expired(timer);
		turns++;
		epoch_quiescent(epoch_now());
		limbo_drain();
	}
	return turns;
}

/* @count frame numbers from @first on as one array in @queue. */
static void send_range(unsigned queue, u32 first, u32 count)
{
	for (u32 i = 0; i < count; i++) {
		u32 number = first + i;

		guest_write(ARRAY + i * 4u, &number, 4);
	}
	set_desc(queue, 0, ARRAY, count * 4, 0, 0);
	offer(queue, 0);
	notify(queue);
}

static void send_numbers(unsigned queue, const u32 *numbers, u32 count)
{
	guest_write(ARRAY, numbers, count * 4);
	set_desc(queue, 0, ARRAY, count * 4, 0, 0);
	offer(queue, 0);
	notify(queue);
}

/* The driver broke the rules: said with the guest's name; what was done before stays; after its
 * reset the device works again. */
static void is_broken(const char *message)
{
	assert_int_equal(reg(0x070) & 0x40, 0x40);
	if (!strstr(fake_log_text, message))
		fail_msg("not said: \"%s\" in:\n%s", message, fake_log_text);
	assert_non_null(strstr(fake_log_text, "guest \"web\""));
	assert_int_equal(audit_run(), 0);
	fake_log_reset();
	bring_up();
	assert_int_equal(vm->memory.ballooned_pages, 0);
	send_range(BALLOON_INFLATE, 3000, 3);
	assert_int_equal(used_index(BALLOON_INFLATE), 1);
	assert_int_equal(vm->memory.ballooned_pages, 3);
	assert_int_equal(fake_log_errors, 0);
}

/* ---- What it is for ----------------------------------------------------------------------------
 */

static void what_the_registers_say(void **state)
{
	(void)state;
	assert_int_equal(reg(0x008), VIRTIO_ID_BALLOON);
	for (u32 queue = 0; queue < 6; queue++) {
		set_reg(0x030, queue);
		assert_int_equal(reg(0x034), queue < 4 ? VIRTQUEUE_SIZE_MAX : 0);
	}
	set_reg(0x014, 0);
	assert_int_equal(reg(0x010), FEATURES);
	/* A driver that would take pages back without saying so is refused. */
	assert_int_equal(negotiate(FEATURES & ~1u), 3);
	assert_int_equal(negotiate(FEATURES | 8), 3);
	assert_int_equal(negotiate(1), 11);
}

static void pages_go_and_come_back(void **state)
{
	static const u32 numbers[] = {1000, 1002, 1003, 3999, 2000, 1001};
	(void)state;

	memset(memory_page(vm, gfn(1000)), 0x77, PAGE_SIZE);
	send_numbers(BALLOON_INFLATE, numbers, 6);
	assert_int_equal(used_index(BALLOON_INFLATE), 1);
	assert_int_equal(raised, 1);
	assert_int_equal(vm->memory.ballooned_pages, 6);
	assert_int_equal(limbo_frames(), 4); /* the other two were never touched */
	for (unsigned i = 0; i < 6; i++)
		assert_null(memory_page(vm, gfn(numbers[i])));
	assert_non_null(memory_page(vm, gfn(1004)));
	send_numbers(BALLOON_DEFLATE, numbers, 6);
	assert_int_equal(used_index(BALLOON_DEFLATE), 1);
	assert_int_equal(vm->memory.ballooned_pages, 0);
	assert_int_equal(*(u8 *)memory_page(vm, gfn(1000)), 0);
}

static void arrays_may_lie_in_any_buffers(void **state)
{
	u32 numbers[10];
	(void)state;

	for (unsigned i = 0; i < 10; i++)
		numbers[i] = 3000 + i * i;
	/* 40 bytes in three buffers that cut a number in two, and an empty one between. */
	guest_write(ARRAY + PAGE_SIZE - 7, numbers, 18);
	guest_write(STATS, (u8 *)numbers + 18, 22);
	set_desc(BALLOON_INFLATE, 3, ARRAY + PAGE_SIZE - 7, 18, VIRTQ_DESC_NEXT, 5);
	set_desc(BALLOON_INFLATE, 5, 0, 0, VIRTQ_DESC_NEXT, 7);
	set_desc(BALLOON_INFLATE, 7, STATS, 1, VIRTQ_DESC_NEXT, 1);
	set_desc(BALLOON_INFLATE, 1, STATS + 1, 21, 0, 0);
	offer(BALLOON_INFLATE, 3);
	notify(BALLOON_INFLATE);
	assert_int_equal(used_index(BALLOON_INFLATE), 1);
	assert_int_equal(vm->memory.ballooned_pages, 10);
	for (unsigned i = 0; i < 10; i++)
		assert_null(memory_page(vm, gfn(numbers[i])));
	/* No numbers at all are no error. */
	set_desc(BALLOON_INFLATE, 0, 0, 0, 0, 0);
	offer(BALLOON_INFLATE, 0);
	notify(BALLOON_INFLATE);
	assert_int_equal(used_index(BALLOON_INFLATE), 2);
}

static void blocks_go_as_one(void **state)
{
	u64 generation, tables;
	(void)state;

	assert_non_null(memory_page(vm, gfn(1024)));
	assert_non_null(memory_page(vm, gfn(1536)));
	tables = vm->memory.table_pages;
	generation = vm->memory.generation;
	/* A block, with pages around it. */
	send_range(BALLOON_INFLATE, 1024, 512);
	assert_int_equal(vm->memory.generation, generation + 1);
	assert_int_equal(vm->memory.table_pages, tables);
	assert_int_equal(used_index(BALLOON_INFLATE), 1);
	assert_int_equal(vm->memory.ballooned_pages, 512);
	send_range(BALLOON_INFLATE, 1536, 511); /* not a whole one: page by page, in turns */
	serve();
	assert_int_equal(used_index(BALLOON_INFLATE), 2);
	assert_int_equal(vm->memory.ballooned_pages, 1023);
	assert_int_equal(vm->memory.table_pages, tables + 1);
	send_range(BALLOON_DEFLATE, 1020 + 4, 1000);
	serve();
	assert_int_equal(vm->memory.ballooned_pages, 23);
	assert_int_equal(used_index(BALLOON_DEFLATE), 1);
}

static void runs_are_cut_at_blocks(void **state)
{
	(void)state;
	/* 3 pages, a block, 2 pages in one array, and nothing is touched beside them. */
	send_range(BALLOON_INFLATE, 1021, 517);
	serve();
	assert_int_equal(used_index(BALLOON_INFLATE), 1);
	assert_int_equal(vm->memory.ballooned_pages, 517);
	assert_non_null(memory_page(vm, gfn(1020)));
	assert_null(memory_page(vm, gfn(1021)));
	assert_null(memory_page(vm, gfn(1537)));
	assert_non_null(memory_page(vm, gfn(1538)));
}

static void work_is_bounded(void **state)
{
	u32 number;
	unsigned turns;
	(void)state;

	/* 2000 pages that are no run: every second one. */
	for (u32 i = 0; i < 1500; i++) {
		number = 1000 + 2 * i;
		guest_write(ARRAY + i * 4u, &number, 4);
	}
	set_desc(BALLOON_INFLATE, 0, ARRAY, 6000, 0, 0);
	offer(BALLOON_INFLATE, 0);
	notify(BALLOON_INFLATE);
	assert_int_equal(vm->memory.ballooned_pages, 512);
	assert_int_equal(used_index(BALLOON_INFLATE), 0);
	turns = serve();
	assert_int_equal(turns, 2);
	assert_int_equal(used_index(BALLOON_INFLATE), 1);
	assert_int_equal(vm->memory.ballooned_pages, 1500);
	send_range(BALLOON_DEFLATE, 1000, 1);
	assert_int_equal(vm->memory.ballooned_pages, 1499);
}

static void free_pages_are_reported(void **state)
{
	u8 *page;
	(void)state;

	page = memory_page(vm, gfn(1024));
	memset(page, 0x33, PAGE_SIZE);
	assert_non_null(memory_page(vm, gfn(2048)));
	set_desc(BALLOON_REPORTING, 0, MIB(4), MIB(2), VIRTQ_DESC_WRITE | VIRTQ_DESC_NEXT, 1);
	set_desc(BALLOON_REPORTING, 1, MIB(8) + PAGE_SIZE, 3 * PAGE_SIZE, VIRTQ_DESC_WRITE, 0);
	offer(BALLOON_REPORTING, 0);
	notify(BALLOON_REPORTING);
	assert_int_equal(used_index(BALLOON_REPORTING), 1);
	assert_int_equal(vm->memory.reported_pages, 515);
	assert_int_equal(limbo_frames(), 515);
	assert_int_equal(raised, 1);
	/* Used again without a word. */
	assert_int_equal(*(u8 *)memory_page(vm, gfn(1024)), 0);
	assert_non_null(memory_page(vm, gfn(2049)));
	assert_int_equal(vm->memory.reported_pages, 2);
}

/* ---- The interface of the policies -------------------------------------------------------------
 */

static void a_target_is_told_and_logged(void **state)
{
	struct balloon_status sample;
	u32 generation = reg(0x0fc);
	(void)state;

	assert_int_equal(reg(0x100), 0);
	balloon_set_target(vm, PAGES - 100, "a test");
	assert_int_equal(reg(0x100), 100);
	assert_int_not_equal(reg(0x0fc), generation);
	assert_int_equal(raised, 1);
	assert_int_equal(reg(0x060), VIRTIO_INTERRUPT_CONFIG);
	assert_non_null(strstr(fake_log_last,
		"guest \"web\": balloon: target 15984 KiB, was 16384; it has 16384"));
	fake_log_reset();
	balloon_set_target(vm, PAGES - 100, "a test"); /* no news */
	assert_int_equal(fake_log_lines, 0);
	send_range(BALLOON_INFLATE, 2100, 100);
	assert_true(balloon_status(vm, &sample));
	assert_int_equal(sample.max_pages, PAGES);
	assert_int_equal(sample.target_pages, PAGES - 100);
	assert_int_equal(sample.size_pages, PAGES - 100);
	assert_int_equal(sample.populated_pages, vm->memory.populated_pages);
	assert_true(sample.has_driver && sample.responsive);
	assert_int_equal(sample.stats_age, BALLOON_NEVER);
	/* Never below memory_min, nor above memory_max. */
	balloon_set_target(vm, 5, "a test");
	assert_int_equal(reg(0x100), PAGES - MIB(4) / PAGE_SIZE);
	balloon_set_target(vm, ~0UL, "a test");
	assert_int_equal(reg(0x100), 0);
	/* The driver's word of it is kept for the driver alone. */
	set_reg(0x104, 77);
	set_reg(0x100, 78);
	assert_int_equal(reg(0x104), 77);
	assert_int_equal(reg(0x100), 0);
	assert_int_equal(virtio_mmio_read(vm, SLOT * PLATFORM_VIRTIO_STRIDE + 0x108, 4), 0);
}

struct stat_entry {
	u16 tag;
	u64 value;
} __attribute__((packed));

static void send_stats(const struct stat_entry *stats, unsigned count)
{
	guest_write(STATS + PAGE_SIZE - 15, stats, count * sizeof(*stats));
	set_desc(BALLOON_STATISTICS, 0, STATS + PAGE_SIZE - 15, count * 10, 0, 0);
	offer(BALLOON_STATISTICS, 0);
	notify(BALLOON_STATISTICS);
}

static void statistics_come_when_asked_for(void **state)
{
	static const struct stat_entry first[] = {{BALLOON_STAT_FREE, MIB(3)},
		{BALLOON_STAT_MAJOR_FAULTS, 12345678901}, {99, 1}, {BALLOON_STAT_TOTAL, GUEST_RAM}};
	static const struct stat_entry second[] = {{BALLOON_STAT_AVAILABLE, MIB(4)}};
	struct balloon_status sample;
	(void)state;

	send_stats(first, 4);
	assert_true(balloon_status(vm, &sample));
	assert_int_equal(sample.stats_age, 0);
	assert_int_equal(sample.stats[BALLOON_STAT_FREE], MIB(3));
	assert_int_equal(sample.stats[BALLOON_STAT_MAJOR_FAULTS], 12345678901);
	assert_int_equal(sample.stats[BALLOON_STAT_TOTAL], GUEST_RAM);
	assert_int_equal(sample.stats[BALLOON_STAT_AVAILABLE], BALLOON_STAT_UNKNOWN);
	assert_int_equal(used_index(BALLOON_STATISTICS), 0); /* held */
	balloon_device_tick(vm);
	assert_int_equal(used_index(BALLOON_STATISTICS), 1);
	assert_int_equal(raised, 1);
	balloon_device_tick(vm); /* the driver is slow */
	assert_int_equal(used_index(BALLOON_STATISTICS), 1);
	assert_true(balloon_status(vm, &sample));
	assert_int_equal(sample.stats_age, 2);
	send_stats(second, 1);
	assert_true(balloon_status(vm, &sample));
	assert_int_equal(sample.stats_age, 0);
	assert_int_equal(sample.stats[BALLOON_STAT_AVAILABLE], MIB(4));
	assert_int_equal(sample.stats[BALLOON_STAT_FREE], BALLOON_STAT_UNKNOWN);
}

static void nonsense_is_dropped_and_named(void **state)
{
	static const struct stat_entry stats[] = {
		{BALLOON_STAT_FREE, GUEST_RAM + 1}, {BALLOON_STAT_SWAP_IN, ~1UL}};
	struct balloon_status sample;
	(void)state;

	send_stats(stats, 2);
	assert_true(balloon_status(vm, &sample));
	assert_int_equal(sample.stats[BALLOON_STAT_FREE], BALLOON_STAT_UNKNOWN);
	assert_int_equal(sample.stats[BALLOON_STAT_SWAP_IN], ~1UL);
	assert_non_null(strstr(fake_log_text, "guest \"web\": balloon: statistic 4 says 16777217"));
	assert_int_equal(reg(0x070), 15);
}

static void ticks(unsigned count)
{
	while (count-- > 0)
		balloon_device_tick(vm);
}

static bool is_responsive(void)
{
	struct balloon_status sample;

	assert_true(balloon_status(vm, &sample));
	return sample.responsive;
}

static void a_driver_that_sleeps_is_named(void **state)
{
	(void)state;
	ticks(200); /* it owes nothing */
	assert_true(is_responsive());
	balloon_set_target(vm, PAGES - 10, "a test");
	assert_int_equal(vm->memory.asked_pages, PAGES - 10);
	assert_true(vm->memory.answers);
	ticks(49);
	assert_true(is_responsive());
	fake_log_reset();
	ticks(100);
	assert_false(is_responsive());
	assert_false(vm->memory.answers);
	assert_int_equal(fake_log_lines, 1);
	assert_non_null(strstr(fake_log_last, "guest \"web\": balloon: unresponsive (its driver "
					      "does not move): target 16344 KiB, "
					      "it has 16384"));
	/* A step the wrong way counts for nothing, one towards the target does. */
	send_range(BALLOON_INFLATE, 2000, 4);
	ticks(1);
	assert_true(is_responsive());
	ticks(100);
	assert_false(is_responsive());
	send_range(BALLOON_DEFLATE, 2000, 1);
	ticks(1);
	assert_false(is_responsive());
}

static void a_guest_without_driver_is_named(void **state)
{
	struct balloon_status sample;
	(void)state;

	set_reg(0x070, 0);
	ticks(200);
	assert_int_equal(fake_log_lines, 0); /* nothing was asked of it */
	balloon_set_target(vm, PAGES - 10, "a test");
	raised = 0;
	fake_log_reset();
	ticks(200);
	assert_int_equal(fake_log_lines, 1);
	assert_non_null(strstr(fake_log_last, "unresponsive (no driver)"));
	assert_false(vm->memory.answers);
	assert_true(balloon_status(vm, &sample));
	assert_false(sample.has_driver || sample.responsive);
	assert_int_equal(sample.size_pages, PAGES);
	assert_int_equal(raised, 0);
	/* It comes after all. */
	bring_up();
	assert_int_equal(reg(0x100), 10);
	send_range(BALLOON_INFLATE, 2000, 10);
	ticks(1);
	assert_true(is_responsive());
}

/* Of 4 MiB at least an eighth in 50 ticks: a page each tick is none. */
static void a_drip_is_no_step(void **state)
{
	(void)state;
	balloon_set_target(vm, PAGES - 1024, "a test");
	for (unsigned i = 0; i < 50; i++) {
		assert_true(is_responsive());
		send_range(BALLOON_INFLATE, 2000 + i, 1);
		/* More is asked for meanwhile: no new time for what is due. */
		if (i == 40)
			balloon_set_target(vm, PAGES - 1100, "a test");
		ticks(1);
	}
	assert_false(is_responsive());
	send_range(BALLOON_INFLATE, 2050, 137 - 50 - 1);
	ticks(1);
	assert_false(is_responsive());
	send_range(BALLOON_INFLATE, 2136, 1);
	ticks(1);
	assert_true(is_responsive());
	/* From there on the same again; a part given and taken back does not count twice. */
	for (unsigned i = 0; i < 10; i++) {
		send_range(BALLOON_INFLATE, 2200, 200);
		ticks(9);
		send_range(BALLOON_DEFLATE, 2200, 200);
		ticks(9);
	}
	assert_false(is_responsive());
}

/* It took pages back, and waits to be told: after a while it is, by an interrupt. */
static void who_does_not_move_is_asked_again(void **state)
{
	(void)state;
	balloon_set_target(vm, PAGES - 10, "a test");
	send_range(BALLOON_INFLATE, 2000, 10);
	ticks(1);
	send_range(BALLOON_DEFLATE, 2000, 5);
	fake_log_reset();
	ticks(249);
	assert_false(is_responsive());
	raised = 0;
	ticks(1);
	assert_true(is_responsive());
	assert_int_equal(raised, 1);
	/* As long as before, and named once only. */
	ticks(49);
	assert_true(is_responsive());
	ticks(1);
	assert_false(is_responsive());
	assert_int_equal(fake_log_lines, 1);
	ticks(200);
	assert_true(is_responsive());
	send_range(BALLOON_INFLATE, 2000, 5);
	ticks(300);
	assert_true(is_responsive());
}

/* A vCPU that waits for a frame runs no driver. */
static void who_waits_for_memory_is_not_judged(void **state)
{
	(void)state;
	balloon_set_target(vm, PAGES - 10, "a test");
	vm->memory.is_short = true;
	ticks(200);
	assert_true(is_responsive());
	vm->memory.is_short = false;
	ticks(50);
	assert_false(is_responsive());
}

static void a_driver_that_stops_telling_is_named(void **state)
{
	static const struct stat_entry stats[] = {{BALLOON_STAT_FREE, MIB(1)}};
	(void)state;

	send_stats(stats, 1);
	ticks(200);
	assert_false(is_responsive());
}

/* ---- What it must not do -----------------------------------------------------------------------
 */

static void pages_that_are_not_its_own(void **state)
{
	static const struct {
		u32 number;
		const char *message;
	} cases[] = {
		{(u32)PAGES, "inflates gfn 0x1000, which is not RAM; RAM ends at gfn 0x1000"},
		{0xc0000, "inflates gfn 0xc0000, which is not RAM"},
		{~0U, "inflates gfn 0xffffffff, which is not RAM"},
		{RINGS(1) >> PAGE_SHIFT, "which is pinned by I/O"},
	};
	(void)state;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		u32 numbers[2] = {2222, cases[i].number};

		send_numbers(BALLOON_INFLATE, numbers, 2);
		assert_int_equal(vm->memory.ballooned_pages, 1);
		is_broken(cases[i].message);
		bring_up();
	}
	/* A whole block outside: it is named page by page. */
	send_range(BALLOON_INFLATE, (u32)PAGES, 512);
	is_broken("inflates gfn 0x1000, which is not RAM");
}

static void the_same_page_twice(void **state)
{
	static const u32 twice[] = {2222, 2223, 2222};
	(void)state;

	send_numbers(BALLOON_INFLATE, twice, 3);
	is_broken("inflates gfn 0x8ae, which is in the balloon");
	bring_up();
	send_range(BALLOON_INFLATE, 1024, 512);
	send_range(BALLOON_INFLATE, 1024, 512);
	is_broken("inflates gfn 0x400, which is in the balloon");
	bring_up();
	send_range(BALLOON_DEFLATE, 700, 1);
	is_broken("deflates gfn 0x2bc, which is not in the balloon");
	bring_up();
	send_range(BALLOON_DEFLATE, (u32)PAGES - 1, 2);
	is_broken("deflates gfn 0xfff, which is not in the balloon");
}

static void ranges_that_cannot_be(void **state)
{
	static const struct {
		u64 address;
		u32 bytes;
		const char *message;
	} cases[] = {
		{MIB(8) + 8, PAGE_SIZE, "range reported free that is not of whole pages"},
		{MIB(8), PAGE_SIZE + 1, "range reported free that is not of whole pages"},
		{GUEST_RAM - PAGE_SIZE, 2 * PAGE_SIZE,
			"reports as free gfn 0x1000, which is not RAM"},
		{~0UL & ~PAGE_MASK, 2 * PAGE_SIZE, "reports as free gfn 0xfffffffffffff"},
		{RINGS(2), PAGE_SIZE, "which is pinned by I/O"},
	};
	(void)state;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		set_desc(BALLOON_REPORTING, 0, cases[i].address, cases[i].bytes, VIRTQ_DESC_WRITE,
			0);
		offer(BALLOON_REPORTING, 0);
		notify(BALLOON_REPORTING);
		is_broken(cases[i].message);
		bring_up();
	}
	send_range(BALLOON_INFLATE, 2048, 1);
	set_desc(BALLOON_REPORTING, 0, MIB(8), PAGE_SIZE, VIRTQ_DESC_WRITE, 0);
	offer(BALLOON_REPORTING, 0);
	notify(BALLOON_REPORTING);
	is_broken("reports as free gfn 0x800, which is in the balloon");
}

static void arrays_that_cannot_be(void **state)
{
	(void)state;
	set_desc(BALLOON_INFLATE, 0, ARRAY, 7, 0, 0);
	offer(BALLOON_INFLATE, 0);
	notify(BALLOON_INFLATE);
	is_broken("not of 32-bit frame numbers");
	bring_up();
	set_desc(BALLOON_DEFLATE, 0, GUEST_RAM - 4, 8, 0, 0);
	offer(BALLOON_DEFLATE, 0);
	notify(BALLOON_DEFLATE);
	is_broken("an array of frame numbers outside RAM");
	bring_up();
	set_desc(BALLOON_INFLATE, 0, ~0UL - 3, 8, 0, 0);
	offer(BALLOON_INFLATE, 0);
	notify(BALLOON_INFLATE);
	is_broken("an array of frame numbers outside RAM");
	bring_up();
	/* The array itself goes into the balloon. */
	send_range(BALLOON_INFLATE, ARRAY >> PAGE_SHIFT, 1);
	assert_int_equal(used_index(BALLOON_INFLATE), 1);
	set_desc(BALLOON_INFLATE, 0, ARRAY, 4, 0, 0);
	offer(BALLOON_INFLATE, 0);
	notify(BALLOON_INFLATE);
	is_broken("an array of frame numbers outside RAM");
}

static void broken_queues(void **state)
{
	(void)state;
	for (unsigned queue = 0; queue < 4; queue++) {
		set_desc(queue, 0, ARRAY, 0, VIRTQ_DESC_NEXT, 0);
		offer(queue, 0);
		notify(queue);
		is_broken("length of a chain (a loop)");
		bring_up();
	}
	set_desc(BALLOON_STATISTICS, 0, GUEST_RAM, 10, 0, 0);
	offer(BALLOON_STATISTICS, 0);
	notify(BALLOON_STATISTICS);
	is_broken("statistics at 0x1000000, which is not RAM");
}

/* A chain that changes while it is worked off is checked as it is used. */
static void chains_that_change(void **state)
{
	u32 number;
	(void)state;

	for (u32 i = 0; i < 1000; i++) {
		number = 1000 + 2 * i;
		guest_write(ARRAY + i * 4u, &number, 4);
	}
	set_desc(BALLOON_INFLATE, 0, ARRAY, 4000, 0, 0);
	offer(BALLOON_INFLATE, 0);
	notify(BALLOON_INFLATE);
	assert_int_equal(vm->memory.ballooned_pages, 512);
	set_desc(BALLOON_INFLATE, 0, ARRAY, 8, 0, 0); /* shorter than what is done */
	serve();
	assert_int_equal(used_index(BALLOON_INFLATE), 1);
	assert_int_equal(vm->memory.ballooned_pages, 512);
	/* The next one starts at its beginning. */
	send_range(BALLOON_INFLATE, 3001, 2);
	assert_int_equal(vm->memory.ballooned_pages, 514);
	/* And one that goes away under the device, with its queue. */
	for (u32 i = 0; i < 600; i++) {
		number = 2801 + 2 * i;
		guest_write(ARRAY + i * 4u, &number, 4);
	}
	set_desc(BALLOON_INFLATE, 0, ARRAY, 4 * 100, 0, 0);
	offer(BALLOON_INFLATE, 0);
	set_reg(0x030, BALLOON_INFLATE);
	set_reg(0x044, 0);
	notify(BALLOON_INFLATE);
	assert_int_equal(vm->memory.ballooned_pages, 514);
	assert_int_equal(reg(0x070), 15);
}

static void no_frame_for_a_table(void **state)
{
	static mfn_t held[MIB(64) / PAGE_SIZE];
	unsigned count = 0;
	u32 number = 2060;
	mfn_t frame;
	(void)state;

	assert_non_null(memory_page(vm, gfn(2048)));
	while (!mfn_is_none(frame = frame_alloc(FRAME_DEVICE, 0, 0)))
		held[count++] = frame;
	send_numbers(BALLOON_INFLATE, &number, 1);
	assert_int_equal(vm->memory.ballooned_pages, 0);
	assert_int_equal(reg(0x070), 15); /* not its fault */
	frame_free(held[--count], 0);
	serve();
	assert_int_equal(vm->memory.ballooned_pages, 1);
	assert_int_equal(used_index(BALLOON_INFLATE), 1);
	while (count > 0)
		frame_free(held[--count], 0);
}

static void a_stopped_guest_is_left_alone(void **state)
{
	(void)state;
	vm->stop_reason = STOP_SHUTDOWN;
	send_range(BALLOON_INFLATE, 2000, 4);
	ticks(3);
	assert_int_equal(vm->memory.ballooned_pages, 0);
	vm->stop_reason = STOP_NONE;
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_the_registers_say),
		TEST(pages_go_and_come_back),
		TEST(arrays_may_lie_in_any_buffers),
		TEST(blocks_go_as_one),
		TEST(runs_are_cut_at_blocks),
		TEST(work_is_bounded),
		TEST(free_pages_are_reported),
		TEST(a_target_is_told_and_logged),
		TEST(statistics_come_when_asked_for),
		TEST(nonsense_is_dropped_and_named),
		TEST(a_driver_that_sleeps_is_named),
		TEST(a_guest_without_driver_is_named),
		TEST(who_waits_for_memory_is_not_judged),
		TEST(a_drip_is_no_step),
		TEST(who_does_not_move_is_asked_again),
		TEST(a_driver_that_stops_telling_is_named),
		TEST(pages_that_are_not_its_own),
		TEST(the_same_page_twice),
		TEST(ranges_that_cannot_be),
		TEST(arrays_that_cannot_be),
		TEST(broken_queues),
		TEST(chains_that_change),
		TEST(no_frame_for_a_table),
		TEST(a_stopped_guest_is_left_alone),
	};

	return cmocka_run_group_tests_name("balloon", tests, NULL, NULL);
}
