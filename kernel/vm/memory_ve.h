/*
 * Virtualization exceptions in place of page faults for touches of discarded pages, where the
 * processor has them (abi/volatile.h, docs/volatile.md).
 */
#ifndef VM_MEMORY_VE_H
#define VM_MEMORY_VE_H

#include "kernel/vm/vm.h"

/* Whether discarded pages of this VM may raise #VE: a matter of the processor. */
bool memory_has_ve(const struct memory *memory);

/* VOLATILE_VE of the vCPU that runs here: the result for RAX. No lock but LOCK_VM may be held. */
s64 memory_ve_call(struct vcpu *vcpu);

/* The VM is going: its vCPUs, which run no more, have no such pages. */
void memory_ve_close(struct vm *vm);

#endif
