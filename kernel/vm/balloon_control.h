/*
 * The policy that moves memory between guests, as a privileged guest asks for it at run time. The
 * policies themselves are on a higher floor (kernel/policy.c), which looks here once a tick.
 */
#ifndef VM_BALLOON_CONTROL_H
#define VM_BALLOON_CONTROL_H

#include <abi/balloon_control.h>

#include "kernel/vm/vcpu.h"

/* Serves HYPERCALL_BALLOON_POLICY: the policy that was in force or asked for before, -EINVAL or
 * -EPERM. Any CPU, no lock. */
s64 balloon_control(const struct vcpu *vcpu);

/* The policy asked for last, BALLOON_CONTROL_*; the boot manifest's at first. Any CPU, no lock. */
u32 balloon_control_policy(void);
void balloon_control_set(u32 policy);

#endif
