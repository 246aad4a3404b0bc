/*
 * A guest with a balloon, and a driver that does what the test says. To be
 * included after cmocka.h.
 */
#ifndef FAKE_BALLOON_GUEST_H
#define FAKE_BALLOON_GUEST_H

#include <abi/errno.h>

/* Where the driver keeps things, guest-physical. */
#define RINGS(queue) (0x10000u + (queue)*0x3000u)
#define ARRAY        0x40000u
#define STATS        0x30000u
#define QUEUE        16u
#include "fake/virtio_driver.h"
#include "kernel/virtio/balloon_state.h"

#define GUEST_RAM MIB(16)
#define PAGES     (GUEST_RAM / PAGE_SIZE)
#define SLOT      PLATFORM_BALLOON_SLOT
#define FEATURES  0x27u /* all four */

static inline void bring_up(void)
{
	start_device(SLOT, FEATURES, BALLOON_QUEUES);
}

static inline int setup(void **state)
{
	(void)state;
	fake_core_start(MIB(64), 1);
	guest_create(
		&(struct guest_config){
			.name = "web", .memory_min = MIB(4), .memory_max = GUEST_RAM},
		GUEST_RAM);
	assert_int_equal(balloon_create(vm), 0);
	bring_up();
	fake_log_reset();
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	assert_int_equal(audit_run(), 0);
	balloon_destroy(vm);
	nothing_is_left();
	return 0;
}

static inline void notify(unsigned queue)
{
	set_reg(SLOT, 0x050, queue);
}

/* What the dispatch loop does: timers, and the head where limbo is emptied. */
static inline unsigned serve(void)
{
	unsigned turns = 0, served;

	do {
		served = pass_us(10000);
		turns += served;
		epoch_quiescent(epoch_now());
		limbo_drain();
	} while (served > 0);
	return turns;
}

/* @count frame numbers from @first on as one array in @queue. */
static inline void send_range(unsigned queue, u32 first, u32 count)
{
	for (u32 i = 0; i < count; i++) {
		u32 number = first + i;

		guest_write(ARRAY + i * 4u, &number, 4);
	}
	set_desc(queue, 0, ARRAY, count * 4, 0, 0);
	offer(queue, 0);
	notify(queue);
}

static inline void send_numbers(unsigned queue, const u32 *numbers, u32 count)
{
	guest_write(ARRAY, numbers, count * 4);
	set_desc(queue, 0, ARRAY, count * 4, 0, 0);
	offer(queue, 0);
	notify(queue);
}

/* The driver broke the rules: what was done before stays; after its reset the device works again.
 */
static inline void is_broken(const char *message)
{
	device_broke(SLOT, message);
	assert_int_equal(audit_run(), 0);
	fake_log_reset();
	bring_up();
	assert_int_equal(vm->memory.ballooned_pages, 0);
	send_range(BALLOON_INFLATE, 3000, 3);
	assert_int_equal(used_index(BALLOON_INFLATE), 1);
	assert_int_equal(vm->memory.ballooned_pages, 3);
	assert_int_equal(fake_log_errors, 0);
}

static inline void ticks(unsigned count)
{
	while (count-- > 0)
		balloon_device_tick(vm);
}

#endif
