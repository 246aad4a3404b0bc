/*
 * A guest that uses its source of randomness and its console as drivers do, but polls. It prints
 * random bytes for the test to compare, by hypercall; all that begins with "sent" goes through the
 * console device. With "none" on its command line it must find no source of randomness. What main()
 * returns is the line of the check that failed.
 */
#include "../common/guest.h"
#include "../common/virtio.h"
#include "../disk/windows.h"

#define ENTRIES 4u

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return __LINE__;                                                           \
	} while (0)

struct ring {
	struct virtq_desc desc[ENTRIES];
	VIRTQ_AVAIL(ENTRIES) avail;
	VIRTQ_USED(ENTRIES) used;
} __attribute__((aligned(256)));

struct device {
	volatile uint32_t *words;
	volatile struct ring rings[2];
};

static struct device rng, console;
static char buffer[65536] __attribute__((aligned(4096)));

static bool start(struct device *device, unsigned slot, uint32_t id, uint32_t queues)
{
	device->words = (volatile uint32_t *)(uintptr_t)PLATFORM_VIRTIO_WINDOW(slot);
	if (device->words[REG(MAGIC)] != VIRTIO_MAGIC || device->words[REG(DEVICE_ID)] != id)
		return false;
	device->words[REG(STATUS)] = 0; /* it lets go of the rings */
	memset((void *)device->rings, 0, sizeof(device->rings));
	virtio_negotiate(device->words, 0);
	for (uint32_t queue = 0; queue < queues; queue++)
		virtio_set_queue(device->words, queue, ENTRIES, (uint64_t)device->rings[queue].desc,
			(uint64_t)&device->rings[queue].avail,
			(uint64_t)&device->rings[queue].used);
	device->words[REG(STATUS)] = VIRTIO_STATUS_READY;
	return device->words[REG(STATUS)] == VIRTIO_STATUS_READY;
}

static void offer(
	struct device *device, uint32_t queue, const char *at, uint32_t bytes, uint16_t flags)
{
	volatile struct ring *ring = &device->rings[queue];
	uint16_t head = ring->avail.index % ENTRIES;

	ring->desc[head] = (struct virtq_desc){(uint64_t)at, bytes, flags, 0};
	ring->avail.ring[head] = head;
	__asm__ volatile("" : : : "memory");
	ring->avail.index++;
	device->words[REG(QUEUE_NOTIFY)] = queue;
}

/* Waits until all requests of the queue are back, for at most two seconds; the last one's length,
 * or -1. */
static int64_t finish(struct device *device, uint32_t queue)
{
	volatile struct ring *ring = &device->rings[queue];
	uint64_t end = rdtsc() + 2000 * ticks_per_ms();

	while (ring->used.index != ring->avail.index)
		if (rdtsc() > end)
			return -1;
	return ring->used.ring[(ring->used.index - 1) % ENTRIES].bytes;
}

static void print_bytes(const char *bytes, unsigned count)
{
	char text[2 * 64 + 1];

	for (unsigned i = 0; i < 2 * count; i++)
		text[i] = "0123456789abcdef"[(uint8_t)bytes[i / 2] >> (i % 2 ? 0 : 4) & 15];
	text[2 * count] = 0;
	print("random ");
	print(text);
	print("\n");
}

static int use_rng(void)
{
	uint64_t total = 0;

	CHECK(start(&rng, PLATFORM_RNG_SLOT, VIRTIO_ID_RNG, 1));
	for (unsigned i = 0; i < 3; i++) {
		memset(buffer, 0, 64);
		offer(&rng, 0, buffer, 32, VIRTQ_DESC_WRITE);
		CHECK(finish(&rng, 0) == 32);
		print_bytes(buffer, 32);
		for (unsigned j = 32; j < 64; j++)
			CHECK(buffer[j] == 0);
	}
	CHECK(rng.words[REG(INTERRUPT_STATUS)] == VIRTIO_INTERRUPT_QUEUE);
	rng.words[REG(INTERRUPT_ACKNOWLEDGE)] = VIRTIO_INTERRUPT_QUEUE;
	CHECK(rng.words[REG(INTERRUPT_STATUS)] == 0);

	/* As much as there is: in part, and later more. */
	for (unsigned i = 0; i < 3; i++) {
		int64_t bytes;

		offer(&rng, 0, buffer, sizeof(buffer), VIRTQ_DESC_WRITE);
		bytes = finish(&rng, 0);
		CHECK(bytes > 0 && bytes <= 4096);
		total += (uint64_t)bytes;
	}
	CHECK(total > 4096);

	/* A reset while one waits for more. */
	for (unsigned i = 0; i < ENTRIES; i++)
		offer(&rng, 0, buffer, sizeof(buffer), VIRTQ_DESC_WRITE);
	CHECK(start(&rng, PLATFORM_RNG_SLOT, VIRTIO_ID_RNG, 1));
	offer(&rng, 0, buffer, 8, VIRTQ_DESC_WRITE);
	CHECK(finish(&rng, 0) == 8);
	rng.words[REG(STATUS)] = 0;
	return 0;
}

/* Lines "sent NNN" of 16 bytes each. */
static uint32_t write_lines(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		memcpy(buffer + 16 * i, "sent 000 ......\n", 16);
		buffer[16 * i + 5] = (char)('0' + i / 100 % 10);
		buffer[16 * i + 6] = (char)('0' + i / 10 % 10);
		buffer[16 * i + 7] = (char)('0' + i % 10);
	}
	return 16 * count;
}

static int use_console(void)
{
	uint32_t bytes = write_lines(200);

	CHECK(start(&console, PLATFORM_CONSOLE_SLOT, VIRTIO_ID_CONSOLE, CONSOLE_QUEUES));
	offer(&console, CONSOLE_RECEIVE, buffer + 32768, 4096, VIRTQ_DESC_WRITE);
	/* Begun in the notification, and at its end some turns later. */
	offer(&console, CONSOLE_TRANSMIT, buffer, bytes, 0);
	CHECK(finish(&console, CONSOLE_TRANSMIT) == 0);
	/* One of a turn is done when the notification is. */
	offer(&console, CONSOLE_TRANSMIT, "sent at once\n", 13, 0);
	CHECK(console.rings[CONSOLE_TRANSMIT].used.index == 2);
	/* Reset while it sends what takes some two hundred turns, and shows nothing: its end is not
	 * sent. */
	memset(buffer, '\r', sizeof(buffer));
	for (uint16_t i = 0; i < 3; i++)
		console.rings[CONSOLE_TRANSMIT].desc[i] = (struct virtq_desc){
			(uint64_t)buffer, sizeof(buffer), VIRTQ_DESC_NEXT, (uint16_t)(i + 1)};
	console.rings[CONSOLE_TRANSMIT].desc[3] = (struct virtq_desc){
		(uint64_t) "sent never\n", 11, 0, 0};
	console.rings[CONSOLE_TRANSMIT].avail.ring[2] = 0;
	console.rings[CONSOLE_TRANSMIT].avail.index++;
	console.words[REG(QUEUE_NOTIFY)] = CONSOLE_TRANSMIT;
	CHECK(start(&console, PLATFORM_CONSOLE_SLOT, VIRTIO_ID_CONSOLE, CONSOLE_QUEUES));
	offer(&console, CONSOLE_TRANSMIT, "sent at last\n", 13, 0);
	CHECK(finish(&console, CONSOLE_TRANSMIT) == 0);
	/* Nobody typed. */
	CHECK(console.rings[CONSOLE_RECEIVE].used.index == 0);
	console.words[REG(STATUS)] = 0;
	return 0;
}

int main(const struct start_info *info)
{
	const char *line = (const char *)(uintptr_t)info->command_line;
	int failed;

	windows_map();
	if (line && line[0] == 'n') {
		CHECK(!start(&rng, PLATFORM_RNG_SLOT, VIRTIO_ID_RNG, 1));
		CHECK(rng.words[REG(MAGIC)] == VIRTIO_MAGIC && rng.words[REG(DEVICE_ID)] == 0);
		return 0;
	}
	failed = use_rng();
	if (!failed)
		failed = use_console();
	if (failed)
		print_value("failed in line", (uint64_t)failed);
	return failed;
}
