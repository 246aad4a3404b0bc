/*
 * Balloon drivers that name what they may not: the device says so and asks for a reset, and what is
 * in the balloon is no memory for hypercalls and disks. Touched by the processor it is the end. And
 * drivers that do nothing, or tell what cannot be.
 */
#include "../common/virtio.h"
#include "acts.h"
#include "machine.h"

#define ENTRIES 4u

enum { INFLATE, DEFLATE, STATISTICS, REPORTING, QUEUES };

#define FEATURES                                                                                   \
	(BALLOON_F_MUST_TELL_HOST | BALLOON_F_STATS_VQ | BALLOON_F_DEFLATE_ON_OOM |                \
		BALLOON_F_PAGE_REPORTING)

struct ring {
	struct virtq_desc desc[ENTRIES];
	VIRTQ_AVAIL(ENTRIES) avail;
	VIRTQ_USED(ENTRIES) used;
} __attribute__((aligned(256)));

static volatile struct ring rings[QUEUES] __attribute__((aligned(4096)));
static volatile uint32_t numbers[512] __attribute__((aligned(4096)));
static volatile uint32_t *devices;
static volatile uint32_t *device;

/* Pages that nothing else uses: the last 2 MiB of this guest's 6. */
#define FREE_GFN 1024u

static void start(uint32_t features)
{
	device[REG(STATUS)] = 0;
	memset((void *)rings, 0, sizeof(rings));
	virtio_negotiate(device, features);
	for (uint32_t queue = 0; queue < QUEUES; queue++)
		virtio_set_queue(device, queue, ENTRIES, (uint64_t)rings[queue].desc,
			(uint64_t)&rings[queue].avail, (uint64_t)&rings[queue].used);
	device[REG(STATUS)] = VIRTIO_STATUS_READY;
}

static void send(uint32_t queue, uint64_t address, uint32_t bytes, uint16_t flags)
{
	volatile struct ring *ring = &rings[queue];

	ring->desc[0] = (struct virtq_desc){address, bytes, flags, 0};
	ring->avail.ring[ring->avail.index % ENTRIES] = 0;
	__asm__ volatile("" : : : "memory");
	ring->avail.index++;
	device[REG(QUEUE_NOTIFY)] = queue;
}

static void send_range(uint32_t queue, uint32_t first, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		numbers[i] = first + i;
	send(queue, (uint64_t)numbers, count * 4, 0);
}

static bool is_broken(void)
{
	return device[REG(STATUS)] & VIRTIO_STATUS_NEEDS_RESET;
}

/* Whether the device has used all, and is content: it may take some turns. */
static bool is_done(uint32_t queue)
{
	for (unsigned i = 0; i < 1000; i++)
		if (*(volatile uint16_t *)&rings[queue].used.index == rings[queue].avail.index)
			return !is_broken();
	return false;
}

/* Whether this breaks a device that works; afterwards it is as new. */
#define BREAKS(...)                                                                                \
	({                                                                                         \
		bool broken_;                                                                      \
                                                                                                   \
		__VA_ARGS__;                                                                       \
		broken_ = is_broken();                                                             \
		start(FEATURES);                                                                   \
		broken_;                                                                           \
	})

static void find_device(void)
{
	devices = (volatile uint32_t *)map_physical(PLATFORM_VIRTIO_BASE);
	device = devices + PLATFORM_BALLOON_SLOT * SLOT_WORDS;
}

uint64_t balloon_begin(void)
{
	find_device();
	start(FEATURES);
	return (uint64_t)rings / PAGE;
}

bool balloon_takes(uint64_t frame)
{
	send_range(INFLATE, (uint32_t)frame, 1);
	return is_done(INFLATE);
}

bool balloon_gives(uint64_t frame)
{
	send_range(DEFLATE, (uint32_t)frame, 1);
	return is_done(DEFLATE);
}

uint64_t act_bad_balloon(void)
{
	uint32_t end = (uint32_t)(ram_end(start_info) / PAGE);
	volatile uint64_t *page = (volatile uint64_t *)(uintptr_t)(FREE_GFN * PAGE);
	int64_t pool;

	find_device();
	CHECK(device[REG(DEVICE_ID)] == 5);
	start(0); /* without MUST_TELL_HOST */
	CHECK(!(device[REG(STATUS)] & 8));
	start(FEATURES);
	CHECK(device[REG(STATUS)] == VIRTIO_STATUS_READY);

	/* It works: a page, a block, and both come back empty. */
	page[5] = 0x1234;
	send_range(INFLATE, FREE_GFN, 1);
	CHECK(is_done(INFLATE));
	send_range(DEFLATE, FREE_GFN, 1);
	CHECK(is_done(DEFLATE));
	CHECK(page[5] == 0);
	page[5] = 0x1234;
	send_range(INFLATE, FREE_GFN, 512);
	CHECK(is_done(INFLATE));
	send_range(DEFLATE, FREE_GFN, 512);
	CHECK(is_done(DEFLATE));
	CHECK(page[5] == 0);

	/* Not its own, twice, not in the balloon, in use by a device. */
	CHECK(BREAKS(send_range(INFLATE, end, 1)));
	CHECK(BREAKS(send_range(INFLATE, end - 1, 2)));
	CHECK(BREAKS(send_range(INFLATE, 0xd0000, 512)));
	CHECK(BREAKS(send_range(INFLATE, 0xffffffff, 1)));
	CHECK(BREAKS(send_range(INFLATE, FREE_GFN, 2); send_range(INFLATE, FREE_GFN + 1, 1)));
	CHECK(BREAKS(send_range(INFLATE, FREE_GFN, 512); send_range(INFLATE, FREE_GFN, 512)));
	CHECK(BREAKS(send_range(DEFLATE, FREE_GFN, 1)));
	CHECK(BREAKS(send_range(DEFLATE, end, 1)));
	CHECK(BREAKS(send_range(INFLATE, (uint32_t)((uint64_t)rings / PAGE), 1)));

	/* Arrays and ranges that are none. */
	CHECK(BREAKS(send(INFLATE, (uint64_t)numbers, 6, 0)));
	CHECK(BREAKS(send(INFLATE, ram_end(start_info) - 4, 8, 0)));
	CHECK(BREAKS(send(INFLATE, ~0ul - 3, 8, 0)));
	CHECK(BREAKS(send(INFLATE, (uint64_t)numbers, 4, VIRTQ_DESC_NEXT)));
	CHECK(BREAKS(send(REPORTING, FREE_GFN * PAGE + 8, PAGE, VIRTQ_DESC_WRITE)));
	CHECK(BREAKS(send(REPORTING, ram_end(start_info) - PAGE, 2 * PAGE, VIRTQ_DESC_WRITE)));
	CHECK(BREAKS(send(REPORTING, 1ul << 62, PAGE, VIRTQ_DESC_WRITE)));
	CHECK(BREAKS(send(STATISTICS, ram_end(start_info), 10, 0)));

	/* Reported pages are had again by touching them, and are empty. */
	page[5] = 0x1234;
	send(REPORTING, FREE_GFN * PAGE, 512 * PAGE, VIRTQ_DESC_WRITE);
	CHECK(is_done(REPORTING));
	CHECK(page[5] == 0);

	/* In the balloon it is no memory for anybody, until the reset. */
	send_range(INFLATE, FREE_GFN, 1);
	CHECK(is_done(INFLATE));
	CHECK(hypercall2(HYPERCALL_CONSOLE_WRITE, FREE_GFN * PAGE, 16) == -SLUICE_EFAULT);
	pool = hypercall3(HYPERCALL_TMEM_POOL_NEW, 0, 0, 0);
	CHECK(pool >= 0);
	CHECK(hypercall6(HYPERCALL_TMEM_PUT, (uint64_t)pool, 1, 0, 0, FREE_GFN, 0) ==
		-SLUICE_EFAULT);
	CHECK(hypercall2(HYPERCALL_TMEM_BATCH, FREE_GFN * PAGE, 4) == -SLUICE_EFAULT);
	device[REG(STATUS)] = 0;
	CHECK(page[5] == 0);
	CHECK(hypercall6(HYPERCALL_TMEM_PUT, (uint64_t)pool, 1, 0, 0, FREE_GFN, 0) == 0);
	return 0;
}

/* A disk whose requests name what is in the balloon breaks, and works again after its reset. */
uint64_t act_balloon_for_disk(void)
{
	static volatile struct {
		uint32_t type, reserved;
		uint64_t sector;
	} header __attribute__((aligned(16)));
	static volatile uint8_t status;
	volatile uint32_t *balloon;

	find_device();
	balloon = device;
	start(FEATURES);
	send_range(INFLATE, FREE_GFN, 1);
	CHECK(is_done(INFLATE));

	device = devices; /* the disk in slot 0, with a ring that the balloon does not use */
	CHECK(device[REG(DEVICE_ID)] == 2);
	for (unsigned round = 0; round < 2; round++) {
		volatile struct ring *ring = &rings[REPORTING];

		device[REG(STATUS)] = 0;
		memset((void *)ring, 0, sizeof(*ring));
		virtio_negotiate(device, 0);
		virtio_set_queue(device, 0, ENTRIES, (uint64_t)ring->desc, (uint64_t)&ring->avail,
			(uint64_t)&ring->used);
		device[REG(STATUS)] = VIRTIO_STATUS_READY;
		status = 0xff;
		ring->desc[0] = (struct virtq_desc){(uint64_t)&header, 16, VIRTQ_DESC_NEXT, 1};
		ring->desc[1] = (struct virtq_desc){(FREE_GFN + round) * (uint64_t)PAGE, 512,
			VIRTQ_DESC_NEXT | VIRTQ_DESC_WRITE, 2};
		ring->desc[2] = (struct virtq_desc){(uint64_t)&status, 1, VIRTQ_DESC_WRITE, 0};
		ring->avail.index = 1;
		device[REG(QUEUE_NOTIFY)] = 0;
		if (round == 0)
			CHECK(is_broken() && status == 0xff);
		else
			CHECK(!is_broken() && status == 0);
	}
	device[REG(STATUS)] = 0;
	balloon[REG(STATUS)] = 0;
	return 0;
}

/* Small pages are put together into a large one again under a guest that writes them all the while.
 */
uint64_t act_balloon_merge(void)
{
	volatile uint64_t *pages = (volatile uint64_t *)(uintptr_t)(FREE_GFN * PAGE);
	uint64_t end, rounds = 0;

	find_device();
	start(FEATURES);
	pages[0] = 0; /* a large page, to be split */
	send_range(INFLATE, FREE_GFN + 3, 1);
	CHECK(is_done(INFLATE));
	send_range(DEFLATE, FREE_GFN + 3, 1);
	CHECK(is_done(DEFLATE));
	for (unsigned i = 0; i < 512; i++)
		pages[i * 512 + i] = i;
	end = rdtsc() + 600 * ticks_per_ms();
	for (; rdtsc() < end; rounds++)
		for (unsigned i = 0; i < 512; i++)
			CHECK(pages[i * 512 + i]++ == i + rounds);
	for (unsigned i = 0; i < 512; i++)
		CHECK(pages[i * 512 + i] == i + rounds);
	device[REG(STATUS)] = 0;
	return 0;
}

/* ---- Drivers that break no rule of the device ---------------------------------------- */

/* For so long, with an answer whenever statistics are wanted: @values in bytes or faults, that of
 * the time added to what only counts. */
static void tell_statistics(unsigned ms, const uint64_t values[BALLOON_STATS])
{
	static volatile struct balloon_statistic stats[BALLOON_STATS + 1];
	const volatile struct ring *ring = &rings[STATISTICS];
	uint64_t end = rdtsc() + ms * ticks_per_ms();

	while (rdtsc() < end) {
		if (ring->used.index != ring->avail.index)
			continue;
		for (uint16_t tag = 0; tag < BALLOON_STATS; tag++) {
			stats[tag].tag = tag;
			stats[tag].value = values[tag] +
					   (tag < BALLOON_STAT_FREE ? rdtsc() & values[tag] : 0);
		}
		stats[BALLOON_STATS].tag = 0xffff; /* is for later versions: no error */
		stats[BALLOON_STATS].value = ~0ul;
		send(STATISTICS, (uint64_t)stats, sizeof(stats), 0);
	}
}

/* It listens, says that all is free, and gives nothing. */
uint64_t act_balloon_refuse(void)
{
	uint64_t ram = ram_end(start_info);
	const uint64_t values[BALLOON_STATS] = {[BALLOON_STAT_FREE] = ram,
		[BALLOON_STAT_TOTAL] = ram,
		[BALLOON_STAT_AVAILABLE] = ram};

	find_device();
	start(FEATURES);
	tell_statistics(3000, values);
	CHECK(!is_broken());
	CHECK(device[VIRTIO_MMIO_CONFIG / 4] > 0); /* it was asked */
	return 0;
}

/* More of everything than there can be, counters that go to and fro, and a balloon of 16 TiB. */
uint64_t act_balloon_nonsense(void)
{
	static const uint64_t values[BALLOON_STATS] = {
		~0ul >> 1, ~0ul >> 1, ~0ul >> 1, ~0ul >> 1, ~0ul, 1, ~0ul - 4096, 1ul << 62};

	find_device();
	start(FEATURES);
	device[VIRTIO_MMIO_CONFIG / 4 + 1] = 0xffffffff;
	tell_statistics(3000, values);
	CHECK(!is_broken());
	return 0;
}

uint64_t act_balloon_touch(void)
{
	find_device();
	start(FEATURES);
	send_range(INFLATE, FREE_GFN, 1);
	if (is_done(INFLATE))
		*(volatile uint64_t *)(uintptr_t)(FREE_GFN * PAGE) = 1;
	return 1;
}

/* The page table itself goes. */
uint64_t act_balloon_tables(void)
{
	find_device();
	start(FEATURES);
	send_range(INFLATE, (uint32_t)(read_cr3() / PAGE), 1);
	/* Wherever it is noticed. */
	__asm__ volatile("mov %0, %%cr3" : : "r"(read_cr3()) : "memory");
	return *(volatile uint64_t *)(uintptr_t)(FREE_GFN * PAGE);
}
