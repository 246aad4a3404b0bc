/*
 * Ways to copy a page, and which one is taken. Every x86-64 processor can do all of them, so that
 * which is best is a question of time alone, and measuring answers it (docs/boot.md).
 */
#ifndef ARCH_COPY_H
#define ARCH_COPY_H

#include "lib/types.h"

/* As pages.S counts them. */
enum copy_way {
	COPY_SSE,         /* the plain loop */
	COPY_MOVSQ,       /* rep movsq */
	COPY_MOVSB,       /* rep movsb, fast where CPUID lists ERMS */
	COPY_NONTEMPORAL, /* a loop whose stores go past the caches */
	COPY_WAYS
};

/* Who reads the copy: arch_copy_page() is for the first, arch_copy_page_away() for the second. */
enum copy_use { COPY_NEAR, COPY_AWAY, COPY_USES };

/* pages.S: the way in force for each use, an enum copy_way; written before other processors start.
 */
extern u8 copy_ways[COPY_USES];
void copy_page_by(void *to, const void *from, enum copy_way way);

#endif
