/*
 * A hypercall from compatibility mode: CPL 0, long mode active, but a 32-bit code segment.
 */
#define KERNEL_CODE    0x08
#define KERNEL_CODE_32 0x30

	.text
/* uint32_t compatibility_hypercall(uint32_t number, bool vmmcall) */
	.globl compatibility_hypercall
compatibility_hypercall:
	push	%rbx
	push	$KERNEL_CODE_32
	lea	1f, %rax
	push	%rax
	lretq
	.code32
1:	mov	%edi, %eax
	xor	%edi, %edi
	test	%esi, %esi
	jz	2f
	vmmcall
	jmp	3f
2:	vmcall
3:	ljmp	$KERNEL_CODE, $4f
	.code64
4:	pop	%rbx
	ret
	.section .note.GNU-stack, "", @progbits
