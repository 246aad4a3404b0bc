/*
 * The second vCPU's way from its SIPI to second_main(). The trampoline is copied to a page below 1 MiB and
 * does nothing but switch to 32-bit protected mode, with start.S's descriptor table; everything after it
 * runs from the image, since that page is not executable once paging is on.
 */

#define CR0_PE   0x1
#define CR0_LONG 0x80010023 /* as start.S */
#define CR4_LONG 0x000006a0
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100
#define EFER_NXE 0x800

	.section .rodata
	.code16
	.globl second_trampoline, second_trampoline_end
second_trampoline:
	cli
	mov %cs, %ax
	mov %ax, %ds
	lgdtl %cs:(2f - second_trampoline)
	mov %cr0, %eax
	or $CR0_PE, %eax
	mov %eax, %cr0
	ljmpl $0x18, $second_start
	.balign 8
2:	.word boot_gdt_limit
	.long boot_gdt
second_trampoline_end:

	.section .text
	.code32
second_start:
	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov $CR4_LONG, %eax
	mov %eax, %cr4
	mov $boot_pml4, %eax
	mov %eax, %cr3
	mov $MSR_EFER, %ecx
	xor %edx, %edx
	mov $(EFER_LME | EFER_NXE), %eax
	wrmsr
	mov $CR0_LONG, %eax
	mov %eax, %cr0
	ljmp $0x08, $second_long_mode

	.code64
second_long_mode:
	xor %eax, %eax
	mov %eax, %fs
	mov %eax, %gs
	mov second_stack(%rip), %rsp
	fninit
	ldmxcsr boot_mxcsr(%rip)
	xor %ebp, %ebp
	call second_main
	ud2

	.bss
	.balign 8
	.globl second_stack
second_stack:
	.quad 0

	.section .note.GNU-stack, "", @progbits
