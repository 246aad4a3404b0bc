/*
 * Hypercalls, and what the hypervisor underneath says it offers. Without Sluice (an emulator
 * started the guest directly) there are none, and callers fall back.
 */
#ifndef SHIM_HYPERCALL_H
#define SHIM_HYPERCALL_H

#include <abi/hypercall.h>

#include "lib/types.h"

/* Reads the CPUID leaves; before it every question is answered "no". */
void hypercall_init(void);

/* Whether this runs on Sluice; elsewhere no hypercall may be made. */
bool hypercall_available(void);

/* SLUICE_FEATURE_* of the hypervisor, 0 without one. */
u32 hypercall_features(void);

/* The guest's TSC in kHz, and its LAPIC timer's; 0 if nobody says. */
u32 hypercall_tsc_khz(void);
u32 hypercall_lapic_khz(void);

/* Only where hypercall_available(). The result is 0 or positive, or a negative value of
 * abi/errno.h. */
s64 hypercall(u64 number, u64 a, u64 b, u64 c, u64 d, u64 e);

#endif
