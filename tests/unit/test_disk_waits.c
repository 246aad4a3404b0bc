/*
 * Nobody waits for a disk that waits for nobody: drivers like those of Linux, which fill the ring
 * with large requests, ring once for many, and then wait for an interrupt. Another CPU gets in
 * wherever it can: it adds requests, rings, handles interrupts, serves timers, takes frames away
 * and resets, while a device is at work. After every step each disk with requests has a timer that
 * will come, or a driver that is about to ring; and what came back was announced, or will be
 * looked for. WAITS_SEED sets the seed, WAITS_STEPS the steps of each test.
 */
#define _GNU_SOURCE /* REG_EFL */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake/busy_guest.h"
#include "fake/other_cpu.h"
#include "fake/linux_disks.h"

#define STEPS_DEFAULT 20000UL
#define MS            1000000u
#define SOON          SECOND /* no timer is later than that */

static mfn_t held[MIB(64) / PAGE_SIZE];
static unsigned held_count;

static u64 from_environment(const char *name, u64 fallback)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : fallback;
}

/* ---- The machine -------------------------------------------------------------------------------
 */

static void frames_come_or_go(void)
{
	mfn_t frame;

	if (held_count > 0)
		while (held_count > 0)
			frame_free(held[--held_count], 0);
	else
		while (!mfn_is_none(frame = frame_alloc(FRAME_DEVICE, 0, 0)))
			held[held_count++] = frame;
}

/* A page of data that has no frame until it is used. */
static void page_goes(void)
{
	gfn_t page = gfn((DATA >> PAGE_SHIFT) + choose(PAGES));

	if (memory_inflate(vm, page, 0) == 0)
		assert_int_equal(memory_deflate(vm, page, 0), 0);
}

static void serve(void)
{
	step_on();
	timers_serve();
	step_off();
}

static void step(void)
{
	unsigned slot = slots[choose(ARRAY_SIZE(slots))];

	switch (choose(depth ? 9 : 10)) {
	case 0:
	case 1:
		for (unsigned n = choose(6); n > 0; n--)
			add(slot);
		break;
	case 2:
		ring(slot);
		break;
	case 3:
	case 4:
		for (unsigned n = choose(8); n > 0; n--)
			handle(slot);
		break;
	case 5:
		fake_tsc += choose(choose(4) ? SERVICE : MS);
		serve();
		break;
	case 6:
		serve();
		break;
	case 7:
		if (choose(100) == 0)
			reset(slot);
		break;
	case 8:
		if (choose(20) == 0)
			frames_come_or_go();
		break;
	case 9:
		page_goes();
		break;
	}
}

/* A driver that has the next requests ready at once. */
static void hurry(void)
{
	unsigned slot = choose(4) ? at_work : slots[choose(ARRAY_SIZE(slots))];

	for (unsigned n = choose(2) * 100; n > 0; n--)
		handle(slot);
	for (unsigned n = choose(2) * choose(20); n > 0; n--)
		add(slot);
	if (choose(4))
		ring(slot);
}

static void other_cpu(void)
{
	unsigned cpu = this_cpu()->index;

	depth++;
	fake_run_as(!cpu);
	if (choose(2))
		hurry();
	else
		for (unsigned n = 1 + choose(6); n > 0; n--)
			step();
	fake_run_as(cpu);
	depth--;
}

/* The device calls the test: now, or a little later. */
static void step_here(void)
{
	if (depth)
		return;
	if (choose(2))
		other_cpu();
	if (choose(4) == 0)
		step_for(1 + choose(300));
}

static void line_rises(unsigned slot)
{
	drivers[slot].interrupted = true;
	if (!depth)
		at_work = slot;
	step_here();
}

/* Called where a rest is reckoned. */
unsigned vms_running(void)
{
	step_here();
	return guests;
}

/* ---- What is always so -------------------------------------------------------------------------
 */

static void somebody_comes(unsigned slot)
{
	const struct virtio_device *device = vm->devices[slot];
	const struct virtio_blk *blk = container_of(device, struct virtio_blk, device);
	const struct driver *driver = &drivers[slot];
	bool waits = blk->first != blk->last || offered[slot] != device->queues[0].rings.avail_next;

	assert_int_equal(device->work & DEVICE_RUNNING, 0);
	if (device->timer.armed)
		assert_true(device->timer.deadline <= fake_tsc + SOON);
	if (device->work)
		assert_true(device->timer.armed);
	if (driver->resets)
		return;
	assert_int_equal(device->status, 15);
	if (waits)
		assert_true(device->timer.armed || driver->owes_ring);
	if (driver->seen != used_index(slot))
		assert_true(driver->interrupted || driver->handling != IDLE);
}

static void everybody_sleeps(void)
{
	for (unsigned cpu = 0; cpu < 2; cpu++) {
		fake_run_as(cpu);
		epoch_quiescent(epoch_now());
		limbo_drain();
	}
}

/* No more requests: all that are left come back, with nobody ringing. */
static void all_come_back(void)
{
	depth++;
	if (held_count > 0)
		frames_come_or_go();
	for (unsigned i = 0; i < ARRAY_SIZE(slots); i++)
		ring(slots[i]);
	for (unsigned n = 0; n < 4000; n++) {
		everybody_sleeps();
		fake_tsc += MS;
		for (unsigned cpu = 0; cpu < 2; cpu++) {
			fake_run_as(cpu);
			timers_serve();
		}
		for (unsigned i = 0; i < ARRAY_SIZE(slots); i++)
			for (unsigned steps = 0; steps < 6; steps++) {
				handle(slots[i]);
				start(slots[i]);
			}
	}
	depth--;
	for (unsigned i = 0; i < ARRAY_SIZE(slots); i++)
		for (unsigned head = 0; head < QUEUE; head++)
			assert_int_equal(drivers[slots[i]].length[head], 0);
}

static void play(u64 copy_ticks)
{
	u64 steps = from_environment("WAITS_STEPS", STEPS_DEFAULT);
	static const u8 zeros[PAGE_SIZE];

	steps_begin(from_environment("WAITS_SEED", 1) + copy_ticks);
	memset(drivers, 0, sizeof(drivers));
	fake_copy_ticks = copy_ticks;
	on_interrupt = line_rises;
	guest_write(HEADER, zeros, sizeof(zeros));
	guest_write(HEADER + PAGE_SIZE, zeros, sizeof(zeros));
	guest_write(STATUSES, zeros, sizeof(zeros));
	for (u64 n = 0; n < steps; n++) {
		fake_run_as(choose(2));
		step();
		everybody_sleeps();
		for (unsigned i = 0; i < ARRAY_SIZE(slots); i++) {
			start(slots[i]);
			somebody_comes(slots[i]);
		}
		if (n % 16384 == 16383)
			all_come_back();
	}
	all_come_back();
	fake_run_as(0);
	for (unsigned i = 0; i < ARRAY_SIZE(slots); i++)
		assert_in_range(drivers[slots[i]].done, steps / 100, ~0UL);
}

static void disks_that_keep_up(void **state)
{
	(void)state;
	play(1);
}

static void disks_that_are_slow(void **state)
{
	(void)state;
	play(500);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(disks_that_keep_up),
		TEST(disks_that_are_slow),
	};

	return cmocka_run_group_tests_name("disk_waits", tests, NULL, NULL);
}
