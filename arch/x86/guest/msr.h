/*
 * Model-specific registers: one table says what each is to a guest. What the table does not name
 * is #GP.
 */
#ifndef GUEST_MSR_H
#define GUEST_MSR_H

#include "arch/x86/processor.h"
#include "kernel/vm/vcpu.h"

enum msr_class {
	MSR_FAULT,   /* #GP(0) */
	MSR_PASS,    /* a plain register: the guest may touch it directly, the vendor switches it */
	MSR_VENDOR,  /* intercepted, and the vendor answers (EFER) */
	MSR_EMULATE, /* intercepted, and msr_read() and msr_write() answer */
	MSR_ZERO,    /* reads zero, writes are ignored; msr_read() and msr_write() answer */
};

struct msr_rule {
	u32 first, last; /* inclusive */
	enum msr_class class;
};

/* The whole table, ascending, for the vendors' bitmaps: intercept everything but MSR_PASS. A vendor
 * that cannot pass one through may intercept it and answer by itself. */
extern const struct msr_rule msr_rules[];
extern const unsigned msr_rule_count;

/* By the table above; what is not in it is MSR_FAULT. */
enum msr_class msr_class_of(u32 msr);

/* For intercepted MSRs that the vendor does not own. DONE; BAD: the caller injects #GP(0); WAIT, of
 * a write: the vCPU was blocked, it is to run the instruction again. */
enum outcome msr_read(struct vcpu *vcpu, u32 msr, u64 *value);
enum outcome msr_write(struct vcpu *vcpu, u32 msr, u64 value);

#define MSR_BIOS_SIGN_ID 0x8bu
#define MSR_MISC_ENABLE  0x1a0u
#define MSR_X2APIC_FIRST 0x800u
#define MSR_X2APIC_LAST  0x8ffu

#endif
