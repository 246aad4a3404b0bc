/*
 * Translates a linear address through a guest's own page tables, of any mode: none, 32-bit, PAE,
 * 4 levels; large pages. Rights are not checked: the processor just fetched from there. Pure.
 */
#ifndef GUEST_WALK_H
#define GUEST_WALK_H

#include "lib/types.h"

struct walk_mode {
	u64 cr0, cr3, cr4, efer;
};

/* Reads @bytes (4 or 8) at guest-physical @address; false if that is not RAM. */
typedef bool (*walk_read)(void *argument, u64 address, void *to, unsigned bytes);

/* *@address is the guest-physical address of @linear; false if it is not mapped. */
bool __must_check guest_walk(
	const struct walk_mode *mode, u64 linear, walk_read read, void *argument, u64 *address);

#endif
