/*
 * The VMCS of a vCPU: its memory, the controls and the host state in it, and the bitmaps that all
 * share. Guest state is written by vmx_start.c.
 */
#include "arch/x86/arch.h"
#include "arch/x86/cpu.h"
#include "arch/x86/guest/platform.h"
#include "arch/x86/processor.h"
#include "arch/x86/vmx/vmx.h"
#include "arch/x86/vmx/vmx_msr.h"
#include "kernel/core/bug.h"
#include "kernel/core/frame.h"

#include <abi/errno.h>
#include <string.h>

#define NO_CPU (~0u)

/* Exceptions that come to the hypervisor: #DB and #AC because delivering them can loop without end,
 * #MC because it is the machine's. */
#define INTERCEPTED_EXCEPTIONS (BIT(VECTOR_DB) | BIT(VECTOR_AC) | BIT(18))

/* ---- Bitmaps, alike for every vCPU
 * ---------------------------------------------------------------- */

/* 25.6.9: reads of 0..0x1fff, reads of 0xc0000000.., writes of both; 1 KiB each, a set bit exits.
 */
static u8 *msr_bitmap;
#define MSR_BITMAP_HIGH_READ 1024
#define MSR_BITMAP_WRITE     2048
/* 25.6.4: ports 0..0x7fff and 0x8000..0xffff. Every port exits. */
static u8 *io_bitmaps;

/* MSRs that the VMCS switches, or vmx_switch.c does. */
static bool passes_through(u32 msr)
{
	switch (msr) {
	case MSR_PAT:
	case MSR_SYSENTER_CS:
	case MSR_SYSENTER_ESP:
	case MSR_SYSENTER_EIP:
	case MSR_FS_BASE:
	case MSR_GS_BASE:
	case MSR_KERNEL_GS_BASE:
	case MSR_STAR:
	case MSR_LSTAR:
	case MSR_CSTAR:
	case MSR_SFMASK:
		return true;
	default:
		return false;
	}
}

static void pass_msr(u32 msr)
{
	u32 index = msr & 0x1fff;
	u8 *reads = msr_bitmap + (msr >= 0xc0000000 ? MSR_BITMAP_HIGH_READ : 0);
	u8 keep = (u8) ~(1u << (index & 7));

	reads[index / 8] &= keep;
	reads[MSR_BITMAP_WRITE + index / 8] &= keep;
}

__init int vmcs_create_bitmaps(void)
{
	msr_bitmap = hypervisor_alloc(0);
	io_bitmaps = hypervisor_alloc(1);
	if (!msr_bitmap || !io_bitmaps) {
		if (msr_bitmap)
			hypervisor_free(msr_bitmap, 0);
		if (io_bitmaps)
			hypervisor_free(io_bitmaps, 1);
		return -SLUICE_ENOMEM;
	}
	memset(msr_bitmap, 0xff, PAGE_SIZE);
	memset(io_bitmaps, 0xff, 2 * PAGE_SIZE);
	for (const struct msr_rule *r = msr_rules; r < msr_rules + msr_rule_count; r++)
		for (u32 msr = r->first; r->class == MSR_PASS && msr <= r->last; msr++)
			if (passes_through(msr))
				pass_msr(msr);
	return 0;
}

/* ---- A vCPU's part
 * ---------------------------------------------------------------------------------- */

int vmx_vcpu_create(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = hypervisor_alloc(order_of(sizeof(*vmx)));

	if (!vmx)
		return -SLUICE_ENOMEM;
	vmx->vmcs = hypervisor_alloc(0);
	if (!vmx->vmcs) {
		hypervisor_free(vmx, order_of(sizeof(*vmx)));
		return -SLUICE_ENOMEM;
	}
	*(u32 *)vmx->vmcs = vmx_capabilities.revision;
	vmx->host_cpu = NO_CPU;
	vmx->turn.kind = TIMER_SLICE;
	/* Tags of linear translations, by slot: none is used by two vCPUs at a time. 0 is the
	 * host's. */
	vmx->vpid = (u16)((vcpu->vm->id - 1) * VCPUS_MAX + vcpu->id + 1);
	vcpu->vendor = vmx;
	return 0;
}

void vmx_vcpu_destroy(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vcpu->vendor;

	if (!vmx)
		return;
	hypervisor_free(vmx->vmcs, 0);
	hypervisor_free(vmx, order_of(sizeof(*vmx)));
	vcpu->vendor = NULL;
}

/* ---- Controls and host state
 * ------------------------------------------------------------------------ */

/* INVPCID raises #UD in a guest whose CPUID does not announce it. */
static u32 secondary_controls(const struct vcpu *vcpu)
{
	u32 secondary = vmx_capabilities.secondary;

	if (!(cpuid_of(vcpu, 7, 0).ebx & BIT(10)))
		secondary &= ~(u32)SECONDARY_INVPCID;
	if (vcpu->ve_page.raw)
		secondary |= SECONDARY_EPT_VIOLATION_VE;
	return secondary;
}

void vmcs_set_ve(struct vcpu *vcpu)
{
	vmwrite(VMCS_VE_INFORMATION, vcpu->ve_page.raw);
	vmwrite(VMCS_SECONDARY_CONTROLS, secondary_controls(vcpu));
}

static void write_controls(struct vcpu *vcpu, struct vmx_vcpu *vmx)
{
	const struct vmx_capabilities *caps = &vmx_capabilities;

	vmx->ept_pointer = ept_pointer(vcpu->vm->memory.root);
	vmx->primary = caps->primary;

	vmwrite(VMCS_PIN_CONTROLS, caps->pin);
	vmwrite(VMCS_PRIMARY_CONTROLS, caps->primary);
	vmwrite(VMCS_SECONDARY_CONTROLS, secondary_controls(vcpu));
	vmwrite(VMCS_EXIT_CONTROLS, caps->exit);
	vmwrite(VMCS_ENTRY_CONTROLS, caps->entry);
	vmwrite(VMCS_EXCEPTION_BITMAP, INTERCEPTED_EXCEPTIONS);
	vmwrite(VMCS_PF_ERROR_MASK, 0);
	vmwrite(VMCS_PF_ERROR_MATCH, 0);
	vmwrite(VMCS_CR3_TARGETS, 0);
	vmwrite(VMCS_EXIT_MSR_STORES, 0);
	vmwrite(VMCS_EXIT_MSR_LOADS, 0);
	vmwrite(VMCS_ENTRY_MSR_LOADS, 0);
	vmwrite(VMCS_ENTRY_EVENT, 0);

	vmwrite(VMCS_MSR_BITMAP, ptr_to_hpa(msr_bitmap).raw);
	vmwrite(VMCS_IO_BITMAP_A, ptr_to_hpa(io_bitmaps).raw);
	vmwrite(VMCS_IO_BITMAP_B, ptr_to_hpa(io_bitmaps).raw + PAGE_SIZE);
	vmwrite(VMCS_EPT_POINTER, vmx->ept_pointer);
	if (caps->secondary & SECONDARY_VPID)
		vmwrite(VMCS_VPID, vmx->vpid);
	vmwrite(GUEST_VMCS_LINK, ~0UL);
}

/* 28.5: an exit loads all of this; GDTR and IDTR get limits of 0xffff. */
static void write_host_state(void)
{
	vmwrite(HOST_CR0, read_cr0());
	vmwrite(HOST_CR3, read_cr3());
	vmwrite(HOST_CR4, read_cr4());
	vmwrite(HOST_EFER, rdmsr(MSR_EFER));
	vmwrite(HOST_PAT, rdmsr(MSR_PAT));
	vmwrite(HOST_CS_SELECTOR, SELECTOR_CODE);
	vmwrite(HOST_SS_SELECTOR, SELECTOR_DATA);
	vmwrite(HOST_DS_SELECTOR, 0);
	vmwrite(HOST_ES_SELECTOR, 0);
	vmwrite(HOST_FS_SELECTOR, 0);
	vmwrite(HOST_GS_SELECTOR, 0);
	vmwrite(HOST_TR_SELECTOR, SELECTOR_TSS);
	vmwrite(HOST_FS_BASE, rdmsr(MSR_FS_BASE));
	vmwrite(HOST_GS_BASE, rdmsr(MSR_GS_BASE));
	vmwrite(HOST_TR_BASE, (u64)&this_cpu_arch()->tss);
	vmwrite(HOST_GDTR_BASE, (u64)this_cpu_arch()->gdt);
	vmwrite(HOST_IDTR_BASE, idt_base());
	vmwrite(HOST_SYSENTER_CS, 0);
	vmwrite(HOST_SYSENTER_ESP, 0);
	vmwrite(HOST_SYSENTER_EIP, 0);
	vmwrite(HOST_RIP, (u64)vmx_exit);
}

void vmcs_load(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vcpu->vendor;
	u32 cpu = this_cpu()->index;

	/* 25.11.3: the state of a fresh region is not defined until VMCLEAR. */
	if (vmx->host_cpu == NO_CPU && !vmclear(ptr_to_hpa(vmx->vmcs)))
		BUG("VMCLEAR was refused for 0x%lx", ptr_to_hpa(vmx->vmcs).raw);
	if (!vmptrld(ptr_to_hpa(vmx->vmcs)))
		BUG("VMPTRLD was refused for 0x%lx", ptr_to_hpa(vmx->vmcs).raw);
	if (likely(vmx->host_cpu == cpu))
		return;
	if (vmx->host_cpu == NO_CPU)
		write_controls(vcpu, vmx);
	write_host_state();
	vmx->host_cpu = cpu;
	/* This CPU may still hold what a former owner of these tags left. */
	ept_flush(vmx);
	vpid_flush(vmx);
}

void vmcs_unload(struct vmx_vcpu *vmx)
{
	if (!vmclear(ptr_to_hpa(vmx->vmcs)))
		BUG("VMCLEAR was refused for 0x%lx", ptr_to_hpa(vmx->vmcs).raw);
	vmx->host_rsp = 0; /* the next entry launches */
}
