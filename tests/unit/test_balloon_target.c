/*
 * What the policies see and ask of a balloon: targets, statistics, and whether the driver does what
 * it is asked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "fake/balloon_guest.h"

/* ---- The interface of the policies -------------------------------------------------------------
 */

static void a_target_is_told_and_logged(void **state)
{
	struct balloon_status sample;
	u32 generation = reg(SLOT, 0x0fc);
	(void)state;

	assert_int_equal(reg(SLOT, 0x100), 0);
	balloon_set_target(vm, PAGES - 100, "a test");
	assert_int_equal(reg(SLOT, 0x100), 100);
	assert_int_not_equal(reg(SLOT, 0x0fc), generation);
	assert_int_equal(raised, 1);
	assert_int_equal(reg(SLOT, 0x060), VIRTIO_INTERRUPT_CONFIG);
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
	assert_int_equal(reg(SLOT, 0x100), PAGES - MIB(4) / PAGE_SIZE);
	balloon_set_target(vm, ~0UL, "a test");
	assert_int_equal(reg(SLOT, 0x100), 0);
	/* The driver's word of it is kept for the driver alone. */
	set_reg(SLOT, 0x104, 77);
	set_reg(SLOT, 0x100, 78);
	assert_int_equal(reg(SLOT, 0x104), 77);
	assert_int_equal(reg(SLOT, 0x100), 0);
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
	assert_int_equal(reg(SLOT, 0x070), 15);
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

static void statistics_end_with_the_driver(void **state)
{
	static const struct stat_entry stats[] = {{BALLOON_STAT_FREE, MIB(3)}};
	struct balloon_status sample;
	(void)state;

	send_stats(stats, 1);
	ticks(1);
	fake_log_reset();
	set_reg(SLOT, 0x070, 0); /* as Linux does before it powers off or reboots */
	ticks(200);
	assert_int_equal(fake_log_lines, 0);
	assert_true(balloon_status(vm, &sample));
	assert_int_equal(sample.stats_age, BALLOON_NEVER);
	assert_int_equal(sample.stats[BALLOON_STAT_FREE], BALLOON_STAT_UNKNOWN);
}

static void a_guest_without_driver_is_named(void **state)
{
	struct balloon_status sample;
	(void)state;

	set_reg(SLOT, 0x070, 0);
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
	assert_int_equal(reg(SLOT, 0x100), 10);
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

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_target_is_told_and_logged),
		TEST(statistics_come_when_asked_for),
		TEST(nonsense_is_dropped_and_named),
		TEST(a_driver_that_sleeps_is_named),
		TEST(statistics_end_with_the_driver),
		TEST(a_guest_without_driver_is_named),
		TEST(who_waits_for_memory_is_not_judged),
		TEST(a_drip_is_no_step),
		TEST(who_does_not_move_is_asked_again),
		TEST(a_driver_that_stops_telling_is_named),
	};

	return cmocka_run_group_tests_name("balloon_target", tests, NULL, NULL);
}
