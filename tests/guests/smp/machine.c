/*
 * Interrupt gates, LAPIC and IOAPIC of the two-vCPU guest.
 */
#include "machine.h"

#include <abi/platform.h>

#define SVR_ENABLE 0x100u

struct gate {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_middle;
	uint32_t offset_high, reserved;
};
_Static_assert(sizeof(struct gate) == 16, "a 64-bit interrupt gate");

struct interrupt_frame;

static struct gate idt[256];
volatile uint32_t received[2][256];

static void note(uint8_t vector)
{
	received[rdmsr(X2APIC_ID) & 1][vector]++;
	if (vector >= 32 && vector != VECTOR_SPURIOUS)
		wrmsr(X2APIC_EOI, 0);
}

#define HANDLER(name, vector)                                                                      \
	__attribute__((interrupt)) static void name(struct interrupt_frame *frame)                 \
	{                                                                                          \
		(void)frame;                                                                       \
		note(vector);                                                                      \
	}
HANDLER(on_nmi, VECTOR_NMI)
HANDLER(on_timer, VECTOR_TIMER)
HANDLER(on_ping, VECTOR_PING)
HANDLER(on_self, VECTOR_SELF)
HANDLER(on_spurious, VECTOR_SPURIOUS)

/* The line of the UART: reading IIR takes the request away, so that a level-triggered line falls.
 */
__attribute__((interrupt)) static void on_line(struct interrupt_frame *frame)
{
	(void)frame;
	(void)inb(PLATFORM_UART_PORT + 2);
	note(VECTOR_LINE);
}

static void set_gate(uint8_t vector, void (*handler)(struct interrupt_frame *))
{
	uint64_t address = (uintptr_t)handler;
	idt[vector] = (struct gate){(uint16_t)address, 8, 0, 0x8e, (uint16_t)(address >> 16),
		(uint32_t)(address >> 32), 0};
}

void machine_start_vcpu(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) pointer = {sizeof(idt) - 1, (uintptr_t)idt};

	set_gate(VECTOR_NMI, on_nmi);
	set_gate(VECTOR_TIMER, on_timer);
	set_gate(VECTOR_LINE, on_line);
	set_gate(VECTOR_PING, on_ping);
	set_gate(VECTOR_SELF, on_self);
	set_gate(VECTOR_SPURIOUS, on_spurious);
	__asm__ volatile("lidt %0" : : "m"(pointer));
	wrmsr(X2APIC_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
}

/* start.S maps the first GiB; the IOAPIC's 2 MiB go behind the fourth entry of its PDPT. */
void machine_map_devices(void)
{
	static uint64_t directory[512] __attribute__((aligned(4096)));
	uint64_t cr3, *pml4, *pdpt;

	__asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
	pml4 = (uint64_t *)(uintptr_t)(cr3 & ~0xfffull);
	pdpt = (uint64_t *)(uintptr_t)(pml4[0] & ~0xfffull);
	directory[(PLATFORM_IOAPIC_BASE >> 21) & 511] = (PLATFORM_IOAPIC_BASE & ~0x1fffffull) |
							0x9b;
	pdpt[3] = (uintptr_t)directory | 0x3;
	__asm__ volatile("mov %0, %%cr3" : : "r"(cr3) : "memory");
}

static volatile uint32_t *ioapic_window(unsigned offset)
{
	return (volatile uint32_t *)(uintptr_t)(PLATFORM_IOAPIC_BASE + offset);
}

static void ioapic_set(unsigned reg, uint32_t value)
{
	*ioapic_window(0x00) = reg;
	*ioapic_window(0x10) = value;
}

uint32_t ioapic_entry(unsigned pin)
{
	*ioapic_window(0x00) = 0x10 + 2 * pin;
	return *ioapic_window(0x10);
}

void ioapic_route(unsigned pin, uint8_t vector, uint8_t destination, bool level)
{
	ioapic_set(0x11 + 2 * pin, (uint32_t)destination << 24);
	ioapic_set(0x10 + 2 * pin, vector | (level ? 1u << 15 : 0));
}

void ioapic_mask(unsigned pin)
{
	ioapic_set(0x10 + 2 * pin, 1u << 16);
}

bool wait_for(const volatile uint32_t *word, uint32_t value)
{
	uint64_t end = rdtsc() + 2000 * ticks_per_ms();

	while (*word < value) {
		if (rdtsc() > end)
			return false;
		__asm__ volatile("pause");
	}
	return true;
}
