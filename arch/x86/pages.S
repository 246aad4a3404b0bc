/*
 * Whole pages, and the guest's vector state. The only code of this floor that touches vector registers,
 * beside the compressor between the two calls at the end (compress.c): the copy uses four of them through legacy SSE forms, which keep the upper halves, and puts back what
 * was there. Both loops do 64 bytes a turn: on real processors they run at the speed of the caches, and
 * in emulators faster than string instructions (docs/boot.md has the figures).
 */
#define PAGE_SIZE 4096
#define SAVED     64

	.section .text.pages, "ax"

/* void arch_copy_page(void *to, const void *from) */
	.balign 64
	.globl	arch_copy_page
arch_copy_page:
	subq	$SAVED + 8, %rsp
	movups	%xmm0, (%rsp)
	movups	%xmm1, 16(%rsp)
	movups	%xmm2, 32(%rsp)
	movups	%xmm3, 48(%rsp)
	movl	$PAGE_SIZE / 64, %ecx
1:	movaps	(%rsi), %xmm0
	movaps	16(%rsi), %xmm1
	movaps	32(%rsi), %xmm2
	movaps	48(%rsi), %xmm3
	movaps	%xmm0, (%rdi)
	movaps	%xmm1, 16(%rdi)
	movaps	%xmm2, 32(%rdi)
	movaps	%xmm3, 48(%rdi)
	addq	$64, %rsi
	addq	$64, %rdi
	decl	%ecx
	jnz	1b
	movups	(%rsp), %xmm0
	movups	16(%rsp), %xmm1
	movups	32(%rsp), %xmm2
	movups	48(%rsp), %xmm3
	addq	$SAVED + 8, %rsp
	ret

/* void arch_clear_page(void *page) */
	.balign 64
	.globl	arch_clear_page
arch_clear_page:
	subq	$24, %rsp
	movups	%xmm0, (%rsp)
	xorps	%xmm0, %xmm0
	movl	$PAGE_SIZE / 64, %ecx
1:	movaps	%xmm0, (%rdi)
	movaps	%xmm0, 16(%rdi)
	movaps	%xmm0, 32(%rdi)
	movaps	%xmm0, 48(%rdi)
	addq	$64, %rdi
	decl	%ecx
	jnz	1b
	movups	(%rsp), %xmm0
	addq	$24, %rsp
	ret

/* void arch_fpu_save(void *state); void arch_fpu_load(const void *state) */
	.globl	arch_fpu_save
arch_fpu_save:
	fxsave64 (%rdi)
	ret
	.globl	arch_fpu_load
arch_fpu_load:
	fxrstor64 (%rdi)
	ret

/* void arch_vectors_save(void *state); void arch_vectors_load(const void *state): 256 bytes */
	.globl	arch_vectors_save
arch_vectors_save:
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movups	%xmm\n, 16 * \n(%rdi)
	.endr
	ret
	.globl	arch_vectors_load
arch_vectors_load:
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movups	16 * \n(%rdi), %xmm\n
	.endr
	ret

	.section .note.GNU-stack, "", @progbits
