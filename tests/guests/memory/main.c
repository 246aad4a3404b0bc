/*
 * The memory guest: RAM on both sides of the device hole, touched so that each size of nested page
 * is used: a few pages in the first two GiB (so that a whole GiB may be mapped behind one of them),
 * and every page of the end of RAM, which is no whole block. Each must read as zero first and keep
 * what was written.
 */
#include "../common/guest.h"

enum step { ALL_RIGHT, NOT_SLUICE, NO_RAM_BEYOND_THE_HOLE, NO_UNEVEN_END, NOT_ZERO, NOT_KEPT };

#define PAGE    4096u
#define BLOCK   (2ull << 20)
#define GIB     (1ull << 30)
#define STEP    (256ull << 20)
#define MAPPED  5 /* GiB */
#define ENTRIES 512
#define PTE     0x83 /* present, writable, large */
#define TABLE   0x3

/* The first GiB is mapped by the common start. */
static uint64_t directories[MAPPED - 1][ENTRIES] __attribute__((aligned(PAGE)));

static void map_all(void)
{
	uint64_t *table;
	uint64_t cr3;

	__asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
	table = (uint64_t *)(uintptr_t)(((uint64_t *)(uintptr_t)cr3)[0] & ~0xfffull);
	for (uint64_t g = 1; g < MAPPED; g++) {
		for (uint64_t i = 0; i < ENTRIES; i++)
			directories[g - 1][i] = (g * GIB + i * BLOCK) | PTE;
		table[g] = (uintptr_t)directories[g - 1] | TABLE;
	}
	__asm__ volatile("mov %0, %%cr3" : : "r"(cr3) : "memory");
}

/* Whether the page at @address is right, before (@written false) and after it gets its own value.
 */
static bool check(uint64_t address, bool written)
{
	volatile uint64_t *word = (volatile uint64_t *)(uintptr_t)address;

	if (written)
		return word[0] == address && word[PAGE / 8 - 1] == ~address;
	if (word[0] != 0 || word[PAGE / 8 - 1] != 0)
		return false;
	word[0] = address;
	word[PAGE / 8 - 1] = ~address;
	return true;
}

static bool check_all(uint64_t end, bool written)
{
	/* In the first GiB beyond what the loader may have placed; the odd page, not the block's
	 * first. */
	for (uint64_t a = STEP + 7 * PAGE; a < 2 * GIB; a += STEP)
		if (!check(a, written))
			return false;
	for (uint64_t a = end & ~(BLOCK - 1); a < end; a += PAGE)
		if (!check(a, written))
			return false;
	return check(4 * GIB, written);
}

int main(const struct start_info *info)
{
	const struct memory_map_entry *map = (const void *)(uintptr_t)info->memory_map;
	uint64_t end = 0;

	if (!guest_on_sluice())
		return NOT_SLUICE;
	for (uint32_t i = 0; i < info->memory_map_entries; i++)
		if (map[i].type == 1 && map[i].address >= 4 * GIB)
			end = map[i].address + map[i].bytes;
	if (end < 4 * GIB + BLOCK)
		return NO_RAM_BEYOND_THE_HOLE;
	if (end % BLOCK == 0)
		return NO_UNEVEN_END;
	map_all();
	if (!check_all(end, false))
		return NOT_ZERO;
	if (!check_all(end, true))
		return NOT_KEPT;
	print("memory guest: done\n");
	return ALL_RIGHT;
}
