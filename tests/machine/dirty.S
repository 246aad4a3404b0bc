/*
 * What firmware may leave behind, in place of GRUB's clean state: control registers with everything set that
 * the processor has. test_machine.py makes this the image's entry; then the boot goes on as always.
 */
#define CR0_CD   (1 << 30)
#define CR4_TSD  (1 << 2)
#define CR4_DE   (1 << 3)
#define CR4_PGE  (1 << 7)
#define CR4_PCE  (1 << 8)
#define CR4_LA57 (1 << 12)
#define MSR_EFER 0xc0000080
#define EFER_SCE (1 << 0)

	.section .text.dirty, "axR" /* nobody refers to it */
	.code32
	.globl	dirty_entry
dirty_entry:
	movl	%eax, %ebp
	movl	%ebx, %edi
	/* 5-level paging outlives the way from long mode to GRUB's 32-bit protected mode. */
	movl	$7, %eax
	xorl	%ecx, %ecx
	cpuid
	movl	$(CR4_TSD | CR4_DE | CR4_PGE | CR4_PCE), %eax
	testl	$(1 << 16), %ecx
	jz	1f
	orl	$CR4_LA57, %eax
1:	movl	%eax, %cr4
	movl	%cr0, %eax
	orl	$CR0_CD, %eax
	movl	%eax, %cr0
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$EFER_SCE, %eax
	wrmsr
	movl	%ebp, %eax
	movl	%edi, %ebx
	jmp	multiboot_entry

	.section .note.GNU-stack, "", @progbits
