/*
 * The steps of the processor floor's own start, between its files.
 */
#ifndef ARCH_START_H
#define ARCH_START_H

#include "arch/x86/arch.h"

/* boot.S */
__attribute__((noreturn)) void switch_stack(u64 stack_top, void (*next)(void));
/* early.c */
__attribute__((noreturn)) void arch_entry(u32 mbi, u64 entry_tsc);

/* cpu.c: allocates processor @index's block and stacks; false if memory ran out. */
bool __must_check cpu_create(unsigned index);
u64 cpu_stack_top(unsigned index);
/* Loads this processor's tables, control registers and GS base. */
void cpu_load(unsigned index);
/* Makes this_cpu() right again, found by the stack: a processor that is about to report a bug may
 * have lost its GS base. */
void cpu_repair_gs(void);
/* How many processors run; set once by smp.c. */
void cpu_set_count(unsigned count);

/* traps.c */
void idt_start(void);
void idt_load(void);

/* smp.c: learns from ACPI which processors there are, and allocates for them. 0 or -ENOMEM. */
int __must_check smp_prepare(void);

#endif
