/*
 * The parts of the PC that the two-vCPU guest works with: x2APIC, IOAPIC, interrupt gates, time.
 */
#ifndef SMP_MACHINE_H
#define SMP_MACHINE_H

#include "../common/guest.h"

enum {
	X2APIC_ID = 0x802,
	X2APIC_EOI = 0x80b,
	X2APIC_LDR = 0x80d,
	X2APIC_SVR = 0x80f,
	X2APIC_ICR = 0x830,
	X2APIC_LVT_TIMER = 0x832,
	X2APIC_TIMER_INITIAL = 0x838,
	X2APIC_TIMER_CURRENT = 0x839,
	X2APIC_TIMER_DIVIDE = 0x83e,
	X2APIC_SELF_IPI = 0x83f,
	MSR_TSC_DEADLINE = 0x6e0,
};

#define ICR_NMI      0x0400u
#define ICR_INIT     0x4500u
#define ICR_SIPI     0x0600u
#define ICR_LOGICAL  0x0800u
#define ICR_OTHERS   0xc0000u
#define ICR_ALL      0x80000u
#define ICR_TO(id)   ((uint64_t)(id) << 32)
#define LVT_PERIODIC (1u << 17)
#define LVT_DEADLINE (2u << 17)
#define LVT_MASKED   (1u << 16)

enum vector {
	VECTOR_NMI = 2,
	VECTOR_TIMER = 0x40,
	VECTOR_LINE = 0x50,
	VECTOR_PING = 0x60,
	VECTOR_SELF = 0x70,
	VECTOR_SPURIOUS = 0xff
};

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return (uint64_t)hi << 32 | lo;
}
static inline void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr"
			 :
			 : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}
static inline void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}
static inline uint8_t inb(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}
static inline void set_cr8(uint64_t value)
{
	__asm__ volatile("mov %0, %%cr8" : : "r"(value) : "memory");
}
static inline void interrupts_on(void)
{
	__asm__ volatile("sti" : : : "memory");
}
static inline void interrupts_off(void)
{
	__asm__ volatile("cli" : : : "memory");
}
/* Sleeps until an interrupt, and takes it. Called with interrupts off, returns so. */
static inline void sleep_once(void)
{
	__asm__ volatile("sti; hlt; cli" : : : "memory");
}

/* What each vCPU received, by vector; the handlers count. */
extern volatile uint32_t received[2][256];

/* Interrupt gates, the same on each vCPU; the caller's LAPIC software-enabled. */
void machine_start_vcpu(void);
/* Maps the devices below 4 GiB; once, on vCPU 0. */
void machine_map_devices(void);

/* GSI @pin raises @vector on vCPU @destination, edge-triggered or level. */
void ioapic_route(unsigned pin, uint8_t vector, uint8_t destination, bool level);
void ioapic_mask(unsigned pin);
uint32_t ioapic_entry(unsigned pin);

/* Waits, at most two seconds, until *@word is at least @value. */
bool wait_for(const volatile uint32_t *word, uint32_t value);

#endif
