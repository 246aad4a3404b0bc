/*
 * All vector registers to memory and back, by level: struct wide (wide.h).
 */
#define MASKS (32 * 64)

	.text
/* void wide_load(const struct wide *from, enum wide_level level) */
	.globl	wide_load
wide_load:
	cmpl	$2, %esi
	je	2f
	ja	3f
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movups	64 * \n(%rdi), %xmm\n
	.endr
	ret
2:	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vmovups	64 * \n(%rdi), %ymm\n
	.endr
	ret
3:	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	vmovups	64 * \n(%rdi), %zmm\n
	.endr
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7
	kmovq	MASKS + 8 * \n(%rdi), %k\n
	.endr
	ret

/* void wide_store(struct wide *to, enum wide_level level) */
	.globl	wide_store
wide_store:
	mov	%rdi, %rdx
	xor	%eax, %eax
	mov	$((MASKS + 64) / 8), %ecx
	rep stosq
	mov	%rdx, %rdi
	cmpl	$2, %esi
	je	2f
	ja	3f
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movups	%xmm\n, 64 * \n(%rdi)
	.endr
	ret
2:	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vmovups	%ymm\n, 64 * \n(%rdi)
	.endr
	ret
3:	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	vmovups	%zmm\n, 64 * \n(%rdi)
	.endr
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7
	kmovq	%k\n, MASKS + 8 * \n(%rdi)
	.endr
	ret

	.section .note.GNU-stack, "", @progbits
