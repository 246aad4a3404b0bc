/*
 * The local APIC: x2APIC by MSR where there is one, else xAPIC by MMIO. Its timer and the
 * conversion from TSC ticks are clock.c's.
 */
#ifndef ARCH_APIC_H
#define ARCH_APIC_H

#include "lib/types.h"

/* Registers, as x2APIC MSR numbers less 0x800: xAPIC has them at 16 times that (Intel SDM vol. 3,
 * table 11-6). */
#define APIC_ID            0x02
#define APIC_VERSION       0x03
#define APIC_TPR           0x08
#define APIC_EOI           0x0b
#define APIC_LDR           0x0d
#define APIC_DFR           0x0e
#define APIC_SPURIOUS      0x0f
#define APIC_IRR           0x20 /* the first of eight */
#define APIC_ESR           0x28
#define APIC_ICR           0x30
#define APIC_ICR_HIGH      0x31 /* xAPIC only */
#define APIC_LVT_TIMER     0x32
#define APIC_LVT_THERMAL   0x33
#define APIC_LVT_PMC       0x34
#define APIC_LVT_LINT0     0x35
#define APIC_LVT_LINT1     0x36
#define APIC_LVT_ERROR     0x37
#define APIC_TIMER_INITIAL 0x38
#define APIC_TIMER_CURRENT 0x39
#define APIC_TIMER_DIVIDE  0x3e

#define LVT_MASKED       BIT(16)
#define LVT_NMI          (4U << 8)
#define LVT_TSC_DEADLINE (2U << 17)
#define SPURIOUS_ENABLE  BIT(8)
#define DIVIDE_BY_1      0x0b

#define ICR_FIXED        (0U << 8)
#define ICR_NMI          (4U << 8)
#define ICR_INIT         (5U << 8)
#define ICR_STARTUP      (6U << 8)
#define ICR_PENDING      BIT(12)
#define ICR_ASSERT       BIT(14)
#define ICR_ALL_BUT_SELF (3U << 18)

/* Chooses the mode and maps the registers: the boot processor, once. 0 or a negative errno after a
 * message. */
int __must_check apic_start(void);
/* Enables this processor's LAPIC in the chosen mode, timer masked. */
void apic_enable(void);

/* A register by its offset in the xAPIC's page, in whichever mode; this processor's id; the mode.
 */
u32 apic_read(unsigned reg);
void apic_write(unsigned reg, u32 value);
u32 apic_id(void);
bool apic_is_x2(void);
/* Sends an IPI; @command is the ICR's low half. Any context, NMI too. */
void apic_send(u32 destination, u32 command);

/* ioapic.c: masks the PIC for good; before apic_start(). */
void pic_mask(void);
/* Masks every IOAPIC input, then routes COM1 to the boot processor. */
void ioapic_start(void);

#endif
