/*
 * virtio-blk under drivers that break the rules, and on two processors at once: only that device
 * breaks, and nothing is left pinned.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "fake/disk_guest.h"

/* ---- Two processors at once ------------------------------------------------------------------ */

#define THREAD_REQUESTS 400000u

static volatile bool threads_end;
static volatile unsigned threads_round;

/* What a dispatch loop does, without cmocka's assertions, which belong to the main thread. */
static void serve_quietly(void)
{
	struct timer *timer;

	while ((timer = timer_pop(arch_tsc())) != NULL)
		virtio_timer_expired(timer);
}

/* CPU 1 rings once a round, about when CPU 0 does: a notification that is lost stays lost. */
static void *ring(void *argument)
{
	unsigned seen = 0;

	(void)argument;
	fake_run_as(1);
	while (!threads_end) {
		if (threads_round != seen) {
			seen = threads_round;
			notify(1);
		}
		serve_quietly();
	}
	return NULL;
}

/* Whoever works for the device, no notification is lost and no request done twice. */
static void two_cpus_at_once(void **state)
{
	pthread_t other;
	struct vm_disk_stats stats;

	(void)state;
	bring_up(1);
	threads_end = false;
	assert_int_equal(pthread_create(&other, NULL, ring, NULL), 0);
	for (unsigned n = 0; n < THREAD_REQUESTS; n++) {
		time_t end = time(NULL) + 20; /* the other thread may have to wait for its turn */

		threads_round = n + 1;
		request(0, BLK_T_IN, n % 64, DATA, 512);
		notify(1);
		while (used_index(0) != (u16)(n + 1)) {
			serve_quietly();
			if (time(NULL) > end)
				break;
		}
		if (used_index(0) != (u16)(n + 1) || status_of(0) != BLK_S_OK)
			break;
	}
	threads_end = true;
	assert_int_equal(pthread_join(other, NULL), 0);
	assert_true(disk_stats(vm, 1, NULL, &stats));
	assert_int_equal(stats.read_requests, THREAD_REQUESTS);
	assert_int_equal(stats.errors, 0);
	assert_int_equal(pins(), 6);
}

/* CPU 1 resets the device again and again under CPU 0's requests. */
static void *reset_again(void *argument)
{
	(void)argument;
	fake_run_as(1);
	while (!threads_end) {
		set_reg(0, 0x070, 0);
		set_reg(0, 0x070, 3);
		set_reg(0, 0x024, 1);
		set_reg(0, 0x020, 1);
		set_reg(0, 0x070, 11);
		start_queue(0, 0, 0);
		set_reg(0, 0x070, 15);
		serve_quietly();
	}
	return NULL;
}

static void reset_from_another_cpu(void **state)
{
	pthread_t other;

	(void)state;
	bring_up(0);
	threads_end = false;
	assert_int_equal(pthread_create(&other, NULL, reset_again, NULL), 0);
	for (unsigned n = 0; n < THREAD_REQUESTS; n++) {
		request((u16)(n % 4 * 4), BLK_T_IN, n % 64, DATA, 4096);
		notify(0);
		serve_quietly();
	}
	threads_end = true;
	assert_int_equal(pthread_join(other, NULL), 0);
	set_reg(0, 0x070, 0);
	assert_int_equal(reg(0, 0x070), 0);
	assert_int_equal(pins(), 0);
	virtio_cancel_timers(vm);
}

/* ---- Hostile drivers
 * ------------------------------------------------------------------------------- */

static void chain_loops(void **state)
{
	(void)state;
	bring_up(0);
	request(0, BLK_T_IN, 0, DATA, 512);
	notify(0); /* an honest one in flight beside it */
	set_desc(0, 4, HEADER, 16, VIRTQ_DESC_NEXT, 5);
	set_desc(0, 5, DATA, 16, VIRTQ_DESC_NEXT, 4);
	offer(0, 4);
	notify(0);
	needs_reset(0, "loop");
	pass(SERVICE * 4);
	assert_int_equal(status_of(0), 0xee);
}

static void data_outside_ram(void **state)
{
	static const u64 bad[] = {GUEST_RAM, GUEST_RAM - 100, PLATFORM_VIRTIO_BASE, ~0UL,
		~0UL - 511, 0xffffffff00000000};

	(void)state;
	assert_int_equal(disks_create(vm), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		fake_log_reset();
		disks_destroy(vm);
		bring_up(0);
		request(0, BLK_T_IN, 0, bad[i], 512);
		notify(0);
		needs_reset(0, "data buffer");
	}
}

static void status_outside_ram(void **state)
{
	(void)state;
	bring_up(0);
	request(0, BLK_T_IN, 0, DATA, 512);
	set_desc(0, 2, GUEST_RAM, 1, VIRTQ_DESC_WRITE, 0);
	notify(0);
	needs_reset(0, "status byte");
}

static void header_outside_ram(void **state)
{
	(void)state;
	bring_up(0);
	request(0, BLK_T_IN, 0, DATA, 512);
	set_desc(0, 0, ~0UL - 7, 16, VIRTQ_DESC_NEXT, 1);
	notify(0);
	needs_reset(0, "header");
}

static void no_status(void **state)
{
	(void)state;
	bring_up(0);
	set_desc(0, 0, HEADER, 16, 0, 0);
	offer(0, 0);
	notify(0);
	needs_reset(0, "without room");
}

static void available_jumps(void **state)
{
	u16 index = QUEUE + 1;

	(void)state;
	bring_up(0);
	guest_write(AVAIL(0) + 2, &index, 2);
	notify(0);
	needs_reset(0, "available");
}

static void bad_rings(void **state)
{
	(void)state;
	assert_int_equal(disks_create(vm), 0);
	assert_int_equal(negotiate(0, 0), 11);
	set_rings(0, 0, DESC(0), AVAIL(0), USED(0), 3);
	needs_reset(0, "queue size 3");
	assert_int_equal(negotiate(0, 0), 11);
	set_rings(0, 0, DESC(0), AVAIL(0), USED(0), VIRTQUEUE_SIZE_MAX * 2);
	needs_reset(0, "queue size 128");
	assert_int_equal(negotiate(0, 0), 11);
	set_rings(0, 0, DESC(0) + 8, AVAIL(0), USED(0), QUEUE);
	needs_reset(0, "descriptor ring");
	assert_int_equal(negotiate(0, 0), 11);
	set_rings(0, 0, DESC(0), GUEST_RAM - 4, USED(0), QUEUE);
	needs_reset(0, "available ring");
	assert_int_equal(negotiate(0, 0), 11);
	set_rings(0, 0, DESC(0), AVAIL(0), ~0UL - 3, QUEUE);
	needs_reset(0, "used ring");
	assert_int_equal(negotiate(0, 0), 11);
	set_rings(0, 0, DESC(0), AVAIL(0), PLATFORM_VIRTIO_BASE, QUEUE);
	needs_reset(0, "used ring");
	assert_int_equal(negotiate(0, 0), 11);
	start_queue(0, 0, 0);
	assert_int_equal(reg(0, 0x044), 1);
}

int main(void)
{
#define BLK_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		BLK_TEST(two_cpus_at_once),
		BLK_TEST(reset_from_another_cpu),
		BLK_TEST(chain_loops),
		BLK_TEST(data_outside_ram),
		BLK_TEST(status_outside_ram),
		BLK_TEST(header_outside_ram),
		BLK_TEST(no_status),
		BLK_TEST(available_jumps),
		BLK_TEST(bad_rings),
	};

	return cmocka_run_group_tests_name("blk_misuse", tests, NULL, NULL);
}
