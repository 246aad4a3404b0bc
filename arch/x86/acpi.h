/*
 * What the hypervisor wants to know of the firmware's ACPI tables (ACPI 6.5, chapter 5), read once.
 */
#ifndef ARCH_ACPI_H
#define ARCH_ACPI_H

#include "arch/x86/arch.h"

#define IOAPICS_MAX 16

struct acpi_ioapic {
	hpa_t address;
	u32 first_gsi;
};

/* Only registers in I/O ports are used; 0: not there. */
struct acpi_power {
	u16 pm1a_control, pm1b_control;
	u16 smi_command;
	u8 acpi_enable;
	bool has_s5;
	u8 s5_type_a, s5_type_b; /* SLP_TYP values */
	u16 timer_port;          /* the 3.579545 MHz timer */
	bool timer_32bit;
	u16 reset_port;
	u8 reset_value;
};

struct acpi_info {
	u32 apic_ids[MAX_CPUS]; /* enabled processors, in the MADT's order */
	unsigned cpu_count;
	unsigned cpus_ignored; /* beyond MAX_CPUS */
	struct acpi_ioapic ioapics[IOAPICS_MAX];
	unsigned ioapic_count;
	u32 com1_gsi; /* ISA interrupt 4, after overrides */
	bool com1_active_low, com1_level;
	hpa_t hpet; /* its registers; 0: none */
	struct acpi_power power;
};

/* Reads the tables, checksums included. 0, or a negative errno after a message. */
int __must_check acpi_start(void);
const struct acpi_info *acpi_info(void);

#endif
