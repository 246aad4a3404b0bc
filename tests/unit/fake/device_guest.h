/*
 * A guest with a console and a source of randomness, and drivers of both that do what the test
 * says. To be included after cmocka.h, with SLOT the device that is tested.
 */
#ifndef FAKE_DEVICE_GUEST_H
#define FAKE_DEVICE_GUEST_H

#include <abi/errno.h>
#include <abi/hypercall.h>
#include <abi/volatile.h>

/* Where the driver keeps things, guest-physical. */
#define RINGS(queue) (0x10000u + (queue)*0x3000u)
#define DATA         0x40000u
#define QUEUE        16u
#define QUEUES       (SLOT == PLATFORM_CONSOLE_SLOT ? 2u : 1u)
#include "fake/virtio_driver.h"
#include "kernel/virtio/console.h"
#include "kernel/virtio/console_state.h"
#include "kernel/virtio/rng.h"
#include "kernel/virtio/rng_state.h"
#include "kernel/vm/memory_volatile.h"

#define GUEST_RAM MIB(4)

static inline void bring_up(void)
{
	start_device(SLOT, 0, QUEUES);
}

static inline int setup(void **state)
{
	(void)state;
	fake_core_start(MIB(32), 2);
	guest_create(&(struct guest_config){.name = "web", .rng = true}, GUEST_RAM);
	assert_int_equal(console_create(vm), 0);
	assert_int_equal(rng_create(vm), 0);
	bring_up();
	fake_log_reset();
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	assert_int_equal(audit_run(), 0);
	rng_destroy(vm);
	console_destroy(vm);
	nothing_is_left();
	return 0;
}

static inline void notify(unsigned queue)
{
	set_reg(SLOT, 0x050, queue);
}

/* One buffer as a request, not yet notified. */
static inline void request(unsigned queue, u64 address, u32 bytes, u16 flags)
{
	u16 head = offered[queue] % QUEUE;

	set_desc(queue, head, address, bytes, flags, 0);
	offer(queue, head);
}

static inline void send(unsigned queue, u64 address, u32 bytes, u16 flags)
{
	request(queue, address, bytes, flags);
	notify(queue);
}

/* The driver broke the rules: after its reset the device is as new. */
static inline void is_broken(const char *message)
{
	device_broke(SLOT, message);
	assert_int_equal(audit_run(), 0);
	fake_log_reset();
	bring_up();
}

/* What a driver breaks whatever the device: each way ends in is_broken(). @flags are those of a
 * right buffer of @queue. */
static inline void break_queue(unsigned queue, u16 flags)
{
	static const u64 outside[] = {GUEST_RAM, GUEST_RAM - 5, PLATFORM_VIRTIO_BASE,
		PLATFORM_IOAPIC_BASE, 1UL << 52, ~0UL, ~0UL - 15};

	for (unsigned i = 0; i < ARRAY_SIZE(outside); i++) {
		send(queue, outside[i], 16, flags);
		is_broken("valid is RAM (4194304 bytes)");
	}
	set_desc(queue, 0, DATA, 0, flags | VIRTQ_DESC_NEXT, 1);
	set_desc(queue, 1, DATA, 0, flags | VIRTQ_DESC_NEXT, 0);
	offer(queue, 0);
	notify(queue);
	is_broken("length of a chain (a loop) is 17, valid is 0 to 16");
	set_desc(queue, 0, DATA, 16, flags | VIRTQ_DESC_NEXT, 0xffff);
	offer(queue, 0);
	notify(queue);
	is_broken("descriptor is 65535, valid is 0 to 15");
	send(queue, DATA, 16, flags | VIRTQ_DESC_INDIRECT);
	is_broken("indirect was not offered");
	offer(queue, 0);
	offered[queue] += QUEUE;
	offer(queue, 0);
	notify(queue);
	is_broken("number of available chains is 18, valid is 0 to 16");
	/* Given away before the request comes. */
	assert_int_equal(memory_inflate(vm, gfn(DATA >> PAGE_SHIFT), 0), 0);
	send(queue, DATA - 8, 16, flags);
	is_broken("valid is RAM (4194304 bytes)");
	assert_int_equal(memory_deflate(vm, gfn(DATA >> PAGE_SHIFT), 0), 0);
	/* Rings outside RAM. */
	set_reg(SLOT, 0x030, queue);
	set_reg(SLOT, 0x044, 0);
	set_rings(SLOT, queue, PLATFORM_VIRTIO_BASE, RINGS(0), RINGS(1), QUEUE);
	is_broken("descriptor ring");
}

/* Every frame of the machine is taken, until frames_back(). */
static mfn_t held[MIB(32) / PAGE_SIZE];
static unsigned held_count;

static inline void frames_gone(void)
{
	mfn_t frame;

	while (!mfn_is_none(frame = frame_alloc(FRAME_DEVICE, 0, 0)))
		held[held_count++] = frame;
}

static inline void frames_back(void)
{
	while (held_count > 0)
		frame_free(held[--held_count], 0);
}

/* The page at DATA is volatile, and gone: since then it is no place for data. */
static inline void discard_data(void)
{
	struct vcpu vcpu = {.vm = vm, .regs = {[RDI] = 0, [RSI] = 256, [RDX] = MIB(2)}};
	u8 *states;

	assert_non_null(memory_page(vm, gfn(DATA >> PAGE_SHIFT)));
	assert_int_equal(memory_volatile_call(&vcpu, HYPERCALL_VOLATILE_REGISTER), 0);
	states = memory_page(vm, gfn(MIB(2) >> PAGE_SHIFT));
	volatile_release(&states[DATA >> PAGE_SHIFT]);
	while (frames_free() > frames_reserve())
		held[held_count++] = frame_alloc(FRAME_DEVICE, 0, 0);
	memory_discard(vm);
	epoch_quiescent(epoch_now());
	memory_discards_finish();
	assert_int_equal(vm->memory.discarded, 1);
	frames_back();
}

#endif
