/*
 * A guest with a console, a generator and DISKS disks, and the dispatch loop's part for their
 * timers (kernel/timers.c): for tests of what devices take of a CPU. To be included after cmocka.h,
 * once.
 */
#ifndef FAKE_BUSY_GUEST_H
#define FAKE_BUSY_GUEST_H

/* Each disk's queue has the rings of its slot. */
#define QUEUE        64u
#define RINGS(queue) (0x10000u + (queue)*0x3000u)
#include "fake/virtio_driver.h"
#include "arch/x86/guest/lapic.h"
#include "kernel/policy.h"
#include "kernel/timers.h"
#include "kernel/virtio/blk.h"
#include "kernel/virtio/blk_state.h"
#include "kernel/virtio/console.h"
#include "kernel/virtio/rng.h"
#include "kernel/vm/sched.h"

/* Of the disks the first half take their time, and the others none. */
#define DISKS    8u
#define CONSOLE  PLATFORM_CONSOLE_SLOT
#define RNG      PLATFORM_RNG_SLOT
#define HEADER   0x8000u
#define STATUS   0x9000u
#define DATA     0x100000u
#define SERVICE  10000u /* ticks, at 1 GHz */
#define REQUESTS 20u    /* that a queue has room for */
#define SECOND   1000000000u

static unsigned guests; /* vms_running() */
static u64 charged;

void sched_charge(struct vm *of, u64 ticks)
{
	assert_ptr_equal(of, vm);
	charged += ticks;
}

/* Nothing here runs for policies, in a store, or on LAPICs. */
u64 policy_tick(void)
{
	return 1000;
}

void uart_poll(void)
{
}

void tmem_tick(struct tmem *tmem)
{
	(void)tmem;
	fail_msg("there is no store");
}

void lapic_timer_expired(struct timer *timer)
{
	(void)timer;
	fail_msg("no LAPIC has a timer");
}

static inline int setup(void **state)
{
	struct guest_config as = {.name = "web", .rng = true, .disk_count = DISKS};

	(void)state;
	fake_core_start(MIB(64), 2);
	for (unsigned slot = 0; slot < DISKS; slot++)
		as.disks[slot] = (struct disk_config){.name = "disk",
			.size = MIB(1),
			.service_us = slot < DISKS / 2 ? SERVICE / 1000 : 0};
	guest_create(&as, MIB(8));
	guests = 1;
	charged = 0;
	assert_int_equal(disks_create(vm), 0);
	assert_int_equal(console_create(vm), 0);
	assert_int_equal(rng_create(vm), 0);
	for (unsigned slot = 0; slot < DISKS; slot++) {
		assert_int_equal(negotiate(slot, 0), 11);
		start_queue(slot, 0, slot);
		set_reg(slot, 0x070, 15);
	}
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	on_interrupt = NULL;
	rng_destroy(vm);
	console_destroy(vm);
	disks_destroy(vm);
	nothing_is_left();
	return 0;
}

/* A read of @pages from descriptor @head on, not yet offered. */
static inline void describe(unsigned slot, u16 head, u32 pages)
{
	static const struct blk_header header = {BLK_T_IN, 0, 0};

	guest_write(HEADER, &header, sizeof(header));
	set_desc(slot, head, HEADER, sizeof(header), VIRTQ_DESC_NEXT, head + 1);
	set_desc(slot, head + 1u, DATA, pages * (u32)PAGE_SIZE, VIRTQ_DESC_NEXT | VIRTQ_DESC_WRITE,
		head + 2);
	set_desc(slot, head + 2u, STATUS, 1, VIRTQ_DESC_WRITE, 0);
}

/* The same, offered and not yet notified. */
static inline void request(unsigned slot, u32 pages)
{
	u16 head = (u16)(offered[slot] % REQUESTS * 3);

	describe(slot, head, pages);
	offer(slot, head);
}

#endif
