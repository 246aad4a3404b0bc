/*
 * Starting the other processors: INIT, SIPI, SIPI (Intel SDM vol. 3, 9.4.4), one after the other
 * through the same trampoline page. The boot processor is index 0; the others follow in ACPI's
 * order, without gaps for those that do not answer.
 */
#include <string.h>

#include <abi/errno.h>

#include "arch/x86/acpi.h"
#include "arch/x86/apic.h"
#include "arch/x86/clock.h"
#include "arch/x86/cpu.h"
#include "arch/x86/early.h"
#include "arch/x86/log.h"
#include "arch/x86/mca.h"
#include "arch/x86/paging.h"
#include "arch/x86/port.h"
#include "arch/x86/processor.h"
#include "arch/x86/start.h"
#include "arch/x86/tsc_check.h"
#include "arch/x86/xsave.h"

#define INIT_WAIT_US   10000
#define SIPI_WAIT_US   200
#define ANSWER_WAIT_US 100000
#define ANSWER_STEP_US 50

extern const char trampoline_start[], trampoline_end[];
extern const u64 trampoline_cr3[], trampoline_stack[], trampoline_argument[], trampoline_entry[];

#define NOBODY_MORE 0U

/* Processors that reached C, the boot processor included; NOBODY_MORE: one is being given up. */
static u32 online = 1;
/* Blocks and stacks there are, the boot processor's included. */
static unsigned created = 1;

/* The first C on another processor, on its own stack. */
__attribute__((noreturn)) static void other_cpu(u64 index)
{
	u32 before = (u32)index;

	cpu_load((unsigned)index);
	mca_clear();
	apic_enable();
	clock_enable();
	/* Else it is of no use, or comes too late and an INIT is on its way. */
	if (!cpu_is_fit() || !xsave_start((unsigned)index) ||
		!__atomic_compare_exchange_n(
			&online, &before, before + 1, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		arch_halt();
	tsc_check_other((unsigned)index);
	cpu_main();
}

int smp_prepare(void)
{
	const struct acpi_info *acpi = acpi_info();
	unsigned others = 0;

	arch_cpu(0)->apic_id = apic_id();
	for (unsigned i = 0; i < acpi->cpu_count; i++)
		others += acpi->apic_ids[i] != arch_cpu(0)->apic_id;
	/* Firmware lists the boot processor where it likes, or not at all. */
	created = MIN(others + 1, (unsigned)MAX_CPUS);
	if (acpi->cpus_ignored > 0)
		log_warn("%u processors beyond the first %u are not used", acpi->cpus_ignored,
			MAX_CPUS);
	if (created > 1 && early_trampoline_page().raw == 0) {
		log_warn("no free page below 640 KiB: only the boot processor is used");
		return 0;
	}
	if (!paging_trampoline_prepare(early_trampoline_page()))
		return -SLUICE_ENOMEM;
	for (unsigned i = 1; i < created; i++)
		if (!cpu_create(i))
			return -SLUICE_ENOMEM;
	return 0;
}

/* The writable view of a field of the trampoline's copy. */
static u64 *parameter(const u64 *field)
{
	hpa_t page = early_trampoline_page();

	return (u64 *)((char *)hpa_to_ptr(page) + ((u64)field - (u64)trampoline_start));
}

static bool wait_for(u32 expected, u64 us)
{
	for (u64 waited = 0; waited < us; waited += ANSWER_STEP_US) {
		if (__atomic_load_n(&online, __ATOMIC_ACQUIRE) == expected)
			return true;
		clock_wait_us(ANSWER_STEP_US);
	}
	return false;
}

/* Resets the processor with @id, so that it does not wake up later with the next one's parameters.
 * False if it is online as number @index after all, and was left alone. */
static bool give_up(u32 id, unsigned index)
{
	u32 before = index;

	if (!__atomic_compare_exchange_n(
		    &online, &before, NOBODY_MORE, false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE))
		return false;
	apic_send(id, ICR_INIT | ICR_ASSERT);
	clock_wait_us(INIT_WAIT_US);
	__atomic_store_n(&online, index, __ATOMIC_RELEASE);
	return true;
}

/* Starts the processor with @id as number @index; whether it answered. */
static bool start_cpu(u32 id, unsigned index)
{
	u32 startup = ICR_STARTUP | ICR_ASSERT | (u32)(early_trampoline_page().raw >> PAGE_SHIFT);

	arch_cpu(index)->apic_id = id;
	*parameter(trampoline_cr3) = paging_root();
	*parameter(trampoline_stack) = cpu_stack_top(index);
	*parameter(trampoline_argument) = index;
	*parameter(trampoline_entry) = (u64)other_cpu;

	apic_send(id, ICR_INIT | ICR_ASSERT);
	clock_wait_us(INIT_WAIT_US);
	apic_send(id, startup);
	if (wait_for(index + 1, SIPI_WAIT_US))
		return true;
	apic_send(id, startup);
	return wait_for(index + 1, ANSWER_WAIT_US) || !give_up(id, index);
}

unsigned arch_start_other_cpus(void)
{
	const struct acpi_info *acpi = acpi_info();
	unsigned count = 1;

	if (created <= 1 || early_trampoline_page().raw == 0)
		return count;
	memcpy(hpa_to_ptr(early_trampoline_page()), trampoline_start,
		(u64)trampoline_end - (u64)trampoline_start);
	paging_trampoline_show();
	for (unsigned i = 0; i < acpi->cpu_count && count < created; i++) {
		u32 id = acpi->apic_ids[i];

		if (id == arch_cpu(0)->apic_id)
			continue;
		if (!apic_is_x2() && id > 0xfe) {
			log_warn("processor with APIC id %u needs x2APIC: left out", id);
		} else if (start_cpu(id, count)) {
			tsc_check_boot(count);
			cpu_set_count(++count);
		} else {
			log_warn(
				"processor with APIC id %u does not answer or is not fit: left out",
				id);
		}
	}
	paging_trampoline_hide();
	return count;
}
