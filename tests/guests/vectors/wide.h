/*
 * All vector registers that a guest has been given, as wide as they are.
 */
#ifndef VECTORS_WIDE_H
#define VECTORS_WIDE_H

#include <stdbool.h>
#include <stdint.h>

/* Sixteen XMM, sixteen YMM, or thirty-two ZMM registers with their eight masks. */
enum wide_level { WIDE_BAD, WIDE_SSE, WIDE_AVX, WIDE_AVX512 };

#define WIDE_REGISTERS 32u
#define WIDE_MASKS     8u

struct wide {
	uint64_t registers[WIDE_REGISTERS][8];
	uint64_t masks[WIDE_MASKS];
};

#define XCR0_SSE_ONLY 3u

/*
 * Switches on all states that CPUID names, on this vCPU, whose CR4.OSXSAVE is off. Its XCR0 must be
 * @xcr0 by then, and CPUID must agree with itself before and after: else WIDE_BAD.
 */
enum wide_level wide_enable(uint64_t xcr0);
uint64_t wide_xcr0(void);
void wide_set_xcr0(uint64_t value);
/* The states that CPUID names. */
uint64_t wide_states(void);

/* wide.S: between memory and the registers of @level; the rest of *@to becomes 0. */
void wide_load(const struct wide *from, enum wide_level level);
void wide_store(struct wide *to, enum wide_level level);

/* Values that differ by @seed and by register, as far as @level goes; 0 elsewhere. */
void wide_fill(struct wide *values, uint64_t seed, enum wide_level level);
bool wide_equal(const struct wide *a, const struct wide *b);

#endif
