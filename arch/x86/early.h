/*
 * Memory and messages before kernel_main().
 */
#ifndef ARCH_EARLY_H
#define ARCH_EARLY_H

#include "arch/x86/arch.h"

/* ACPI's root pointer as the boot loader copied it; NULL if it handed over none. */
const void *early_rsdp(unsigned *bytes);
/* A page below 1 MiB that is RAM and not in use, for the other processors' start; 0 if there is
 * none. */
hpa_t early_trampoline_page(void);

#endif
