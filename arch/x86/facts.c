/*
 * What boot found out and others ask for later. Apart from the files that find it, which are gone
 * once boot is over.
 */
#include "arch/x86/facts.h"

struct boot_info boot_facts;
struct acpi_info acpi_facts;

const struct boot_info *boot_info(void)
{
	return &boot_facts;
}

const struct acpi_info *acpi_info(void)
{
	return &acpi_facts;
}
