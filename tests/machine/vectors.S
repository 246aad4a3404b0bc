/*
 * The vector registers that the page copy uses.
 */
	.text
	.globl	vectors_load, vectors_store
vectors_load:
	movups	(%rdi), %xmm0
	movups	16(%rdi), %xmm1
	movups	32(%rdi), %xmm2
	movups	48(%rdi), %xmm3
	ret
vectors_store:
	movups	%xmm0, (%rdi)
	movups	%xmm1, 16(%rdi)
	movups	%xmm2, 32(%rdi)
	movups	%xmm3, 48(%rdi)
	ret

	.section .note.GNU-stack, "", @progbits
