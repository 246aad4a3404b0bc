/*
 * The handlers of the volatile guest: page_fault(cr2, error), or virtualization_exception(); then
 * the instruction again.
 */
	.macro	begin
	push	%rax
	push	%rcx
	push	%rdx
	push	%rsi
	push	%rdi
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	cld
	.endm

	.macro	end_by function
	mov	%rsp, %rax		/* the stack of the interrupted code may be aligned to 8 only */
	and	$-16, %rsp
	push	%rax
	push	%rax
	call	\function
	pop	%rsp
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%rcx
	pop	%rax
	.endm

	.text
	.globl page_fault_entry
page_fault_entry:
	begin
	mov	%cr2, %rdi
	mov	72(%rsp), %rsi
	end_by	page_fault
	add	$8, %rsp
	iretq

	.globl virtualization_exception_entry
virtualization_exception_entry:
	begin
	end_by	virtualization_exception
	iretq
	.section .note.GNU-stack, "", @progbits
