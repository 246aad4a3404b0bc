/*
 * From GRUB to C: the multiboot2 header, and the way from 32-bit protected mode (Multiboot2
 * specification, 3.3) to long mode in the upper half. The tables used here map the first 4 GiB three
 * times and know no W^X; arch_entry() replaces them before anything else runs.
 */
#define MULTIBOOT2_MAGIC        0xe85250d6
#define MULTIBOOT2_BOOT_MAGIC   0x36d76289
#define MULTIBOOT2_ARCH_I386    0
#define IMAGE_BASE              0xffffffff80000000
#define DIRECT_MAP              0xffff800000000000
#define PHYSICAL(symbol)        ((symbol) - IMAGE_BASE)

#define CR0_PE                  (1 << 0)
#define CR0_ET                  (1 << 4)
#define CR0_NE                  (1 << 5)
#define CR0_WP                  (1 << 16)
#define CR0_PG                  (1 << 31)
#define CR4_PAE                 (1 << 5)
#define MSR_EFER                0xc0000080
#define EFER_LME                (1 << 8)

#define PTE_TABLE               0x3  /* present, writable */
#define PTE_LARGE               0x83 /* and a 2 MiB page */
#define BOOT_STACK_SIZE         8192

	.section .multiboot, "a"
	.balign 8
header:
	.long MULTIBOOT2_MAGIC, MULTIBOOT2_ARCH_I386, header_end - header
	.long 0x100000000 - (MULTIBOOT2_MAGIC + MULTIBOOT2_ARCH_I386 + (header_end - header))
	/* Information request: the memory map; GRUB refuses to boot us without it. */
	.balign 8
	.short 1, 0
	.long 12, 6
	/* Entry address: the ELF header's is in the upper half. */
	.balign 8
	.short 3, 0
	.long 12, PHYSICAL(multiboot_entry)
	/* A screen, if there is one: text of the VGA, or pixels in whatever mode the loader prefers. */
	.balign 8
	.short 4, 1
	.long 12, 2
	.balign 8
	.short 5, 1
	.long 20, 0, 0, 0
	/* Modules on page boundaries. */
	.balign 8
	.short 6, 0
	.long 8
	.balign 8
	.short 0, 0
	.long 8
header_end:

	.section .init.text.boot, "ax"
	.code32
	.globl multiboot_entry
multiboot_entry:
	cli
	cld
	movl	%eax, %ebp
	rdtsc
	movl	%eax, PHYSICAL(entry_tsc)
	movl	%edx, PHYSICAL(entry_tsc) + 4
	movl	$PHYSICAL(boot_stack_top), %esp

	movl	$PHYSICAL(message_not_multiboot), %esi
	cmpl	$MULTIBOOT2_BOOT_MAGIC, %ebp
	jne	fail32
	movl	%ebx, PHYSICAL(multiboot_info)

	movl	$PHYSICAL(message_no_long_mode), %esi
	movl	$0x80000000, %eax
	cpuid
	cmpl	$0x80000001, %eax
	jb	fail32
	movl	$0x80000001, %eax
	cpuid
	testl	$(1 << 29), %edx
	jz	fail32

	/* 2048 large pages: the first 4 GiB. */
	movl	$PHYSICAL(boot_pd), %edi
	movl	$PTE_LARGE, %eax
	xorl	%edx, %edx
1:	movl	%eax, (%edi)
	addl	$8, %edi
	addl	$0x200000, %eax
	jnc	1b

	/* At 0, at the direct map, and (the first GiB) at the image's own address. */
	movl	$PHYSICAL(boot_pd) + PTE_TABLE, %eax
	movl	%eax, PHYSICAL(boot_pdpt)
	movl	%eax, PHYSICAL(boot_pdpt_image) + 510 * 8
	addl	$4096, %eax
	movl	%eax, PHYSICAL(boot_pdpt) + 8
	addl	$4096, %eax
	movl	%eax, PHYSICAL(boot_pdpt) + 16
	addl	$4096, %eax
	movl	%eax, PHYSICAL(boot_pdpt) + 24
	movl	$PHYSICAL(boot_pdpt) + PTE_TABLE, %eax
	movl	%eax, PHYSICAL(boot_pml4)
	movl	%eax, PHYSICAL(boot_pml4) + 256 * 8
	movl	$PHYSICAL(boot_pdpt_image) + PTE_TABLE, %eax
	movl	%eax, PHYSICAL(boot_pml4) + 511 * 8

	/* Nothing of the firmware's stays: with LA57 the tables would have to have five levels. */
	movl	$CR4_PAE, %eax
	movl	%eax, %cr4
	movl	$PHYSICAL(boot_pml4), %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$EFER_LME, %eax
	wrmsr
	movl	$(CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_PE), %eax
	movl	%eax, %cr0
	lgdt	PHYSICAL(boot_gdt_pointer)
	ljmpl	$8, $PHYSICAL(long_mode)

	/* %esi: what is missing. Said on COM1 as the firmware left it, then the machine stops. */
fail32:
	movl	$100000, %ecx
1:	movw	$0x3fd, %dx
	inb	%dx, %al
	testb	$0x20, %al
	jnz	2f
	loop	1b
2:	lodsb
	testb	%al, %al
	jz	3f
	movw	$0x3f8, %dx
	outb	%al, %dx
	jmp	fail32
3:	hlt
	jmp	3b

	.code64
long_mode:
	movabs	$1f, %rax
	jmp	*%rax
1:	xorl	%eax, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %fs
	movl	%eax, %gs
	movl	%eax, %ss
	/* Through the direct map, which is there before and after the change of tables. */
	movabs	$(DIRECT_MAP - IMAGE_BASE), %rsp
	addq	$boot_stack_top, %rsp
	xorl	%ebp, %ebp
	movl	multiboot_info(%rip), %edi
	movq	entry_tsc(%rip), %rsi
	call	arch_entry
	ud2

/* void switch_stack(u64 stack_top, void (*next)(void)): never returns. */
	.globl	switch_stack
switch_stack:
	movq	%rdi, %rsp
	xorl	%ebp, %ebp
	call	*%rsi
	ud2

	.section .init.rodata.boot, "a"
	.balign 8
boot_gdt:
	.quad 0, 0x00af9b000000ffff
boot_gdt_pointer:
	.short boot_gdt_pointer - boot_gdt - 1
	.long PHYSICAL(boot_gdt)
message_not_multiboot:
	.asciz "\r\nsluice: not started by a multiboot2 boot loader; use GRUB's multiboot2 command: halted\r\n"
message_no_long_mode:
	.asciz "\r\nsluice: this processor has no 64-bit mode (CPUID 0x80000001 EDX bit 29): halted\r\n"

	.section .data.boot, "aw"
	.balign 8
entry_tsc:
	.quad 0
multiboot_info:
	.long 0

	.section .boot_only, "aw", @nobits
	.balign 4096
boot_pml4:
	.skip 4096
boot_pdpt:
	.skip 4096
boot_pdpt_image:
	.skip 4096
boot_pd:
	.skip 4 * 4096
	.skip BOOT_STACK_SIZE
boot_stack_top:

	.section .note.GNU-stack, "", @progbits
