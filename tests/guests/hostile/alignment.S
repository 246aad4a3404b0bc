/*
 * Alignment checks in 32-bit ring 3, with a handler in ring 3 as well: its frame goes onto the same odd
 * stack, so delivering #AC raises #AC. Paging goes off on the way; memory is identity-mapped.
 */
#define CR0_AM_PG_OFF 0x7fffffff
#define CR0_AM        0x40000
#define MSR_EFER      0xc0000080
#define EFER_LME      0x100
#define EFLAGS_AC     0x40002
#define VECTOR_AC     17

#define KERNEL_DATA    0x10
#define USER_DATA      0x1b
#define USER_CODE_32   0x2b
#define KERNEL_CODE_32 0x30

	.text
	.code64
	.globl alignment_loop
alignment_loop:
	cli
	/* An interrupt gate that ring 3 may use, into ring 3. */
	lea	handler, %rax
	mov	%ax, idt_32 + 8 * VECTOR_AC
	shr	$16, %rax
	mov	%ax, idt_32 + 8 * VECTOR_AC + 6
	push	$KERNEL_CODE_32
	lea	legacy, %rax
	push	%rax
	lretq

	.code32
legacy:
	mov	$KERNEL_DATA, %eax
	mov	%eax, %ss
	mov	%cr0, %eax
	and	$CR0_AM_PG_OFF, %eax
	or	$CR0_AM, %eax
	mov	%eax, %cr0
	mov	$MSR_EFER, %ecx
	rdmsr
	and	$~EFER_LME, %eax
	wrmsr
	lidt	idt_32_pointer
	mov	$USER_DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	push	$USER_DATA
	push	$(stack_32_end - 63)
	push	$EFLAGS_AC
	push	$USER_CODE_32
	push	$user
	iret
user:
	mov	stack_32 + 1, %eax
handler:
	jmp	handler
	.code64

	.data
	.balign 8
idt_32:
	.skip	8 * VECTOR_AC
	.word	0, USER_CODE_32, 0xee00, 0
idt_32_pointer:
	.word	. - idt_32 - 1
	.long	idt_32

	.bss
	.balign 16
stack_32:
	.skip	4096
stack_32_end:
	.section .note.GNU-stack, "", @progbits
