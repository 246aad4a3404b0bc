/*
 * A guest with a balloon, and a driver that does what the test says. To be
 * included after cmocka.h.
 */
#ifndef FAKE_BALLOON_GUEST_H
#define FAKE_BALLOON_GUEST_H

#include <abi/errno.h>

#include "fake/machine.h"
#include "fake/virtio_driver.h"
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

static u16 offered[4]; /* available indices of the driver */

static inline void start_queue(unsigned queue)
{
	static const u8 zeros[PAGE_SIZE];

	for (unsigned part = 0; part < 3; part++)
		guest_write(RINGS(queue) + part * PAGE_SIZE, zeros, PAGE_SIZE);
	set_rings(SLOT, queue, RINGS(queue), RINGS(queue) + 0x1000, RINGS(queue) + 0x2000, QUEUE);
	assert_int_equal(reg(SLOT, 0x044), 1);
	offered[queue] = 0;
}

static inline void bring_up(void)
{
	assert_int_equal(negotiate(SLOT, FEATURES), 11);
	for (unsigned queue = 0; queue < 4; queue++)
		start_queue(queue);
	set_reg(SLOT, 0x070, 15);
	raised = 0;
}

static inline int setup(void **state)
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

static inline int teardown(void **state)
{
	(void)state;
	assert_int_equal(audit_run(), 0);
	balloon_destroy(vm);
	assert_int_equal(pins(), 0);
	assert_null(timer_pop(~0UL));
	assert_int_equal(audit_run(), 0);
	return 0;
}

static inline void set_desc(unsigned queue, u16 index, u64 address, u32 bytes, u16 flags, u16 next)
{
	struct virtq_desc desc = {address, bytes, flags, next};

	guest_write(RINGS(queue) + index * 16u, &desc, sizeof(desc));
}

static inline void offer(unsigned queue, u16 head)
{
	guest_write(RINGS(queue) + 0x1004 + 2u * (offered[queue] % QUEUE), &head, 2);
	offered[queue]++;
	guest_write(RINGS(queue) + 0x1002, &offered[queue], 2);
}

static inline u16 used_index(unsigned queue)
{
	u16 index;

	guest_read(RINGS(queue) + 0x2002, &index, 2);
	return index;
}

static inline void notify(unsigned queue)
{
	set_reg(SLOT, 0x050, queue);
}

/* What the dispatch loop does: timers, and the head where limbo is emptied. */
static inline unsigned serve(void)
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

/* The driver broke the rules: said with the guest's name; what was done before stays; after its
 * reset the device works again. */
static inline void is_broken(const char *message)
{
	assert_int_equal(reg(SLOT, 0x070) & 0x40, 0x40);
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

static inline void ticks(unsigned count)
{
	while (count-- > 0)
		balloon_device_tick(vm);
}

#endif
