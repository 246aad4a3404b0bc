/*
 * The local APIC of each processor (Intel SDM vol. 3, 11), and arch_interrupt(): the one place
 * where interrupts arrive.
 */
#include <abi/errno.h>

#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/log.h"
#include "arch/x86/paging.h"
#include "arch/x86/power.h"
#include "arch/x86/processor.h"
#include "arch/x86/uart.h"

#define CPUID_1_ECX_X2APIC BIT(21)
#define BASE_ENABLE        BIT(11)
#define BASE_X2APIC        BIT(10)
#define BASE_ADDRESS       0x000ffffffffff000UL

/* Far longer than a delivery takes; BUG sends too, and must not hang on a dead processor. */
#define ICR_PATIENCE 100000U

static bool x2apic;
static volatile u32 *xapic; /* registers 16 bytes apart */

__init bool apic_is_x2(void)
{
	return x2apic;
}

u32 apic_read(unsigned reg)
{
	return x2apic ? (u32)rdmsr(MSR_X2APIC + reg) : xapic[reg * 4];
}

void apic_write(unsigned reg, u32 value)
{
	if (x2apic)
		wrmsr(MSR_X2APIC + reg, value);
	else
		xapic[reg * 4] = value;
}

__init u32 apic_id(void)
{
	u32 id = apic_read(APIC_ID);

	return x2apic ? id : id >> 24;
}

void apic_send(u32 destination, u32 command)
{
	u32 interrupted;

	if (x2apic) {
		/* The write does not wait for earlier stores (Intel SDM vol. 3, 11.12.3). */
		__asm__ volatile("mfence; lfence" : : : "memory");
		wrmsr(MSR_X2APIC + APIC_ICR, (u64)destination << 32 | command);
		return;
	}
	/* Two registers: if an NMI's handler sends between the writes of what it interrupted, it
	 * must leave the destination as it was. */
	for (u32 i = 0; i < ICR_PATIENCE && (xapic[APIC_ICR * 4] & ICR_PENDING); i++)
		cpu_pause();
	interrupted = xapic[APIC_ICR_HIGH * 4];
	xapic[APIC_ICR_HIGH * 4] = destination << 24;
	xapic[APIC_ICR * 4] = command;
	xapic[APIC_ICR_HIGH * 4] = interrupted;
}

void arch_kick(unsigned index)
{
	apic_send(arch_cpu(index)->apic_id, ICR_FIXED | ICR_ASSERT | HOST_VECTOR_KICK);
}

/* One instruction, so that an NMI between load and store loses nothing. */
static void note_event(u32 event)
{
	__asm__ volatile("orl %0, %%gs:%c1"
			 :
			 : "r"(event), "i"(offsetof(struct cpu, events))
			 : "memory");
}

void arch_interrupt(u8 vector)
{
	switch (vector) {
	case HOST_VECTOR_NMI:
		power_stop_if_asked();
		note_event(CPU_EVENT_NMI);
		return; /* not the LAPIC's to acknowledge */
	case HOST_VECTOR_SPURIOUS:
		return;
	case HOST_VECTOR_TIMER:
		note_event(CPU_EVENT_TIMER);
		break;
	case HOST_VECTOR_KICK:
		note_event(CPU_EVENT_KICK);
		break;
	case HOST_VECTOR_UART:
		uart_interrupt();
		note_event(CPU_EVENT_UART);
		break;
	default:
		break; /* a device nobody asked: acknowledged, or it would block the others */
	}
	apic_write(APIC_EOI, 0);
}

void arch_idle(void)
{
	/* STI takes effect after HLT has begun, so no interrupt is lost between test and sleep. */
	if (READ_ONCE(this_cpu()->events) == 0)
		__asm__ volatile("sti; hlt; cli" : : : "memory");
}

__init int apic_start(void)
{
	u64 base = rdmsr(MSR_APIC_BASE);

	x2apic = (cpuid(1, 0).ecx & CPUID_1_ECX_X2APIC) || (base & BASE_X2APIC);
	if (!x2apic) {
		xapic = paging_map_device(hpa(base & BASE_ADDRESS), PAGE_SIZE);
		if (xapic == NULL) {
			log_error("no room to map the LAPIC at 0x%lx", base & BASE_ADDRESS);
			return -SLUICE_ENOMEM;
		}
	}
	apic_enable();
	return 0;
}

__init void apic_enable(void)
{
	u64 base = rdmsr(MSR_APIC_BASE);

	/* x2APIC is reached only by way of xAPIC (Intel SDM vol. 3, 11.12.5). */
	wrmsr(MSR_APIC_BASE, base | BASE_ENABLE);
	if (x2apic)
		wrmsr(MSR_APIC_BASE, base | BASE_ENABLE | BASE_X2APIC);

	apic_write(APIC_SPURIOUS, SPURIOUS_ENABLE | HOST_VECTOR_SPURIOUS);
	apic_write(APIC_TPR, 0);
	apic_write(APIC_LVT_TIMER, LVT_MASKED | HOST_VECTOR_TIMER);
	apic_write(APIC_LVT_LINT0, LVT_MASKED);
	/* The PC wires NMI to LINT1 of every processor. */
	apic_write(APIC_LVT_LINT1, LVT_NMI);
	apic_write(APIC_LVT_ERROR, LVT_MASKED);
	/* Whatever the firmware left in service would hide every lower vector. */
	for (unsigned i = 0; i < 8; i++)
		for (u32 isr = apic_read(0x10 + i); isr != 0; isr &= isr - 1)
			apic_write(APIC_EOI, 0);
}
