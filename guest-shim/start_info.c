/*
 * See start_info.h. The layout is that of Xen's public header for PVH guests (hvm_start_info,
 * version 1).
 */
#include "guest-shim/start_info.h"

#include <abi/platform.h>

#include "guest-shim/panic.h"

#define START_INFO_MAGIC 0x336ec578u
#define MEMORY_TYPE_RAM  1u

struct hvm_start_info {
	u32 magic;
	u32 version;
	u32 flags;
	u32 modules;
	u64 modules_address;
	u64 command_line;
	u64 rsdp;
	u64 memory_map; /* from version 1 on */
	u32 memory_map_entries;
	u32 reserved;
};
_Static_assert(sizeof(struct hvm_start_info) == 56, "hvm_start_info of version 1");

struct hvm_memory_map_entry {
	u64 address;
	u64 size;
	u32 type;
	u32 reserved;
};
_Static_assert(sizeof(struct hvm_memory_map_entry) == 24, "hvm_memmap_table_entry");

/* Page 0 stays out, so that null pointers fault; RAM above the hole is not mapped by start.S. */
static void range_add(struct start_info *info, u64 address, u64 size)
{
	u64 first = MAX(address, PAGE_SIZE);
	u64 end = MIN(address + size, (u64)PLATFORM_HOLE_START);

	first = (first + PAGE_MASK) >> PAGE_SHIFT;
	end >>= PAGE_SHIFT;
	if (address + size < address || first >= end || info->ranges == MEMORY_RANGES_MAX)
		return;
	info->ram[info->ranges++] = (struct memory_range){(u32)first, (u32)end};
}

void start_info_read(struct start_info *info, const struct hvm_start_info *hvm)
{
	const struct hvm_memory_map_entry *map = (const void *)hvm->memory_map;
	const char *text = (const char *)hvm->command_line;
	unsigned length = 0;

	if (hvm->magic != START_INFO_MAGIC || hvm->version < 1)
		panic("no PVH start info of version 1 (magic %x, version %u)", (unsigned)hvm->magic,
			(unsigned)hvm->version);
	for (u32 i = 0; i < hvm->memory_map_entries; i++) {
		if (map[i].type == MEMORY_TYPE_RAM)
			range_add(info, map[i].address, map[i].size);
	}
	if (text) {
		for (; length < COMMAND_LINE_MAX - 1 && text[length]; length++)
			info->command_line[length] = text[length];
		if (text[length])
			panic("the command line is longer than %u bytes", COMMAND_LINE_MAX - 1);
	}
	info->command_line[length] = 0;
}
