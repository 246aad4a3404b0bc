/*
 * The first instructions of every other processor: copied to a page below 1 MiB, entered in real mode at
 * its start (Intel SDM vol. 3, 9.4). The parameters at its end are filled in anew for each processor.
 * %ebx holds the page's physical address throughout.
 */
#define CR0_PE   (1 << 0)
#define CR0_WP   (1 << 16)
#define CR0_PG   (1 << 31)
#define CR4_PAE  (1 << 5)
#define MSR_EFER 0xc0000080
#define EFER_LME (1 << 8)
#define EFER_NXE (1 << 11)

#define AT(symbol) ((symbol) - trampoline_start)

	.section .init.rodata.trampoline, "a"
	.balign 16
	.globl	trampoline_start
trampoline_start:
	.code16
	cli
	cld
	movw	%cs, %ax
	movw	%ax, %ds
	movzwl	%ax, %ebx
	shll	$4, %ebx
	/* The table's base and the jump's target depend on where this page lies. */
	leal	AT(gdt)(%ebx), %eax
	movl	%eax, AT(gdt_pointer) + 2
	leal	AT(protected_mode)(%ebx), %eax
	movl	%eax, AT(jump32)
	leal	AT(long_mode)(%ebx), %eax
	movl	%eax, AT(jump64)
	lgdtl	AT(gdt_pointer)
	movl	%cr0, %eax
	orl	$CR0_PE, %eax
	movl	%eax, %cr0
	ljmpl	*AT(jump32)

	.code32
protected_mode:
	movw	$24, %ax
	movw	%ax, %ds
	movl	%cr4, %eax
	orl	$CR4_PAE, %eax
	movl	%eax, %cr4
	movl	AT(trampoline_cr3)(%ebx), %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$(EFER_LME | EFER_NXE), %eax
	wrmsr
	/* INIT leaves CD and NW set. */
	movl	$(CR0_PG | CR0_WP | CR0_PE), %eax
	movl	%eax, %cr0
	ljmpl	*AT(jump64)(%ebx)

	.code64
long_mode:
	xorl	%eax, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %fs
	movl	%eax, %gs
	movl	%eax, %ss
	movq	AT(trampoline_stack)(%rbx), %rsp
	movq	AT(trampoline_argument)(%rbx), %rdi
	xorl	%ebp, %ebp
	call	*AT(trampoline_entry)(%rbx)
	ud2

	.balign 8
gdt:
	.quad 0
	.quad 0x00cf9b000000ffff /* 8: 32-bit code */
	.quad 0x00af9b000000ffff /* 16: 64-bit code */
	.quad 0x00cf93000000ffff /* 24: data */
gdt_pointer:
	.short gdt_pointer - gdt - 1
	.long 0
	.balign 8
jump32:
	.long 0
	.short 8
	.balign 8
jump64:
	.long 0
	.short 16
	.balign 8
	.globl	trampoline_cr3, trampoline_stack, trampoline_argument, trampoline_entry
trampoline_cr3:
	.quad 0
trampoline_stack:
	.quad 0
trampoline_argument:
	.quad 0
trampoline_entry:
	.quad 0
	.globl	trampoline_end
trampoline_end:

	.section .note.GNU-stack, "", @progbits
