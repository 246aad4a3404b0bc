/*
 * The writable side of boot_info() and acpi_info(): each for the file that fills it.
 */
#ifndef ARCH_FACTS_H
#define ARCH_FACTS_H

#include "arch/x86/acpi.h"
#include "arch/x86/arch.h"

extern struct boot_info boot_facts; /* early.c */
extern struct acpi_info acpi_facts; /* acpi.c */

#endif
