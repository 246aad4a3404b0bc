/*
 * Devices' timers as a CPU's dispatch loop serves them: they end, however long a device takes,
 * leave the CPU its time, and are charged to their guest; and whoever works for a device leaves no
 * work to nobody.
 */
#define _GNU_SOURCE /* REG_EFL */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <ucontext.h>

#include <cmocka.h>

#include "fake/busy_guest.h"

/* A vCPU elsewhere that has its next request ready as soon as one is done. */
static unsigned refills;

static void ask_again(unsigned slot)
{
	if (refills >= 1000)
		return;
	refills++;
	request(slot, 1);
	set_reg(slot, 0x050, 0);
}

/* Copies take twice the time from one request to the next. */
static void slow_disks_do_not_keep_the_cpu(void **state)
{
	(void)state;
	fake_copy_ticks = 2 * SERVICE;
	refills = 0;
	on_interrupt = ask_again;
	for (unsigned slot = 0; slot < 2; slot++) {
		request(slot, 1);
		set_reg(slot, 0x050, 0);
	}
	for (unsigned turn = 1; turn < 50; turn++) {
		fake_tsc += 10 * SERVICE;
		timers_serve();
		assert_in_range(refills, turn, 2 * 2 * turn);
	}
}

/* ---- What is left for others -------------------------------------------------------------------
 */

/* A driver elsewhere that has no time to ring: all its queues are always full. */
static void fill_queues(void)
{
	for (unsigned slot = 0; slot < DISKS; slot++)
		while ((u16)(offered[slot] - used_index(slot)) < REQUESTS)
			request(slot, 60);
	while ((u16)(offered[CONSOLE] - used_index(CONSOLE)) < 4) {
		set_desc(CONSOLE, offered[CONSOLE] % 4, DATA, MIB(1), 0, 0);
		offer(CONSOLE, offered[CONSOLE] % 4);
	}
}

static void console_starts(void)
{
	assert_int_equal(negotiate(CONSOLE, 0), 11);
	start_queue(CONSOLE, CONSOLE_TRANSMIT, CONSOLE);
	set_reg(CONSOLE, 0x070, 15);
}

/* What timers take of a second of a CPU, ticks. */
static u64 flood(void)
{
	u64 start, busy = 0;

	fill_queues();
	for (unsigned slot = 0; slot < DISKS; slot++)
		set_reg(slot, 0x050, 0);
	set_reg(CONSOLE, 0x050, CONSOLE_TRANSMIT);
	start = fake_tsc;
	while (fake_tsc - start < SECOND) {
		u64 before;

		fill_queues();
		before = fake_tsc += 10000;
		timers_serve();
		busy += fake_tsc - before;
	}
	return busy;
}

static void floods_of_all_devices_of_a_guest(void **state)
{
	u64 busy;

	(void)state;
	console_starts();
	fake_copy_ticks = 500; /* 30 us a request */
	fake_console_ticks = 10000;
	for (guests = 1; guests <= 4; guests += 3) {
		charged = 0;
		busy = flood();
		/* What is under way at the beginning and the end is a turn or two. */
		assert_in_range(busy, SECOND / 8 / guests / 2, SECOND / 8 / guests * 21 / 20);
		assert_in_range(charged, busy - busy / 50, busy);
		/* Everybody had a turn. */
		for (unsigned slot = 0; slot < DISKS; slot++)
			assert_true(used_index(slot) > 0);
		assert_true(fake_console_bytes > 0);
	}
}

/* Somebody below takes the CPU in the middle of a turn, for a fifth of a second. */
static void a_turn_without_the_cpu_is_no_long_one(void **state)
{
	unsigned before = fake_console_bytes;

	(void)state;
	console_starts();
	guests = 3;
	set_desc(CONSOLE, 0, DATA, 3200, 0, 0);
	offer(CONSOLE, 0);
	fake_console_ticks = SECOND / 5;
	set_reg(CONSOLE, 0x050, CONSOLE_TRANSMIT);
	fake_console_ticks = 100;
	for (unsigned turn = 0; turn < 10; turn++) {
		fake_tsc += SECOND / 50;
		timers_serve();
	}
	assert_int_equal(fake_console_bytes - before, 3200);
}

/* A disk that keeps up with its time does not rest, whatever others do. */
static void a_disk_in_time_is_in_time(void **state)
{
	(void)state;
	console_starts();
	fake_copy_ticks = 500; /* 5 us a request */
	fake_console_ticks = 100;
	set_desc(CONSOLE, 0, DATA, MIB(1), 0, 0);
	offer(CONSOLE, 0);
	set_reg(CONSOLE, 0x050, CONSOLE_TRANSMIT);
	for (unsigned i = 0; i < 4; i++)
		request(0, 10);
	set_reg(0, 0x050, 0);
	for (unsigned i = 1; i <= 4; i++) {
		fake_tsc += SERVICE;
		timers_serve();
		assert_in_range(used_index(0), i, 4);
	}
}

/* ---- Between two instructions
 * --------------------------------------------------------------------
 *
 * CPU 1 works for the generator, whose driver rings without end from elsewhere, until it gives up
 * and leaves the rest to a timer. The device's timer is armed on CPU 0 and over, so that CPU 0
 * takes it off: before any one of the instructions with which CPU 1 does that. CPU 0 finds the
 * device at work and leaves the notification to CPU 1.
 */

#define ROUNDS 8u /* ROUNDS_MAX of device.c */

static unsigned rung;
/* Instructions until CPU 0 comes; how many were stepped through; whether it has come. */
static unsigned comes_at, stepped;
static volatile bool has_come;
static volatile bool steps;

static void ring_again(unsigned slot)
{
	if (slot != RNG || rung >= ROUNDS)
		return;
	rung++;
	set_desc(0, rung, DATA, 8, VIRTQ_DESC_WRITE, 0);
	offer(0, (u16)rung);
	set_reg(RNG, 0x050, 0);
}

static void cpu_0_comes(int number, siginfo_t *info, void *context)
{
	greg_t *flags = &((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL];
	const struct spinlock *lock = &percpu_of(0)->timers.lock;

	(void)number;
	(void)info;
	/* While CPU 1 has the queue of CPU 0 locked, this one waits for it. */
	if (steps && (stepped++ < comes_at || lock->next != lock->serving))
		return;
	*flags &= ~(greg_t)BIT(8);
	if (!steps)
		return;
	steps = false;
	fake_run_as(0);
	has_come = serve_timer();
	fake_run_as(1);
}

/* Called where the rest is reckoned, which is before the timer is armed. */
unsigned vms_running(void)
{
	if (on_interrupt == ring_again && rung == ROUNDS && !steps && !has_come) {
		steps = true;
		stepped = 0;
		__asm__ volatile("lea -128(%%rsp), %%rsp\n\t" /* the red zone */
				 "pushfq\n\t"
				 "orq $0x100, (%%rsp)\n\t" /* TF */
				 "popfq\n\t"
				 "lea 128(%%rsp), %%rsp" ::
					 : "memory", "cc");
	}
	return guests;
}

static void work_is_left_to_somebody(void **state)
{
	const struct sigaction act = {.sa_sigaction = cpu_0_comes, .sa_flags = SA_SIGINFO};
	struct virtio_device *rng = vm->devices[RNG];

	(void)state;
	assert_int_equal(sigaction(SIGTRAP, &act, NULL), 0);
	comes_at = 0;
	do {
		start_device(RNG, 0, 1);
		rung = 0;
		has_come = false;
		on_interrupt = ring_again;
		fake_run_as(0);
		virtio_run_at(rng, fake_tsc);
		fake_run_as(1);
		set_desc(0, 0, DATA, 8, VIRTQ_DESC_WRITE, 0);
		offer(0, 0);
		set_reg(RNG, 0x050, 0);
		steps = false;
		on_interrupt = NULL;
		assert_int_equal(rung, ROUNDS);
		assert_true(!rng->work || rng->timer.armed);
		for (unsigned cpu = 0; cpu < 2; cpu++) {
			fake_run_as(cpu);
			pass_us(100000);
		}
		fake_run_as(0);
		assert_int_equal(rng->work, 0);
		assert_int_equal(used_index(0), ROUNDS + 1);
		comes_at++;
	} while (has_come);
	assert_in_range(comes_at, 50, 5000);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(slow_disks_do_not_keep_the_cpu),
		TEST(floods_of_all_devices_of_a_guest),
		TEST(a_turn_without_the_cpu_is_no_long_one),
		TEST(a_disk_in_time_is_in_time),
		TEST(work_is_left_to_somebody),
	};

	return cmocka_run_group_tests_name("device_timers", tests, NULL, NULL);
}
