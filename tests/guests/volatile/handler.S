/*
 * The page-fault handler of the volatile guest: page_fault(cr2, error), then the instruction again.
 */
	.text
	.globl page_fault_entry
page_fault_entry:
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
	mov	%cr2, %rdi
	mov	72(%rsp), %rsi
	mov	%rsp, %rax		/* the stack of the interrupted code may be aligned to 8 only */
	and	$-16, %rsp
	push	%rax
	push	%rax
	call	page_fault
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
	add	$8, %rsp
	iretq
	.section .note.GNU-stack, "", @progbits
