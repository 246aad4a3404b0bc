/*
 * The state a vCPU begins in: PVH's 32-bit protected mode, or real mode after a SIPI.
 */
#include "arch/x86/guest/platform.h"
#include "arch/x86/processor.h"
#include "arch/x86/vmx/vmx.h"
#include "kernel/core/bug.h"

#include <string.h>

/* Segment access rights: present, accessed. */
#define RIGHTS_CODE_32  0xc09b
#define RIGHTS_DATA_32  0xc093
#define RIGHTS_CODE_16  0x9b
#define RIGHTS_DATA_16  0x93
#define RIGHTS_TSS_BUSY 0x8b
#define RIGHTS_LDT      0x82

#define DR6_RESET 0xffff0ff0
#define DR7_RESET 0x400

/* The fields of one segment stand at the same distance from those of ES. */
static void write_segment(
	enum vmcs_field selector_field, u16 selector, u64 base, u32 limit, u32 rights)
{
	u32 n = selector_field - GUEST_ES_SELECTOR;

	vmwrite(selector_field, selector);
	vmwrite(GUEST_ES_BASE + n, base);
	vmwrite(GUEST_ES_LIMIT + n, limit);
	vmwrite(GUEST_ES_RIGHTS + n, rights);
}

static void write_data_segments(u32 limit, u32 rights)
{
	static const enum vmcs_field fields[] = {GUEST_ES_SELECTOR, GUEST_SS_SELECTOR,
		GUEST_DS_SELECTOR, GUEST_FS_SELECTOR, GUEST_GS_SELECTOR};

	for (unsigned i = 0; i < ARRAY_SIZE(fields); i++)
		write_segment(fields[i], 0, 0, limit, rights);
}

/* What is alike in both: the processor after INIT, but for its mode. */
static void write_reset_state(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vcpu->vendor;

	write_segment(GUEST_LDTR_SELECTOR, 0, 0, 0xffff, RIGHTS_LDT);
	write_segment(GUEST_TR_SELECTOR, 0, 0, 0xffff, RIGHTS_TSS_BUSY);
	vmwrite(GUEST_GDTR_BASE, 0);
	vmwrite(GUEST_GDTR_LIMIT, 0xffff);
	vmwrite(GUEST_IDTR_BASE, 0);
	vmwrite(GUEST_IDTR_LIMIT, 0xffff);

	vmwrite(GUEST_RSP, 0);
	vmwrite(GUEST_RFLAGS, RFLAGS_FIXED);
	vmwrite(GUEST_CR3, 0);
	vmwrite(GUEST_DR7, DR7_RESET);
	vmwrite(GUEST_DEBUGCTL, 0);
	vmwrite(GUEST_PAT, PAT_DEFAULT);
	vmwrite(GUEST_SYSENTER_CS, 0);
	vmwrite(GUEST_SYSENTER_ESP, 0);
	vmwrite(GUEST_SYSENTER_EIP, 0);
	vmwrite(GUEST_INTERRUPTIBILITY, 0);
	vmwrite(GUEST_ACTIVITY, 0);
	vmwrite(GUEST_PENDING_DEBUG, 0);
	vmwrite(VMCS_ENTRY_EVENT, 0);

	vmx->efer = 0;
	vmwrite(GUEST_EFER, 0);
	vmwrite(VMCS_ENTRY_CONTROLS, vmx_capabilities.entry);
	memset(vmx->msrs, 0, sizeof(vmx->msrs));
	memset(vcpu->debug_registers, 0, sizeof(vcpu->debug_registers));
	vcpu->dr6 = DR6_RESET;
	vcpu->cr2 = 0;
	vmx_guest_registers_load(vcpu);
	vpid_flush(vmx);
}

void vmx_start(struct vcpu *vcpu)
{
	struct vcpu_start start = vcpu_take_start(vcpu);
	u64 cr0 = CR0_ET;

	switch (start.kind) {
	case START_NONE:
		return;
	case START_PVH:
		write_reset_state(vcpu);
		write_segment(GUEST_CS_SELECTOR, 0, 0, 0xffffffff, RIGHTS_CODE_32);
		write_data_segments(0xffffffff, RIGHTS_DATA_32);
		vmwrite(GUEST_RIP, start.entry);
		cr0 |= CR0_PE;
		break;
	case START_SIPI:
		write_reset_state(vcpu);
		write_segment(GUEST_CS_SELECTOR, (u16)(start.sipi_vector << 8),
			(u64)start.sipi_vector << 12, 0xffff, RIGHTS_CODE_16);
		write_data_segments(0xffff, RIGHTS_DATA_16);
		vmwrite(GUEST_RIP, 0);
		break;
	}
	vmx_choose_cr_bits(vcpu);
	vmwrite(GUEST_CR0, 0);
	vmwrite(VMCS_CR0_SHADOW, 0);
	vmwrite(GUEST_CR4, 0);
	vmwrite(VMCS_CR4_SHADOW, 0);
	if (vmx_set_cr0(vcpu, cr0) != DONE || vmx_set_cr4(vcpu, 0) != DONE)
		BUG("a vCPU cannot start with CR0 = 0x%lx", cr0);
}
