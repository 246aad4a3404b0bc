/*
 * Each processor's descriptor tables, stacks and interrupt vectors: what the rest of arch/x86/
 * needs to know, and what VMX and SVM load as host state.
 *
 * IST plan: NMI 1, #MC 2, #DF 3, #DB 4, every other exception and interrupt 5. Interrupts are off
 * in the hypervisor, so only a fault of its own can strike while stack 5 is in use.
 */
#ifndef ARCH_CPU_H
#define ARCH_CPU_H

#include "arch/x86/arch.h"
#include "lib/types.h"

/* Selectors. Data is used for SS only; DS, ES, FS and GS hold the null selector. */
#define SELECTOR_CODE 0x08
#define SELECTOR_DATA 0x10
#define SELECTOR_TSS  0x18

/* Host interrupt vectors. */
#define HOST_VECTOR_NMI      2
#define HOST_VECTOR_OTHER    0x20 /* what arrives by a vector without a name */
#define HOST_VECTOR_UART     0x30
#define HOST_VECTOR_TIMER    0xf0
#define HOST_VECTOR_KICK     0xf1
#define HOST_VECTOR_SPURIOUS 0xff

#define IST_NMI    1
#define IST_MC     2
#define IST_DF     3
#define IST_DB     4
#define IST_COMMON 5
#define IST_COUNT  5

/* The 64-bit TSS (Intel SDM vol. 3, 8.7). */
struct __packed_struct tss {
	u32 reserved0;
	u64 rsp[3];
	u64 reserved1;
	u64 ist[7]; /* ist[0] is IST 1 */
	u64 reserved2;
	u16 reserved3;
	u16 io_bitmap;
};
_Static_assert(sizeof(struct tss) == 104, "TSS layout");

/* struct cpu.arch. Written at the CPU's start only. */
struct cpu_arch {
	u64 gdt[5] __aligned_to(16); /* null, code, data, TSS (two entries) */
	struct tss tss;
	u64 stack_low, stack_top; /* top: 16-byte aligned, the initial stack pointer */
	u64 ist_low[IST_COUNT];   /* lowest address of each IST stack */
	u64 ist_high[IST_COUNT];
	u64 tls[6]; /* FS base: the stack protector's canary is at %fs:0x28 */
};

#define CPU_STACK_SIZE KIB(16)

/* What this folder keeps of this CPU. */
static inline struct cpu_arch *this_cpu_arch(void)
{
	return this_cpu()->arch;
}

/* The IDT that all processors share: 256 gates. */
u64 idt_base(void);
#define IDT_LIMIT (256 * 16 - 1)
#define GDT_LIMIT (5 * 8 - 1)

#endif
