/*
 * See apic.h. Intel SDM vol. 3, chapter 11 (APIC); 82093AA datasheet (IOAPIC).
 */
#include "guest-shim/apic.h"

#include <abi/platform.h>

#include "guest-shim/cpu.h"
#include "guest-shim/hypercall.h"
#include "guest-shim/trap.h"

#define CPUID_1_ECX_X2APIC       BIT(21)
#define CPUID_1_ECX_TSC_DEADLINE BIT(24)

#define APIC_BASE_ENABLE BIT(11)
#define APIC_BASE_X2APIC BIT(10)

/* Registers by their x2APIC number; an xAPIC has them 16 bytes apart. */
#define MSR_X2APIC           0x800u
#define APIC_ID              0x02u
#define APIC_TPR             0x08u
#define APIC_EOI             0x0bu
#define APIC_SPURIOUS        0x0fu
#define APIC_ICR             0x30u
#define APIC_LVT_TIMER       0x32u
#define APIC_TIMER_INITIAL   0x38u
#define APIC_TIMER_DIVIDE    0x3eu
#define APIC_SOFTWARE_ENABLE 0x100u
#define LVT_TSC_DEADLINE     (2u << 17)
#define ICR_INIT             0x4500u
#define ICR_SIPI             0x0600u
#define TIMER_DIVIDE_BY_1    0xbu
#define LAPIC_KHZ_DEFAULT    1000000u /* what emulators without a timing leaf run it at */

#define IOAPIC_SELECT      (PLATFORM_IOAPIC_BASE + 0x00)
#define IOAPIC_WINDOW      (PLATFORM_IOAPIC_BASE + 0x10)
#define IOAPIC_REDIRECTION 0x10u

static bool x2apic;
static bool tsc_deadline;

static u32 apic_read(u32 reg)
{
	if (x2apic)
		return (u32)rdmsr(MSR_X2APIC + reg);
	return mmio_read32(PLATFORM_LAPIC_BASE + reg * 16);
}

static void apic_write(u32 reg, u32 value)
{
	if (x2apic)
		wrmsr(MSR_X2APIC + reg, value);
	else
		mmio_write32(PLATFORM_LAPIC_BASE + reg * 16, value);
}

void apic_init(void)
{
	u32 features = cpuid(1).ecx;

	x2apic = features & CPUID_1_ECX_X2APIC;
	tsc_deadline = features & CPUID_1_ECX_TSC_DEADLINE;
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE);
	if (x2apic)
		wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2APIC);
	apic_write(APIC_SPURIOUS, APIC_SOFTWARE_ENABLE | VECTOR_SPURIOUS);
	apic_write(APIC_TPR, 0);
	apic_write(APIC_LVT_TIMER, VECTOR_TIMER | (tsc_deadline ? LVT_TSC_DEADLINE : 0));
	if (!tsc_deadline)
		apic_write(APIC_TIMER_DIVIDE, TIMER_DIVIDE_BY_1);
}

void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

bool apic_can_start_vcpus(void)
{
	return x2apic;
}

static void send_command(u32 vcpu, u32 command)
{
	wrmsr(MSR_X2APIC + APIC_ICR, (u64)vcpu << 32 | command);
}

void apic_start_vcpu(u32 vcpu, u8 frame)
{
	send_command(vcpu, ICR_INIT);
	send_command(vcpu, ICR_SIPI | frame);
}

void apic_send(u32 vcpu, u8 vector)
{
	send_command(vcpu, vector);
}

void apic_timer_arm(u64 deadline, u32 tsc_khz)
{
	u64 now = rdtsc();
	u64 lapic_khz = hypercall_lapic_khz() ? hypercall_lapic_khz() : LAPIC_KHZ_DEFAULT;
	u64 count;

	if (tsc_deadline) {
		wrmsr(MSR_TSC_DEADLINE, deadline);
		return;
	}
	/* A count of 0 would stop the timer; one that is too short for the wait is armed again. */
	count = deadline > now ? MIN(deadline - now, (u64)UINT32_MAX) * lapic_khz / tsc_khz : 0;
	apic_write(APIC_TIMER_INITIAL, (u32)MIN(count + 1, (u64)UINT32_MAX));
}

static void ioapic_write(u32 reg, u32 value)
{
	mmio_write32(IOAPIC_SELECT, reg);
	mmio_write32(IOAPIC_WINDOW, value);
}

void ioapic_route(u32 gsi, u8 vector)
{
	u32 id = x2apic ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24;

	/* The high half first, so that the line opens with its destination set. */
	ioapic_write(IOAPIC_REDIRECTION + 2 * gsi + 1, id << 24);
	ioapic_write(IOAPIC_REDIRECTION + 2 * gsi, vector);
}
