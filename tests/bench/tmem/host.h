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
/* Instructions are counted, not time. */
extern bool bench_counting;
/* Pages are copied, and go through LZ4: by functions bench_uncounted_*, which callgrind is told to
 * leave out. Where what is in pages is of no interest, counting goes faster without. */
extern bool bench_moving;
/* What a page compresses to where none is moved. */
extern u32 bench_compressed;

/* tests/bench/tmem/sampled.c: a guest of so many pages, with the hypervisor's own estimator
 * (kernel/vm/refaults.c) behind a client that has it as its owner; one guest at a time. */
void *bench_guest_create(u64 guest_pages);
void bench_guest_destroy(void *guest);
/* The threshold of its sample, and how many operations it was told of. */
u32 bench_guest_threshold(const void *guest);
u64 bench_guest_told(const void *guest);

static inline u64 ticks(void)
{
	u32 low, high;

	__asm__ volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high) : : "memory");
	return (u64)high << 32 | low;
}

#endif
