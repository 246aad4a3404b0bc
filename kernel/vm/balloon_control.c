/* See balloon_control.h: one word, changed atomically. */
#include "kernel/vm/balloon_control.h"

#include <abi/errno.h>

#include "kernel/vm/vm.h"

static u32 policy;

u32 balloon_control_policy(void)
{
	return __atomic_load_n(&policy, __ATOMIC_RELAXED);
}

void balloon_control_set(u32 wanted)
{
	__atomic_store_n(&policy, wanted, __ATOMIC_RELAXED);
}

s64 balloon_control(const struct vcpu *vcpu)
{
	u64 wanted = vcpu->regs[RDI];

	if (!vcpu->vm->config->privileged)
		return -SLUICE_EPERM;
	if (wanted == BALLOON_CONTROL_ASK)
		return balloon_control_policy();
	if (wanted >= BALLOON_CONTROL_POLICIES)
		return -SLUICE_EINVAL;
	return __atomic_exchange_n(&policy, (u32)wanted, __ATOMIC_RELAXED);
}
