/*
 * CR0, CR4 and EFER of a guest. Some bits are the guest's own and change without an exit; the
 * others are read from a shadow, and writing them comes here (Intel SDM vol. 3, 25.6.6). The
 * hypervisor keeps what VMX fixes (NE, VMXE), what would slow the processor down for all (CD, NW),
 * paging, since the mode of the guest follows it, and every bit that the guest's CPUID does not
 * announce.
 */
#include "arch/x86/guest/platform.h"
#include "arch/x86/processor.h"
#include "arch/x86/vmx/vmx.h"

#define CR0_GUEST_OWNED (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_WP | CR0_AM)
#define CR0_DEFINED                                                                                \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | \
		CR0_PG)

/* Bits of CR4 that any 64-bit processor has. */
#define CR4_COMMON                                                                                 \
	(CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCE |            \
		CR4_OSFXSR | CR4_OSXMMEXCPT)
/* A change of these with PAE paging on loads the PDPTEs again (4.4.1). */
#define CR4_RELOADS_PDPTES (CR4_PAE | CR4_PSE | CR4_PGE | CR4_SMEP)

#define EFER_DEFINED (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)

#define PDPTE_PRESENT BIT(0)
/* Bits 2:1, 8:5 and all beyond the physical address must be 0. */
#define PDPTE_RESERVED_LOW 0x1e6UL

void vmx_choose_cr_bits(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vcpu->vendor;
	struct cpuid_result one = cpuid_of(vcpu, 1, 0), seven = cpuid_of(vcpu, 7, 0);
	u64 allowed = CR4_COMMON;

	allowed |= one.ecx & BIT(17) ? CR4_PCIDE : 0;
	allowed |= one.ecx & BIT(26) ? CR4_OSXSAVE : 0;
	allowed |= seven.ebx & BIT(0) ? CR4_FSGSBASE : 0;
	allowed |= seven.ebx & BIT(7) ? CR4_SMEP : 0;
	allowed |= seven.ebx & BIT(20) ? CR4_SMAP : 0;
	allowed |= seven.ecx & BIT(2) ? CR4_UMIP : 0;
	allowed |= seven.ecx & BIT(3) ? CR4_PKE : 0;
	vmx->cr4_allowed = allowed & vmx_capabilities.cr4_fixed1;

	/* What VMX fixes at 1 cannot be the guest's own. OSXSAVE is seen in CPUID, too. */
	vmx->cr0_owned = CR0_GUEST_OWNED & (~vmx_capabilities.cr0_fixed0 | CR0_PE) &
			 vmx_capabilities.cr0_fixed1;
	vmx->cr4_owned = vmx->cr4_allowed & ~vmx_capabilities.cr4_fixed0 & ~CR4_OSXSAVE;
	vmwrite(VMCS_CR0_MASK, ~vmx->cr0_owned);
	vmwrite(VMCS_CR4_MASK, ~vmx->cr4_owned);
}

static u64 guest_view(enum vmcs_field actual, enum vmcs_field shadow, enum vmcs_field mask)
{
	u64 kept = vmread(mask);

	return (vmread(shadow) & kept) | (vmread(actual) & ~kept);
}

u64 vmx_cr0(void)
{
	return guest_view(GUEST_CR0, VMCS_CR0_SHADOW, VMCS_CR0_MASK);
}

u64 vmx_cr4(void)
{
	return guest_view(GUEST_CR4, VMCS_CR4_SHADOW, VMCS_CR4_MASK);
}

/* The four PDPTEs of PAE paging live in the VMCS (25.4.2) and are checked when they are loaded. */
static enum outcome load_pdptes(struct vcpu *vcpu)
{
	u64 reserved = PDPTE_RESERVED_LOW, entries[4];
	unsigned width = cpuid_of(vcpu, 0x80000008, 0).eax & 0xff;

	reserved |= ~(BIT(width) - 1);
	if (memory_read(vcpu->vm, gpa(vmread(GUEST_CR3) & 0xffffffe0), entries, sizeof(entries)))
		return BAD;
	for (unsigned i = 0; i < 4; i++)
		if ((entries[i] & PDPTE_PRESENT) && (entries[i] & reserved))
			return BAD;
	for (unsigned i = 0; i < 4; i++)
		vmwrite(GUEST_PDPTE0 + 2 * i, entries[i]);
	return DONE;
}

static void write_efer(struct vmx_vcpu *vmx, u64 efer)
{
	vmx->efer = efer;
	vmwrite(GUEST_EFER, efer);
	/* 27.3.1.1: the entry control and EFER.LMA are one thing. */
	vmwrite(VMCS_ENTRY_CONTROLS, vmx_capabilities.entry | (efer & EFER_LMA ? ENTRY_IA32E : 0));
}

static enum outcome paging_on(struct vcpu *vcpu, struct vmx_vcpu *vmx)
{
	u64 cr4 = vmx_cr4();

	if (!(vmx->efer & EFER_LME))
		return cr4 & CR4_PAE ? load_pdptes(vcpu) : DONE;
	if (!(cr4 & CR4_PAE) || (vmread(GUEST_CS_RIGHTS) & RIGHTS_LONG))
		return BAD;
	/* 27.3.1.2: in IA-32e mode TR must name a 64-bit TSS; the processor itself checks only LTR.
	 */
	if ((vmread(GUEST_TR_RIGHTS) & 15) != 11)
		vmwrite(GUEST_TR_RIGHTS, (vmread(GUEST_TR_RIGHTS) & ~15UL) | 11);
	write_efer(vmx, vmx->efer | EFER_LMA);
	return DONE;
}

static enum outcome paging_off(struct vmx_vcpu *vmx)
{
	if (vmx_cr4() & CR4_PCIDE)
		return BAD;
	if (!(vmx->efer & EFER_LMA))
		return DONE;
	if (vmread(GUEST_CS_RIGHTS) & RIGHTS_LONG)
		return BAD;
	write_efer(vmx, vmx->efer & ~EFER_LMA);
	return DONE;
}

enum outcome vmx_set_cr0(struct vcpu *vcpu, u64 value)
{
	struct vmx_vcpu *vmx = vcpu->vendor;
	u64 old = vmx_cr0();

	if (value >> 32)
		return BAD;
	value = (value & CR0_DEFINED) | CR0_ET;
	if (((value & CR0_PG) && !(value & CR0_PE)) || ((value & CR0_NW) && !(value & CR0_CD)))
		return BAD;
	if ((value & ~old & CR0_PG) && paging_on(vcpu, vmx) != DONE)
		return BAD;
	if ((~value & old & CR0_PG) && paging_off(vmx) != DONE)
		return BAD;
	/* Unrestricted guest frees PE and PG of their fixed values. */
	vmwrite(GUEST_CR0,
		(value & ~(CR0_CD | CR0_NW)) | (vmx_capabilities.cr0_fixed0 & ~(CR0_PE | CR0_PG)));
	vmwrite(VMCS_CR0_SHADOW, value);
	vpid_flush(vmx);
	return DONE;
}

enum outcome vmx_set_cr4(struct vcpu *vcpu, u64 value)
{
	struct vmx_vcpu *vmx = vcpu->vendor;
	u64 old = vmx_cr4();

	if (value & ~vmx->cr4_allowed)
		return BAD;
	if ((vmx->efer & EFER_LMA) && !(value & CR4_PAE))
		return BAD;
	/* 2.5: only in IA-32e mode, and with a PCID of 0 in CR3. */
	if ((value & ~old & CR4_PCIDE) &&
		(!(vmx->efer & EFER_LMA) || (vmread(GUEST_CR3) & PAGE_MASK)))
		return BAD;
	if ((value & CR4_PAE) && (vmx_cr0() & CR0_PG) && !(vmx->efer & EFER_LMA) &&
		((value ^ old) & CR4_RELOADS_PDPTES) && load_pdptes(vcpu) != DONE)
		return BAD;
	/* The host's MCE: without it a machine check in the guest would shut the machine down. */
	vmwrite(GUEST_CR4, value | vmx_capabilities.cr4_fixed0 | (read_cr4() & CR4_MCE));
	vmwrite(VMCS_CR4_SHADOW, value);
	xsave_follow_cr4(vcpu, value);
	vpid_flush(vmx);
	return DONE;
}

enum outcome vmx_set_efer(struct vcpu *vcpu, u64 value)
{
	struct vmx_vcpu *vmx = vcpu->vendor;

	if (value & ~EFER_DEFINED)
		return BAD;
	if (((value ^ vmx->efer) & EFER_LME) && (vmx_cr0() & CR0_PG))
		return BAD;
	write_efer(vmx, (value & ~EFER_LMA) | (vmx->efer & EFER_LMA));
	return DONE;
}
