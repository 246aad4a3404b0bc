/*
 * Each processor's block: GDT, TSS, stacks, and the control register policy. Owns struct cpu and
 * struct cpu_arch; written before the processor runs.
 */
#include "arch/x86/cpu.h"
#include "arch/x86/paging.h"
#include "arch/x86/port.h"
#include "arch/x86/processor.h"
#include "arch/x86/start.h"
#include "arch/x86/xsave.h"

#define CPUID_1_EDX_MCE  BIT(7)
#define CPUID_1_EDX_PGE  BIT(13)
#define CPUID_7_EBX_SMEP BIT(7)
#define CPUID_7_EBX_SMAP BIT(20)
#define CPUID_7_ECX_UMIP BIT(2)

#define GDT_CODE 0x00af9b000000ffffUL /* 64-bit, present, accessed */
#define GDT_DATA 0x00cf93000000ffffUL

/* A processor's stacks, from the bottom of its 64 KiB slot; the page below each is never mapped. */
#define SLOT_SIZE        KIB(64)
#define IST_PAGES_SMALL  1U
#define IST_PAGES_COMMON 2U

static struct cpu cpus[MAX_CPUS];
static unsigned cpu_count = 1;

struct cpu *arch_cpu(unsigned index)
{
	return &cpus[index];
}

unsigned arch_cpu_count(void)
{
	return cpu_count;
}

__init void cpu_set_count(unsigned count)
{
	cpu_count = count;
}

__init u64 cpu_stack_top(unsigned index)
{
	const struct cpu_arch *arch = cpus[index].arch;

	return arch->stack_top;
}

/* Maps a stack of @pages above a guard page at *@at and moves *@at past it; returns its lowest
 * address, 0 if memory ran out. */
__init static u64 map_stack(u64 *at, unsigned pages)
{
	void *memory = arch_early_alloc(pages * PAGE_SIZE, PAGE_SIZE);
	u64 low = *at + PAGE_SIZE;

	if (memory == NULL || !paging_map_stack(low, ptr_to_hpa(memory), pages))
		return 0;
	*at = low + pages * PAGE_SIZE;
	return low;
}

__init static void fill_gdt(struct cpu_arch *arch)
{
	u64 tss = (u64)&arch->tss;

	arch->gdt[SELECTOR_CODE / 8] = GDT_CODE;
	arch->gdt[SELECTOR_DATA / 8] = GDT_DATA;
	/* An available 64-bit TSS (Intel SDM vol. 3, 8.2.3). */
	arch->gdt[SELECTOR_TSS / 8] = (sizeof(struct tss) - 1) | (tss & 0xffffff) << 16 |
				      0x89UL << 40 | (tss >> 24 & 0xff) << 56;
	arch->gdt[SELECTOR_TSS / 8 + 1] = tss >> 32;
}

__init bool cpu_create(unsigned index)
{
	struct cpu *cpu = &cpus[index];
	struct cpu_arch *arch = arch_early_alloc(sizeof(*arch), PAGE_SIZE);
	u64 at = STACKS_BASE + index * SLOT_SIZE;
	u64 low;

	if (arch == NULL)
		return false;
	low = map_stack(&at, CPU_STACK_SIZE / PAGE_SIZE);
	if (low == 0)
		return false;
	arch->stack_low = low;
	arch->stack_top = at;
	for (unsigned i = 0; i < IST_COUNT; i++) {
		low = map_stack(&at, i + 1 == IST_COMMON ? IST_PAGES_COMMON : IST_PAGES_SMALL);
		if (low == 0)
			return false;
		arch->ist_low[i] = low;
		arch->ist_high[i] = at;
		arch->tss.ist[i] = at;
	}
	arch->tss.io_bitmap = sizeof(struct tss);
	fill_gdt(arch);
	/* Never zero, never the same in two runs; a zero byte ends runaway strings. */
	arch->tls[5] = (arch_tsc() * 0x9e3779b97f4a7c15UL ^ (u64)arch) << 8;

	cpu->self = cpu;
	cpu->index = index;
	cpu->arch = arch;
	return true;
}

void cpu_repair_gs(void)
{
	u64 index = ((u64)__builtin_frame_address(0) - STACKS_BASE) / SLOT_SIZE;

	if (index < MAX_CPUS && cpus[index].self != NULL)
		wrmsr(MSR_GS_BASE, (u64)&cpus[index]);
}

bool arch_on_stack(u64 address)
{
	const struct cpu_arch *arch = this_cpu_arch();
	u64 end = address + 16;

	if (address & 7)
		return false;
	if (address >= arch->stack_low && end <= arch->stack_top)
		return true;
	for (unsigned i = 0; i < IST_COUNT; i++)
		if (address >= arch->ist_low[i] && end <= arch->ist_high[i])
			return true;
	return false;
}

/* CR4 from what CPUID lists and nothing else: an unlisted bit is a #GP on processors and a hang in
 * emulators. */
__init static void set_control_registers(void)
{
	struct cpuid_result leaf1 = cpuid(1, 0), leaf7 = cpuid_if_present(7, 0);
	u64 cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;

	if (leaf1.edx & CPUID_1_EDX_MCE)
		cr4 |= CR4_MCE;
	if (leaf1.edx & CPUID_1_EDX_PGE)
		cr4 |= CR4_PGE;
	if (leaf1.ecx & CPUID_1_ECX_XSAVE)
		cr4 |= CR4_OSXSAVE;
	if (leaf7.ebx & CPUID_7_EBX_SMEP)
		cr4 |= CR4_SMEP;
	if (leaf7.ebx & CPUID_7_EBX_SMAP)
		cr4 |= CR4_SMAP;
	if (leaf7.ecx & CPUID_7_ECX_UMIP)
		cr4 |= CR4_UMIP;
	write_cr4(cr4);
	write_cr0(CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG);
	wrmsr(MSR_PAT, PAT_HOST);
	wrmsr(MSR_EFER, EFER_LME | EFER_LMA | EFER_NXE);
}

__init static void load_descriptors(struct cpu_arch *arch)
{
	struct __packed_struct {
		u16 limit;
		u64 base;
	} pointer = {GDT_LIMIT, (u64)arch->gdt};

	__asm__ volatile("lgdt %0\n\t"
			 "pushq %1\n\t"
			 "leaq 1f(%%rip), %%rax\n\t"
			 "pushq %%rax\n\t"
			 "lretq\n"
			 "1:\n\t"
			 "movl %2, %%eax\n\t"
			 "movl %%eax, %%ss\n\t"
			 "xorl %%eax, %%eax\n\t"
			 "movl %%eax, %%ds\n\t"
			 "movl %%eax, %%es\n\t"
			 "movl %%eax, %%fs\n\t"
			 "movl %%eax, %%gs\n\t"
			 "lldt %%ax\n\t"
			 "ltr %w3"
			 :
			 : "m"(pointer), "i"(SELECTOR_CODE), "i"(SELECTOR_DATA), "r"(SELECTOR_TSS)
			 : "rax", "memory");
}

__init void cpu_load(unsigned index)
{
	struct cpu *cpu = &cpus[index];
	struct cpu_arch *arch = cpu->arch;

	set_control_registers();
	load_descriptors(arch);
	wrmsr(MSR_GS_BASE, (u64)cpu);
	wrmsr(MSR_FS_BASE, (u64)arch->tls);
	idt_load();
}

__init void arch_start_boot_cpu(void)
{
	idt_start();
	cpu_load(0);
	(void)xsave_start(0);
}
