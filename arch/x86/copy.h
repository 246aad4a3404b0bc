/*
 * Ways to copy a page, and how one of them is chosen at boot (docs/boot.md). Every x86-64 processor
 * can do all of them: which is best is a question of time alone, so it is measured, and CPUID is
 * not asked.
 */
#ifndef ARCH_COPY_H
#define ARCH_COPY_H

#include "lib/types.h"

/* As pages.S counts them, and the manifest after its "auto". */
enum copy_way {
	COPY_SSE,         /* the plain loop */
	COPY_MOVSQ,       /* rep movsq */
	COPY_MOVSB,       /* rep movsb, fast where CPUID lists ERMS */
	COPY_NONTEMPORAL, /* a loop whose stores go past the caches */
	COPY_WAYS
};

/* Who reads the copy: arch_copy_page() is for the first, arch_copy_page_away() for the second. */
enum copy_use { COPY_NEAR, COPY_AWAY, COPY_USES };

/* pages.S: the way for each use, an enum copy_way; written before other processors start. */
extern u8 copy_ways[COPY_USES];
void copy_page_by(void *to, const void *from, enum copy_way way);

/* The median of @count samples, which end up sorted; @count is odd. */
u64 copy_median(u64 *samples, unsigned count);

/* The way with the lowest of @ticks if it takes less than 15/16 of the plain loop, else that: what
 * is about as fast must not depend on the day. Of several that are as low, the first. */
enum copy_way copy_choose(const u64 ticks[COPY_WAYS]);

#endif
