/*
 * Where exceptions and interrupts arrive: an entry for each exception and each interrupt that is expected, one
 * for all others, then two common paths. Exceptions build the whole struct trap_frame of port.h; interrupts
 * save only what C may change. GS base is always the hypervisor's here, and every gate uses an IST stack, so
 * nothing is written below the interrupted RSP.
 */
#include "asm_offsets.h"

#define EXCEPTIONS 32
/* Exceptions that push an error code: 8, 10-14, 17, 21, 29, 30. */
#define HAS_ERROR_CODE 0x60227d00

	.section .text.traps, "ax"

	/* 16 bytes an entry, found by index. */
	.balign 16
	.globl	exception_entries
exception_entries:
	.set	vector, 0
	.rept	EXCEPTIONS
	.balign 16
	.if	((HAS_ERROR_CODE >> vector) & 1) == 0
	pushq	$0
	.endif
	pushq	$vector
	jmp	exception_common
	.set	vector, vector + 1
	.endr

	/* 8 bytes an entry: a signed byte, so that the push is two bytes long. In the order of traps.c; the last
	 * is for what nobody asked for, of which nobody looks at the number. */
	.balign 8
	.globl	interrupt_entries
interrupt_entries:
	.irp	vector, VECTOR_UART, VECTOR_TIMER, VECTOR_KICK, VECTOR_SPURIOUS, VECTOR_OTHER
	.balign 8
	pushq	$(\vector - 128)
	jmp	interrupt_common
	.endr

exception_common:
	cld
	pushq	%rax
	pushq	%rbx
	pushq	%rcx
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	pushq	%rbp
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, %rdi
	call	trap_exception
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rbp
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%rcx
	popq	%rbx
	popq	%rax
	addq	$16, %rsp
	iretq

interrupt_common:
	cld
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	movl	72(%rsp), %edi
	addl	$128, %edi
	call	arch_interrupt
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%rcx
	popq	%rax
	addq	$8, %rsp
	iretq

/*
 * int rdmsr_safe(u32 msr, u64 *value); int wrmsr_safe(u32 msr, u64 value):
 * the only instructions whose #GP is expected; trap_exception() continues at the fixup.
 */
	.globl	rdmsr_safe
rdmsr_safe:
	movl	%edi, %ecx
1:	rdmsr
	shlq	$32, %rdx
	orq	%rdx, %rax
	movq	%rax, (%rsi)
	xorl	%eax, %eax
	ret
	.globl	wrmsr_safe
wrmsr_safe:
	movl	%edi, %ecx
	movl	%esi, %eax
	movq	%rsi, %rdx
	shrq	$32, %rdx
2:	wrmsr
	xorl	%eax, %eax
	ret
msr_fault:
	movl	$-14, %eax /* -EFAULT */
	ret

	.section .fixups, "a"
	.quad 1b, msr_fault
	.quad 2b, msr_fault

	.section .note.GNU-stack, "", @progbits
