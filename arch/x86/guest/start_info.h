/*
 * The PVH boot protocol's structures (Xen public header arch-x86/hvm/start_info.h, version 1): what
 * a guest finds behind EBX at its entry.
 */
#ifndef GUEST_START_INFO_H
#define GUEST_START_INFO_H

#include "lib/types.h"

#define START_INFO_MAGIC   0x336ec578u
#define START_INFO_VERSION 1u

#define MEMMAP_RAM      1u
#define MEMMAP_RESERVED 2u

struct start_info {
	u32 magic;
	u32 version;
	u32 flags;
	u32 module_count;
	u64 modules_paddr;
	u64 cmdline_paddr;
	u64 rsdp_paddr;
	u64 memmap_paddr;
	u32 memmap_entries;
	u32 reserved;
};
_Static_assert(sizeof(struct start_info) == 56, "hvm_start_info v1");

struct start_module {
	u64 paddr;
	u64 size;
	u64 cmdline_paddr;
	u64 reserved;
};
_Static_assert(sizeof(struct start_module) == 32, "hvm_modlist_entry");

struct start_memmap {
	u64 address;
	u64 size;
	u32 type;
	u32 reserved;
};
_Static_assert(sizeof(struct start_memmap) == 24, "hvm_memmap_table_entry");

#endif
