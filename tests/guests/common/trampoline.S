/*
 * Where vCPU 1 begins: real mode at the page that the SIPI names, then protected mode, then 64-bit mode on
 * vCPU 0's page tables, then second_main() on its own stack. Copied to TRAMPOLINE before the SIPI; all
 * addresses in it are relative to its start.
 */
#define TRAMPOLINE 0x8000
#define AT(symbol) (TRAMPOLINE + symbol - trampoline)

#define CR0_PE   0x1
#define CR0_PG   0x80000000
#define CR4_PAE  0x20
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100

	.section .data
	.code16
	.globl trampoline
	.globl trampoline_end
	.balign 16
trampoline:
	cli
	mov	%cs, %ax
	mov	%ax, %ds
	lgdtl	%cs:(trampoline_gdt_pointer - trampoline)
	mov	%cr0, %eax
	or	$CR0_PE, %eax
	mov	%eax, %cr0
	ljmpl	$24, $AT(protected)

	.code32
protected:
	mov	$16, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	%cr4, %eax
	or	$CR4_PAE, %eax
	mov	%eax, %cr4
	mov	AT(trampoline_cr3), %eax
	mov	%eax, %cr3
	mov	$MSR_EFER, %ecx
	rdmsr
	or	$EFER_LME, %eax
	wrmsr
	mov	%cr0, %eax
	or	$(CR0_PG | CR0_PE), %eax
	mov	%eax, %cr0
	ljmp	$8, $AT(long_mode)

	.code64
long_mode:
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	mov	AT(trampoline_stack), %rsp
	mov	AT(trampoline_entry), %rax
	call	*%rax
	ud2

	.balign 8
trampoline_gdt:
	.quad 0
	.quad 0x00af9b000000ffff	/* 8: 64-bit code, 16: data, both as on vCPU 0 */
	.quad 0x00cf93000000ffff
	.quad 0x00cf9b000000ffff	/* 24: 32-bit code */
trampoline_gdt_end:
trampoline_gdt_pointer:
	.word trampoline_gdt_end - trampoline_gdt - 1
	.long AT(trampoline_gdt)
	.balign 8
	.globl trampoline_cr3
trampoline_cr3:
	.quad 0
	.globl trampoline_stack
trampoline_stack:
	.quad 0
	.globl trampoline_entry
trampoline_entry:
	.quad 0
trampoline_end:
