/*
 * The moving guest: touches its RAM, then gives 2 MiB units from its end to the balloon and takes
 * them back, as its device asks, and sleeps in between. Taken back, every page of a unit is
 * written. Two digits of the command line say how many units it moves when it is asked again. A
 * second after that it ends: until then all guests of a run must be done.
 *
 * Before it begins it does the same with a device of plain memory, so that it can say how many of
 * the instructions are its own.
 */

#include "../common/virtio.h"
#include "../smp/machine.h"

enum step { ALL_RIGHT, NOT_SLUICE, BAD_LINE, NO_BALLOON, BROKEN };

#define PAGE        4096u
#define BLOCK       (2ull << 20)
#define BLOCK_PAGES 512u
#define RING        4u

enum { INFLATE, DEFLATE, QUEUES };

/* The config space, as words of the device. */
#define NUM_PAGES REG(CONFIG)
#define ACTUAL    (REG(CONFIG) + 1)

struct ring {
	struct virtq_desc desc[RING];
	VIRTQ_AVAIL(RING) avail;
	VIRTQ_USED(RING) used;
} __attribute__((aligned(256)));

/* A device, or plain memory in place of one. */
struct driver {
	volatile uint32_t *device;
	volatile struct ring *rings;
	/* Where the device says how far it is: in plain memory, the same word that was just
	 * written.
	 */
	const volatile uint16_t *used_index[QUEUES];
};

static volatile struct ring rings[QUEUES] __attribute__((aligned(4096)));
static volatile uint32_t numbers[BLOCK_PAGES] __attribute__((aligned(4096)));
static volatile uint32_t plain_device[1024];
static volatile struct ring plain_rings[QUEUES];

/* machine_map_devices() has mapped the IOAPIC, in the same table. */
static volatile uint32_t *map_balloon(void)
{
	uint64_t cr3, *table;

	__asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
	table = (uint64_t *)(uintptr_t)(cr3 & ~0xfffull);
	table = (uint64_t *)(uintptr_t)(table[0] & ~0xfffull);
	table = (uint64_t *)(uintptr_t)(table[3] & ~0xfffull);
	table[PLATFORM_VIRTIO_BASE >> 21 & 511] = PLATFORM_VIRTIO_BASE | 0x9b;
	__asm__ volatile("mov %0, %%cr3" : : "r"(cr3) : "memory");
	return (volatile uint32_t *)(uintptr_t)(PLATFORM_VIRTIO_BASE +
						PLATFORM_BALLOON_SLOT * PLATFORM_VIRTIO_STRIDE);
}

static bool start(volatile uint32_t *device)
{
	virtio_negotiate(device, BALLOON_F_MUST_TELL_HOST);
	for (uint32_t queue = 0; queue < QUEUES; queue++) {
		rings[queue].avail.flags = VIRTQ_AVAIL_NO_INTERRUPT;
		virtio_set_queue(device, queue, RING, (uint64_t)rings[queue].desc,
			(uint64_t)&rings[queue].avail, (uint64_t)&rings[queue].used);
	}
	device[REG(STATUS)] = VIRTIO_STATUS_READY;
	return device[REG(STATUS)] == VIRTIO_STATUS_READY;
}

/* Names the unit at @address to @queue, and waits until the device is done with it. */
static void send(const struct driver *driver, unsigned queue, uint64_t address)
{
	volatile struct ring *ring = &driver->rings[queue];

	for (uint32_t i = 0; i < BLOCK_PAGES; i++)
		numbers[i] = (uint32_t)(address / PAGE) + i;
	ring->desc[0].address = (uintptr_t)numbers;
	ring->desc[0].bytes = sizeof(numbers);
	ring->avail.ring[ring->avail.index % RING] = 0;
	__asm__ volatile("" : : : "memory");
	ring->avail.index++;
	driver->device[REG(QUEUE_NOTIFY)] = queue;
	while (*driver->used_index[queue] != ring->avail.index)
		__asm__ volatile("pause");
}

static void write_pages(uint64_t from, uint64_t to)
{
	for (uint64_t at = from; at < to; at += PAGE)
		*(volatile uint64_t *)(uintptr_t)at = at;
}

/* Moves units until @target are in the balloon: the first is the last of RAM, below @end. */
static void move(const struct driver *driver, uint64_t end, uint32_t now, uint32_t target)
{
	for (; now < target; now++)
		send(driver, INFLATE, end - (now + 1) * BLOCK);
	for (; now > target; now--) {
		send(driver, DEFLATE, end - now * BLOCK);
		write_pages(end - now * BLOCK, end - (now - 1) * BLOCK);
	}
}

/* What @units by turns take below @end, where all is populated: the shortest of some times. */
static uint64_t time_moves(uint64_t end, uint32_t units, bool back)
{
	const struct driver plain = {
		.device = plain_device,
		.rings = plain_rings,
		.used_index = {&plain_rings[0].avail.index, &plain_rings[1].avail.index},
	};
	uint64_t least = ~0ull;

	for (unsigned i = 0; i < 5; i++) {
		uint64_t begin = rdtsc(), ticks;

		move(&plain, end, back ? units : 0, back ? 0 : units);
		ticks = rdtsc() - begin;
		if (ticks < least)
			least = ticks;
	}
	return least;
}

/* This guest's own instructions for giving and for taking one unit. */
static void count_own(uint64_t end)
{
	print_value("give_own", time_moves(end, 2, false) - time_moves(end, 1, false));
	print_value("take_own", time_moves(end, 2, true) - time_moves(end, 1, true));
}

static void sleep_until(uint64_t deadline)
{
	wrmsr(X2APIC_LVT_TIMER, LVT_DEADLINE | VECTOR_TIMER);
	wrmsr(MSR_TSC_DEADLINE, deadline);
	while (rdtsc() < deadline)
		sleep_once();
}

int main(const struct start_info *info)
{
	const char *line = (const char *)(uintptr_t)info->command_line;
	uint64_t end = ram_end(info) & ~(BLOCK - 1);
	uint32_t units, inflated, target;
	struct driver driver = {.rings = rings};

	if (!guest_on_sluice())
		return NOT_SLUICE;
	if (!line || line[0] < '0' || line[0] > '9' || line[1] < '0' || line[1] > '9')
		return BAD_LINE;
	units = (uint32_t)(line[0] - '0') * 10 + (uint32_t)(line[1] - '0');
	machine_start_vcpu();
	machine_map_devices();
	driver.device = map_balloon();
	for (unsigned i = 0; i < QUEUES; i++)
		driver.used_index[i] = &rings[i].used.index;
	if (driver.device[REG(DEVICE_ID)] != VIRTIO_ID_BALLOON || !start(driver.device))
		return NO_BALLOON;
	ioapic_route(PLATFORM_VIRTIO_GSI + PLATFORM_BALLOON_SLOT, VECTOR_PING, 0, false);

	/* As it should be at first. */
	inflated = driver.device[NUM_PAGES] / BLOCK_PAGES;
	write_pages(4 * BLOCK, end - inflated * BLOCK);
	count_own(end - inflated * BLOCK);
	move(&driver, end, 0, inflated);
	driver.device[ACTUAL] = inflated * BLOCK_PAGES;
	print("move guest: ready\n");

	do {
		sleep_once();
		driver.device[REG(INTERRUPT_ACKNOWLEDGE)] = driver.device[REG(INTERRUPT_STATUS)];
		target = driver.device[NUM_PAGES] / BLOCK_PAGES;
	} while (target == inflated);
	if (target < inflated && inflated - target > units)
		target = inflated - units;
	move(&driver, end, inflated, target);
	driver.device[ACTUAL] = target * BLOCK_PAGES;
	print_value("done", rdtsc());
	print_value("moved", target < inflated ? inflated - target : target - inflated);
	sleep_until(rdtsc() + 1000 * ticks_per_ms());
	print_value("end", rdtsc());
	return driver.device[REG(STATUS)] & VIRTIO_STATUS_NEEDS_RESET ? BROKEN : ALL_RIGHT;
}
