/*
 * One trip into a guest and back (AMD APM vol. 2, 15.5). VMRUN moves part of the guest's state; VMLOAD
 * and VMSAVE move FS, GS, TR, LDTR and the system-call MSRs, for the guest from its VMCB and for the
 * host from an area that never changes.
 *
 * Interrupts: with V_INTR_MASKING the host's IF decides about physical interrupts while the guest runs,
 * so IF is set, but under CLGI, so that nothing arrives before VMRUN has set GIF again. #VMEXIT clears
 * GIF; interrupts and NMIs stay pending until the host's GS base is back.
 */
#include "asm_offsets.h"

	.text

/* void svm_enter(struct vcpu *vcpu, u64 vmcb_address, u64 host_address) */
	.globl svm_enter
	.type svm_enter, @function
svm_enter:
	push	%rbp
	mov	%rsp, %rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rdx
	push	%rdi

	mov	%rsi, %rax
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

	clgi
	sti
	vmload	%rax
	vmrun	%rax
	vmsave	%rax

	/* RSP and RAX are the host's again; RDI is the guest's until it has a place. */
	push	%rdi
	mov	8(%rsp), %rdi
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

	mov	8(%rsp), %rax
	vmload	%rax
	cli
	stgi

	add	$16, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	ret
	.size svm_enter, . - svm_enter

	.section .note.GNU-stack, "", @progbits
