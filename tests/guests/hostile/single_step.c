/*
 * Single-stepping over instructions that exit: each owes its trap, exactly once, with DR6.BS set.
 */
#include "acts.h"
#include "machine.h"

#define DR6_BS (1ul << 14)

/* The handler counts, and notes DR6. */
uint64_t single_steps, single_step_dr6 = ~0ul;

__asm__(".pushsection .text;"
	"single_step_handler: push %rax; mov %dr6, %rax; and %rax, single_step_dr6;"
	"incq single_steps; pop %rax; iretq;"
	".popsection");
extern const char single_step_handler[];

/* Every instruction from CPUID to the second POPF. */
#define STEPS 12

#define STEP_OVER(hypercall)                                                                       \
	__asm__ volatile(                                                                          \
		"pushf; orq $0x100, (%%rsp); popf;"                                                \
		"cpuid; mov $0xc0000080, %%ecx; rdmsr; out %%al, $0x80; mov %%cr8, %%rcx;"         \
		"mov %%rsi, %%rax; " hypercall "; nop; nop;"                                       \
		"pushf; andq $~0x100, (%%rsp); popf"                                               \
		: "=a"(result), "+c"(rcx)                                                          \
		: "a"(0), "S"((uint64_t)HYPERCALL_NULL)                                            \
		: "rbx", "rdx", "memory")

uint64_t act_single_step(void)
{
	uint64_t rcx = 0;
	int64_t result;

	machine_set_gate(VECTOR_DB, single_step_handler, 0);
	if (guest_uses_vmmcall())
		STEP_OVER("vmmcall");
	else
		STEP_OVER("vmcall");
	CHECK(result == 0);
	CHECK(single_steps == STEPS);
	CHECK(single_step_dr6 & DR6_BS);
	return 0;
}
