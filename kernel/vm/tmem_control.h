/*
 * The hypercalls by which a privileged guest controls the tmem of others
 * (include/abi/tmem_control.h).
 */
#ifndef VM_TMEM_CONTROL_H
#define VM_TMEM_CONTROL_H

#include "kernel/vm/vcpu.h"

struct vm;

/* Serves call @number, HYPERCALL_TMEM_GUEST to HYPERCALL_TMEM_ABANDON, with its arguments in
 * vcpu->regs: the result, or -EAGAIN if the instruction is to run again. No lock is held. */
s64 tmem_control(struct vcpu *vcpu, u64 number);

/* What a stopped VM leaves behind: nobody else is at work on its tmem client, and restores that it
 * began are dropped, a bounded step a call. True when done. */
bool tmem_control_end(struct vm *vm);

#endif
