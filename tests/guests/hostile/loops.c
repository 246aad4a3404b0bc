/*
 * Acts that keep the processor: plain loops, and exceptions whose delivery raises them again.
 * Others must get their turns all the same, until the time limit of the manifest ends the act.
 */
#include "acts.h"
#include "machine.h"

uint64_t act_halt_for_ever(void)
{
	__asm__ volatile("cli; hlt");
	return __LINE__;
}

uint64_t act_endless(void)
{
	__asm__ volatile("1: jmp 1b");
	return __LINE__;
}

/* Nothing gets through to this guest, neither by IF nor by priority. */
uint64_t act_endless_masked(void)
{
	__asm__ volatile("cli; mov %0, %%cr8; 1: jmp 1b" : : "r"(15ul));
	return __LINE__;
}

#define FRAME_BYTES 40
/* Breakpoint 0 on writes of 8 bytes. */
#define DR7_WRITE_8 0x90003ul

static uint8_t debug_stack[256] __attribute__((aligned(16)));

extern const char debug_handler[];
__asm__(".pushsection .text; debug_handler: jmp debug_handler; .popsection");

/* The frame of #DB is pushed onto a watched place, which is the next #DB (CVE-2015-8104). */
uint64_t act_debug_loop(void)
{
	uint64_t top = (uint64_t)debug_stack + sizeof(debug_stack);
	volatile uint64_t *watched = (volatile uint64_t *)(top - FRAME_BYTES);

	machine_set_gate(VECTOR_DB, debug_handler, top);
	__asm__ volatile("mov %0, %%dr0; mov %1, %%dr7" : : "r"(watched), "r"(DR7_WRITE_8));
	*watched = 1;
	return __LINE__;
}

/* alignment.S: leaves for 32-bit ring 3, where the frame of #AC is pushed onto an odd stack
 * (CVE-2015-5307). */
void alignment_loop(void);

uint64_t act_alignment_loop(void)
{
	alignment_loop();
	return __LINE__;
}
