/*
 * See hypercall.h. VMCALL and VMMCALL exist on one vendor each; the CPUID leaf says which to use.
 */
#include "guest-shim/hypercall.h"

#include <abi/cpuid.h>

#include "guest-shim/cpu.h"

#define CPUID_1_ECX_HYPERVISOR BIT(31)

static bool available;
static bool use_vmmcall;
static u32 features;
static u32 tsc_khz, lapic_khz;

void hypercall_init(void)
{
	struct cpuid r;

	if (!(cpuid(1).ecx & CPUID_1_ECX_HYPERVISOR))
		return;
	r = cpuid(KVM_CPUID_SIGNATURE);
	if (r.eax >= HV_CPUID_TIMING) {
		struct cpuid timing = cpuid(HV_CPUID_TIMING);

		tsc_khz = timing.eax;
		lapic_khz = timing.ebx;
	}
	r = cpuid(SLUICE_CPUID_SIGNATURE);
	if (r.ebx != SLUICE_SIGNATURE_EBX || r.ecx != SLUICE_SIGNATURE_ECX ||
		r.edx != SLUICE_SIGNATURE_EDX || r.eax < SLUICE_CPUID_FEATURES)
		return;
	r = cpuid(SLUICE_CPUID_FEATURES);
	if (r.eax != SLUICE_ABI_VERSION)
		return;
	available = true;
	features = r.ebx;
	use_vmmcall = r.ecx == SLUICE_INSTRUCTION_VMMCALL;
	if (!tsc_khz) {
		struct cpuid timing = cpuid(HV_CPUID_TIMING);

		tsc_khz = timing.eax;
		lapic_khz = timing.ebx;
	}
}

bool hypercall_available(void)
{
	return available;
}

u32 hypercall_features(void)
{
	return features;
}

u32 hypercall_tsc_khz(void)
{
	return tsc_khz;
}

u32 hypercall_lapic_khz(void)
{
	return lapic_khz;
}

s64 hypercall(u64 number, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	register u64 r10 __asm__("r10") = d;
	register u64 r8 __asm__("r8") = e;
	s64 result;

	if (use_vmmcall)
		__asm__ volatile("vmmcall"
				 : "=a"(result)
				 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
				 : "memory");
	else
		__asm__ volatile("vmcall"
				 : "=a"(result)
				 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
				 : "memory");
	return result;
}
