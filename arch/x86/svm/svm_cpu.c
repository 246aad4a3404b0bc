/*
 * One processor's AMD-V: switching it on and off, and its ASIDs. Each CPU writes its own entry
 * only.
 */
#include "arch/x86/processor.h"
#include "arch/x86/svm/svm.h"
#include "arch/x86/svm/svm_msr.h"
#include "kernel/core/frame.h"
#include "kernel/core/log.h"
#include <abi/errno.h>

static struct svm_cpu svm_cpus[MAX_CPUS];

__init int svm_cpu_enable(void)
{
	struct cpu *cpu = this_cpu();
	struct svm_cpu *svm = &svm_cpus[cpu->index];
	int error = svm_check_enabled();

	if (error)
		return error;
	*svm = (struct svm_cpu){.asid_generation = 1, .asid_next = 1};
	svm->save_area = hypervisor_alloc(0);
	svm->host = hypervisor_alloc(0);
	if (!svm->save_area || !svm->host) {
		log_error("SVM: no memory for the save areas of CPU %u", cpu->index);
		error = -SLUICE_ENOMEM;
		goto no_memory;
	}
	svm->host_address = ptr_to_hpa(svm->host).raw;

	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	wrmsr(MSR_VM_HSAVE_PA, ptr_to_hpa(svm->save_area).raw);
	/* The host's FS, GS, TR and LDTR never change from here on. */
	__asm__ volatile("vmsave %0" : : "a"(svm->host_address) : "memory");
	/* RDPID cannot be made to exit, and guests must not learn anything from it. */
	if (wrmsr_safe(MSR_TSC_AUX, 0) < 0)
		log_debug("SVM: CPU %u has no TSC_AUX", cpu->index);
	cpu->vendor = svm;
	return 0;

no_memory:
	if (svm->save_area)
		hypervisor_free(svm->save_area, 0);
	if (svm->host)
		hypervisor_free(svm->host, 0);
	return error;
}

void svm_cpu_disable(void)
{
	struct cpu *cpu = this_cpu();
	struct svm_cpu *svm = cpu->vendor;

	if (!svm)
		return;
	cpu->vendor = NULL;
	wrmsr(MSR_VM_HSAVE_PA, 0);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_SVME);
	hypervisor_free(svm->save_area, 0);
	hypervisor_free(svm->host, 0);
}

/*
 * Translations are tagged with ASIDs, so a new ASID is an empty TLB; when they are used up, all are
 * flushed at once and numbered again. vCPUs never change their CPU, so one number is enough for
 * each.
 */
void svm_prepare_asid(struct svm_cpu *cpu, struct svm_vcpu *svm)
{
	struct vmcb *vmcb = &svm->vmcb;

	if (likely(!svm->flush && svm->asid_generation == cpu->asid_generation))
		return;
	svm->flush = false;
	if (svm->asid_generation == cpu->asid_generation && svm_features.flush_by_asid) {
		vmcb->tlb_control = TLB_FLUSH_GUEST;
		return;
	}
	if (cpu->asid_next == svm_features.asid_count) {
		cpu->asid_generation++;
		cpu->asid_next = 1;
		vmcb->tlb_control = TLB_FLUSH_ALL;
	}
	vmcb->asid = cpu->asid_next++;
	vmcb->clean &= ~(u32)CLEAN_ASID;
	svm->asid_generation = cpu->asid_generation;
}
