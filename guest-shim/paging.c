/*
 * See paging.h. Tables are never freed: a region that was used once will be used again.
 */
#include "guest-shim/paging.h"

#include "guest-shim/cpu.h"
#include "guest-shim/panic.h"

#define LEVELS        4
#define TABLE_ENTRIES 512
#define IMAGE_TABLES  2 /* 4 MiB are mapped page by page; guest.ld checks that they suffice */

#define CPUID_EXTENDED 0x80000001u
#define CPUID_EDX_NX   BIT(20)
#define CPUID_FEATURES 7u
#define CPUID_EBX_SMEP BIT(7)
#define CPUID_EBX_SMAP BIT(20)

#define CR4_SMEP BIT(20)
#define CR4_SMAP BIT(21)

extern u64 boot_pml4[], boot_page_directory[];
extern const char image_start[], text_end[], rodata_end[];

static u64 image_tables[IMAGE_TABLES][TABLE_ENTRIES] __aligned_to(PAGE_SIZE);

static u64 rights_of(u64 address)
{
	if (address == 0)
		return 0;
	if (address >= (u64)image_start && address < (u64)text_end)
		return PTE_PRESENT;
	if (address >= (u64)text_end && address < (u64)rodata_end)
		return PTE_PRESENT | PTE_NX;
	return PTE_PRESENT | PTE_WRITE | PTE_NX;
}

/*
 * No page here is a user's, so that these stop nothing. They are what a hypervisor sets for itself,
 * and an exit that finds them alike saves an emulator two flushes of its TLB.
 */
void paging_protect(void)
{
	u32 features = cpuid(0).eax >= CPUID_FEATURES ? cpuid(CPUID_FEATURES).ebx : 0;
	u64 cr4;

	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	if (features & CPUID_EBX_SMEP)
		cr4 |= CR4_SMEP;
	if (features & CPUID_EBX_SMAP)
		cr4 |= CR4_SMAP;
	__asm__ volatile("mov %0, %%cr4" : : "r"(cr4) : "memory");
}

void paging_init(void)
{
	if (!(cpuid(CPUID_EXTENDED).edx & CPUID_EDX_NX))
		panic("the processor has no NX");
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	for (unsigned i = 0; i < IMAGE_TABLES * TABLE_ENTRIES; i++) {
		u64 address = (u64)i << PAGE_SHIFT;
		u64 rights = rights_of(address);

		image_tables[i / TABLE_ENTRIES][i % TABLE_ENTRIES] = rights ? address | rights : 0;
	}
	/* In one store each: the processor may look at any time, and this code stands there. */
	for (unsigned i = 0; i < 4 * TABLE_ENTRIES; i++)
		WRITE_ONCE(boot_page_directory[i],
			i < IMAGE_TABLES ? (u64)image_tables[i] | PTE_PRESENT | PTE_WRITE
					 : boot_page_directory[i] | PTE_NX);
	write_cr3(read_cr3());
	paging_protect();
}

/* Walks from the root to the entry for @address on level @stop (1 = page), or to the first absent
 * one. */
static u64 *walk(u64 address, unsigned *level)
{
	u64 *table = boot_pml4;

	for (*level = LEVELS;; (*level)--) {
		u64 *entry =
			&table[address >> (PAGE_SHIFT + 9 * (*level - 1)) & (TABLE_ENTRIES - 1)];

		if (*level == 1 || !(*entry & PTE_PRESENT))
			return entry;
		table = (u64 *)(*entry & PTE_FRAME);
	}
}

u64 *paging_entry(u64 address)
{
	unsigned level;
	u64 *entry = walk(address, &level);

	return level == 1 ? entry : NULL;
}

void paging_add_table(u64 address, u32 frame)
{
	unsigned level;
	u64 *entry = walk(address, &level);

	if (level == 1)
		panic("no table is missing for %llx", (unsigned long long)address);
	page_zero((void *)((u64)frame << PAGE_SHIFT));
	*entry = (u64)frame << PAGE_SHIFT | PTE_PRESENT | PTE_WRITE;
}

void paging_map_read_only(u64 address, u64 physical, u64 bytes, u32 frame)
{
	u64 *table = (u64 *)((u64)frame << PAGE_SHIFT);
	unsigned level;
	u64 *entry = walk(address, &level);

	if (level != 3 || bytes > GIB(1) || (physical | bytes | address) & (BLOCK_SIZE - 1))
		panic("%llu bytes of memory at %llx cannot be mapped at %llx",
			(unsigned long long)bytes, (unsigned long long)physical,
			(unsigned long long)address);
	for (u64 i = 0; i < TABLE_ENTRIES; i++)
		table[i] = i * BLOCK_SIZE < bytes
				   ? (physical + i * BLOCK_SIZE) | PTE_PRESENT | PTE_LARGE | PTE_NX
				   : 0;
	*entry = (u64)frame << PAGE_SHIFT | PTE_PRESENT;
}
