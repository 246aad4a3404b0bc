/*
 * The guest that comes again: how each of its lives ends is a letter of its command line, the last
 * one for all that follow. Which life it is, it knows from its disk, in slot 0, blank and written
 * here alone. Everything but that disk must be as after power on, and is left in disorder: a second
 * vCPU puts pages, a timer runs, 2 MiB are in the balloon, both kinds of pools hold a page, and a
 * write is on its way to the disk. What main() returns is the number of the step that went wrong.
 */
#include "../disk/driver.h"
#include "../disk/windows.h"
#include "../smp/machine.h"
#include "../vectors/wide.h"

enum step {
	ALL_RIGHT,
	NOT_SLUICE,
	NOT_ZERO,
	BAD_REGISTERS,
	BAD_INTERRUPTS,
	BAD_DEVICE,
	NO_DISK,
	BAD_DISK,
	POOL_LEFT,
	PAGE_LEFT,
	NO_POOL,
	NO_BALLOON,
	STILL_ALIVE,
	FAILED_ON_PURPOSE = 99,
};

#define PAGE 4096u

#define X2APIC_IRR 0x820u /* 8 of them */
#define SVR_ENABLE 0x100u

#define FCW_RESET 0x37fu
#define MAGIC     0x6e69616761ull

#define BALLOON_GFN   1024u
#define BALLOON_PAGES 512u
#define ENTRIES       4u

struct record {
	uint64_t magic, life;
	uint8_t rest[SECTOR - 16];
};

void start_second(void (*function)(void));

static struct disk disk;
static struct record record;
static uint8_t page[PAGE] __attribute__((aligned(PAGE)));
static uint8_t other_page[PAGE] __attribute__((aligned(PAGE)));
static volatile uint64_t zeros[512]; /* .bss: no byte of it is in the file */
static volatile uint32_t rounds;
static int64_t pools[2];
static struct wide vectors;
static const struct wide no_vectors;
static enum wide_level level;

static struct {
	struct virtq_desc desc[ENTRIES];
	VIRTQ_AVAIL(ENTRIES) avail;
	VIRTQ_USED(ENTRIES) used;
} __attribute__((aligned(256))) inflate;
static uint32_t numbers[BALLOON_PAGES] __attribute__((aligned(PAGE)));

static int64_t tmem(uint64_t call, int64_t pool, uint32_t index, const void *at)
{
	return hypercall6(call, TMEM_HANDLE(pool, index), 7, 7, 7, (uintptr_t)at / PAGE, 0);
}

/* RAM behind the image, what the balloon had among it. */
static bool is_zero(uint64_t end)
{
	for (uint64_t at = 2ull << 20; at < end; at += PAGE)
		if (*(volatile uint64_t *)(uintptr_t)at)
			return false;
	for (unsigned i = 0; i < 512; i++)
		if (zeros[i])
			return false;
	return true;
}

static void dirty_memory(uint64_t end)
{
	for (uint64_t at = 2ull << 20; at < end; at += PAGE)
		*(volatile uint64_t *)(uintptr_t)at = at;
	for (unsigned i = 0; i < 512; i++)
		zeros[i] = i + 1;
}

static bool registers_are_new(void)
{
	uint16_t control;
	uint64_t dr0;

	__asm__ volatile("fnstcw %0" : "=m"(control));
	__asm__ volatile("mov %%dr0, %0" : "=r"(dr0));
	if (control != FCW_RESET || dr0 != 0)
		return false;
	level = wide_enable(1);
	if (level == WIDE_BAD)
		return false;
	wide_store(&vectors, level);
	return wide_equal(&vectors, &no_vectors);
}

static void dirty_registers(void)
{
	const uint16_t control = 0x27f;

	__asm__ volatile("fldcw %0" : : "m"(control));
	__asm__ volatile("mov %0, %%dr0" : : "r"(MAGIC));
	wide_fill(&vectors, MAGIC, level);
	wide_load(&vectors, level);
}

static bool interrupts_are_new(void)
{
	for (uint32_t i = 0; i < 8; i++)
		if (rdmsr(X2APIC_IRR + i))
			return false;
	return rdmsr(X2APIC_SVR) == 0xff && rdmsr(X2APIC_TIMER_INITIAL) == 0;
}

static void dirty_interrupts(void)
{
	wrmsr(X2APIC_SVR, SVR_ENABLE | 0xff);
	wrmsr(X2APIC_TIMER_DIVIDE, 0xb);
	wrmsr(X2APIC_LVT_TIMER, LVT_PERIODIC | VECTOR_TIMER);
	wrmsr(X2APIC_TIMER_INITIAL, (uint32_t)ticks_per_ms() / 4);
	while (!rdmsr(X2APIC_IRR + VECTOR_TIMER / 32))
		;
}

static volatile uint32_t *balloon(void)
{
	return (volatile uint32_t *)(uintptr_t)PLATFORM_VIRTIO_WINDOW(PLATFORM_BALLOON_SLOT);
}

static bool inflate_balloon(void)
{
	volatile uint16_t *done = &inflate.used.index;

	virtio_negotiate(balloon(), BALLOON_F_MUST_TELL_HOST);
	virtio_set_queue(balloon(), 0, ENTRIES, (uintptr_t)inflate.desc, (uintptr_t)&inflate.avail,
		(uintptr_t)&inflate.used);
	balloon()[REG(STATUS)] = VIRTIO_STATUS_READY;
	for (uint32_t i = 0; i < BALLOON_PAGES; i++)
		numbers[i] = BALLOON_GFN + i;
	inflate.desc[0] = (struct virtq_desc){(uintptr_t)numbers, sizeof(numbers), 0, 0};
	inflate.avail.index = 1;
	__asm__ volatile("" : : : "memory");
	balloon()[REG(QUEUE_NOTIFY)] = 0;
	while (*done == 0)
		__asm__ volatile("pause");
	return *done == 1 && !(balloon()[REG(STATUS)] & VIRTIO_STATUS_NEEDS_RESET);
}

static enum step use_pools(void)
{
	for (unsigned kind = 0; kind < 2; kind++)
		if (tmem(HYPERCALL_TMEM_GET, kind, 1, page) != -SLUICE_EBADF)
			return POOL_LEFT;
	for (unsigned kind = 0; kind < 2; kind++) {
		pools[kind] = hypercall3(
			HYPERCALL_TMEM_POOL_NEW, kind ? TMEM_POOL_PERSISTENT : 0, 0, 0);
		if (pools[kind] < 0)
			return NO_POOL;
		if (tmem(HYPERCALL_TMEM_GET, pools[kind], 1, page) != -SLUICE_ENOENT)
			return PAGE_LEFT;
		page[0] = (uint8_t)(kind + 1);
		page[PAGE - 1] = 1; /* no page of one repeated word */
		if (tmem(HYPERCALL_TMEM_PUT, pools[kind], 1, page))
			return NO_POOL;
	}
	return ALL_RIGHT;
}

/* vCPU 1 is in the middle of something whenever the other one ends. */
static void second(void)
{
	for (uint32_t i = 0;; i++) {
		*(volatile uint32_t *)other_page = i;
		other_page[PAGE - 1] = 1;
		(void)tmem(HYPERCALL_TMEM_PUT, pools[i % 2], 2 + i % 64, other_page);
		rounds = i;
	}
}

static enum step come_up(const struct start_info *info)
{
	windows_map();
	if (!is_zero(ram_end(info)))
		return NOT_ZERO;
	if (!registers_are_new())
		return BAD_REGISTERS;
	if (!interrupts_are_new())
		return BAD_INTERRUPTS;
	if (balloon()[REG(STATUS)] || balloon()[REG(INTERRUPT_STATUS)])
		return BAD_DEVICE;
	if (!disk_start(&disk, 0))
		return NO_DISK;
	if (disk_do(&disk, BLK_T_IN, 0, &record, SECTOR) != BLK_S_OK)
		return BAD_DISK;
	if (record.magic ? record.magic != MAGIC : record.life != 0)
		return BAD_DISK;
	return use_pools();
}

/* The write of this life's record is done; that of garbage into another sector is not. */
static enum step make_disorder(const struct start_info *info)
{
	record.magic = MAGIC;
	record.life++;
	if (disk_do(&disk, BLK_T_OUT, 0, &record, SECTOR) != BLK_S_OK ||
		disk_do(&disk, BLK_T_FLUSH, 0, &record, 0) != BLK_S_OK)
		return BAD_DISK;
	dirty_memory(ram_end(info));
	dirty_registers();
	dirty_interrupts();
	if (!inflate_balloon())
		return NO_BALLOON;
	start_second(second);
	while (rounds < 20)
		__asm__ volatile("pause");
	disk_prepare(&disk, BLK_T_OUT, 1, (uintptr_t)page, PAGE);
	disk_offer(&disk, 0);
	return ALL_RIGHT;
}

static void end(char how)
{
	const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) no_idt = {0, 0};

	switch (how) {
	case 'r': /* as Linux does */
		outb(PLATFORM_RESET_PORT, 0xfe);
		break;
	case 't':
		__asm__ volatile("lidt %0; int3" : : "m"(no_idt));
		break;
	case 'o':
		outb(PLATFORM_SLEEP_PORT, 5 << 2 | 1 << 5);
		break;
	case 'f':
		guest_shutdown(FAILED_ON_PURPOSE);
	case 'w': /* for the operator */
		for (;;)
			__asm__ volatile("pause");
	default:
		guest_shutdown(0);
	}
}

int main(const struct start_info *info)
{
	const char *ends = (const char *)(uintptr_t)info->command_line;
	enum step step;

	if (!guest_on_sluice())
		return NOT_SLUICE;
	step = come_up(info);
	if (step != ALL_RIGHT)
		return step;
	print_value("life", record.life);
	for (uint64_t i = 0; i < record.life && ends[1]; i++)
		ends++;
	step = make_disorder(info);
	if (step != ALL_RIGHT)
		return step;
	print("in disorder\n");
	end(*ends);
	return STILL_ALIVE;
}
