/*
 * What this processor's AMD-V can do (AMD APM vol. 2, 15.4; vol. 3, CPUID Fn8000_000A). Sluice
 * needs nested paging and two ASIDs; everything else has a fallback. Written once by svm_probe().
 */
#include "arch/x86/processor.h"
#include "arch/x86/svm/svm.h"
#include "arch/x86/svm/svm_msr.h"
#include "kernel/core/log.h"
#include <abi/errno.h>

#define CPUID_EXTENDED_FEATURES 0x80000001u
#define EXTENDED_ECX_SVM        BIT(2)
#define EXTENDED_EDX_PAGE_1G    BIT(26)

#define CPUID_SVM              0x8000000au
#define SVM_EDX_NESTED_PAGING  BIT(0)
#define SVM_EDX_NEXT_RIP       BIT(3)
#define SVM_EDX_CLEAN_BITS     BIT(5)
#define SVM_EDX_FLUSH_BY_ASID  BIT(6)
#define SVM_EDX_DECODE_ASSISTS BIT(7)

/* ASID 0 is the host's. */
#define ASIDS_NEEDED 2

struct svm_features svm_features;

/*
 * Entries of nested tables have the format of host page tables, and every guest access counts as a
 * user access (APM vol. 2, 15.25.5): the user bit is set on all levels, no-execute is clear.
 */
#define NPT_PRESENT    BIT(0)
#define NPT_WRITE      BIT(1)
#define NPT_USER       BIT(2)
#define NPT_ACCESSED   BIT(5)
#define NPT_DIRTY      BIT(6)
#define NPT_LARGE      BIT(7)
#define NPT_NO_EXECUTE BIT(63)

static struct nested_layout npt = {
	.name = "NPT",
	.table = NPT_PRESENT | NPT_WRITE | NPT_USER,
	.leaf = NPT_PRESENT | NPT_WRITE | NPT_USER,
	.shared = NPT_PRESENT | NPT_USER | NPT_NO_EXECUTE,
	.large = NPT_LARGE,
	.empty = 0,
	.present = NPT_PRESENT,
	.accessed = NPT_ACCESSED,
	.dirty = NPT_DIRTY,
};

const struct nested_layout *svm_layout(void)
{
	return &npt;
}

bool svm_present(void)
{
	return cpuid_if_present(CPUID_EXTENDED_FEATURES, 0).ecx & EXTENDED_ECX_SVM;
}

int svm_check_enabled(void)
{
	u64 vm_cr;

	/* Some emulators (Bochs) have SVM without this register; then nothing can disable it. */
	if (rdmsr_safe(MSR_VM_CR, &vm_cr) < 0 || !(vm_cr & VM_CR_SVMDIS))
		return 0;
	/* Not locked: the firmware left the choice to us (APM vol. 2, 15.30.1). */
	if (!(vm_cr & VM_CR_LOCK) && wrmsr_safe(MSR_VM_CR, vm_cr & ~VM_CR_SVMDIS) == 0 &&
		rdmsr_safe(MSR_VM_CR, &vm_cr) == 0 && !(vm_cr & VM_CR_SVMDIS))
		return 0;
	log_error("SVM: disabled by the firmware (VM_CR %#lx: SVMDIS set%s); enable SVM or AMD-V "
		  "in its setup",
		vm_cr, vm_cr & VM_CR_LOCK ? ", locked" : "");
	return -SLUICE_EPERM;
}

/* The bits of CPUID 0x8000000a EDX of which use is made where they are there. */
static u32 edx_used;

int svm_cpu_check(void)
{
	struct cpuid_result svm = cpuid_if_present(CPUID_SVM, 0);
	u32 cpu = this_cpu()->index;

	if (!svm_present()) {
		log_error("SVM: CPU %u has none (CPUID %#x ECX bit 2 is clear)", cpu,
			CPUID_EXTENDED_FEATURES);
		return -SLUICE_ENOSYS;
	}
	if (svm_check_enabled())
		return -SLUICE_ENOSYS;
	if (!(edx_used & ~svm.edx) && svm.ebx >= svm_features.asid_count)
		return 0;
	log_error("SVM: CPU %u cannot do what the boot CPU can: CPUID %#x EDX %#x, %u ASIDs", cpu,
		CPUID_SVM, svm.edx, svm.ebx);
	return -SLUICE_EINVAL;
}

int svm_probe(void)
{
	struct cpuid_result extended = cpuid_if_present(CPUID_EXTENDED_FEATURES, 0);
	struct cpuid_result svm;
	int error;

	if (!svm_present()) {
		log_error("SVM: missing (CPUID %#x ECX %#x: bit 2 clear)", CPUID_EXTENDED_FEATURES,
			extended.ecx);
		return -SLUICE_ENOSYS;
	}
	svm = cpuid_if_present(CPUID_SVM, 0);
	error = svm_check_enabled();
	if (!(svm.edx & SVM_EDX_NESTED_PAGING)) {
		log_error("SVM: nested paging is missing (CPUID %#x EDX %#x: bit 0 clear)",
			CPUID_SVM, svm.edx);
		error = -SLUICE_ENOSYS;
	}
	if (svm.ebx < ASIDS_NEEDED) {
		log_error("SVM: %u ASIDs (CPUID %#x EBX), at least %u are needed", svm.ebx,
			CPUID_SVM, ASIDS_NEEDED);
		error = -SLUICE_ENOSYS;
	}
	if (error)
		return error;

	if (svm_permissions_create()) {
		log_error("SVM: no memory for the permission maps (24 KiB)");
		return -SLUICE_ENOMEM;
	}

	edx_used = svm.edx & (SVM_EDX_NESTED_PAGING | SVM_EDX_CLEAN_BITS | SVM_EDX_NEXT_RIP |
				     SVM_EDX_FLUSH_BY_ASID);
	npt.huge = extended.edx & EXTENDED_EDX_PAGE_1G;
	svm_features = (struct svm_features){
		.asid_count = svm.ebx,
		.clean_bits = svm.edx & SVM_EDX_CLEAN_BITS ? CLEAN_ALL : 0,
		.next_rip = svm.edx & SVM_EDX_NEXT_RIP,
		.flush_by_asid = svm.edx & SVM_EDX_FLUSH_BY_ASID,
		.cr4_kept = read_cr4() & CR4_MCE,
	};
	log_info("SVM: revision %u, %u ASIDs%s%s%s%s%s", svm.eax & 0xff, svm.ebx,
		npt.huge ? ", 1 GiB pages" : "", svm_features.next_rip ? ", next RIP" : "",
		svm_features.clean_bits ? ", clean bits" : "",
		svm_features.flush_by_asid ? ", flush by ASID" : "",
		svm.edx & SVM_EDX_DECODE_ASSISTS ? ", decode assists" : "");
	return 0;
}
