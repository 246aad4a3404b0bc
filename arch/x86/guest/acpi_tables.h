/*
 * The ACPI tables of a guest: hardware-reduced, so there are no event registers, no legacy devices
 * and no AML code, only names. Pure.
 *
 *   RSDP -> XSDT -> FADT -> DSDT: the UART (PNP0501), virtio-mmio devices (LNRO0005), \_S5_
 *                -> MADT: the processors, the IOAPIC
 */
#ifndef GUEST_ACPI_TABLES_H
#define GUEST_ACPI_TABLES_H

#include "lib/types.h"

/* All tables together, whatever the guest has. */
#define ACPI_TABLES_BYTES 4096u

/* What they tell of. */
struct acpi_contents {
	unsigned cpus;    /* APIC ids 0 to @cpus - 1 */
	u32 virtio_slots; /* bit n: there is a device in slot n */
};

/* Writes the tables to @to (ACPI_TABLES_BYTES, zeros), for @address in the guest, which is where
 * the RSDP is. False if they do not fit, which they do with up to 8 processors and 16 slots. */
bool acpi_write_tables(u8 *to, u64 address, const struct acpi_contents *contents);

#endif
