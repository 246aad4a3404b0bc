/*
 * The 64 entries: vectors 0..31 are exceptions, 32..63 interrupts. Each leaves a struct registers
 * (trap.h) on the stack and calls trap(). Vector registers are not saved, since nothing behind trap() uses
 * them (the shim is compiled with -mgeneral-regs-only).
 */

	.section .text
	.altmacro
	.macro entry vector
	.balign 16
	.if (\vector == 8) || ((\vector >= 10) && (\vector <= 14)) || (\vector == 17) || (\vector == 21) || (\vector == 29) || (\vector == 30)
	.else
	pushq $0
	.endif
	pushq $\vector
	jmp trap_entry
	.endm

	.balign 16
	.globl trap_entries
trap_entries:
	.set vector_number, 0
	.rept 64
	entry %vector_number
	.set vector_number, vector_number + 1
	.endr

trap_entry:
	push %rax
	push %rbx
	push %rcx
	push %rdx
	push %rsi
	push %rdi
	push %rbp
	push %r8
	push %r9
	push %r10
	push %r11
	push %r12
	push %r13
	push %r14
	push %r15
	cld
	mov %rsp, %rdi
	call trap
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rbp
	pop %rdi
	pop %rsi
	pop %rdx
	pop %rcx
	pop %rbx
	pop %rax
	add $16, %rsp
	iretq

	.section .note.GNU-stack, "", @progbits
