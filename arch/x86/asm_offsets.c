/*
 * Offsets for assembly, taken from the structs themselves. Not linked: the Makefile compiles this
 * to assembly and turns each marked line into a #define in build/gen/asm_offsets.h.
 */
#include "arch/x86/arch.h"
#include "arch/x86/cpu.h"

#define OFFSET(name, type, field)                                                                  \
	__asm__ volatile("@@" #name " %0@@" : : "i"(offsetof(type, field)))
#define VALUE(name, value) __asm__ volatile("@@" #name " %0@@" : : "i"(value))

void asm_offsets_cpu(void);
void asm_offsets_cpu(void)
{
	OFFSET(CPU_SELF, struct cpu, self);
	OFFSET(CPU_INDEX, struct cpu, index);
	OFFSET(CPU_EVENTS, struct cpu, events);
	OFFSET(CPU_ARCH, struct cpu, arch);
	OFFSET(CPU_VENDOR, struct cpu, vendor);
	VALUE(VECTOR_UART, HOST_VECTOR_UART);
	VALUE(VECTOR_TIMER, HOST_VECTOR_TIMER);
	VALUE(VECTOR_KICK, HOST_VECTOR_KICK);
	VALUE(VECTOR_SPURIOUS, HOST_VECTOR_SPURIOUS);
	VALUE(VECTOR_OTHER, HOST_VECTOR_OTHER);
}
