/*
 * The hypervisor's own page tables (paging.h has the map). Written on the boot processor before the
 * others run, apart from the trampoline's one entry, which is not global and gone before guests
 * start.
 */
#include "arch/x86/paging.h"
#include "arch/x86/processor.h"

#define PTE_PRESENT  BIT(0)
#define PTE_COMBINED BIT(3)            /* PWT: PAT entry 1, which is WC here */
#define PTE_UNCACHED (BIT(3) | BIT(4)) /* PWT and PCD: PAT entry 3, UC */
#define PTE_LARGE    BIT(7)
#define PTE_GLOBAL   BIT(8)
#define PTE_NX       BIT(63)
#define PTE_ADDRESS  0x000ffffffffff000UL

#define READ_ONLY  (PTE_PRESENT | PTE_NX)
#define READ_WRITE (PTE_PRESENT | PTE_WRITE | PTE_NX)
#define READ_EXEC  (PTE_PRESENT)

#define CPUID_1G_PAGES BIT(26) /* 0x80000001 EDX */

typedef u64 table_t[512];

/* Below 4 GiB by the image's own place: the other processors load it while still in 32-bit mode. */
static table_t root __aligned_to(4096);
static bool huge_pages;
static u64 next_device = DEVICES_BASE;
static u64 *trampoline_entry;
static u64 trampoline_page;

u64 paging_root(void)
{
	return image_to_physical(root);
}

/* The table below @entry, created if need be. NULL if memory ran out. */
static u64 *next_table(u64 *entry)
{
	u64 *table;

	if (*entry & PTE_PRESENT)
		return hpa_to_ptr(hpa(*entry & PTE_ADDRESS));
	table = arch_early_alloc(PAGE_SIZE, PAGE_SIZE);
	if (table != NULL)
		*entry = ptr_to_hpa(table).raw | PTE_PRESENT | PTE_WRITE;
	return table;
}

/* The entry for @address at @level (1: 4 KiB, 2: 2 MiB, 3: 1 GiB). A larger page above it is
 * returned instead; NULL if memory ran out. */
static u64 *entry_for(u64 address, int level)
{
	u64 *entry = &root[address >> 39 & 511];

	for (int at = 3; at >= level; at--) {
		u64 *table = next_table(entry);

		if (table == NULL)
			return NULL;
		entry = &table[address >> (12 + 9 * (at - 1)) & 511];
		if (at > 1 && (*entry & PTE_LARGE))
			return entry;
	}
	return entry;
}

static bool fits(u64 address, u64 physical, u64 bytes, u64 size)
{
	return ((address | physical) & (size - 1)) == 0 && bytes >= size;
}

/* Maps with the largest pages that fit; what is mapped already stays. */
static bool map(u64 address, u64 physical, u64 bytes, u64 bits)
{
	while (bytes > 0) {
		int level = 1;
		u64 size = PAGE_SIZE;
		u64 *entry;

		if (huge_pages && fits(address, physical, bytes, GIB(1))) {
			level = 3;
			size = GIB(1);
		} else if (fits(address, physical, bytes, MIB(2))) {
			level = 2;
			size = MIB(2);
		}
		entry = entry_for(address, level);
		if (entry == NULL)
			return false;
		if (!(*entry & PTE_PRESENT))
			*entry = physical | bits | PTE_GLOBAL | (level > 1 ? PTE_LARGE : 0);
		address += size;
		physical += size;
		bytes -= size;
	}
	return true;
}

/* One part of the image, in 4 KiB pages so that each part keeps its own rights. */
static bool map_image(const char *start, const char *end, u64 bits)
{
	for (u64 at = (u64)start; at < (u64)end; at += PAGE_SIZE)
		if (!map(at, at - IMAGE_BASE, PAGE_SIZE, bits))
			return false;
	return true;
}

static bool map_direct(u64 start, u64 end, u64 bits)
{
	return start >= end || map(DIRECT_MAP + start, start, end - start, bits);
}

static bool map_ram(void)
{
	u64 constant_start = image_to_physical(__image_start);
	u64 constant_end = image_to_physical(__rodata_end);
	const struct boot_info *info = boot_info();

	for (unsigned i = 0; i < info->ram_count; i++) {
		u64 start = info->ram[i].start.raw, end = start + info->ram[i].bytes;

		/* Text and constants have no writable alias. */
		if (!map_direct(start, MIN(end, constant_start), READ_WRITE) ||
			!map_direct(
				MAX(start, constant_start), MIN(end, constant_end), READ_ONLY) ||
			!map_direct(MAX(start, constant_end), end, READ_WRITE))
			return false;
	}
	return true;
}

bool paging_start(void)
{
	huge_pages = cpuid_if_present(0x80000001, 0).edx & CPUID_1G_PAGES;

	if (!map_ram() || !map_image(__text_start, __rodata_start, READ_EXEC) ||
		!map_image(__rodata_start, __rodata_end, READ_ONLY) ||
		!map_image(__data_start, __image_end, READ_WRITE))
		return false;
	/* One table each: the image has only small pages, and ends below 2 MiB but for its data. */
	init_pages.image = entry_for((u64)__init_start, 1);
	init_pages.direct = entry_for(DIRECT_MAP + image_to_physical(__init_start), 1);
	/* Tables of the windows that are still filled after arch_early_seal(). */
	if (entry_for(DEVICES_BASE, 1) == NULL)
		return false;
	wrmsr(MSR_PAT, PAT_HOST);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	write_cr3(paging_root());
	return true;
}

bool paging_map_stack(u64 address, hpa_t memory, unsigned pages)
{
	for (unsigned i = 0; i < pages; i++, address += PAGE_SIZE, memory.raw += PAGE_SIZE)
		if (!map(address, memory.raw, PAGE_SIZE, READ_WRITE))
			return false;
	return true;
}

volatile void *paging_map_device(hpa_t device, u64 bytes)
{
	u64 offset = device.raw & PAGE_MASK;
	u64 mapped = ROUND_UP(offset + bytes, PAGE_SIZE);
	u64 address = next_device;

	if (address + mapped > DEVICES_BASE + MIB(2))
		return NULL;
	for (u64 at = 0; at < mapped; at += PAGE_SIZE) {
		u64 *entry = entry_for(address + at, 1);

		*entry = (device.raw - offset + at) | READ_WRITE | PTE_UNCACHED | PTE_GLOBAL;
	}
	next_device += mapped;
	return (volatile char *)address + offset;
}

volatile void *paging_map_screen(hpa_t screen, u64 bytes)
{
	u64 start = screen.raw & ~PAGE_MASK, offset = screen.raw % MIB(2);

	bytes = ROUND_UP(screen.raw + bytes, PAGE_SIZE) - start;
	if (bytes > SCREEN_MAX ||
		!map(SCREEN_BASE + start % MIB(2), start, bytes, READ_WRITE | PTE_COMBINED))
		return NULL;
	return (volatile char *)SCREEN_BASE + offset;
}

const void *paging_map_firmware(hpa_t table, u64 bytes)
{
	u64 start = table.raw & ~PAGE_MASK;

	if (table.raw >= DIRECT_MAP_END || bytes > DIRECT_MAP_END - table.raw)
		return NULL;
	for (u64 at = start; at < table.raw + bytes; at += PAGE_SIZE)
		if (!map(DIRECT_MAP + at, at, PAGE_SIZE, READ_ONLY))
			return NULL;
	return hpa_to_ptr(table);
}

bool paging_trampoline_prepare(hpa_t page)
{
	trampoline_page = page.raw;
	trampoline_entry = entry_for(trampoline_page, 1);
	/* Written through the direct map, where low memory is not mapped otherwise. */
	return trampoline_entry != NULL &&
	       map(DIRECT_MAP + trampoline_page, trampoline_page, PAGE_SIZE, READ_WRITE);
}

void paging_trampoline_show(void)
{
	WRITE_ONCE(*trampoline_entry, trampoline_page | READ_EXEC);
}

void paging_trampoline_hide(void)
{
	WRITE_ONCE(*trampoline_entry, 0UL);
	invlpg(trampoline_page);
}
