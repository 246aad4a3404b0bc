/*
 * PVH start of the small test guests: from 32-bit protected mode without paging to main() in 64-bit mode,
 * with the first GiB identity-mapped by 2 MiB pages and no interrupts. main(start_info) returns the
 * reason for SHUTDOWN.
 */
#define ELFNOTE_PHYS32_ENTRY 18

#define CR0_PE   0x1
#define CR0_PG   0x80000000
#define CR4_PAE  0x20
#define CR4_FXSR 0x600 /* OSFXSR, OSXMMEXCPT */
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100

	.section .note.pvh, "a", @note
	.balign 4
	.long 4, 4, ELFNOTE_PHYS32_ENTRY
	.asciz "Xen"
	.long guest_start

	.section .text.start, "ax", @progbits
	.code32
	.globl guest_start
guest_start:
	cld
	mov	$stack_top, %esp
	mov	%ebx, %edi		/* start_info; kept up to main() */

	/* One PML4 and one PDPT entry, 512 pages of 2 MiB. */
	movl	$(pdpt + 0x3), pml4
	movl	$(page_directory + 0x3), pdpt
	mov	$0x83, %eax		/* present, writable, large */
	xor	%ecx, %ecx
1:	mov	%eax, page_directory(, %ecx, 8)
	add	$0x200000, %eax
	inc	%ecx
	cmp	$512, %ecx
	jne	1b

	mov	%cr4, %eax
	or	$(CR4_PAE | CR4_FXSR), %eax
	mov	%eax, %cr4
	mov	$pml4, %eax
	mov	%eax, %cr3
	mov	$MSR_EFER, %ecx
	rdmsr
	or	$EFER_LME, %eax
	wrmsr
	mov	%cr0, %eax
	or	$(CR0_PG | CR0_PE), %eax
	mov	%eax, %cr0
	lgdt	gdt_pointer
	ljmp	$8, $long_mode

	.code64
long_mode:
	mov	$16, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	mov	$stack_top, %rsp
	mov	%edi, %edi		/* the upper halves are undefined after the mode switch */
	call	main
	mov	%rax, %rdi
	call	guest_shutdown
	ud2

	.section .rodata
	.balign 8
	.globl gdt
gdt:
	.quad 0
	.quad 0x00af9b000000ffff	/* 8: 64-bit code */
	.quad 0x00cf93000000ffff	/* 16: data */
gdt_end:
gdt_pointer:
	.word gdt_end - gdt - 1
	.long gdt

	.section .bss
	.balign 4096
pml4:
	.skip 4096
pdpt:
	.skip 4096
page_directory:
	.skip 4096
	.skip 16384
stack_top:
