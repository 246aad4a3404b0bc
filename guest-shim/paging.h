/*
 * The guest's page tables: the low 4 GiB one to one, and beyond them regions of 4 KiB pages whose
 * entries the callers fill in. One address space, ring 0 only.
 *
 * | from    | what                                                                  |
 * | 0       | RAM and devices one to one; page 0 is not mapped                      |
 * | 64 GiB  | anonymous memory (anon.h)                                             |
 * | 128 GiB | the application's stack and other areas that grow (area.h), a GiB each |
 * | 192 GiB | the window of precache's miss filter, read-only                       |
 * | 256 GiB | nothing, ever: addresses that name discarded frames (volatile.h)      |
 */
#ifndef SHIM_PAGING_H
#define SHIM_PAGING_H

#include "lib/types.h"

#define PTE_PRESENT  BIT(0)
#define PTE_WRITE    BIT(1)
#define PTE_ACCESSED BIT(5)
#define PTE_DIRTY    BIT(6)
#define PTE_LARGE    BIT(7)
#define PTE_NX       BIT(63)
#define PTE_FRAME    0x000ffffffffff000ul

#define ANON_BASE  GIB(64)
#define ANON_BYTES GIB(64)
#define AREA_BASE  GIB(128)

#define VOLATILE_BASE    GIB(256)
#define FILTER_BASE      GIB(192)
#define FILTER_BYTES_MAX GIB(1)

/* Gives the image its rights: text read-only and executable, the rest of memory not executable,
 * read-only data read-only. Panics on a processor without NX. */
void paging_init(void);

/* What each vCPU sets for itself beside. */
void paging_protect(void);

/* The entry of the page at @address, or NULL while a table on the way is missing. */
u64 *paging_entry(u64 address);

/* Hangs the table in @frame (zeroed here) into the first place missing on the way to @address. */
void paging_add_table(u64 address, u32 frame);

/* Maps @bytes (at most 1 GiB) of guest-physical memory from @physical on for reading alone, at
 * @address (below 512 GiB, nothing else is in that GiB), by pages of 2 MiB; @frame becomes their
 * table. */
void paging_map_read_only(u64 address, u64 physical, u64 bytes, u32 frame);

#endif
