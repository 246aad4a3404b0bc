/*
 * What fuzzers of virtio devices have in common: the guest of fake/virtio_driver.h, under a driver
 * that reads its steps from the input. What that header wants to be defined must be.
 */
#ifndef HOSTILE_GUEST_H
#define HOSTILE_GUEST_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
#include "tests/fuzz/fuzz.h"
#include "fake/virtio_driver.h"

struct input {
	const uint8_t *at;
	size_t left;
};

/* A number of @bytes, as far as there is input. */
static u64 take(struct input *in, unsigned bytes)
{
	u64 value = 0;

	for (unsigned i = 0; i < bytes && in->left > 0; i++, in->left--)
		value |= (u64)*in->at++ << 8 * i;
	return value;
}

/* A read of 1 to 8 bytes by @shift, anywhere in the windows of @slots slots from @slot on. */
static inline void read_anywhere(struct input *in, unsigned slot, unsigned slots, unsigned shift)
{
	virtio_mmio_read(vm,
		slot * PLATFORM_VIRTIO_STRIDE + (u32)take(in, 2) % (slots * PLATFORM_VIRTIO_STRIDE),
		1u << (shift & 3));
}

/* Descriptor @index, of anything; @address_bytes and @length_bytes are how much of the input. */
static inline void any_desc(struct input *in, unsigned queue, unsigned index,
	unsigned address_bytes, unsigned length_bytes)
{
	u64 address = take(in, address_bytes);
	u32 bytes = (u32)take(in, length_bytes);
	u16 flags = (u16)take(in, 1);

	set_desc(queue, index, address, bytes, flags, (u16)take(in, 1));
}

/* Offers @head behind what the ring says that was offered, whoever wrote that; false if the ring is
 * gone. */
static inline bool offer_next(unsigned queue, u16 head)
{
	if (memory_read(vm, gpa(AVAIL(queue) + 2), &offered[queue], 2))
		return false;
	offer(queue, head);
	return true;
}

/* The end of an input: each device's reset ends what was under way, also what its timer would do.
 */
static inline void check_quiet(void)
{
	struct virtio_device *device;

	for_each_virtio_device (vm, device)
		set_reg(device->slot, 0x070, 0);
	REQUIRE(pins() == 0);
	fake_tsc += 100000000;
	for (unsigned i = arch_cpu_count(); i-- > 0;) {
		fake_run_as(i);
		serve_timers();
	}
	REQUIRE(pins() == 0);
}

#endif
