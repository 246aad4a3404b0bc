/*
 * The PVH entry: 32-bit protected mode, paging off, EBX = hvm_start_info. Loads static page tables that
 * map the first 4 GiB one to one, enters long mode with SSE enabled, and calls shim_main(start_info).
 */

#define CR0_LONG 0x80010023 /* PG WP NE MP PE; EM clear, so that SSE works */
#define CR4_LONG 0x000006a0 /* PAE PGE OSFXSR OSXMMEXCPT */
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100

#define XEN_ELFNOTE_PHYS32_ENTRY 18

	.section .note.pvh, "a", @note
	.align 4
	.long 4, 8, XEN_ELFNOTE_PHYS32_ENTRY
	.asciz "Xen"
	.quad pvh_start

	.section .text.start, "ax", @progbits
	.code32
	.globl pvh_start
pvh_start:
	cld
	lgdtl boot_gdt_pointer
	mov $CR4_LONG, %eax
	mov %eax, %cr4
	mov $boot_pml4, %eax
	mov %eax, %cr3
	mov $MSR_EFER, %ecx
	xor %edx, %edx
	mov $EFER_LME, %eax
	wrmsr
	mov $CR0_LONG, %eax
	mov %eax, %cr0
	ljmp $0x08, $long_mode

	.code64
long_mode:
	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	xor %eax, %eax
	mov %eax, %fs
	mov %eax, %gs
	mov $boot_stack_top, %rsp
	fninit
	ldmxcsr boot_mxcsr(%rip)
	mov %ebx, %edi
	xor %ebp, %ebp
	call shim_main
	ud2

	/* void stack_run(void *top, void (*function)(void)): continues on another stack, never returns. */
	.globl stack_run
stack_run:
	mov %rdi, %rsp
	xor %ebp, %ebp
	call *%rsi
	ud2

	.section .rodata
	.align 8
	/* Only for the way into long mode; gdt.c loads the one with a task segment. */
boot_gdt:
	.quad 0
	.quad 0x00af9b000000ffff /* 64-bit code */
	.quad 0x00cf93000000ffff /* data */
	.quad 0x00cf9b000000ffff /* 32-bit code, for second.S */
	.globl boot_gdt, boot_gdt_limit, boot_mxcsr
	.set boot_gdt_limit, . - boot_gdt - 1
boot_gdt_pointer:
	.word boot_gdt_limit
	.long boot_gdt
boot_mxcsr:
	.long 0x1f80

	/* Present, writable; the last GiB below 4 GiB holds devices and is not cached. paging.c refines it. */
	.data
	.align 4096
	.globl boot_pml4, boot_page_directory
boot_pml4:
	.quad boot_pdpt + 3
	.fill 511, 8, 0
boot_pdpt:
	.quad boot_page_directory + 0x0003
	.quad boot_page_directory + 0x1003
	.quad boot_page_directory + 0x2003
	.quad boot_page_directory + 0x3003
	.fill 508, 8, 0
boot_page_directory:
	.set block, 0
	.rept 1536
	.quad (block << 21) + 0x83
	.set block, block + 1
	.endr
	.rept 512
	.quad (block << 21) + 0x9b
	.set block, block + 1
	.endr

	.bss
	.align 16
	.skip 8192
boot_stack_top:

	.section .note.GNU-stack, "", @progbits
