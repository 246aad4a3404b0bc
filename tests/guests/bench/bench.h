/*
 * What the parts of the bench guest share: timing one instruction, and the median of many times.
 */
#ifndef BENCH_H
#define BENCH_H

#include "../common/guest.h"

#define SAMPLES 255u /* odd: the median is one of them */
#define PAGE    4096u

enum step {
	ALL_RIGHT,
	NOT_SLUICE,
	NO_RAM,
	NO_POOL,
	BAD_PUT,
	BAD_GET,
	BAD_MISS,
	BAD_FILTER,
	BAD_RANGE,
	BAD_PAGE
};

/* The hypervisor's own routines. */
void arch_copy_page(void *to, const void *from);
void arch_clear_page(void *page);

/* Registers before the timed instruction; RAX and RDX also after it. */
struct registers {
	uint64_t rax, rcx, rdx, rdi, rsi, r8, r10;
};

typedef uint64_t timed(struct registers *r);
timed time_nothing, time_vmcall, time_vmmcall, time_cpuid, time_rdmsr, time_inb, time_store,
	time_copy_page, time_clear_page, time_filter;

extern uint64_t samples[SAMPLES];
/* Sorts the samples. */
uint64_t median(void);
/* The median of what the loop takes without anything in it. */
extern uint64_t empty_loop;
/* "bench: name=value", for the runner. */
void report(const char *name, uint64_t value);

/* flip.c: puts and gets of the same pages, by exchange of frames or by copy. */
enum step measure_flip(bool flip);

#endif
