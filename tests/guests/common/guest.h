/*
 * What every small test guest has: hypercalls by the instruction that CPUID names, console output,
 * and the PVH start info. No C library; these guests stay small enough to be read whole.
 */
#ifndef TESTS_GUEST_H
#define TESTS_GUEST_H

#include <abi/cpuid.h>
#include <abi/errno.h>
#include <abi/hypercall.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* hvm_start_info version 1, and an entry of its memory map (the PVH boot ABI). */
struct start_info {
	uint32_t magic, version, flags, module_count;
	uint64_t modules, command_line, rsdp, memory_map;
	uint32_t memory_map_entries, reserved;
};
_Static_assert(sizeof(struct start_info) == 56, "start info version 1 is 56 bytes");
#define START_INFO_MAGIC 0x336ec578u

struct memory_map_entry {
	uint64_t address, bytes;
	uint32_t type, reserved; /* type 1: RAM */
};
_Static_assert(sizeof(struct memory_map_entry) == 24, "memory map entries are 24 bytes");

extern const char guest_end[]; /* first byte after the image */

/* The address after the highest RAM. */
uint64_t ram_end(const struct start_info *info);

/* Returns the reason for SHUTDOWN: 0 when everything was as it should be. */
int main(const struct start_info *info);

struct cpuid_result {
	uint32_t eax, ebx, ecx, edx;
};
static inline struct cpuid_result cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_result r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(subleaf));
	return r;
}

static inline uint64_t rdtsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}
static inline uint64_t ticks_per_ms(void)
{
	return cpuid(HV_CPUID_TIMING, 0).eax; /* kHz */
}

/* Up to six arguments: RDI RSI RDX R10 R8 R9. Asks CPUID for the instruction at the first call. */
int64_t hypercall6(
	uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);
#define hypercall0(n)          hypercall6(n, 0, 0, 0, 0, 0, 0)
#define hypercall1(n, a)       hypercall6(n, a, 0, 0, 0, 0, 0)
#define hypercall2(n, a, b)    hypercall6(n, a, b, 0, 0, 0, 0)
#define hypercall3(n, a, b, c) hypercall6(n, a, b, c, 0, 0, 0)

/* Whether this machine is Sluice with the ABI we were built for. */
bool guest_on_sluice(void);
/* true: VMMCALL, false: VMCALL. */
bool guest_uses_vmmcall(void);

void print(const char *text);
void print_number(uint64_t value);
/* "name=value\n", in one hypercall. */
void print_value(const char *name, uint64_t value);

void guest_shutdown(uint64_t reason) __attribute__((noreturn));

void *memset(void *to, int value, size_t bytes);
void *memcpy(void *to, const void *from, size_t bytes);

#endif
