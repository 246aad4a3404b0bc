/*
 * A virtio-mmio device with one queue in use, for tests of the shim's drivers: its registers, and
 * requests that the test answers when the driver sleeps or spins. To be included after cmocka.h.
 */
#ifndef FAKE_SHIM_DEVICE_H
#define FAKE_SHIM_DEVICE_H

#include <abi/platform.h>
#include <abi/virtio.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include "guest-shim/apic.h"
#include "guest-shim/cpu.h"
#include "guest-shim/panic.h"

/* Windows of a machine that is not Sluice, so that the driver uses what it is told. */
#define WINDOWS 0x40000000u
#define STRIDE  0x200u
#define GSI     3u

static struct {
	u32 id, slot, queue_size_max;
	u32 status, queue_select, queue_size, ready, notified, interrupt_status, acknowledged;
	u64 addresses[3]; /* descriptors, available, used */
	u32 queue;        /* which one is set up */
	u32 status_reads;
	u16 seen;     /* available chains */
	bool refuses; /* what the driver accepts of its features */
} device;

static u32 routed_gsi;
static u8 routed_vector;
static bool interrupts_off;
/* What the device does when the driver waits; sleeping without interrupts that come is an error. */
static void (*device_acts)(void);
static jmp_buf panicked;
static char panic_text[200];

struct shim_queue {
	const struct virtq_desc *desc;
	const volatile u16 *available; /* flags, index, ring */
	volatile u16 *used;            /* flags, index, then elements of two words */
};

static inline struct shim_queue queue_of_device(void)
{
	return (struct shim_queue){
		.desc = (const struct virtq_desc *)device.addresses[0],
		.available = (const volatile u16 *)device.addresses[1],
		.used = (volatile u16 *)device.addresses[2],
	};
}

/* The next request's only descriptor, NULL if there is none. */
static inline const struct virtq_desc *next_request(void)
{
	struct shim_queue queue = queue_of_device();

	if (!device.notified || device.seen == queue.available[1])
		return NULL;
	return &queue.desc[queue.available[2 + device.seen % device.queue_size]];
}

/* Hands the next request back with @bytes written. */
static inline void complete(u32 bytes)
{
	struct shim_queue queue = queue_of_device();
	volatile u32 *element =
		(volatile u32 *)(queue.used + 2 + 4 * (device.seen % device.queue_size));

	element[0] = queue.available[2 + device.seen % device.queue_size];
	element[1] = bytes;
	device.seen++;
	queue.used[1] = device.seen;
	device.interrupt_status |= VIRTIO_INTERRUPT_QUEUE;
}

u32 mmio_read32(u64 address)
{
	u64 slot = (address - WINDOWS) / STRIDE, reg = (address - WINDOWS) % STRIDE;

	assert_true(address >= WINDOWS && slot < PLATFORM_VIRTIO_SLOTS);
	switch (reg) {
	case VIRTIO_MMIO_MAGIC:
		return VIRTIO_MAGIC;
	case VIRTIO_MMIO_VERSION:
		return 2;
	case VIRTIO_MMIO_DEVICE_ID:
		return slot == device.slot ? device.id : 0;
	case VIRTIO_MMIO_STATUS:
		device.status_reads++;
		return device.status;
	case VIRTIO_MMIO_QUEUE_SIZE_MAX:
		return device.queue_size_max;
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		return device.interrupt_status;
	default:
		return 0;
	}
}

void mmio_write32(u64 address, u32 value)
{
	u64 slot = (address - WINDOWS) / STRIDE, reg = (address - WINDOWS) % STRIDE;

	assert_int_equal(slot, device.slot);
	switch (reg) {
	case VIRTIO_MMIO_STATUS:
		device.status = device.refuses ? value & ~VIRTIO_STATUS_FEATURES_OK : value;
		break;
	case VIRTIO_MMIO_QUEUE_SELECT:
		device.queue_select = value;
		break;
	case VIRTIO_MMIO_QUEUE_SIZE:
		device.queue_size = value;
		break;
	case VIRTIO_MMIO_QUEUE_READY:
		device.queue = device.queue_select;
		device.ready = value;
		break;
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		assert_int_equal(device.status, VIRTIO_STATUS_READY);
		assert_int_equal(value, device.queue);
		device.notified++;
		break;
	case VIRTIO_MMIO_INTERRUPT_ACKNOWLEDGE:
		device.acknowledged |= value;
		device.interrupt_status &= ~value;
		break;
	case VIRTIO_MMIO_DESC_LOW:
	case VIRTIO_MMIO_AVAIL_LOW:
	case VIRTIO_MMIO_USED_LOW:
		device.addresses[(reg - VIRTIO_MMIO_DESC_LOW) / 0x10] |= value;
		break;
	case VIRTIO_MMIO_DESC_HIGH:
	case VIRTIO_MMIO_AVAIL_HIGH:
	case VIRTIO_MMIO_USED_HIGH:
		device.addresses[(reg - VIRTIO_MMIO_DESC_HIGH) / 0x10] |= (u64)value << 32;
		break;
	default:
		break;
	}
}

u64 interrupts_save(void)
{
	u64 flags = !interrupts_off;

	interrupts_off = true;
	return flags;
}

void interrupts_restore(u64 flags)
{
	interrupts_off = !flags;
}

void wait_for_interrupt(void)
{
	assert_true(interrupts_off); /* else one could come just before */
	assert_non_null(device_acts);
	device_acts();
}

void cpu_relax(void)
{
	if (device_acts)
		device_acts();
}

void ioapic_route(u32 gsi, u8 vector)
{
	routed_gsi = gsi;
	routed_vector = vector;
}

void panic(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(panic_text, sizeof(panic_text), format, arguments);
	va_end(arguments);
	longjmp(panicked, 1);
}

/* Runs @statement and is true if it ended in a panic. */
#define PANICS(statement)                                                                          \
	({                                                                                         \
		volatile bool panics_ = true;                                                      \
                                                                                                   \
		if (setjmp(panicked) == 0) {                                                       \
			statement;                                                                 \
			panics_ = false;                                                           \
		}                                                                                  \
		panics_;                                                                           \
	})

static inline void device_is(u32 id, u32 slot)
{
	memset(&device, 0, sizeof(device));
	device.id = id;
	device.slot = slot;
	device.queue_size_max = 64;
	routed_gsi = routed_vector = 0;
	interrupts_off = false;
	device_acts = NULL;
}

#endif
