/*
 * Exceptions and interrupts: the frame that entry.S leaves, and the vectors.
 */
#ifndef SHIM_TRAP_H
#define SHIM_TRAP_H

#include "lib/types.h"

/* What entry.S pushes, from the lowest address up; the processor pushed the last five. */
struct registers {
	u64 r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
	u64 vector, error;
	u64 rip, cs, rflags, rsp, ss;
};
_Static_assert(
	sizeof(struct registers) == 22 * 8, "entry.S pushes 17 words after the processor's 5");

enum {
	VECTOR_NMI = 2,
	VECTOR_DOUBLE_FAULT = 8,
	VECTOR_PAGE_FAULT = 14,
	VECTOR_MACHINE_CHECK = 18,
	VECTOR_VIRTUALIZATION = 20,
	VECTOR_TIMER = 32,
	VECTOR_WAKE = 33,   /* the other vCPU, or the UART, has something new: look again */
	VECTOR_POWER = 34,  /* the power button */
	VECTOR_DEVICE = 40, /* and one up for each virtio slot */
	VECTOR_SPURIOUS = 63,
	VECTORS = 64,
};

/*
 * Stacks of their own (numbers of the task segment): for exceptions that cannot trust the running
 * one, and for interrupts, since code that the shim does not compile, as libgcc's, may keep data
 * below its stack pointer.
 */
enum {
	IST_NMI = 1,
	IST_MACHINE_CHECK = 2,
	IST_DOUBLE_FAULT = 3,
	IST_VIRTUALIZATION = 4,
	IST_INTERRUPT = 5
};

/* Loads GDT, task segment and IDT. Interrupts stay off. */
void descriptors_init(void);

/* The same for the second vCPU: the first one gives it stacks, then it loads its own. */
#define SECOND_STACKS_BYTES (IST_INTERRUPT * PAGE_SIZE)
void descriptors_prepare_second(void *stacks);
void descriptors_init_second(void);
/* Whether this is the second vCPU. */
bool descriptors_are_seconds(void);

/* Where entry.S leads: faults, and interrupts of devices. */
void trap(struct registers *registers);

#endif
