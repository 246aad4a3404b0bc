/*
 * Two disks: slot 0 a module whose byte n of sector s is (s + n) mod 251, slot 1 blank. Reads and
 * writes both, then breaks every rule of the queue; after each the device must ask for its reset,
 * and work again after it. What main() returns is the number of the step that went wrong; 0 means
 * that all were right. With a third disk in slot 2 (blank, no service time) it fills that one's
 * queue and prints how long the notification took.
 */
#include "driver.h"
#include "windows.h"

#include <abi/platform.h>

enum step {
	ALL_RIGHT,
	NO_DISK,
	BAD_FEATURES,
	BAD_READ,
	BAD_ID,
	BAD_ERROR,
	BAD_WRITE,
	TOO_FAST,
	NOT_FULL,
	NOT_BROKEN, /* + the number of the rule */
};

#define CHUNK (16 * SECTOR)

static struct disk data, blank;
static uint8_t buffer[CHUNK + 4096] __attribute__((aligned(4096)));

static uint8_t expected(uint64_t sector, unsigned byte)
{
	return (uint8_t)((sector + byte) % 251);
}

static enum step check_module(void)
{
	uint8_t *to = buffer + 0xf80; /* each transfer crosses pages */
	uint32_t sectors = disk_get(&data, VIRTIO_MMIO_CONFIG);

	if (!(disk_get(&data, VIRTIO_MMIO_DEVICE_FEATURES) & BLK_F_RO) ||
		disk_get(&blank, VIRTIO_MMIO_DEVICE_FEATURES) & BLK_F_RO || sectors < 32)
		return BAD_FEATURES;
	for (uint32_t sector = 0; sector + 16 <= sectors; sector += 16) {
		if (disk_do(&data, BLK_T_IN, sector, to, CHUNK) != BLK_S_OK)
			return BAD_READ;
		for (unsigned n = 0; n < CHUNK; n++)
			if (to[n] != expected(sector + n / SECTOR, n % SECTOR))
				return BAD_READ;
	}
	if (disk_do(&data, BLK_T_GET_ID, 0, buffer, 20) != BLK_S_OK || buffer[0] != 'd' ||
		buffer[1] != 'a' || buffer[4] != 0)
		return BAD_ID;
	if (disk_do(&data, BLK_T_OUT, 0, buffer, SECTOR) != BLK_S_IOERR ||
		disk_do(&data, BLK_T_IN, sectors, buffer, SECTOR) != BLK_S_IOERR ||
		disk_do(&data, BLK_T_IN, ~0ull, buffer, SECTOR) != BLK_S_IOERR ||
		disk_do(&data, BLK_T_IN, 0, buffer, 100) != BLK_S_IOERR ||
		disk_do(&data, 99, 0, buffer, SECTOR) != BLK_S_UNSUPP)
		return BAD_ERROR;
	return ALL_RIGHT;
}

static enum step check_blank(void)
{
	uint64_t start = rdtsc();

	if (disk_do(&blank, BLK_T_IN, 8, buffer, CHUNK) != BLK_S_OK)
		return BAD_READ;
	/* The manifest says one millisecond a request. */
	if (rdtsc() - start < ticks_per_ms())
		return TOO_FAST;
	for (unsigned n = 0; n < CHUNK; n++)
		if (buffer[n] != 0)
			return BAD_READ;
	for (unsigned n = 0; n < CHUNK; n++)
		buffer[n] = (uint8_t)(n * 7 + n / 256);
	if (disk_do(&blank, BLK_T_OUT, 3, buffer, CHUNK) != BLK_S_OK ||
		disk_do(&blank, BLK_T_FLUSH, 0, buffer, 0) != BLK_S_OK)
		return BAD_WRITE;
	memset(buffer, 0, CHUNK);
	if (disk_do(&blank, BLK_T_IN, 3, buffer, CHUNK) != BLK_S_OK)
		return BAD_READ;
	for (unsigned n = 0; n < CHUNK; n++)
		if (buffer[n] != (uint8_t)(n * 7 + n / 256))
			return BAD_WRITE;
	return ALL_RIGHT;
}

/* Each breaks one rule; the request was prepared before and is offered after. */
static void loop(struct disk *d)
{
	d->rings.desc[1].flags = VIRTQ_DESC_NEXT;
	d->rings.desc[1].next = 0;
}
static void data_in_devices(struct disk *d)
{
	d->rings.desc[1].address = PLATFORM_VIRTIO_BASE;
}
static void data_beyond_ram(struct disk *d)
{
	d->rings.desc[1].address = 1ull << 40;
}
static void data_overflows(struct disk *d)
{
	d->rings.desc[1].address = ~0ull - 100;
}
static void status_beyond_ram(struct disk *d)
{
	d->rings.desc[2].address = 1ull << 52;
}
static void header_beyond_ram(struct disk *d)
{
	d->rings.desc[0].address = ~0ull;
}
static void header_too_short(struct disk *d)
{
	d->rings.desc[0].bytes = 15;
}
static void no_status(struct disk *d)
{
	d->rings.desc[0].flags = 0;
}
static void next_outside(struct disk *d)
{
	d->rings.desc[1].next = 0xffff;
}
static void indirect(struct disk *d)
{
	d->rings.desc[1].flags = VIRTQ_DESC_INDIRECT;
}
static void readable_last(struct disk *d)
{
	d->rings.desc[2].flags = 0;
}
static void index_jumps(struct disk *d)
{
	d->rings.avail.index += 1000;
}

static void (*const rules[])(struct disk *) = {loop, data_in_devices, data_beyond_ram,
	data_overflows, status_beyond_ram, header_beyond_ram, header_too_short, no_status,
	next_outside, indirect, readable_last, index_jumps};

static enum step break_rules(void)
{
	for (unsigned n = 0; n < sizeof(rules) / sizeof(rules[0]); n++) {
		if (!disk_start(&data, 0))
			return NO_DISK;
		disk_prepare(&data, BLK_T_IN, 0, (uintptr_t)buffer, SECTOR);
		rules[n](&data);
		disk_offer(&data, 0);
		if (!(disk_get(&data, VIRTIO_MMIO_STATUS) & VIRTIO_STATUS_NEEDS_RESET) ||
			disk_get(&data, VIRTIO_MMIO_QUEUE_READY) != 0 || data.status != S_NONE)
			return NOT_BROKEN + n;
		/* The other disk does not notice. */
		if (disk_do(&blank, BLK_T_IN, 0, buffer, SECTOR) != BLK_S_OK)
			return BAD_READ;
	}
	if (!disk_start(&data, 0) || disk_do(&data, BLK_T_IN, 1, buffer, SECTOR) != BLK_S_OK ||
		buffer[0] != 1)
		return BAD_READ;
	return ALL_RIGHT;
}

/* ---- Full queues -------------------------------------------------------------------------------
 */

#define FULL_DATA  ((uintptr_t)4 << 20) /* RAM that nothing else uses */
#define FULL_BYTES (255u * 4096)        /* the most that one request may touch, its status apart */

/* Reads of @bytes each into the same memory, as many as the queue holds, with one notification:
 * ticks that it took, or 0 if not all come back. */
static uint64_t time_full_queue(
	struct disk *disk, const char *name, uint64_t sector, unsigned count, uint32_t bytes)
{
	volatile uint16_t *used = &disk->rings.used.index;
	uint16_t before = *used, done;
	uint64_t ticks;

	disk_prepare(disk, BLK_T_IN, sector, FULL_DATA, bytes);
	for (unsigned n = 0; n < count; n++)
		disk_add(disk, 0);
	ticks = rdtsc();
	disk_set(disk, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	ticks = rdtsc() - ticks;
	done = (uint16_t)(*used - before);
	print(name);
	print_value(" ticks", ticks);
	print(name);
	print_value(" done", done);
	return disk_wait(disk) == BLK_S_OK;
}

static enum step fill_queues(void)
{
	static struct disk full;

	if (!disk_start(&full, 2))
		return ALL_RIGHT; /* this guest has no such disk */
	memset((void *)FULL_DATA, 1, FULL_BYTES);
	return time_full_queue(&full, "first", 0, 1, 4096) &&
			       time_full_queue(&full, "one", 0, 1, 4096) &&
			       time_full_queue(&full, "small", 0, QUEUE, 4096) &&
			       time_full_queue(&full, "large", 0, 16, FULL_BYTES) &&
			       time_full_queue(&full, "crossing", 1, 16, FULL_BYTES)
		       ? ALL_RIGHT
		       : NOT_FULL;
}

int main(const struct start_info *info)
{
	enum step (*const steps[])(void) = {check_module, check_blank, fill_queues, break_rules};
	enum step result = ALL_RIGHT;

	(void)info;
	print("disk guest: started\n");
	windows_map();
	if (!disk_start(&data, 0) || !disk_start(&blank, 1))
		result = NO_DISK;
	for (unsigned n = 0; result == ALL_RIGHT && n < sizeof(steps) / sizeof(steps[0]); n++)
		result = steps[n]();
	if (result == ALL_RIGHT)
		print("disk guest: done\n");
	else
		print_value("disk guest: failed at step", result);
	return (int)result;
}
