/*
 * Drivers of the console and of the source of randomness that break every rule: the device says so
 * and asks for a reset, after which it works as ever. And ones that only ask for more than there
 * is, without end.
 */
#include "../common/virtio.h"
#include "acts.h"
#include "machine.h"

#define ENTRIES 8u
#define QUEUES  2u

static volatile struct rings {
	struct virtq_desc desc[ENTRIES];
	VIRTQ_AVAIL(ENTRIES) avail;
	uint8_t gap[256];
	VIRTQ_USED(ENTRIES) used;
} __attribute__((aligned(512))) rings[QUEUES] __attribute__((aligned(4096)));

static volatile uint8_t data[8192] __attribute__((aligned(4096)));
static volatile uint32_t *device;

/* Pages that nothing else uses: the last 2 MiB of this guest's 6. */
#define FREE_GFN 1024u

static void set_queue(uint32_t queue, uint64_t desc, uint32_t size)
{
	virtio_set_queue(device, queue, size, desc, (uint64_t)&rings[queue].avail.flags,
		(uint64_t)&rings[queue].used.flags);
}

static void start(unsigned slot)
{
	device = (volatile uint32_t *)map_physical(PLATFORM_VIRTIO_BASE) + slot * SLOT_WORDS;
	device[REG(STATUS)] = 0;
	memset((void *)rings, 0, sizeof(rings));
	virtio_negotiate(device, 0);
	set_queue(0, (uint64_t)rings[0].desc, ENTRIES);
	if (slot == PLATFORM_CONSOLE_SLOT)
		set_queue(1, (uint64_t)rings[1].desc, ENTRIES);
	device[REG(STATUS)] = VIRTIO_STATUS_READY;
}

static void set_desc(uint32_t queue, uint16_t index, uint64_t address, uint32_t bytes,
	uint16_t flags, uint16_t next)
{
	rings[queue].desc[index] = (struct virtq_desc){address, bytes, flags, next};
}

static void offer(uint32_t queue)
{
	__asm__ volatile("" : : : "memory");
	rings[queue].avail.index++;
	device[REG(QUEUE_NOTIFY)] = queue;
}

/* Descriptor 0 alone. */
static void send(uint32_t queue, uint64_t address, uint32_t bytes, uint16_t flags)
{
	set_desc(queue, 0, address, bytes, flags, 0);
	offer(queue);
}

static bool is_broken(void)
{
	return device[REG(STATUS)] & VIRTIO_STATUS_NEEDS_RESET;
}

/* Whether this breaks a device that works; afterwards it is as new. */
#define BREAKS(slot, ...)                                                                          \
	({                                                                                         \
		bool broken_;                                                                      \
                                                                                                   \
		__VA_ARGS__;                                                                       \
		broken_ = is_broken() && device[REG(QUEUE_READY)] == 0;                            \
		start(slot);                                                                       \
		broken_ && !is_broken();                                                           \
	})

/* What is wrong for any device; @good are the flags of a right buffer. */
static uint64_t break_all(unsigned slot, uint32_t queue, uint16_t good)
{
	uint64_t end = ram_end(start_info), buffer = (uint64_t)data;
	uint16_t next = VIRTQ_DESC_NEXT | good;

	/* Buffers outside RAM, where devices live, and around the end of the address space. */
	CHECK(BREAKS(slot, send(queue, end, 16, good)));
	CHECK(BREAKS(slot, send(queue, end - 8, 16, good)));
	CHECK(BREAKS(slot, send(queue, PLATFORM_VIRTIO_BASE, 16, good)));
	CHECK(BREAKS(slot, send(queue, PLATFORM_LAPIC_BASE, ~0u, good)));
	CHECK(BREAKS(slot, send(queue, 1ul << 63, 16, good)));
	CHECK(BREAKS(slot, send(queue, ~0ul - 7, 16, good)));
	/* In the wrong direction, and chains that are none. */
	CHECK(BREAKS(slot, send(queue, buffer, 16, good ^ VIRTQ_DESC_WRITE)));
	CHECK(BREAKS(slot, send(queue, buffer, 16, good | VIRTQ_DESC_INDIRECT)));
	CHECK(BREAKS(slot, send(queue, buffer, 0, next)));
	CHECK(BREAKS(slot, set_desc(queue, 1, buffer, 0, next, 0);
		     set_desc(queue, 0, buffer, 0, next, 1); offer(queue)));
	CHECK(BREAKS(slot, set_desc(queue, 0, buffer, 1, next, ENTRIES); offer(queue)));
	CHECK(BREAKS(slot, rings[queue].avail.ring[0] = 0xffff; offer(queue)));
	CHECK(BREAKS(slot, rings[queue].avail.index = ENTRIES; offer(queue)));
	CHECK(BREAKS(slot, rings[queue].avail.index = 0x7fff; offer(queue)));
	/* Rings that are none. */
	CHECK(BREAKS(slot, device[REG(STATUS)] = 0; virtio_negotiate(device, 0);
		     set_queue(queue, end, ENTRIES)));
	CHECK(BREAKS(slot, device[REG(STATUS)] = 0; virtio_negotiate(device, 0);
		     set_queue(queue, PLATFORM_IOAPIC_BASE, ENTRIES)));
	CHECK(BREAKS(slot, device[REG(STATUS)] = 0; virtio_negotiate(device, 0);
		     set_queue(queue, (uint64_t)rings[queue].desc, 7)));
	CHECK(BREAKS(slot, device[REG(STATUS)] = 0; virtio_negotiate(device, 0);
		     set_queue(queue, (uint64_t)rings[queue].desc, 0x80000000)));
	return 0;
}

uint64_t act_bad_rng(void)
{
	uint64_t failed;

	start(PLATFORM_RNG_SLOT);
	CHECK(device[REG(DEVICE_ID)] == VIRTIO_ID_RNG && !is_broken());
	failed = break_all(PLATFORM_RNG_SLOT, 0, VIRTQ_DESC_WRITE);
	if (failed)
		return failed;
	/* A queue that it has not. */
	device[REG(QUEUE_SELECT)] = 1;
	device[REG(QUEUE_READY)] = 1;
	device[REG(QUEUE_NOTIFY)] = 1;
	device[REG(QUEUE_NOTIFY)] = ~0u;
	CHECK(!is_broken() && device[REG(QUEUE_READY)] == 0);
	/* It is as good as ever, and writes where it should and nowhere else. */
	memset((void *)data, 0, sizeof(data));
	send(0, (uint64_t)data + 4090, 12, VIRTQ_DESC_WRITE);
	CHECK(rings[0].used.index == 1 && rings[0].used.ring[0].bytes == 12);
	for (unsigned i = 0; i < sizeof(data); i++)
		CHECK(data[i] == 0 || (i >= 4090 && i < 4102));
	device[REG(STATUS)] = 0;
	return 0;
}

uint64_t act_bad_virtio_console(void)
{
	static const char good[] = "still here\n";
	uint64_t failed;

	start(PLATFORM_CONSOLE_SLOT);
	CHECK(device[REG(DEVICE_ID)] == VIRTIO_ID_CONSOLE && !is_broken());
	failed = break_all(PLATFORM_CONSOLE_SLOT, CONSOLE_TRANSMIT, 0);
	if (failed)
		return failed;
	/* Nobody types, so nobody looks at what is offered for input. */
	send(CONSOLE_RECEIVE, ram_end(start_info), 16, VIRTQ_DESC_WRITE);
	CHECK(!is_broken());
	send(CONSOLE_TRANSMIT, (uint64_t)good, sizeof(good) - 1, 0);
	CHECK(rings[CONSOLE_TRANSMIT].used.index == 1 && !is_broken());
	device[REG(STATUS)] = 0;
	return 0;
}

/* What is in the balloon is no place for either. */
uint64_t act_balloon_for_devices(void)
{
	balloon_begin();
	CHECK(balloon_takes(FREE_GFN));
	start(PLATFORM_RNG_SLOT);
	CHECK(BREAKS(PLATFORM_RNG_SLOT, send(0, FREE_GFN * PAGE, 16, VIRTQ_DESC_WRITE)));
	start(PLATFORM_CONSOLE_SLOT);
	CHECK(BREAKS(PLATFORM_CONSOLE_SLOT, send(CONSOLE_TRANSMIT, FREE_GFN * PAGE - 8, 16, 0)));
	CHECK(BREAKS(PLATFORM_CONSOLE_SLOT, device[REG(STATUS)] = 0; virtio_negotiate(device, 0);
		     set_queue(0, FREE_GFN * PAGE, ENTRIES)));
	device[REG(STATUS)] = 0;
	/* And a page that a queue lies in does not go there. */
	start(PLATFORM_RNG_SLOT);
	balloon_begin();
	CHECK(!balloon_takes((uint64_t)rings / PAGE));
	return 0;
}

/* All the random bytes there are, and then lines of 32 KiB that show nothing; it rings all the
 * time.
 */
uint64_t act_endless_devices(void)
{
	static volatile uint8_t silence[PAGE];
	bool console = false;

	memset((void *)silence, '\r', sizeof(silence));
	for (;; console = !console) {
		uint32_t queue = console ? CONSOLE_TRANSMIT : 0;
		uint64_t buffer = (uint64_t)(console ? silence : data);

		start(console ? PLATFORM_CONSOLE_SLOT : PLATFORM_RNG_SLOT);
		for (uint16_t i = 0; i < ENTRIES; i++)
			set_desc(queue, i, buffer, PAGE,
				(console ? 0 : VIRTQ_DESC_WRITE) |
					(i + 1u < ENTRIES ? VIRTQ_DESC_NEXT : 0),
				(uint16_t)(i + 1));
		for (unsigned i = 0; i < 500; i++) {
			if ((uint16_t)(rings[queue].avail.index - rings[queue].used.index) <
				ENTRIES)
				rings[queue].avail.index++;
			device[REG(QUEUE_NOTIFY)] = queue;
		}
		if (is_broken())
			return 1;
		device[REG(STATUS)] = 0; /* the next one has the same rings */
	}
}
