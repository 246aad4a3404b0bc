/*
 * Starts vCPU 1 by INIT and SIPI; it runs one function in 64-bit mode, for ever.
 */
#include "acts.h"
#include "machine.h"

#define TRAMPOLINE 0x8000u /* fixed in common/trampoline.S */
#define X2APIC_ICR 0x830u
#define TO_VCPU_1  (1ul << 32)
#define ICR_INIT   0x4500u
#define ICR_SIPI   0x0600u

extern uint8_t trampoline[], trampoline_end[];
extern uint64_t trampoline_cr3, trampoline_stack, trampoline_entry;

static uint8_t second_stack[4096] __attribute__((aligned(16)));

static void send(uint64_t command)
{
	__asm__ volatile("wrmsr"
			 :
			 : "c"(X2APIC_ICR), "a"((uint32_t)command), "d"((uint32_t)(command >> 32))
			 : "memory");
}

void start_second(void (*function)(void))
{
	trampoline_cr3 = read_cr3();
	trampoline_stack = (uint64_t)second_stack + sizeof(second_stack);
	trampoline_entry = (uint64_t)function;
	memcpy((void *)(uint64_t)TRAMPOLINE, trampoline, (size_t)(trampoline_end - trampoline));
	send(TO_VCPU_1 | ICR_INIT);
	send(TO_VCPU_1 | ICR_SIPI | TRAMPOLINE / PAGE);
}
