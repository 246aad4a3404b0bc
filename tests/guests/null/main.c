/*
 * The null guest: starts, finds Sluice, makes hypercalls, touches memory, and ends. What it returns
 * says which step went wrong; 0 means that all were right.
 */
#include "../common/guest.h"

enum step { ALL_RIGHT, NOT_SLUICE, BAD_START_INFO, BAD_NULL, BAD_UNKNOWN, NO_RAM, BAD_MEMORY };

#define NULL_CALLS  1000
#define PAGE        4096u
#define TOUCH_BYTES (2u << 20)

/* The RAM entry of the memory map that holds @address; 0 bytes if none does. */
static uint64_t ram_end_after(const struct start_info *info, uint64_t address)
{
	const struct memory_map_entry *map = (const void *)(uintptr_t)info->memory_map;

	for (uint32_t i = 0; i < info->memory_map_entries; i++)
		if (map[i].type == 1 && map[i].address <= address &&
			address - map[i].address < map[i].bytes)
			return map[i].address + map[i].bytes;
	return 0;
}

/* Writes a word of its own to each page of [from, to), then checks them all. */
static bool touch(uint64_t from, uint64_t to)
{
	for (uint64_t a = from; a < to; a += PAGE) {
		volatile uint64_t *word = (volatile uint64_t *)(uintptr_t)a;

		if (*word != 0)
			return false; /* fresh memory reads as zero: nobody's leftovers */
		*word = a ^ 0x5a5a5a5a5a5a5a5a;
	}
	for (uint64_t a = from; a < to; a += PAGE)
		if (*(volatile uint64_t *)(uintptr_t)a != (a ^ 0x5a5a5a5a5a5a5a5a))
			return false;
	return true;
}

int main(const struct start_info *info)
{
	uint64_t first, end;

	if (!guest_on_sluice())
		return NOT_SLUICE;
	if (info->magic != START_INFO_MAGIC || info->version < 1)
		return BAD_START_INFO;
	print("null guest: started\n");

	for (int i = 0; i < NULL_CALLS; i++)
		if (hypercall0(HYPERCALL_NULL) != 0)
			return BAD_NULL;
	if (hypercall0(HYPERCALL_BASE + 0x3fff) != -SLUICE_ENOSYS)
		return BAD_UNKNOWN;

	/* Beyond the image, and beyond what the loader may have placed right after it. */
	first = ((uintptr_t)guest_end + 2 * TOUCH_BYTES) & ~(uint64_t)(TOUCH_BYTES - 1);
	end = ram_end_after(info, first);
	if (end < first + TOUCH_BYTES)
		return NO_RAM;
	if (!touch(first, first + TOUCH_BYTES))
		return BAD_MEMORY;

	print("null guest: done\n");
	return ALL_RIGHT;
}
