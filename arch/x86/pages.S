/*
 * Whole pages. The only code of this floor that works with vector registers, beside the compressor between
 * the two calls at the end (compress.c): the copies use four of them through legacy SSE forms, which keep
 * the upper halves and whatever else a guest has there, and need no bit of its XCR0; and put back what was
 * there. Loops do 64 bytes, a line, a
 * turn. Which way pages are copied is chosen at boot (copy.c); until then, and in the guests and programs
 * that link this file to compare with, it is the plain loop.
 */
#define PAGE_SIZE 4096
#define SAVED     64

/* enum copy_way (copy.h); 0 is the plain loop, and what is greater goes past the caches. */
#define MOVSQ 1
#define MOVSB 2

	.data
	.globl	copy_ways
copy_ways:	/* by enum copy_use; written once, before a second processor runs */
	.byte	0, 0

	.section .text.pages, "ax"

/* void arch_copy_page(void *to, const void *from), and _away: a branch by a byte, since an indirect one could
 * be misled, and text is not writable under any address. */
	.globl	arch_copy_page
arch_copy_page:
	movzbl	copy_ways(%rip), %edx
	jmp	copy_page_by
	.globl	arch_copy_page_away
arch_copy_page_away:
	movzbl	copy_ways + 1(%rip), %edx
	jmp	copy_page_by

	.macro	save_vectors
	subq	$SAVED + 8, %rsp
	movups	%xmm0, (%rsp)
	movups	%xmm1, 16(%rsp)
	movups	%xmm2, 32(%rsp)
	movups	%xmm3, 48(%rsp)
	.endm
	.macro	restore_vectors
	movups	(%rsp), %xmm0
	movups	16(%rsp), %xmm1
	movups	32(%rsp), %xmm2
	movups	48(%rsp), %xmm3
	addq	$SAVED + 8, %rsp
	.endm
	.macro	copy_lines store
	movl	$PAGE_SIZE / 64, %ecx
1:	movaps	(%rsi), %xmm0
	movaps	16(%rsi), %xmm1
	movaps	32(%rsi), %xmm2
	movaps	48(%rsi), %xmm3
	\store	%xmm0, (%rdi)
	\store	%xmm1, 16(%rdi)
	\store	%xmm2, 32(%rdi)
	\store	%xmm3, 48(%rdi)
	addq	$64, %rsi
	addq	$64, %rdi
	decl	%ecx
	jnz	1b
	.endm

/* void copy_page_by(void *to, const void *from, enum copy_way way) */
	.balign 64
	.globl	copy_page_by
copy_page_by:
	testl	%edx, %edx
	jnz	.Lspecial
	save_vectors
	copy_lines movaps
	restore_vectors
	ret
.Lspecial:
	cmpl	$MOVSB, %edx
	ja	.Lnontemporal
	je	.Lmovsb
	movl	$PAGE_SIZE / 8, %ecx
	rep movsq
	ret
.Lmovsb:
	movl	$PAGE_SIZE, %ecx
	rep movsb
	ret
.Lnontemporal:
	save_vectors
	copy_lines movntps
	/* These stores are not ordered with later ones, such as those that tell others of the page. */
	sfence
	restore_vectors
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
