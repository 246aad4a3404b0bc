/*
 * The IDT and what happens on an exception in the hypervisor: an expected #GP of an MSR access
 * continues at its fixup, an NMI is noted, everything else is a bug.
 */
#include "arch/x86/cpu.h"
#include "arch/x86/paging.h"
#include "arch/x86/port.h"
#include "arch/x86/processor.h"
#include "arch/x86/start.h"

#define VECTOR_DB 1
#define VECTOR_DF 8
#define VECTOR_GP 13
#define VECTOR_MC 18

#define EXCEPTIONS      32
#define EXCEPTION_ENTRY 16 /* bytes, as in traps.S */
#define INTERRUPT_ENTRY 8

#define GATE_INTERRUPT 0x8e00U /* present, DPL 0, 64-bit interrupt gate */

struct gate {
	u16 offset_low, selector;
	u16 ist_type; /* IST in bits 2:0, type and P in the high byte */
	u16 offset_middle;
	u32 offset_high, reserved;
};
_Static_assert(sizeof(struct gate) == 16, "IDT gate");

struct fixup {
	u64 fault, resume;
};

extern const char exception_entries[], interrupt_entries[];
extern const struct fixup __fixups_start[], __fixups_end[];

static struct gate idt[256] __aligned_to(16);

/* Interrupts that have an entry of their own; all others share the one behind those. */
static const u8 own_entries[] = {
	HOST_VECTOR_UART, HOST_VECTOR_TIMER, HOST_VECTOR_KICK, HOST_VECTOR_SPURIOUS};

u64 idt_base(void)
{
	return (u64)idt;
}

static unsigned ist_of(unsigned vector)
{
	switch (vector) {
	case HOST_VECTOR_NMI:
		return IST_NMI;
	case VECTOR_MC:
		return IST_MC;
	case VECTOR_DF:
		return IST_DF;
	case VECTOR_DB:
		return IST_DB;
	default:
		return IST_COMMON;
	}
}

__init static u64 entry_of(unsigned vector)
{
	unsigned i = 0;

	if (vector < EXCEPTIONS)
		return (u64)exception_entries + vector * EXCEPTION_ENTRY;
	while (i < ARRAY_SIZE(own_entries) && own_entries[i] != vector)
		i++;
	return (u64)interrupt_entries + i * INTERRUPT_ENTRY;
}

__init void idt_start(void)
{
	for (unsigned vector = 0; vector < ARRAY_SIZE(idt); vector++) {
		u64 entry = entry_of(vector);

		idt[vector] = (struct gate){
			.offset_low = (u16)entry,
			.selector = SELECTOR_CODE,
			.ist_type = (u16)(GATE_INTERRUPT | ist_of(vector)),
			.offset_middle = (u16)(entry >> 16),
			.offset_high = (u32)(entry >> 32),
		};
	}
}

__init void idt_load(void)
{
	struct __packed_struct {
		u16 limit;
		u64 base;
	} pointer = {IDT_LIMIT, idt_base()};

	__asm__ volatile("lidt %0" : : "m"(pointer));
}

u64 arch_fault_address(void)
{
	return read_cr2();
}

static u64 find_fixup(u64 rip)
{
	for (const struct fixup *fixup = __fixups_start; (u64)fixup < (u64)__fixups_end; fixup++)
		if (fixup->fault == rip)
			return fixup->resume;
	return 0;
}

/* The interrupted code was itself on the common IST stack: its own frame is gone already. */
static bool was_on_common_stack(const struct trap_frame *frame)
{
	const struct cpu_arch *arch = this_cpu_arch();

	return frame->rsp > arch->ist_low[IST_COMMON - 1] &&
	       frame->rsp <= arch->ist_high[IST_COMMON - 1];
}

/* Exceptions that nothing expected, on all processors. Every one ends its processor, so a few more
 * than the first mean that reporting it fails by itself. */
#define FATAL_MAX 4
static u32 fatal_exceptions;

void trap_exception(struct trap_frame *frame);
void trap_exception(struct trap_frame *frame)
{
	u64 resume;

	if (frame->vector == HOST_VECTOR_NMI) {
		arch_interrupt(HOST_VECTOR_NMI);
		return;
	}
	if (frame->vector == VECTOR_GP && (resume = find_fixup(frame->rip)) != 0) {
		frame->rip = resume;
		return;
	}
	if (__atomic_fetch_add(&fatal_exceptions, 1, __ATOMIC_RELAXED) >= FATAL_MAX)
		arch_halt();
	cpu_repair_gs();
	bug_exception(frame, was_on_common_stack(frame));
}
