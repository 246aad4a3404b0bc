/*
 * Offsets for assembly, taken from the structs themselves. Not linked: the Makefile compiles this
 * to assembly and turns each marked line into a #define in build/gen/asm_offsets.h.
 */
#include "arch/x86/arch.h"

#define OFFSET(name, type, field)                                                                  \
	__asm__ volatile("@@" #name " %0@@" : : "i"(offsetof(type, field)))

void asm_offsets_cpu(void);
void asm_offsets_cpu(void)
{
	OFFSET(CPU_SELF, struct cpu, self);
	OFFSET(CPU_INDEX, struct cpu, index);
	OFFSET(CPU_EVENTS, struct cpu, events);
	OFFSET(CPU_ARCH, struct cpu, arch);
	OFFSET(CPU_VENDOR, struct cpu, vendor);
}
