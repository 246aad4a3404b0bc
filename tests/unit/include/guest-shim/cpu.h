/*
 * guest-shim/cpu.h for hosted tests of the shim's drivers: device registers and sleep are the
 * test's.
 */
#ifndef SHIM_CPU_H
#define SHIM_CPU_H

#include "lib/types.h"

/* As in the real one: for the test that carries out what the shim's paging does in ring 0. */
#define MSR_EFER 0xc0000080u
#define EFER_NXE (1u << 11)

u32 mmio_read32(u64 address);
void mmio_write32(u64 address, u32 value);

/* Each returns with interrupts off, as the guest's do; the device may act in the last two. */
u64 interrupts_save(void);
void interrupts_restore(u64 flags);
void wait_for_interrupt(void);
void cpu_relax(void);

#endif
