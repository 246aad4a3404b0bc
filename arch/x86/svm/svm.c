/*
 * AMD-V as the core sees it: the vendor's table, and the SVM part of a vCPU.
 */
#include "arch/x86/svm/svm.h"

#include "kernel/core/frame.h"
#include <abi/cpuid.h>
#include <abi/errno.h>

static int svm_vcpu_create(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = hypervisor_alloc(order_of(sizeof(*svm)));

	if (!svm)
		return -SLUICE_ENOMEM;
	svm->vmcb_address = ptr_to_hpa(&svm->vmcb).raw;
	vcpu->vendor = svm;
	vmcb_init(vcpu);
	return 0;
}

static void svm_vcpu_destroy(struct vcpu *vcpu)
{
	hypervisor_free(vcpu->vendor, order_of(sizeof(struct svm_vcpu)));
	vcpu->vendor = NULL;
}

const struct virt svm_virt = {
	.name = "SVM",
	.hypercall_instruction = SLUICE_INSTRUCTION_VMMCALL,
	.present = svm_present,
	.probe = svm_probe,
	.layout = svm_layout,
	.cpu_check = svm_cpu_check,
	.cpu_enable = svm_cpu_enable,
	.cpu_disable = svm_cpu_disable,
	.vcpu_create = svm_vcpu_create,
	.vcpu_destroy = svm_vcpu_destroy,
	.run = svm_run,
};
