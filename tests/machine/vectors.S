/*
 * The vector registers that page copies and the compressor use.
 */
	.text
	.globl	vectors_load, vectors_store
vectors_load:
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movups	16 * \n(%rdi), %xmm\n
	.endr
	ret
vectors_store:
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movups	%xmm\n, 16 * \n(%rdi)
	.endr
	ret

	.section .note.GNU-stack, "", @progbits
