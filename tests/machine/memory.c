/*
 * The address space as the processor sees it, the memory that the boot loader described, and page
 * copies.
 */
#include <string.h>

#include "arch/x86/arch.h"
#include "arch/x86/copy.h"
#include "arch/x86/paging.h"
#include "arch/x86/processor.h"
#include "kernel/core/log.h"
#include "tests/machine/cases.h"

#define PTE_PRESENT BIT(0)
#define PTE_WRITE   BIT(1)
#define PTE_USER    BIT(2)
#define PTE_LARGE   BIT(7)
#define PTE_NX      BIT(63)
#define PTE_ADDRESS 0x000ffffffffff000UL

static u64 leaves, executable;
static const char *text_end;

static void check_leaf(u64 address, u64 entry)
{
	leaves++;
	EXPECT(!(entry & PTE_USER), "0x%lx is a user's page", address);
	EXPECT(address >> 63 != 0, "0x%lx in the lower half is still mapped", address);
	if (entry & PTE_NX)
		return;
	executable++;
	EXPECT(!(entry & PTE_WRITE), "0x%lx is writable and executable", address);
	EXPECT(address >= (u64)__text_start && address < (u64)text_end,
		"0x%lx is executable and not text", address);
}

static void walk(const u64 *table, u64 address, int level)
{
	for (u64 i = 0; i < 512; i++) {
		u64 entry = table[i], at = address | i << (12 + 9 * (level - 1));

		if (level == 4 && i >= 256)
			at |= 0xffffUL << 48;
		if (!(entry & PTE_PRESENT))
			continue;
		if (level == 1 || (entry & PTE_LARGE))
			check_leaf(at, entry);
		else
			walk(hpa_to_ptr(hpa(entry & PTE_ADDRESS)), at, level - 1);
	}
}

static void check_all(const char *end)
{
	text_end = end;
	leaves = executable = 0;
	walk(hpa_to_ptr(hpa(read_cr3() & PTE_ADDRESS)), 0, 4);
	EXPECT(executable == (u64)(end - __text_start) / PAGE_SIZE,
		"%lu executable pages, and the text has %lu", executable,
		(u64)(end - __text_start) / PAGE_SIZE);
	log_info("test: %lu leaves, %lu executable", leaves, executable);
}

/* What only boot runs is plain RAM afterwards, and in the direct map alone. */
static void check_release(void)
{
	u64 before = leaves, text;
	struct boot_range range = arch_release_init(&text);
	u8 *ram = hpa_to_ptr(range.start);

	EXPECT(range.start.raw == image_to_physical(__init_start) && range.bytes > text && text > 0,
		"0x%lx and %lu bytes, of them %lu text", range.start.raw, range.bytes, text);
	check_all(__init_start);
	EXPECT(leaves == before - range.bytes / PAGE_SIZE, "%lu leaves went", before - leaves);
	memset(ram, 0xcc, range.bytes);
	EXPECT(*(volatile u8 *)(ram + range.bytes - 1) == 0xcc, "released RAM keeps nothing");
}

void test_page_rights(void)
{
	check_all(__rodata_start);
	check_release();
	EXPECT(read_cr0() & CR0_WP, "CR0.WP is clear");
}

static void check_ranges(const char *name, const struct boot_range *ranges, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		u64 start = ranges[i].start.raw, end = start + ranges[i].bytes;

		EXPECT(start % PAGE_SIZE == 0 && end % PAGE_SIZE == 0 && end > start,
			"%s range 0x%lx..0x%lx", name, start, end);
		EXPECT(i == 0 || start > ranges[i - 1].start.raw + ranges[i - 1].bytes,
			"%s range 0x%lx is out of order", name, start);
	}
}

static bool is_inside(const struct boot_range *ranges, unsigned count, u64 start, u64 end)
{
	for (unsigned i = 0; i < count; i++)
		if (start >= ranges[i].start.raw && end <= ranges[i].start.raw + ranges[i].bytes)
			return true;
	return false;
}

void test_boot_memory(void)
{
	const struct boot_info *info = boot_info();
	static bool done;
	u8 *memory;

	if (done)
		return;
	done = true;
	check_ranges("RAM", info->ram, info->ram_count);
	check_ranges("used", info->used, info->used_count);
	for (unsigned i = 0; i < info->module_count; i++) {
		const struct boot_module *module = &info->modules[i];

		EXPECT(is_inside(info->used, info->used_count, module->start.raw,
			       module->start.raw + module->bytes),
			"module %s is not reserved", module->name);
		log_info("test: module \"%s\" %lu bytes, first %02x", module->name, module->bytes,
			*(u8 *)hpa_to_ptr(module->start));
	}
	memory = arch_early_alloc(5000, BLOCK_SIZE);
	EXPECT(memory != NULL && (u64)memory % BLOCK_SIZE == 0, "early block %p", (void *)memory);
	for (unsigned i = 0; i < 8192; i++)
		EXPECT(memory[i] == 0, "early memory is not zeroed");
	EXPECT(is_inside(info->used, info->used_count, ptr_to_hpa(memory).raw,
		       ptr_to_hpa(memory).raw + 8192),
		"early memory is not in used[]");
	EXPECT(arch_early_alloc(GIB(64), PAGE_SIZE) == NULL, "64 GiB of early memory");
	/* The last page of RAM is there. */
	memory = hpa_to_ptr(hpa(info->ram[info->ram_count - 1].start.raw +
				info->ram[info->ram_count - 1].bytes - PAGE_SIZE));
	memory[0] = 0x5a;
	EXPECT(*(volatile u8 *)memory == 0x5a, "the last page of RAM keeps nothing");
	arch_early_seal();
	EXPECT(arch_early_alloc(PAGE_SIZE, PAGE_SIZE) == NULL, "early memory after the seal");
}

static u8 pages[4][PAGE_SIZE] __aligned_to(PAGE_SIZE);

static u8 content(unsigned i)
{
	return (u8)(i * 7 + i / 251);
}

static void fill_pages(void)
{
	for (unsigned i = 0; i < sizeof(pages); i++)
		pages[i / PAGE_SIZE][i % PAGE_SIZE] = content(i);
}

/* @changed is page 0's copy, or clear if @clear; nothing else changed, on either side of it. */
static void check_pages(unsigned changed, bool clear, const u64 *before, const u64 *after)
{
	EXPECT(memcmp(before, after, VECTORS_WORDS * sizeof(u64)) == 0, "vector registers changed");
	for (unsigned i = 0; i < sizeof(pages); i++) {
		unsigned page = i / PAGE_SIZE, at = i % PAGE_SIZE;
		u8 wanted = page != changed ? content(i) : clear ? 0 : content(at);

		EXPECT(pages[page][at] == wanted, "byte %u of page %u is %02x, not %02x", at, page,
			pages[page][at], wanted);
	}
}

void test_page_copies(void)
{
	static void (*const copies[])(void *, const void *) = {arch_copy_page, arch_copy_page_away};
	u64 before[VECTORS_WORDS], after[VECTORS_WORDS];

	for (unsigned i = 0; i < VECTORS_WORDS; i++)
		before[i] = 0x9e3779b97f4a7c15UL * (i + 1);
	for (unsigned way = 0; way < COPY_WAYS * COPY_USES; way++) {
		fill_pages();
		copy_ways[way % COPY_USES] = (u8)(way / COPY_USES);
		vectors_load(before);
		copies[way % COPY_USES](pages[2], pages[0]);
		vectors_store(after);
		check_pages(2, false, before, after);
	}
	fill_pages();
	vectors_load(before);
	arch_clear_page(pages[1]);
	vectors_store(after);
	check_pages(1, true, before, after);
}

void test_msr_access(void)
{
	u64 value = 0;

	EXPECT(rdmsr_safe(MSR_EFER, &value) == 0 && (value & EFER_NXE), "EFER reads 0x%lx", value);
	EXPECT(wrmsr_safe(MSR_PAT, PAT_DEFAULT) == 0, "PAT cannot be written");
	/* A reserved memory type: #GP on every processor. */
	EXPECT(wrmsr_safe(MSR_PAT, 0x0202020202020202UL) != 0, "PAT takes reserved types");
	EXPECT(rdmsr(MSR_PAT) == PAT_DEFAULT, "PAT is 0x%lx", rdmsr(MSR_PAT));
}
