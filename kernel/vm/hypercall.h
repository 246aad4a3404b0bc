/*
 * The hypercall table (include/abi/hypercall.h). Arguments and result are in vcpu->regs.
 */
#ifndef VM_HYPERCALL_H
#define VM_HYPERCALL_H

#include "kernel/vm/vcpu.h"

/*
 * Serves the call in vcpu->regs. @allowed: CPL 0 in 64-bit mode. DONE with the result in RAX, or
 * RESTART with RAX untouched: the instruction runs again. Takes no lock before the null call
 * returns.
 */
enum outcome hypercall(struct vcpu *vcpu, bool allowed);

#endif
