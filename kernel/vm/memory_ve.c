/*
 * The information pages of virtualization exceptions: one a vCPU, in the guest's own RAM. The
 * processor writes there by its host-physical address whenever that vCPU runs, so the page stays
 * pinned as long as the VMCS names it. Only the vCPU itself changes its page, so nothing is locked.
 */
#include "kernel/vm/memory_ve.h"

#include <abi/errno.h>
#include <abi/volatile.h>

#include "arch/x86/arch.h"

bool memory_has_ve(const struct memory *memory)
{
	return memory->layout->gone != memory->layout->empty;
}

static void drop_page(struct vcpu *vcpu)
{
	if (vcpu->ve_page.raw)
		memory_unpin(vcpu->vm, vcpu->ve_frame);
	vcpu->ve_page = hpa(0);
}

s64 memory_ve_call(struct vcpu *vcpu)
{
	u64 word = vcpu->regs[RDI];
	gfn_t frame = gfn(word >> PAGE_SHIFT);
	mfn_t host = mfn(0);
	int error;

	if (!memory_has_ve(&vcpu->vm->memory))
		return -SLUICE_ENOSYS;
	if (word && (word & PAGE_MASK) != VOLATILE_VE_ON)
		return -SLUICE_EINVAL;
	if (word) {
		error = memory_pin(vcpu->vm, frame, &host);
		if (error)
			return error;
	}
	/* The processor is not in the guest: it takes the new page when it enters. */
	drop_page(vcpu);
	vcpu->ve_page = mfn_to_hpa(host);
	vcpu->ve_frame = frame;
	vcpu_request(vcpu, VCPU_REQ_VE);
	return 0;
}

void memory_ve_close(struct vm *vm)
{
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		drop_page(vm->vcpus[i]);
}
