/*
 * Exceptions of the hostile guest: each ends the function that fault_of() runs, with its vector and
 * error code noted.
 */
#define USER_DATA 0x1b
#define USER_CODE 0x23
#define VECTOR_RETURN 0x80

	.text

/* Vectors that push an error code: 8, 10 to 14, 17, 21, 29, 30. */
	.balign 16
	.globl exception_stubs
exception_stubs:
	.set vector, 0
	.rept 32
	.balign 16
	.if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
	push	$0
	.endif
	push	$vector
	jmp	recover
	.set vector, vector + 1
	.endr

	.globl return_stub
return_stub:
	push	$0
	push	$VECTOR_RETURN
recover:
	pop	fault_vector
	pop	fault_error
	mov	recover_rsp, %rsp
	jmp	recovered

/* int fault_of(void (*function)(void)) */
	.globl fault_of
fault_of:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	pushf
	mov	%rsp, recover_rsp
	movq	$-1, fault_vector
	call	*%rdi
recovered:
	popf
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	mov	fault_vector, %eax
	ret

/* void ring3_enter(void (*function)(void)): does not come back by itself. */
	.globl ring3_enter
ring3_enter:
	push	$USER_DATA
	push	$(ring3_stack_end - 8)
	push	$2
	push	$USER_CODE
	push	%rdi
	iretq

	.bss
	.balign 16
	.globl fault_vector, fault_error
fault_vector:
	.skip 8
fault_error:
	.skip 8
recover_rsp:
	.skip 8
	.balign 16
	.skip 4096
ring3_stack_end:
	.section .note.GNU-stack, "", @progbits
