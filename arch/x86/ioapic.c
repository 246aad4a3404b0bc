/*
 * External interrupts: the PIC is masked for good, every IOAPIC input too, apart from COM1's, which
 * goes to the boot processor. Without an IOAPIC the log drains only when the dispatch loop looks at
 * the port, and input is looked for ten times a second.
 */
#include "arch/x86/acpi.h"
#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/log.h"
#include "arch/x86/paging.h"
#include "arch/x86/processor.h"
#include "arch/x86/uart.h"

#define PIC_MASTER_DATA 0x21
#define PIC_SLAVE_DATA  0xa1

/* 82093AA: an index and a data register. */
#define IOAPIC_SELECT      0
#define IOAPIC_WINDOW      4 /* in 32-bit words */
#define IOAPIC_VERSION     1
#define IOAPIC_REDIRECTION 0x10

#define REDIRECTION_LOW    BIT(13)
#define REDIRECTION_LEVEL  BIT(15)
#define REDIRECTION_MASKED BIT(16)

/*
 * While the LAPIC still listens to it, so that an interrupt it had raised is taken back. The other
 * way round, QEMU's processor later finds an interrupt without a vector and raises #GP.
 */
void pic_mask(void)
{
	outb(PIC_MASTER_DATA, 0xff);
	outb(PIC_SLAVE_DATA, 0xff);
}

static u32 ioapic_read(volatile u32 *ioapic, u32 reg)
{
	ioapic[IOAPIC_SELECT] = reg;
	return ioapic[IOAPIC_WINDOW];
}

static void ioapic_write(volatile u32 *ioapic, u32 reg, u32 value)
{
	ioapic[IOAPIC_SELECT] = reg;
	ioapic[IOAPIC_WINDOW] = value;
}

static void route(volatile u32 *ioapic, u32 input, u32 entry, u32 destination)
{
	ioapic_write(ioapic, IOAPIC_REDIRECTION + 2 * input, REDIRECTION_MASKED);
	ioapic_write(ioapic, IOAPIC_REDIRECTION + 2 * input + 1, destination << 24);
	ioapic_write(ioapic, IOAPIC_REDIRECTION + 2 * input, entry);
}

void ioapic_start(void)
{
	const struct acpi_info *acpi = acpi_info();
	bool routed = false;

	for (unsigned i = 0; i < acpi->ioapic_count; i++) {
		volatile u32 *ioapic = paging_map_device(acpi->ioapics[i].address, 0x20);
		u32 inputs, com1 = acpi->com1_gsi - acpi->ioapics[i].first_gsi;

		if (ioapic == NULL)
			continue;
		inputs = (ioapic_read(ioapic, IOAPIC_VERSION) >> 16 & 0xff) + 1;
		for (u32 input = 0; input < inputs; input++)
			route(ioapic, input, REDIRECTION_MASKED, 0);
		/* An 8-bit destination: without interrupt remapping it reaches no larger id. */
		if (com1 < inputs && apic_id() < 0xff) {
			route(ioapic, com1,
				HOST_VECTOR_UART | (acpi->com1_active_low ? REDIRECTION_LOW : 0) |
					(acpi->com1_level ? REDIRECTION_LEVEL : 0),
				apic_id());
			/* The log may have asked for it before: an edge that came while the input
			 * was masked is lost, and there is none while the line stays up. */
			uart_interrupt();
			routed = true;
		}
	}
	if (!routed)
		log_warn("no IOAPIC input for COM1 (interrupt %u): the log drains by polling",
			acpi->com1_gsi);
}
