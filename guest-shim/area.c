/*
 * See area.h.
 */
#include "guest-shim/area.h"

#include "guest-shim/cpu.h"
#include "guest-shim/frames.h"
#include "guest-shim/paging.h"
#include "guest-shim/panic.h"
#include "guest-shim/reclaim.h"

#define AREA_BYTES GIB(1)

static struct {
	u64 used, mapped; /* bytes */
} areas[AREAS];

static void map_page(u64 address)
{
	u32 frame;
	u64 *entry;

	while (!(entry = paging_entry(address)))
		paging_add_table(address, memory_frame());
	frame = memory_frame();
	page_zero(frame_pointer(frame));
	*entry = frame_address(frame) | PTE_PRESENT | PTE_WRITE | PTE_NX;
}

void *area_extend(enum area area, size_t bytes)
{
	u64 base = AREA_BASE + area * AREA_BYTES;
	u64 start = areas[area].used;

	if (bytes > AREA_BYTES - PAGE_SIZE - start)
		panic("area %u has %llu bytes and cannot grow by %zu", (unsigned)area,
			(unsigned long long)start, bytes);
	areas[area].used += bytes;
	while (areas[area].mapped < areas[area].used) {
		map_page(base + areas[area].mapped);
		areas[area].mapped += PAGE_SIZE;
	}
	return (void *)(base + start);
}
