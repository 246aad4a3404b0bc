/*
 * What the AMD-V backend calls, for tests of its parts without a processor: a guest's code that can
 * be fetched, the interrupts of its local APIC, a table of registers.
 */
#ifndef FAKE_SVM_BACKEND_H
#define FAKE_SVM_BACKEND_H

#include "arch/x86/guest/fetch.h"
#include "arch/x86/svm/svm.h"

/* The guest's code: what can be fetched, in one page up to @first_page bytes and the rest in the
 * next. */
extern const u8 *code;
extern unsigned code_bytes, first_page;
extern enum code_size size_of_code;

/* What its local APIC has to deliver and has delivered, -1 = nothing. */
extern int pending_vector, accepted_vector;
extern bool nmi_pending;

/* A plain register that no VMCB holds; others are one that it does, and one that is emulated. */
#define MSR_NOT_IN_VMCB 0x1d9u

/* A vCPU's part of the backend, zeroed; to be given to free(). */
struct svm_vcpu *new_svm(void);

#endif
