/*
 * See rng.h (virtio 1.2, 5.4). One request at a time, into a place of the driver's own; the device
 * is never polled: waiting is HLT until its interrupt.
 */
#include "guest-shim/rng.h"

#include <abi/platform.h>
#include <errno.h>
#include <string.h>

#include "guest-shim/apic.h"
#include "guest-shim/cpu.h"
#include "guest-shim/panic.h"
#include "guest-shim/trap.h"
#include "guest-shim/virtio.h"

#define QUEUE_SIZE 2u

/* What the device reads and writes. */
static struct {
	struct virtq_desc desc[QUEUE_SIZE] __aligned_to(16);
	VIRTQ_AVAIL(QUEUE_SIZE) available;
	VIRTQ_USED(QUEUE_SIZE) used;
	u8 bytes[RNG_BYTES_MAX];
} shared __aligned_to(PAGE_SIZE);

static u64 base; /* 0: there is none */
static unsigned own_slot;

static bool is_done(void)
{
	return __atomic_load_n(&shared.used.index, __ATOMIC_ACQUIRE) == shared.available.index;
}

/* Asks for @length bytes and sleeps; how many came, which may be fewer. */
static u32 request(u32 length)
{
	u64 flags = interrupts_save();
	u32 came;

	shared.desc[0] = (struct virtq_desc){
		.address = (u64)shared.bytes, .bytes = length, .flags = VIRTQ_DESC_WRITE};
	shared.available.ring[shared.available.index % QUEUE_SIZE] = 0;
	__atomic_store_n(
		&shared.available.index, (u16)(shared.available.index + 1), __ATOMIC_RELEASE);
	mmio_write32(base + VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	while (!is_done()) {
		if (mmio_read32(base + VIRTIO_MMIO_STATUS) & VIRTIO_STATUS_NEEDS_RESET)
			panic("the source of randomness has broken off");
		wait_for_interrupt();
	}
	interrupts_restore(flags);
	came = shared.used.ring[(u16)(shared.used.index - 1) % QUEUE_SIZE].bytes;
	if (came > length)
		panic("the source of randomness gives %u bytes of %u", (unsigned)came,
			(unsigned)length);
	return came;
}

int rng_read(void *to, size_t length)
{
	u8 *out = to;

	if (!base)
		return -ENOSYS;
	while (length > 0) {
		u32 came = request((u32)MIN(length, (size_t)RNG_BYTES_MAX));

		if (came == 0)
			return -EIO;
		memcpy(out, shared.bytes, came);
		memset(shared.bytes, 0, came); /* it is somebody's key, perhaps */
		out += came;
		length -= came;
	}
	return 0;
}

bool rng_interrupt(unsigned slot)
{
	if (!base || slot != own_slot)
		return false;
	mmio_write32(base + VIRTIO_MMIO_INTERRUPT_ACKNOWLEDGE,
		mmio_read32(base + VIRTIO_MMIO_INTERRUPT_STATUS));
	return true;
}

static void start(u64 window, unsigned slot, u32 gsi)
{
	virtio_negotiate(window, slot, 0);
	virtio_queue_start(
		window, slot, 0, QUEUE_SIZE, shared.desc, &shared.available, &shared.used);
	own_slot = slot;
	base = window;
	ioapic_route(gsi, (u8)(VECTOR_DEVICE + slot));
	virtio_driver_ok(window);
}

void rng_init(u64 windows, u64 stride, u32 gsi)
{
	for (unsigned slot = 0; slot < PLATFORM_VIRTIO_SLOTS && !base; slot++) {
		u64 window = windows + slot * stride;

		if (gsi + slot < PLATFORM_IOAPIC_PINS && virtio_is_there(window, VIRTIO_ID_RNG))
			start(window, slot, gsi + slot);
	}
}
