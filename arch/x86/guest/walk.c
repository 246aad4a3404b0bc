/* The page walk: see walk.h. Intel SDM vol. 3, 4.3 (32-bit), 4.4 (PAE), 4.5 (4 levels). */
#include "arch/x86/guest/walk.h"

#include "arch/x86/processor.h"

#define ENTRY_PRESENT BIT(0)
#define ENTRY_LARGE   BIT(7)
#define ADDRESS_MASK  0x000ffffffffff000UL

/* 32-bit paging: two levels of 1024 entries. A 4 MiB page has address bits 39:32 in bits 20:13. */
static bool walk_32(
	const struct walk_mode *mode, u32 linear, walk_read read, void *argument, u64 *address)
{
	u32 entry;

	if (!read(argument, (mode->cr3 & 0xfffff000) + (linear >> 22) * 4, &entry, 4) ||
		!(entry & ENTRY_PRESENT))
		return false;
	if ((entry & ENTRY_LARGE) && (mode->cr4 & CR4_PSE)) {
		*address = ((u64)(entry >> 13 & 0xff) << 32 | (entry & 0xffc00000)) +
			   (linear & 0x3fffff);
		return true;
	}
	if (!read(argument, (entry & 0xfffff000) + (linear >> 12 & 0x3ff) * 4, &entry, 4) ||
		!(entry & ENTRY_PRESENT))
		return false;
	*address = (entry & 0xfffff000) + (linear & PAGE_MASK);
	return true;
}

/* PAE and 4 levels: tables of 512 entries; @level of the first one. */
static bool walk_64(
	u64 table, unsigned level, u64 linear, walk_read read, void *argument, u64 *address)
{
	for (;; level--) {
		unsigned shift = PAGE_SHIFT + 9 * (level - 1);
		u64 entry;

		if (!read(argument, table + (linear >> shift & 0x1ff) * 8, &entry, 8) ||
			!(entry & ENTRY_PRESENT))
			return false;
		if (level == 1 || (level <= 3 && (entry & ENTRY_LARGE))) {
			u64 inside = BIT(shift) - 1;

			*address = (entry & ADDRESS_MASK & ~inside) | (linear & inside);
			return true;
		}
		table = entry & ADDRESS_MASK;
	}
}

bool guest_walk(
	const struct walk_mode *mode, u64 linear, walk_read read, void *argument, u64 *address)
{
	u64 entry;

	if (!(mode->cr0 & CR0_PG)) {
		*address = (u32)linear;
		return true;
	}
	if (mode->efer & EFER_LMA)
		return walk_64(mode->cr3 & ADDRESS_MASK, 4, linear, read, argument, address);
	linear = (u32)linear;
	if (!(mode->cr4 & CR4_PAE))
		return walk_32(mode, (u32)linear, read, argument, address);
	/* Four entries behind a pointer that is aligned to 32 bytes; none of them is a page. */
	if (!read(argument, (mode->cr3 & 0xffffffe0) + (linear >> 30) * 8, &entry, 8) ||
		!(entry & ENTRY_PRESENT))
		return false;
	return walk_64(entry & ADDRESS_MASK, 2, linear, read, argument, address);
}
