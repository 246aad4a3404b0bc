/*
 * What drivers of virtio devices in hosted tests have in common: one guest, its devices' registers
 * and interrupts, and its memory. To be included after cmocka.h.
 */
#ifndef FAKE_VIRTIO_DRIVER_H
#define FAKE_VIRTIO_DRIVER_H

#include <abi/platform.h>

#include "arch/x86/guest/ioapic.h"
#include "fake/vm.h"
#include "kernel/virtio/device.h"

static struct vm *vm;
static struct guest_config config;
static unsigned raised, lowered;

static inline void is_a_devices(const struct vm *of, unsigned pin)
{
	assert_ptr_equal(of, vm);
	assert_in_range(
		pin, PLATFORM_VIRTIO_GSI, PLATFORM_VIRTIO_GSI + ARRAY_SIZE(vm->devices) - 1);
	assert_non_null(vm->devices[pin - PLATFORM_VIRTIO_GSI]);
}

void ioapic_raise(struct vm *of, unsigned pin)
{
	is_a_devices(of, pin);
	__atomic_fetch_add(&raised, 1, __ATOMIC_RELAXED);
}

void ioapic_lower(struct vm *of, unsigned pin)
{
	is_a_devices(of, pin);
	__atomic_fetch_add(&lowered, 1, __ATOMIC_RELAXED);
}

static inline u32 reg(unsigned slot, u32 offset)
{
	return (u32)virtio_mmio_read(vm, slot * PLATFORM_VIRTIO_STRIDE + offset, 4);
}

static inline void set_reg(unsigned slot, u32 offset, u32 value)
{
	virtio_mmio_write(vm, slot * PLATFORM_VIRTIO_STRIDE + offset, 4, value);
}

static inline void guest_write(u64 address, const void *from, u64 bytes)
{
	assert_int_equal(memory_write(vm, gpa(address), from, bytes), 0);
}

static inline void guest_read(u64 address, void *to, u64 bytes)
{
	assert_int_equal(memory_read(vm, gpa(address), to, bytes), 0);
}

/* virtio 1.2, 3.1.1, with VERSION_1 and @features up to FEATURES_OK: the status, 11 if the device
 * takes them. */
static inline u32 negotiate(unsigned slot, u32 features)
{
	static const u32 steps[][2] = {{0x070, 0}, {0x070, 1}, {0x070, 3}, {0x024, 1}, {0x020, 1}};

	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++)
		set_reg(slot, steps[i][0], steps[i][1]);
	set_reg(slot, 0x024, 0);
	set_reg(slot, 0x020, features);
	set_reg(slot, 0x070, 11);
	return reg(slot, 0x070);
}

static inline void set_rings(unsigned slot, unsigned queue, u64 desc, u64 avail, u64 used, u32 size)
{
	const u64 rings[] = {desc, avail, used};

	set_reg(slot, 0x030, queue);
	set_reg(slot, 0x038, size);
	for (u32 i = 0; i < ARRAY_SIZE(rings); i++) {
		set_reg(slot, 0x080 + i * 0x10, (u32)rings[i]);
		set_reg(slot, 0x084 + i * 0x10, (u32)(rings[i] >> 32));
	}
	set_reg(slot, 0x044, 1);
}

static inline u64 pins(void)
{
	u64 count = 0;

	for (u64 frame = 0; frame < vm->memory.gfn_count; frame++)
		count += vm->memory.gfns[frame] >> GFN_PIN_SHIFT;
	return count;
}

#endif
