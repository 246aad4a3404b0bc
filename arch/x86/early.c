/*
 * arch_entry(): what GRUB handed over becomes boot_info(), the final page tables replace the first
 * ones, and kernel_main() starts on its own stack. Also the allocator for tables that exist before
 * frames do: it takes the lowest free RAM, so that what it leaves stays whole.
 */
#include <string.h>

#include <abi/errno.h>

#include "arch/x86/cpu.h"
#include "arch/x86/early.h"
#include "arch/x86/facts.h"
#include "arch/x86/multiboot.h"
#include "arch/x86/paging.h"
#include "arch/x86/port.h"
#include "arch/x86/processor.h"
#include "arch/x86/ranges.h"
#include "arch/x86/screen.h"
#include "arch/x86/start.h"
#include "arch/x86/uart.h"

#define CPUID_NX     BIT(20) /* 0x80000001 EDX */
#define CPUID_1_TSC  BIT(4)  /* 1 EDX */
#define CPUID_1_MSR  BIT(5)
#define CPUID_1_APIC BIT(9)
#define CPUID_1_PAT  BIT(16)
#define CPUID_1_FXSR BIT(24)
#define CPUID_1_SSE2 BIT(26)

/* Firmware scribbles below 1 MiB, so that memory is nobody's, apart from modules that the boot
 * loader put there and one page for the other processors' first instructions: above the interrupt
 * vectors, the BIOS data area and the boot sector, below the video memory. */
#define LOW_MEMORY_END MIB(1)
#define TRAMPOLINE_LOW 0x8000UL
#define TRAMPOLINE_END 0xa0000UL

static struct multiboot_result loader = {.info = &boot_facts};
static hpa_t trampoline_page;
static bool sealed;

const void *early_rsdp(unsigned *bytes)
{
	*bytes = loader.rsdp_bytes;
	return loader.rsdp_bytes != 0 ? loader.rsdp : NULL;
}

hpa_t early_trampoline_page(void)
{
	return trampoline_page;
}

static struct ranges ram_ranges(void)
{
	return (struct ranges){boot_facts.ram, &boot_facts.ram_count, BOOT_RANGES_MAX};
}

static struct ranges used_ranges(void)
{
	return (struct ranges){boot_facts.used, &boot_facts.used_count, BOOT_RANGES_MAX};
}

void *arch_early_alloc(u64 bytes, u64 align)
{
	u64 at;
	void *memory;

	if (sealed || bytes == 0)
		return NULL;
	bytes = ROUND_UP(bytes, PAGE_SIZE);
	align = MAX(align, PAGE_SIZE);
	/* Above the tables and the stack of the first instructions: they are not in used[]. */
	at = ranges_find(
		ram_ranges(), used_ranges(), image_to_physical(__boot_only_end), bytes, align);
	if (at == ~0UL || ranges_add(used_ranges(), at, at + bytes) != 0)
		return NULL;
	memory = hpa_to_ptr(hpa(at));
	memset(memory, 0, bytes);
	return memory;
}

void arch_early_seal(void)
{
	sealed = true;
}

static void say(const char *text)
{
	uart_write_wait(text, (unsigned)strlen(text));
}

/* A message that names what is missing, then the end: nobody above can say it yet. */
__attribute__((noreturn)) static void fail(const char *what)
{
	say("\r\nsluice: cannot start: ");
	say(what);
	say(": halted\r\n");
	arch_halt();
}

static void check_processor(void)
{
	static const struct {
		u32 bit;
		const char *name;
	} needed[] = {
		{CPUID_1_TSC, "the processor has no time stamp counter (CPUID 1 EDX bit 4)"},
		{CPUID_1_MSR, "the processor has no MSRs (CPUID 1 EDX bit 5)"},
		{CPUID_1_APIC, "the processor has no local APIC, or it is off (CPUID 1 EDX bit 9)"},
		{CPUID_1_PAT, "the processor has no page attribute table (CPUID 1 EDX bit 16)"},
		{CPUID_1_FXSR, "the processor has no FXSAVE (CPUID 1 EDX bit 24)"},
		{CPUID_1_SSE2, "the processor has no SSE2 (CPUID 1 EDX bit 26)"},
	};
	u32 features = cpuid(1, 0).edx;

	for (unsigned i = 0; i < ARRAY_SIZE(needed); i++)
		if (!(features & needed[i].bit))
			fail(needed[i].name);
	if (!(cpuid_if_present(0x80000001, 0).edx & CPUID_NX))
		fail("the processor has no execute-disable pages (CPUID 0x80000001 EDX bit 20)");
}

/* Reserves the image and the modules before anything is allocated. */
static int reserve_used(void)
{
	struct ranges used = used_ranges();
	int status = ranges_add(
		used, image_to_physical(__image_start), image_to_physical(__image_end));

	for (unsigned i = 0; i < boot_facts.module_count; i++) {
		const struct boot_module *module = &boot_facts.modules[i];
		u64 end = ROUND_UP(module->start.raw + module->bytes, PAGE_SIZE);

		status |= ranges_add(used, module->start.raw & ~PAGE_MASK, end);
	}
	return status;
}

/* Takes low memory out of the RAM, after choosing the trampoline's page in it. Modules stay. */
static int withhold_low_memory(void)
{
	u64 page = ranges_find(ram_ranges(), used_ranges(), TRAMPOLINE_LOW, PAGE_SIZE, PAGE_SIZE);
	int status = ranges_remove(ram_ranges(), 0, LOW_MEMORY_END);

	trampoline_page = hpa(page < TRAMPOLINE_END ? page : 0);
	for (unsigned i = 0; i < boot_facts.used_count; i++) {
		u64 start = boot_facts.used[i].start.raw;

		if (start < LOW_MEMORY_END)
			status |= ranges_add(ram_ranges(), start,
				MIN(start + boot_facts.used[i].bytes, LOW_MEMORY_END));
	}
	return status;
}

/* From boot.S, on the first tables: @mbi is the multiboot information's physical address. */
__attribute__((noreturn)) void arch_entry(u32 mbi, u64 entry_tsc)
{
	const void *data = hpa_to_ptr(hpa(mbi));
	const char *wrong;

	uart_start();
	check_processor();
	boot_facts.entry_tsc = entry_tsc;
	wrong = multiboot_parse(data, multiboot_bytes(data), &loader);
	if (wrong != NULL)
		fail(wrong);
	if (reserve_used() != 0 || withhold_low_memory() != 0)
		fail("memory map and modules lie in more than 128 places");
	if (!paging_start() || !cpu_create(0))
		fail("there is not enough memory for page tables and stacks");
	screen_start(&loader.screen);
	switch_stack(cpu_stack_top(0), kernel_main);
}
