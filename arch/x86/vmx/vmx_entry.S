/*
 * Into the guest and out again. vmx_run() calls vmx_enter_guest by inline assembly that declares every
 * general register but RBP as overwritten, so the compiler keeps what it needs on the stack once a turn,
 * and nothing is saved twice on each round trip.
 *
 *	RDI = struct vcpu (kept)
 *
 * Returns with CF and ZF clear after an exit (the processor clears RFLAGS), and with one of them set
 * after an entry that was refused. Nothing here may touch the flags on the way back.
 */
#include "asm_offsets.h"

#define HOST_RSP_FIELD 0x6c14

	.macro load_guest_registers
	mov	VCPU_RAX(%rdi), %rax
	mov	VCPU_RCX(%rdi), %rcx
	mov	VCPU_RDX(%rdi), %rdx
	mov	VCPU_RBX(%rdi), %rbx
	mov	VCPU_RBP(%rdi), %rbp
	mov	VCPU_RSI(%rdi), %rsi
	mov	VCPU_R8(%rdi), %r8
	mov	VCPU_R9(%rdi), %r9
	mov	VCPU_R10(%rdi), %r10
	mov	VCPU_R11(%rdi), %r11
	mov	VCPU_R12(%rdi), %r12
	mov	VCPU_R13(%rdi), %r13
	mov	VCPU_R14(%rdi), %r14
	mov	VCPU_R15(%rdi), %r15
	mov	VCPU_RDI(%rdi), %rdi
	.endm

	.text
	.globl vmx_enter_guest
	.type vmx_enter_guest, @function
vmx_enter_guest:
	push	%rbp
	push	%rdi
	mov	VCPU_VENDOR(%rdi), %rsi
	cmp	%rsp, VMX_HOST_RSP(%rsi)
	jne	first_entry
	load_guest_registers
	vmresume
	jmp	refused

	/* After VMCLEAR the VMCS must be launched once, and learns where the exits' stack is. */
first_entry:
	mov	$HOST_RSP_FIELD, %eax
	vmwrite	%rsp, %rax
	jbe	refused
	mov	%rsp, VMX_HOST_RSP(%rsi)
	load_guest_registers
	vmlaunch
refused:
	pop	%rdi
	pop	%rbp
	ret

	/* The processor loaded RSP from HOST_RSP: the vCPU is on top of the stack. */
	.globl vmx_exit
vmx_exit:
	push	%rdi
	mov	8(%rsp), %rdi
	mov	%rax, VCPU_RAX(%rdi)
	mov	%rcx, VCPU_RCX(%rdi)
	mov	%rdx, VCPU_RDX(%rdi)
	mov	%rbx, VCPU_RBX(%rdi)
	mov	%rbp, VCPU_RBP(%rdi)
	mov	%rsi, VCPU_RSI(%rdi)
	mov	%r8, VCPU_R8(%rdi)
	mov	%r9, VCPU_R9(%rdi)
	mov	%r10, VCPU_R10(%rdi)
	mov	%r11, VCPU_R11(%rdi)
	mov	%r12, VCPU_R12(%rdi)
	mov	%r13, VCPU_R13(%rdi)
	mov	%r14, VCPU_R14(%rdi)
	mov	%r15, VCPU_R15(%rdi)
	pop	VCPU_RDI(%rdi)
	pop	%rdi
	pop	%rbp
	ret
	.size vmx_enter_guest, . - vmx_enter_guest

	.section .note.GNU-stack, "", @progbits
