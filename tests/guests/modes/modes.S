/*
 * uint64_t walk_modes(void): from 64-bit mode down to protected mode without paging, up to 32-bit paging and
 * to PAE paging, and back. Returns 0, or the number of the step that went wrong. What each mode maps is
 * seen through an alias at 1 GiB of words that hold their own names.
 */
#define CR0_PG    0x80000000
#define CR4_PSE   0x10
#define CR4_PAE   0x20
#define CR4_PGE   0x80
#define MSR_EFER  0xc0000080
#define EFER_LME  0x100
#define EFER_LMA  0x400

#define CODE_64   0x08
#define DATA      0x10
#define CODE_32   0x18
#define VECTOR_GP 13

#define ALIAS     0x40000000
#define LARGE     0x83	/* present, writable, large */
#define BLOCK     0x200000

	.macro paging_on
	mov	%cr0, %eax
	or	$CR0_PG, %eax
	mov	%eax, %cr0
	.endm
	.macro paging_off
	mov	%cr0, %eax
	and	$~CR0_PG, %eax
	mov	%eax, %cr0
	.endm
	/* Step \number: the word at \address must be \value. */
	.macro expect number, address, value
	mov	$\number, %ebp
	cmpl	$\value, \address
	jne	back
	.endm

	.text
	.globl walk_modes
walk_modes:
	push	%rbx
	push	%rbp
	mov	%rsp, saved_rsp
	mov	%cr3, %rax
	mov	%eax, saved_cr3
	movl	$0x11111111, BLOCK		/* words that name two blocks of RAM */
	movl	$0x22222222, 2 * BLOCK
	lgdt	modes_gdt_pointer
	sidt	saved_idt
	lidt	modes_idt_pointer
	pushq	$CODE_32
	pushq	$compatibility
	lretq

	.code32
compatibility:
	mov	$DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss

	/* Paging off ends IA-32e mode. */
	mov	$1, %ebp
	paging_off
	mov	$MSR_EFER, %ecx
	rdmsr
	test	$EFER_LMA, %eax
	jnz	back
	and	$~EFER_LME, %eax
	wrmsr

	/* 32-bit paging with 4 MiB pages. */
	mov	%cr4, %eax
	and	$~CR4_PAE, %eax
	or	$CR4_PSE, %eax
	mov	%eax, %cr4
	mov	$directory_32, %eax
	mov	%eax, %cr3
	paging_on
	expect	2, ALIAS + BLOCK, 0x11111111
	paging_off

	/* PAE paging: the PDPTEs are loaded with CR0.PG, with CR3, and with CR4.PGE. */
	mov	%cr4, %eax
	and	$~CR4_PSE, %eax
	or	$CR4_PAE, %eax
	mov	%eax, %cr4
	mov	$pdpt_pae, %eax
	mov	%eax, %cr3
	movl	$directory_pae_1 + 1, pdpt_pae + 8
	paging_on
	expect	3, ALIAS, 0x11111111
	movl	$directory_pae_2 + 1, pdpt_pae + 8
	mov	%cr3, %eax
	mov	%eax, %cr3
	expect	4, ALIAS, 0x22222222
	movl	$directory_pae_1 + 1, pdpt_pae + 8
	mov	%cr4, %eax
	xor	$CR4_PGE, %eax
	mov	%eax, %cr4
	expect	5, ALIAS, 0x11111111
	xor	$CR4_PGE, %eax
	mov	%eax, %cr4
	paging_off

	/* A PDPTE with a reserved bit: #GP, and paging stays off. */
	mov	$6, %ebp
	movl	$directory_pae_1 + 3, pdpt_pae + 8
	movl	$0, faults
	paging_on
	cmpl	$1, faults
	jne	back
	mov	%cr0, %eax
	test	$CR0_PG, %eax
	jnz	back

	/* IA-32e mode needs PAE: #GP without. */
	mov	$7, %ebp
	mov	$MSR_EFER, %ecx
	rdmsr
	or	$EFER_LME, %eax
	wrmsr
	mov	%cr4, %eax
	and	$~CR4_PAE, %eax
	mov	%eax, %cr4
	movl	$0, faults
	paging_on
	cmpl	$1, faults
	jne	back
	xor	%ebp, %ebp

	/* The step that went wrong in EBP: back to 64-bit mode from wherever it left us. */
back:	paging_off
	mov	%cr4, %eax
	and	$~CR4_PSE, %eax
	or	$CR4_PAE, %eax
	mov	%eax, %cr4
	mov	saved_cr3, %eax
	mov	%eax, %cr3
	mov	$MSR_EFER, %ecx
	rdmsr
	or	$EFER_LME, %eax
	wrmsr
	paging_on
	ljmp	$CODE_64, $long_again

	/* Steps over the MOV to CR0 that faulted. */
general_protection:
	incl	faults
	add	$4, %esp
	addl	$3, (%esp)
	iret

	.code64
long_again:
	mov	saved_rsp, %rsp
	lidt	saved_idt
	mov	%ebp, %eax
	pop	%rbp
	pop	%rbx
	ret

	.section .data
	.balign 4096
	/* 4 MiB pages: the first GiB where it is, and again from 1 GiB on. */
directory_32:
	.set	n, 0
	.rept	256
	.long	n + LARGE
	.set	n, n + 0x400000
	.endr
	.set	n, 0
	.rept	256
	.long	n + LARGE
	.set	n, n + 0x400000
	.endr
	.skip	4096 - 2048
directory_identity:
	.set	n, 0
	.rept	512
	.quad	n + LARGE
	.set	n, n + BLOCK
	.endr
directory_pae_1:
	.quad	BLOCK + LARGE
	.skip	4096 - 8
directory_pae_2:
	.quad	2 * BLOCK + LARGE
	.skip	4096 - 8
	.balign 32
pdpt_pae:
	.quad	directory_identity + 1
	.quad	0, 0, 0

	.balign 16
modes_gdt:
	.quad	0
	.quad	0x00af9b000000ffff
	.quad	0x00cf93000000ffff
	.quad	0x00cf9b000000ffff
modes_gdt_pointer:
	.word	modes_gdt_pointer - modes_gdt - 1
	.quad	modes_gdt
	/* 32-bit gates; all but #GP are absent. The address is split by prepare_modes(). */
	.balign 8
	.globl modes_idt
modes_idt:
	.skip	8 * (VECTOR_GP + 1)
modes_idt_pointer:
	.word	8 * (VECTOR_GP + 1) - 1
	.quad	modes_idt
	.globl modes_gp_handler
modes_gp_handler:
	.long	general_protection

	.section .bss
	.balign 16
saved_rsp:
	.skip	8
saved_idt:
	.skip	16
saved_cr3:
	.skip	4
faults:
	.skip	4
