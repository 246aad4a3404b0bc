/*
 * See virtio_console.h (virtio 1.2, 5.3). One request at a time, and polled: lines must come out of
 * a panic, too, with interrupts off. Sluice takes most of them within the notification.
 */
#include "guest-shim/virtio_console.h"

#include <abi/platform.h>

#include "guest-shim/cpu.h"
#include "guest-shim/virtio.h"

#define QUEUE_SIZE 2u

/* Looks at the ring between two looks at the device's status, which cost an exit each. */
#define LOOKS 10000u

/* What the device reads and writes. */
static struct {
	struct virtq_desc desc[QUEUE_SIZE] __aligned_to(16);
	VIRTQ_AVAIL(QUEUE_SIZE) available;
	VIRTQ_USED(QUEUE_SIZE) used;
} shared __aligned_to(PAGE_SIZE);

static u64 base; /* 0: there is none, or it is broken */

static bool is_done(void)
{
	return __atomic_load_n(&shared.used.index, __ATOMIC_ACQUIRE) == shared.available.index;
}

bool virtio_console_write(const char *text, u32 length)
{
	if (!base)
		return false;
	shared.desc[0] = (struct virtq_desc){.address = (u64)text, .bytes = length};
	shared.available.ring[shared.available.index % QUEUE_SIZE] = 0;
	__atomic_store_n(
		&shared.available.index, (u16)(shared.available.index + 1), __ATOMIC_RELEASE);
	mmio_write32(base + VIRTIO_MMIO_QUEUE_NOTIFY, CONSOLE_TRANSMIT);
	for (;;) {
		for (unsigned look = 0; look < LOOKS; look++) {
			if (is_done())
				return true;
			cpu_relax();
		}
		if (mmio_read32(base + VIRTIO_MMIO_STATUS) & VIRTIO_STATUS_NEEDS_RESET) {
			base = 0;
			return false;
		}
	}
}

static void start(u64 window, unsigned slot)
{
	virtio_negotiate(window, slot, 0);
	shared.available.flags = VIRTQ_AVAIL_NO_INTERRUPT;
	virtio_queue_start(window, slot, CONSOLE_TRANSMIT, QUEUE_SIZE, shared.desc,
		&shared.available, &shared.used);
	virtio_driver_ok(window);
	base = window;
}

bool virtio_console_init(u64 windows, u64 stride)
{
	for (unsigned slot = 0; slot < PLATFORM_VIRTIO_SLOTS && !base; slot++) {
		u64 window = windows + slot * stride;

		if (virtio_is_there(window, VIRTIO_ID_CONSOLE))
			start(window, slot);
	}
	return base != 0;
}
