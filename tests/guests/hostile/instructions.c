/*
 * Instructions and register values that the guest's CPUID does not offer, or that must do nothing.
 * Each raises what a processor without the feature raises.
 */
#include "acts.h"
#include "machine.h"

#define MSR_EFER        0xc0000080u
#define MSR_VM_HSAVE_PA 0xc0010117u
#define MSR_X2APIC_ICR  0x830u
#define MSR_X2APIC_TPR  0x808u
#define EFER_SVME       (1ul << 12)
#define EFER_LMA        (1ul << 10)
#define EFER_LME        (1ul << 8)
#define MSR_XSS         0xda0u
#define BIT(n)          (1u << (n))

#define INSTRUCTION(name, ...)                                                                     \
	static void name(void)                                                                     \
	{                                                                                          \
		__asm__ volatile(__VA_ARGS__);                                                     \
	}

static uint32_t tsc_aux = 1;
static uint8_t page[PAGE] __attribute__((aligned(64)));

static uint64_t xcr0;
static uint32_t xcr_index;

INSTRUCTION(xsetbv, "xsetbv" : : "a"((uint32_t)xcr0), "c"(xcr_index), "d"(xcr0 >> 32))
INSTRUCTION(xgetbv, "xgetbv" : : "c"(0) : "eax", "edx")
INSTRUCTION(xsaves, "xsaves (%0)" : : "r"(page), "a"(0), "d"(0) : "memory")
INSTRUCTION(xrstors, "xrstors (%0)" : : "r"(page), "a"(0), "d"(0) : "memory")
INSTRUCTION(monitor, "monitor" : : "a"(0x1000), "c"(0), "d"(0))
INSTRUCTION(mwait, "mwait" : : "a"(0), "c"(0))
INSTRUCTION(rdtscp, "rdtscp" : "=c"(tsc_aux) : : "eax", "edx")
INSTRUCTION(vmrun, "vmrun %%rax" : : "a"(0x1000))
INSTRUCTION(vmload, "vmload %%rax" : : "a"(0x1000))
INSTRUCTION(vmsave, "vmsave %%rax" : : "a"(0x1000))
INSTRUCTION(stgi, "stgi")
INSTRUCTION(clgi, "clgi")
INSTRUCTION(skinit, "skinit %%eax" : : "a"(0x10000))
INSTRUCTION(invlpga, "invlpga %%rax, %%ecx" : : "a"(0x1000), "c"(1))
INSTRUCTION(vmxon, "vmxon %0" : : "m"(fault_vector))
INSTRUCTION(vmlaunch, "vmlaunch")
INSTRUCTION(vmread, "vmread %%rax, %%rcx" : : "a"(0) : "rcx")
INSTRUCTION(rsm, "rsm")
INSTRUCTION(vmcall, "vmcall" : : "a"(HYPERCALL_SHUTDOWN), "D"(1))
INSTRUCTION(vmmcall, "vmmcall" : : "a"(HYPERCALL_SHUTDOWN), "D"(1))
INSTRUCTION(rdpmc, "rdpmc" : : "c"(0) : "eax", "edx")
INSTRUCTION(insb, "insb" : : "d"(0x3f8), "D"(&fault_error) : "memory")
INSTRUCTION(rep_outsb, "rep outsb" : : "d"(0x3f8), "S"(&fault_error), "c"(4))

uint64_t act_wbinvd(void)
{
	for (unsigned i = 0; i < 1000; i++)
		__asm__ volatile("wbinvd; invd" : : : "memory");
	return 0;
}

uint64_t act_hidden(void)
{
	CHECK(fault_of(monitor) == VECTOR_UD);
	CHECK(fault_of(mwait) == VECTOR_UD);
	/* QEMU does not know the intercept; there the host's TSC_AUX, which tells nothing, is read.
	 */
	CHECK(fault_of(rdtscp) == VECTOR_UD || tsc_aux == 0);
	CHECK(fault_of(vmrun) == VECTOR_UD);
	CHECK(fault_of(vmload) == VECTOR_UD);
	CHECK(fault_of(vmsave) == VECTOR_UD);
	CHECK(fault_of(stgi) == VECTOR_UD);
	CHECK(fault_of(clgi) == VECTOR_UD);
	CHECK(fault_of(skinit) == VECTOR_UD);
	CHECK(fault_of(invlpga) == VECTOR_UD);
	CHECK(fault_of(vmxon) == VECTOR_UD);
	CHECK(fault_of(vmlaunch) == VECTOR_UD);
	CHECK(fault_of(vmread) == VECTOR_UD);
	CHECK(fault_of(rsm) == VECTOR_UD);
	CHECK(fault_of(guest_uses_vmmcall() ? vmcall : vmmcall) == VECTOR_UD);
	CHECK(fault_of(rdpmc) == VECTOR_GP && fault_error == 0);
	/* String I/O is not emulated. */
	CHECK(fault_of(insb) == VECTOR_GP);
	CHECK(fault_of(rep_outsb) == VECTOR_GP);
	return 0;
}

/* ---- Register values ------------------------------------------------------------------------- */

static uint64_t argument;
static uint32_t argument_msr;

INSTRUCTION(set_cr4, "mov %0, %%cr4" : : "r"(argument))
INSTRUCTION(set_cr8, "mov %0, %%cr8" : : "r"(argument))
INSTRUCTION(set_msr, "wrmsr" : : "c"(argument_msr), "a"((uint32_t)argument), "d"(argument >> 32))
INSTRUCTION(get_msr, "rdmsr" : : "c"(argument_msr) : "eax", "edx")

static int fault_of_cr4(uint64_t value)
{
	argument = value;
	return fault_of(set_cr4);
}

static int fault_of_wrmsr(uint32_t msr, uint64_t value)
{
	argument_msr = msr;
	argument = value;
	return fault_of(set_msr);
}

static int fault_of_rdmsr(uint32_t msr)
{
	argument_msr = msr;
	return fault_of(get_msr);
}

static uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

static int fault_of_xsetbv(uint32_t index, uint64_t value)
{
	xcr_index = index;
	xcr0 = value;
	return fault_of(xsetbv);
}

static uint64_t get_xcr0(void)
{
	uint32_t low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (uint64_t)high << 32 | low;
}

static void flip_cr4(uint64_t bits)
{
	uint64_t cr4;

	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	__asm__ volatile("mov %0, %%cr4" : : "r"(cr4 ^ bits) : "memory");
}

uint64_t act_xsetbv(void)
{
	/* No x87; AVX without SSE; a part of AVX-512, or all of it without AVX; half of MPX, AMX,
	 * LWP and bits that nobody has. Last MPX and PKRU, which QEMU has, where XSETBV does not
	 * exit. */
	static const uint64_t bad[] = {0, 2, 6, 5, 0x27, 0x47, 0x87, 0x67, 0xc7, 0xa7, 0xe3, 0xe1,
		0xb, 0x60007, 0x100003, 1ul << 62 | 3, 1ul << 63 | 3, ~0ul, 0x1b, 0x207};
	const unsigned count = sizeof(bad) / sizeof(bad[0]) - (guest_uses_vmmcall() ? 2 : 0);
	struct cpuid_result states = cpuid(0xd, 0);
	uint64_t offered = (uint64_t)states.edx << 32 | states.eax;

	CHECK(fault_of_xsetbv(0, 3) == VECTOR_UD);
	CHECK(fault_of(xgetbv) == VECTOR_UD);
	CHECK((cpuid(1, 0).ecx & (BIT(26) | BIT(27))) == BIT(26));
	CHECK((offered & 3) == 3 && (offered & ~0xe7ul) == 0);

	flip_cr4(BIT(18));
	CHECK(cpuid(1, 0).ecx & BIT(27));
	CHECK(get_xcr0() == 1);
	for (unsigned i = 0; i < count; i++) {
		CHECK(fault_of_xsetbv(0, bad[i]) == VECTOR_GP && fault_error == 0);
		CHECK(get_xcr0() == 1);
	}
	CHECK(fault_of_xsetbv(1, 3) == VECTOR_GP);
	CHECK(fault_of_xsetbv(~0u, 3) == VECTOR_GP);
	CHECK(fault_of_xsetbv(0, 3) == NO_FAULT && get_xcr0() == 3);
	CHECK(fault_of_xsetbv(0, offered) == NO_FAULT && get_xcr0() == offered);
	CHECK(fault_in_ring3(xsetbv) == VECTOR_GP && get_xcr0() == offered);
	/* The states of supervisors are hidden. */
	CHECK(!(cpuid(0xd, 1).eax & BIT(3)));
	CHECK(fault_of(xsaves) == VECTOR_UD);
	CHECK(fault_of(xrstors) == VECTOR_UD);
	CHECK(fault_of_rdmsr(MSR_XSS) == VECTOR_GP);
	CHECK(fault_of_wrmsr(MSR_XSS, 0) == VECTOR_GP);
	/* Nor does it help to go where #UD comes from again. */
	flip_cr4(BIT(18));
	CHECK(!(cpuid(1, 0).ecx & BIT(27)));
	CHECK(fault_of_xsetbv(0, 1) == VECTOR_UD);
	return 0;
}

uint64_t act_bad_registers(void)
{
	/* VMXE, SMXE, LA57, PKE and bits that nobody has. MCE is hidden too. */
	static const uint8_t hidden_cr4[] = {6, 12, 13, 14, 15, 22, 23, 24, 31, 32, 63};
	uint64_t cr4, efer = rdmsr(MSR_EFER);

	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	CHECK(cr4 & 1 << 5);
	for (unsigned i = 0; i < sizeof(hidden_cr4); i++) {
		CHECK(!(cr4 >> hidden_cr4[i] & 1));
		CHECK(fault_of_cr4(cr4 | 1ul << hidden_cr4[i]) == VECTOR_GP);
	}
	CHECK(fault_of_cr4(cr4 & ~(1ul << 5)) == VECTOR_GP); /* PAE in long mode */
	CHECK(fault_of_cr4(cr4 | 1 << 7) == NO_FAULT);       /* PGE */
	CHECK(fault_of_cr4(cr4) == NO_FAULT);

	for (argument = 16; argument; argument <<= 1)
		CHECK(fault_of(set_cr8) == VECTOR_GP);

	CHECK(!(efer & EFER_SVME) && (efer & EFER_LMA));
	CHECK(fault_of_wrmsr(MSR_EFER, efer | EFER_SVME) == VECTOR_GP);
	CHECK(fault_of_wrmsr(MSR_EFER, efer & ~EFER_LME) == VECTOR_GP);
	CHECK(fault_of_wrmsr(MSR_EFER, efer | 1ul << 63) == VECTOR_GP);
	CHECK(fault_of_wrmsr(MSR_EFER, efer | 1) == NO_FAULT); /* SCE */
	CHECK(fault_of_wrmsr(MSR_EFER, efer) == NO_FAULT);
	CHECK(rdmsr(MSR_EFER) == efer);

	CHECK(fault_of_wrmsr(MSR_VM_HSAVE_PA, 0x1000) == VECTOR_GP);
	CHECK(fault_of_rdmsr(MSR_VM_HSAVE_PA) == VECTOR_GP);
	CHECK(fault_of_rdmsr(0x480) == VECTOR_GP); /* IA32_VMX_BASIC */
	CHECK(fault_of_rdmsr(0x40000000) == VECTOR_GP);
	CHECK(fault_of_wrmsr(0xffffffff, 0) == VECTOR_GP);
	CHECK(fault_of_wrmsr(MSR_X2APIC_TPR, 0x100) == VECTOR_GP);
	CHECK(fault_of_wrmsr(0x802, 1) == VECTOR_GP); /* the APIC id is read-only */
	/* A fixed interrupt, by physical id, to a processor that is not there. */
	CHECK(fault_of_wrmsr(MSR_X2APIC_ICR, 0x77ul << 32 | 0x40) == NO_FAULT);
	return 0;
}

/* ---- Prefixes -------------------------------------------------------------------------------- */

/*
 * Instructions that exit, with prefixes that do not change them. What counts is where the guest
 * goes on: RSI is loaded right behind each. Segment overrides and REX are ignored by all of these.
 */
static uint64_t mark;

#define PREFIXED(name, ...)                                                                        \
	static void name(void)                                                                     \
	{                                                                                          \
		uint64_t rax = 0, rcx = 0xc0000080;                                                \
		__asm__ volatile(".byte " __VA_ARGS__ "; mov $0x5a5a, %%rsi"                       \
				 : "=S"(mark), "+a"(rax), "+c"(rcx)                                \
				 :                                                                 \
				 : "rbx", "rdx", "memory");                                        \
	}

PREFIXED(plain_cpuid, "0x0f, 0xa2")
PREFIXED(cs_cpuid, "0x2e, 0x0f, 0xa2")
PREFIXED(rex_cpuid, "0x48, 0x0f, 0xa2")
PREFIXED(ds_cs_rex_cpuid, "0x3e, 0x2e, 0x4f, 0x0f, 0xa2")
PREFIXED(cs_rdmsr, "0x2e, 0x0f, 0x32")
PREFIXED(fs_rex_wbinvd, "0x64, 0x48, 0x0f, 0x09")

static bool runs_on(void (*function)(void))
{
	mark = 0;
	return fault_of(function) == NO_FAULT && mark == 0x5a5a;
}

/* MOV CR8 with every kind of register operand, and with redundant prefixes. */
static uint64_t cr8;

INSTRUCTION(cr8_plain, "mov %1, %%cr8; mov %%cr8, %0" : "=r"(cr8) : "r"(5ul))
INSTRUCTION(cr8_r13, "mov $6, %%r13; mov %%r13, %%cr8; mov %%cr8, %%rbp; mov %%rbp, %0"
	    : "=r"(cr8)
	    :
	    : "r13", "rbp")
/* CS: REX.WR MOV CR8, RAX, then DS: REX.R MOV RCX, CR8 */
INSTRUCTION(cr8_prefixed, ".byte 0x2e, 0x4c, 0x0f, 0x22, 0xc0; .byte 0x3e, 0x44, 0x0f, 0x20, 0xc1"
	    : "=c"(cr8)
	    : "a"(7ul))
INSTRUCTION(cr8_rsp, "mov %%rsp, %%rbx; mov $3, %%esp; mov %%rsp, %%cr8; mov %%cr8, %%rsp;"
		     "mov %%rsp, %0; mov %%rbx, %%rsp"
	    : "=&r"(cr8)
	    :
	    : "rbx", "memory")

uint64_t act_prefixes(void)
{
	CHECK(runs_on(plain_cpuid));
	CHECK(runs_on(cs_cpuid));
	CHECK(runs_on(rex_cpuid));
	CHECK(runs_on(ds_cs_rex_cpuid));
	CHECK(runs_on(cs_rdmsr));
	CHECK(runs_on(fs_rex_wbinvd));

	CHECK(fault_of(cr8_plain) == NO_FAULT && cr8 == 5);
	CHECK(rdmsr(MSR_X2APIC_TPR) == 0x50);
	CHECK(fault_of(cr8_r13) == NO_FAULT && cr8 == 6);
	CHECK(fault_of(cr8_prefixed) == NO_FAULT && cr8 == 7);
	CHECK(fault_of(cr8_rsp) == NO_FAULT && cr8 == 3);
	__asm__ volatile("mov %0, %%cr8" : : "r"(0ul));
	return 0;
}
