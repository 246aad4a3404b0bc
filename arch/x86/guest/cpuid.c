/*
 * The CPUID table: written once by cpuid_init() on the boot CPU, read without a lock afterwards. A
 * bit is passed on only if its name stands here; docs/platform.md says why the others do not.
 */
#include "arch/x86/guest/cpuid.h"

#include "arch/x86/arch.h"
#include "arch/x86/guest/kvmclock.h"
#include "arch/x86/guest/pv_eoi.h"
#include "arch/x86/guest/steal_time.h"
#include "arch/x86/guest/xsave.h"
#include "kernel/core/log.h"
#include "kernel/vm/memory_ve.h"
#include "kernel/vm/vm.h"
#include <abi/cpuid.h>
#include <abi/errno.h>
#include <abi/hypercall.h>

#define TMEM_FEATURES                                                                              \
	(SLUICE_FEATURE_TMEM | SLUICE_FEATURE_TMEM_BATCH | SLUICE_FEATURE_TMEM_FILTER |            \
		SLUICE_FEATURE_TMEM_FLIP)

#define BASIC_MAX    0x16u
#define EXTENDED     0x80000000u
#define EXTENDED_MAX 0x80000008u

/* Leaf 1 ECX: SSE3, PCLMULQDQ, SSSE3, CX16, SSE4.1, SSE4.2, MOVBE, POPCNT, AES, RDRAND. */
#define LEAF1_ECX                                                                                  \
	(BIT(0) | BIT(1) | BIT(9) | BIT(13) | BIT(19) | BIT(20) | BIT(22) | BIT(23) | BIT(25) |    \
		BIT(30))
#define LEAF1_ECX_X2APIC   BIT(21)
#define LEAF1_ECX_DEADLINE BIT(24)
#define LEAF1_ECX_XSAVE    BIT(26)
/* FMA, AVX, F16C. */
#define LEAF1_ECX_AVX        (BIT(12) | BIT(28) | BIT(29))
#define LEAF1_ECX_HYPERVISOR BIT(31)
/* Leaf 1 EDX: FPU, VME, DE, PSE, TSC, MSR, PAE, CX8, APIC, SEP, PGE, CMOV, PAT, PSE36, CLFSH, MMX,
 * FXSR, SSE, SSE2. Not MCE, MTRR, MCA, DS, ACPI, SS. */
#define LEAF1_EDX                                                                                  \
	(BIT(0) | BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(8) | BIT(9) |          \
		BIT(11) | BIT(13) | BIT(15) | BIT(16) | BIT(17) | BIT(19) | BIT(23) | BIT(24) |    \
		BIT(25) | BIT(26))
#define LEAF1_EDX_APIC BIT(9)
#define LEAF1_EDX_HTT  BIT(28)
/* Leaf 6 EAX: the APIC timer always runs. */
#define LEAF6_EAX_ARAT BIT(2)
/* Leaf 7 EBX: FSGSBASE, BMI1, SMEP, BMI2, ERMS, RDSEED, ADX, SMAP, CLFLUSHOPT, CLWB, SHA. Not
 * TSC_ADJUST (the TSC is the host's), INVPCID, MPX. */
#define LEAF7_EBX                                                                                  \
	(BIT(0) | BIT(3) | BIT(7) | BIT(8) | BIT(9) | BIT(18) | BIT(19) | BIT(20) | BIT(23) |      \
		BIT(24) | BIT(29))
#define LEAF7_EBX_AVX2 BIT(5)
/* AVX512F, DQ, IFMA, CD, BW, VL. */
#define LEAF7_EBX_AVX512 (BIT(16) | BIT(17) | BIT(21) | BIT(28) | BIT(30) | BIT(31))
/* Leaf 7 ECX: GFNI, VAES, VPCLMULQDQ. Not UMIP, PKU, LA57, RDPID, CET. */
#define LEAF7_ECX_AVX (BIT(8) | BIT(9) | BIT(10))
/* AVX512 VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ. */
#define LEAF7_ECX_AVX512 (BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14))
/* Leaf 7 EDX: FSRM. Not AMX. */
#define LEAF7_EDX BIT(4)
/* AVX512 VP2INTERSECT, FP16. */
#define LEAF7_EDX_AVX512 (BIT(8) | BIT(23))
/* Leaf 7 subleaf 1 EAX: AVX-VNNI, AVX-IFMA; AVX512 BF16. */
#define LEAF7_1_EAX_AVX    (BIT(4) | BIT(23))
#define LEAF7_1_EAX_AVX512 BIT(5)
/* Leaf 0x80000001 ECX: LAHF, LZCNT, SSE4A, MISALIGNSSE, PREFETCHW. Not SVM, TOPOEXT. */
#define EXT1_ECX (BIT(0) | BIT(5) | BIT(6) | BIT(7) | BIT(8))
/* Leaf 0x80000001 EDX: SYSCALL, NX, MMXEXT, 1 GiB pages, LM; AMD repeats leaf 1 in it. Not RDTSCP.
 */
#define EXT1_EDX     (BIT(11) | BIT(20) | BIT(22) | BIT(26) | BIT(29))
#define EXT1_EDX_AMD 0x0183f3ffu
/* Leaf 0x80000007 EDX: invariant TSC. */
#define EXT7_EDX_INVARIANT_TSC BIT(8)

/* The widest guest-physical address: four levels of nested tables, and what KVM shows by default.
 */
#define PHYSICAL_BITS_MAX 46u

static struct cpuid_result basic[BASIC_MAX + 1];
static struct cpuid_result extended[EXTENDED_MAX - EXTENDED + 1];
static struct cpuid_result caches[8]; /* leaf 4, by subleaf */
static u32 features_7_1;              /* leaf 7 subleaf 1, EAX */
static u32 hypercall_instruction;
static u32 tsc_khz;

/* What works on vectors wider than SSE's is there if its state is switched. */
__init static void init_features(void)
{
	struct cpuid_result seven = cpuid(7, 0);
	u32 more = seven.eax >= 1 ? cpuid(7, 1).eax : 0;

	basic[7].ebx = seven.ebx & ((u32)LEAF7_EBX | with_states(XCR0_AVX, LEAF7_EBX_AVX2) |
					   with_states(XCR0_AVX512, LEAF7_EBX_AVX512));
	basic[7].ecx = seven.ecx & (with_states(XCR0_AVX, LEAF7_ECX_AVX) |
					   with_states(XCR0_AVX512, LEAF7_ECX_AVX512));
	basic[7].edx = seven.edx & ((u32)LEAF7_EDX | with_states(XCR0_AVX512, LEAF7_EDX_AVX512));
	features_7_1 = more & (with_states(XCR0_AVX, LEAF7_1_EAX_AVX) |
				      with_states(XCR0_AVX512, LEAF7_1_EAX_AVX512));
	basic[7].eax = features_7_1 ? 1 : 0; /* the last subleaf */
}

__init static void init_basic(void)
{
	struct cpuid_result zero = cpuid(0, 0), one = cpuid(1, 0);

	basic[0] = (struct cpuid_result){BASIC_MAX, zero.ebx, zero.ecx, zero.edx};
	/* EBX: CLFLUSH line size; the rest depends on the vCPU. */
	basic[1] = (struct cpuid_result){one.eax, one.ebx & 0xff00u,
		(one.ecx & ((u32)LEAF1_ECX | with_states(XCR0_AVX, LEAF1_ECX_AVX))) |
			with_states(XCR0_SSE, LEAF1_ECX_XSAVE) | (u32)LEAF1_ECX_X2APIC |
			(u32)LEAF1_ECX_DEADLINE | (u32)LEAF1_ECX_HYPERVISOR,
		(one.edx & (u32)LEAF1_EDX) | (u32)LEAF1_EDX_APIC};
	if (zero.eax >= 2)
		basic[2] = cpuid(2, 0);
	if (zero.eax >= 4)
		for (u32 i = 0; i < ARRAY_SIZE(caches); i++) {
			caches[i] = cpuid(4, i);
			caches[i].eax &= 0x3fff; /* shared by one logical CPU */
			if ((caches[i].eax & 0x1f) == 0) {
				caches[i] = (struct cpuid_result){0};
				break;
			}
		}
	basic[6].eax = LEAF6_EAX_ARAT;
	if (zero.eax >= 7)
		init_features();
	/* TSC = crystal * EBX / EAX: the LAPIC timer counts TSC ticks, so that is the crystal. */
	basic[0x15] = (struct cpuid_result){1, 1, tsc_khz * 1000u, 0};
	basic[0x16] = (struct cpuid_result){tsc_khz / 1000u, tsc_khz / 1000u, 100, 0};
	if (arch_tsc_hz() > ~0U) /* does not fit: no such leaf */
		basic[0x15] = (struct cpuid_result){0};
}

__init static void init_extended(void)
{
	struct cpuid_result zero = cpuid(EXTENDED, 0), one = cpuid(EXTENDED + 1, 0);
	bool amd = basic[0].ebx == 0x68747541u; /* "Auth" */

	extended[0] = (struct cpuid_result){EXTENDED_MAX, zero.ebx, zero.ecx, zero.edx};
	extended[1] = (struct cpuid_result){amd ? one.eax : 0, 0, one.ecx & (u32)EXT1_ECX,
		(one.edx & (u32)EXT1_EDX) | (amd ? basic[1].edx & EXT1_EDX_AMD : 0)};
	for (u32 i = 2; i <= 6 && EXTENDED + i <= zero.eax; i++)
		extended[i] = cpuid(EXTENDED + i, 0);
	extended[7].edx = EXT7_EDX_INVARIANT_TSC;
	if (zero.eax >= EXTENDED + 8) {
		u32 bits = cpuid(EXTENDED + 8, 0).eax;

		extended[8].eax = MIN(bits & 0xff, PHYSICAL_BITS_MAX) | 48u << 8;
	} else {
		extended[8].eax = 36u | 48u << 8;
	}
}

__init void cpuid_init(u32 instruction)
{
	hypercall_instruction = instruction;
	tsc_khz = (u32)(arch_tsc_hz() / 1000);
	init_basic();
	init_extended();
}

__init int cpuid_check_processor(void)
{
	struct cpuid_result one = cpuid(1, 0), seven = cpuid_if_present(7, 0);
	struct cpuid_result ext1 = cpuid_if_present(EXTENDED + 1, 0);
	const struct {
		u32 leaf, told, has;
		const char *name;
	} registers[] = {
		{1, basic[1].ecx & (u32)(LEAF1_ECX | LEAF1_ECX_AVX | LEAF1_ECX_XSAVE), one.ecx,
			"ECX"},
		{1, basic[1].edx, one.edx, "EDX"},
		{7, basic[7].ebx, seven.ebx, "EBX"},
		{7, basic[7].ecx, seven.ecx, "ECX"},
		{7, basic[7].edx, seven.edx, "EDX"},
		{7, features_7_1, seven.eax >= 1 ? cpuid(7, 1).eax : 0, "(1) EAX"},
		{0xd, xsave_leaf(1).eax, cpuid_if_present(0xd, 1).eax, "(1) EAX"},
		{EXTENDED + 1, extended[1].ecx, ext1.ecx, "ECX"},
		{EXTENDED + 1, extended[1].edx, ext1.edx, "EDX"},
	};
	int status = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(registers); i++) {
		if (!(registers[i].told & ~registers[i].has))
			continue;
		log_error("CPU %u lacks what the boot CPU has: CPUID 0x%x %s is 0x%x, bits 0x%x "
			  "are missing",
			this_cpu()->index, registers[i].leaf, registers[i].name, registers[i].has,
			registers[i].told & ~registers[i].has);
		status = -SLUICE_EINVAL;
	}
	return status;
}

/* Bits of an APIC id that number the cores of the one package. */
static u32 core_shift(const struct vcpu *vcpu)
{
	unsigned count = vcpu->vm->vcpu_count, shift = 0;

	while (1u << shift < count)
		shift++;
	return shift;
}

/* Intel SDM vol. 2, CPUID leaf 0BH: level 0 threads (one a core), level 1 cores. */
static struct cpuid_result topology(const struct vcpu *vcpu, u32 level)
{
	if (level == 0)
		return (struct cpuid_result){0, 1, 1u << 8 | 0, vcpu->id};
	if (level == 1)
		return (struct cpuid_result){
			core_shift(vcpu), vcpu->vm->vcpu_count, 2u << 8 | 1, vcpu->id};
	return (struct cpuid_result){0, 0, level & 0xff, vcpu->id};
}

static struct cpuid_result cache(const struct vcpu *vcpu, u32 index)
{
	struct cpuid_result r;

	if (index >= ARRAY_SIZE(caches) || caches[index].eax == 0)
		return (struct cpuid_result){0};
	r = caches[index];
	r.eax |= ((1u << core_shift(vcpu)) - 1) << 26; /* cores in the package, less one */
	return r;
}

static struct cpuid_result basic_leaf(const struct vcpu *vcpu, u32 leaf, u32 subleaf)
{
	struct cpuid_result r = basic[leaf];

	if (leaf == 1) {
		r.ebx |= vcpu->id << 24 | vcpu->vm->vcpu_count << 16;
		r.ecx |= vcpu->osxsave;
		if (vcpu->vm->vcpu_count > 1)
			r.edx |= (u32)LEAF1_EDX_HTT;
		return r;
	}
	switch (leaf) {
	case 4:
		return cache(vcpu, subleaf);
	case 7:
		if (subleaf == 0)
			return r;
		return (struct cpuid_result){subleaf == 1 ? features_7_1 : 0, 0, 0, 0};
	case 0xb:
		return topology(vcpu, subleaf);
	case 0xd:
		return xsave_leaf(subleaf);
	default:
		return r;
	}
}

static struct cpuid_result hypervisor_leaf(const struct vcpu *vcpu, u32 leaf)
{
	switch (leaf) {
	case KVM_CPUID_SIGNATURE: /* "KVMKVMKVM" */
		return (struct cpuid_result){HV_CPUID_TIMING, 0x4b4d564b, 0x564b4d56, 0x4d};
	case KVM_CPUID_SIGNATURE + 1:
		return (struct cpuid_result){
			kvmclock_features() | (u32)(KVM_FEATURE_STEAL_TIME | KVM_FEATURE_PV_EOI), 0,
			0, 0};
	case HV_CPUID_TIMING:
		return (struct cpuid_result){tsc_khz, tsc_khz, 0, 0};
	case SLUICE_CPUID_SIGNATURE:
		return (struct cpuid_result){SLUICE_CPUID_FEATURES, SLUICE_SIGNATURE_EBX,
			SLUICE_SIGNATURE_ECX, SLUICE_SIGNATURE_EDX};
	case SLUICE_CPUID_FEATURES:
		return (struct cpuid_result){SLUICE_ABI_VERSION,
			SLUICE_FEATURE_VOLATILE |
				(memory_has_ve(&vcpu->vm->memory) ? SLUICE_FEATURE_VE : 0) |
				(vcpu->vm->tmem ? TMEM_FEATURES : 0),
			hypercall_instruction, 0};
	default:
		return (struct cpuid_result){0};
	}
}

struct cpuid_result cpuid_of(const struct vcpu *vcpu, u32 leaf, u32 subleaf)
{
	if (leaf <= BASIC_MAX)
		return basic_leaf(vcpu, leaf, subleaf);
	if (leaf >= EXTENDED && leaf <= EXTENDED_MAX) {
		struct cpuid_result r = extended[leaf - EXTENDED];

		if (leaf == EXTENDED_MAX) /* ECX: cores less one, and the bits of their ids */
			r.ecx = core_shift(vcpu) << 12 | (vcpu->vm->vcpu_count - 1);
		return r;
	}
	return hypervisor_leaf(vcpu, leaf);
}

void cpuid_emulate(struct vcpu *vcpu)
{
	struct cpuid_result r = cpuid_of(vcpu, (u32)vcpu->regs[RAX], (u32)vcpu->regs[RCX]);

	vcpu->regs[RAX] = r.eax;
	vcpu->regs[RBX] = r.ebx;
	vcpu->regs[RCX] = r.ecx;
	vcpu->regs[RDX] = r.edx;
}
