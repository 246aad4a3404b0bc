/*
 * What is told of a guest that is stopped for a reason of VT-x: its registers, why, and for a
 * refused entry which rule the manual gives.
 */
#include "arch/x86/guest/platform.h"
#include "arch/x86/processor.h"
#include "arch/x86/vmx/vmx.h"
#include "kernel/core/bug.h"
#include "kernel/core/log.h"

void vmx_fill_context(struct vcpu *vcpu)
{
	const struct vmx_vcpu *vmx = vcpu->vendor;
	u64 cs = vmread(GUEST_CS_RIGHTS);

	vcpu->context = (struct vcpu_context){
		.rip = vmread(GUEST_RIP),
		.rsp = vmread(GUEST_RSP),
		.rflags = vmread(GUEST_RFLAGS),
		.cr0 = vmx_cr0(),
		.cr2 = read_cr2(),
		.cr3 = vmread(GUEST_CR3),
		.cr4 = vmx_cr4(),
		.efer = vmx->efer,
		.cs_base = vmread(GUEST_CS_BASE),
		.cs_long = (vmx->efer & EFER_LMA) && (cs & RIGHTS_LONG),
		.cs_default_32 = cs & RIGHTS_BIG,
		.cpl = (u8)(vmread(GUEST_SS_RIGHTS) >> RIGHTS_DPL_SHIFT & 3),
	};
}

static void dump_segment(const char *name, enum vmcs_field selector)
{
	u32 n = selector - GUEST_ES_SELECTOR;

	log_error("  %-4s %04lx base %016lx limit %08lx rights %05lx", name, vmread(selector),
		vmread(GUEST_ES_BASE + n), vmread(GUEST_ES_LIMIT + n), vmread(GUEST_ES_RIGHTS + n));
}

static void dump(struct vcpu *vcpu)
{
	const struct vcpu_context *c = &vcpu->context;
	const u64 *r = vcpu->regs;

	vmx_fill_context(vcpu);
	log_error("  rip %016lx rsp %016lx rflags %08lx cpl %u", c->rip, c->rsp, c->rflags, c->cpl);
	log_error("  rax %016lx rbx %016lx rcx %016lx rdx %016lx", r[RAX], r[RBX], r[RCX], r[RDX]);
	log_error("  rsi %016lx rdi %016lx rbp %016lx r8  %016lx", r[RSI], r[RDI], r[RBP], r[R8]);
	log_error("  r9  %016lx r10 %016lx r11 %016lx r12 %016lx", r[R9], r[R10], r[R11], r[R12]);
	log_error("  r13 %016lx r14 %016lx r15 %016lx cr2 %016lx", r[R13], r[R14], r[R15], c->cr2);
	log_error("  cr0 %08lx cr3 %016lx cr4 %08lx efer %04lx", c->cr0, c->cr3, c->cr4, c->efer);
	dump_segment("cs", GUEST_CS_SELECTOR);
	dump_segment("ss", GUEST_SS_SELECTOR);
	dump_segment("ds", GUEST_DS_SELECTOR);
	dump_segment("tr", GUEST_TR_SELECTOR);
	log_error("  gdtr %016lx/%04lx idtr %016lx/%04lx interruptibility %lx activity %lx",
		vmread(GUEST_GDTR_BASE), vmread(GUEST_GDTR_LIMIT), vmread(GUEST_IDTR_BASE),
		vmread(GUEST_IDTR_LIMIT), vmread(GUEST_INTERRUPTIBILITY), vmread(GUEST_ACTIVITY));
	log_error("  exit reason 0x%lx qualification 0x%lx event 0x%lx vectoring 0x%lx",
		vmread(VMCS_EXIT_REASON), vmread(VMCS_EXIT_QUALIFICATION), vmread(VMCS_EXIT_EVENT),
		vmread(VMCS_VECTORING_EVENT));
	platform_dump(vcpu);
}

void vmx_stop(struct vcpu *vcpu, enum stop_reason reason, u64 code, const char *what)
{
	log_error(
		"guest \"%s\": vCPU %u: %s (0x%lx)", vcpu->vm->config->name, vcpu->id, what, code);
	dump(vcpu);
	vm_stop(vcpu->vm, reason, code);
}

/* Intel SDM vol. 3, 31.4, those that a VM entry can give. */
static const char *instruction_error(u64 error)
{
	switch (error) {
	case 4:
		return "VMLAUNCH with a VMCS that is not clear";
	case 5:
		return "VMRESUME with a VMCS that was not launched";
	case 6:
		return "VMRESUME after VMXOFF";
	case 7:
		return "VM entry with invalid control fields";
	case 8:
		return "VM entry with invalid host-state fields";
	case 26:
		return "VM entry with events blocked by MOV SS";
	default:
		return "VM entry refused";
	}
}

void vmx_entry_refused(struct vcpu *vcpu)
{
	u64 error = vmread(VMCS_INSTRUCTION_ERROR);

	log_error("  controls: pin 0x%lx primary 0x%lx secondary 0x%lx exit 0x%lx entry 0x%lx "
		  "event 0x%lx",
		vmread(VMCS_PIN_CONTROLS), vmread(VMCS_PRIMARY_CONTROLS),
		vmread(VMCS_SECONDARY_CONTROLS), vmread(VMCS_EXIT_CONTROLS),
		vmread(VMCS_ENTRY_CONTROLS), vmread(VMCS_ENTRY_EVENT));
	vmx_stop(vcpu, STOP_ENTRY_FAILED, error, instruction_error(error));
}

void vmx_entry_failed(struct vcpu *vcpu, u32 reason)
{
	switch (reason & 0xffff) {
	case EXIT_INVALID_GUEST_STATE:
		vmx_stop(vcpu, STOP_ENTRY_FAILED, vmread(VMCS_EXIT_QUALIFICATION),
			"VM entry with invalid guest state");
		break;
	case EXIT_MSR_LOADING:
		vmx_stop(vcpu, STOP_ENTRY_FAILED, vmread(VMCS_EXIT_QUALIFICATION),
			"VM entry failed loading MSRs");
		break;
	case EXIT_MACHINE_CHECK_AT_ENTRY:
		BUG("machine check at an entry of guest \"%s\"", vcpu->vm->config->name);
	default:
		vmx_stop(vcpu, STOP_ENTRY_FAILED, reason, "VM entry failed");
	}
}
