/*
 * The hypervisor's own address space. One set of tables for all processors, built once:
 *
 *   DIRECT_MAP          all RAM, read-write, never executable; the image's constant part read-only
 *   STACKS_BASE         each processor's stacks, an unmapped guard page below each
 *   DEVICES_BASE        device registers, uncached
 *   SCREEN_BASE         the screen, write combining
 *   image               text read-execute, constants read-only, data read-write; 4 KiB pages
 */
#ifndef ARCH_PAGING_H
#define ARCH_PAGING_H

#include "arch/x86/arch.h"

/* Physical addresses from here on have no place in the direct map. */
#define DIRECT_MAP_END BIT(46)

#define IMAGE_BASE   0xffffffff80000000UL
#define STACKS_BASE  0xffffffffc0000000UL
#define DEVICES_BASE 0xffffffffe0000000UL
#define SCREEN_BASE  0xfffffffff0000000UL
#define SCREEN_MAX   MIB(128)

/* The image's parts, from linker.ld. */
extern const char __image_start[], __text_start[], __init_start[], __init_text_end[],
	__rodata_start[], __init_end[], __rodata_end[], __data_start[], __image_end[],
	__boot_only_end[];

#define PTE_WRITE BIT(1)

/* The first of the entries for __init_start to __init_end, in the image and in the direct map. */
extern struct init_pages {
	u64 *image, *direct;
} init_pages;

/* Where a part of the image lies in RAM. */
static inline u64 image_to_physical(const void *p)
{
	return (u64)p - IMAGE_BASE;
}

/* Builds the tables and switches to them. Returns false if memory for tables ran out. */
bool __must_check paging_start(void);
/* Loads the same tables' protection on this processor: nothing but CR3; EFER.NXE is already set. */
u64 paging_root(void);

/* Maps @pages of RAM at @address, read-write, before arch_early_seal(). */
bool __must_check paging_map_stack(u64 address, hpa_t memory, unsigned pages);
/* Pointer to @bytes of device registers at @device, uncached; NULL if the window is full. */
volatile void *paging_map_device(hpa_t device, u64 bytes);
/* Pointer to the @bytes of the screen at @screen, of which there is one; NULL if that is more than
 * SCREEN_MAX, or no memory for page tables is left. */
volatile void *paging_map_screen(hpa_t screen, u64 bytes);
/* Pointer to firmware tables through the direct map, read-only where they are not RAM; NULL if no
 * memory for page tables is left. */
const void *paging_map_firmware(hpa_t table, u64 bytes);
/* The one page that is ever mapped at its physical address: the other processors' first
 * instructions, read-execute. prepare() before arch_early_seal(); then show() and hide(). */
bool __must_check paging_trampoline_prepare(hpa_t page);
void paging_trampoline_show(void);
void paging_trampoline_hide(void);

#endif
