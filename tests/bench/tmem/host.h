/*
 * A host for the tmem engine that costs next to nothing itself: what bench-tmem measures against.
 */
#ifndef TESTS_BENCH_TMEM_HOST_H
#define TESTS_BENCH_TMEM_HOST_H

#include "lib/types.h"

/* arch/x86/pages.S: the hypervisor's own copies, here the plain loop both. */
void arch_copy_page(void *to, const void *from);
void arch_copy_page_away(void *to, const void *from);

/* @pages of memory in 2 MiB pages where the system has them, all touched. Never freed. */
void *bench_memory(u64 pages);
/* The memory that the port hands out; once. */
void bench_store_memory(u64 pages);
/* Instructions are counted, not time: pages are not copied. */
extern bool bench_counting;
/* What a page compresses to while instructions are counted. */
extern u32 bench_compressed;

static inline u64 ticks(void)
{
	u32 low, high;

	__asm__ volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high) : : "memory");
	return (u64)high << 32 | low;
}

#endif
