/*
 * Filling a VMCB: what exits and what does not, the state in which a vCPU starts, and what services
 * and dumps want to know of it.
 */
#include "arch/x86/svm/vmcb.h"

#include "arch/x86/guest/platform.h"
#include "arch/x86/processor.h"
#include "arch/x86/svm/svm.h"
#include "kernel/core/log.h"

#define DR6_RESET 0xffff0ff0UL
#define DR7_RESET 0x400UL

/* Selectors are not looked up before the guest loads its own GDT. */
#define PVH_CODE 0x08
#define PVH_DATA 0x10

#define EVERY_SEGMENT_LIMIT 0xffffffffu
#define REAL_MODE_LIMIT     0xffffu

void vmcb_init(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	/*
	 * CR0 and CR3 are the guest's alone under nested paging. CR4 is checked, so that no bit
	 * takes effect whose feature is hidden; CR8 is the emulated LAPIC's.
	 */
	vmcb->intercept_cr = INTERCEPT_CR_READ(4) | INTERCEPT_CR_WRITE(4) | INTERCEPT_CR_READ(8) |
			     INTERCEPT_CR_WRITE(8);
	vmcb->intercept_dr = INTERCEPT_DR_ADDRESSES;
	/* #DB and #AC can strike again while they are delivered, for ever. */
	vmcb->intercept_exceptions = BIT(VECTOR_DB) | BIT(VECTOR_AC) | BIT(VECTOR_MC);
	vmcb->intercept_1 = INTERCEPT_INTR | INTERCEPT_NMI | INTERCEPT_SMI | INTERCEPT_INIT |
			    INTERCEPT_RDPMC | INTERCEPT_CPUID | INTERCEPT_INVD | INTERCEPT_HLT |
			    INTERCEPT_INVLPGA | INTERCEPT_IOIO | INTERCEPT_MSR | INTERCEPT_SHUTDOWN;
	vmcb->intercept_2 = INTERCEPT2_VMRUN | INTERCEPT2_VMMCALL | INTERCEPT2_VMLOAD |
			    INTERCEPT2_VMSAVE | INTERCEPT2_STGI | INTERCEPT2_CLGI |
			    INTERCEPT2_SKINIT | INTERCEPT2_RDTSCP | INTERCEPT2_WBINVD |
			    INTERCEPT2_MONITOR | INTERCEPT2_MWAIT | INTERCEPT2_MWAIT_ARMED |
			    INTERCEPT2_XSETBV | INTERCEPT2_RDPRU;
	vmcb->io_permissions = ptr_to_hpa(svm_io_map).raw;
	vmcb->msr_permissions = ptr_to_hpa(svm_msr_map).raw;
	vmcb->interrupt_control = V_INTERRUPT_MASKING;
	vmcb->nested_paging = NESTED_PAGING_ENABLED;
	vmcb->nested_cr3 = vcpu->vm->memory.root.raw;
}

static struct vmcb_segment segment(u16 selector, u16 attributes, u32 limit, u64 base)
{
	return (struct vmcb_segment){selector, attributes, limit, base};
}

static void load_segments(struct vmcb *vmcb, struct vmcb_segment code, struct vmcb_segment data)
{
	vmcb->cs = code;
	vmcb->ds = vmcb->es = vmcb->ss = vmcb->fs = vmcb->gs = data;
	vmcb->gdtr = vmcb->idtr = segment(0, 0, REAL_MODE_LIMIT, 0);
	vmcb->ldtr = segment(0, SEGMENT_LDT, REAL_MODE_LIMIT, 0);
	vmcb->tr = segment(0, SEGMENT_TSS_32, REAL_MODE_LIMIT, 0);
	vmcb->cpl = 0;
}

/* As after INIT (APM vol. 2, table 14-1), but with caches on: CD would only make the guest slow. */
static void load_reset(struct vmcb *vmcb)
{
	vmcb->efer = EFER_SVME;
	vmcb->cr0 = CR0_ET;
	vmcb->cr2 = vmcb->cr3 = 0;
	vmcb->cr4 = svm_features.cr4_kept;
	vmcb->dr6 = DR6_RESET;
	vmcb->dr7 = DR7_RESET;
	vmcb->rflags = RFLAGS_FIXED;
	vmcb->rip = vmcb->rsp = vmcb->rax = 0;
	vmcb->star = vmcb->lstar = vmcb->cstar = vmcb->sfmask = vmcb->kernel_gs_base = 0;
	vmcb->sysenter_cs = vmcb->sysenter_esp = vmcb->sysenter_eip = 0;
	vmcb->pat = PAT_DEFAULT;
	vmcb->interrupt_shadow = 0;
	vmcb->interrupt_control = V_INTERRUPT_MASKING;
	vmcb->inject_event = 0;
	vmcb->clean = 0;
}

void vmcb_load_start(struct vcpu *vcpu, const struct vcpu_start *start)
{
	struct svm_vcpu *svm = svm_of(vcpu);
	struct vmcb *vmcb = &svm->vmcb;

	load_reset(vmcb);
	xsave_follow_cr4(vcpu, 0);
	svm->flush = true;
	svm->nmi_blocked = svm->iret_seen = svm->interrupt_armed = false;
	vmcb->intercept_1 &= ~(u32)INTERCEPT_IRET;
	if (start->kind == START_PVH) {
		load_segments(vmcb, segment(PVH_CODE, SEGMENT_CODE_32, EVERY_SEGMENT_LIMIT, 0),
			segment(PVH_DATA, SEGMENT_DATA_32, EVERY_SEGMENT_LIMIT, 0));
		vmcb->cr0 |= CR0_PE;
		vmcb->rip = start->entry;
	} else {
		load_segments(vmcb,
			segment((u16)(start->sipi_vector << 8), SEGMENT_CODE_16, REAL_MODE_LIMIT,
				(u64)start->sipi_vector << 12),
			segment(0, SEGMENT_DATA_16, REAL_MODE_LIMIT, 0));
	}
}

void vmcb_fill_context(struct vcpu *vcpu)
{
	const struct vmcb *vmcb = vmcb_of(vcpu);

	vcpu->regs[RSP] = vmcb->rsp;
	vcpu->context = (struct vcpu_context){
		.rip = vmcb->rip,
		.rsp = vmcb->rsp,
		.rflags = vmcb->rflags,
		.cr0 = vmcb->cr0,
		.cr2 = vmcb->cr2,
		.cr3 = vmcb->cr3,
		.cr4 = vmcb->cr4 & ~svm_features.cr4_kept,
		.efer = vmcb->efer & ~EFER_SVME,
		.cs_base = vmcb->cs.base,
		.cs_long = svm_in_long_mode(vmcb),
		.cs_default_32 = vmcb->cs.attributes & SEGMENT_DEFAULT,
		.cpl = vmcb->cpl,
	};
}

static void dump_segment(const char *name, const struct vmcb_segment *s)
{
	log_error("  %-4s %04x base %016lx limit %08x attributes %03x", name, s->selector, s->base,
		s->limit, s->attributes);
}

void vmcb_dump(struct vcpu *vcpu)
{
	const struct vmcb *vmcb = vmcb_of(vcpu);
	const u64 *r = vcpu->regs;

	log_error("guest \"%s\" vCPU %u: exit %#lx info %#lx %#lx event %#lx injected %#lx",
		vcpu->vm->config->name, vcpu->id, vmcb->exit_code, vmcb->exit_info_1,
		vmcb->exit_info_2, vmcb->exit_event, vmcb->inject_event);
	log_error("  rip %016lx rsp %016lx rflags %08lx cpl %u", vmcb->rip, vmcb->rsp, vmcb->rflags,
		vmcb->cpl);
	log_error("  cr0 %08lx cr2 %016lx cr3 %016lx cr4 %08lx efer %04lx", vmcb->cr0, vmcb->cr2,
		vmcb->cr3, vmcb->cr4, vmcb->efer);
	log_error(
		"  rax %016lx rbx %016lx rcx %016lx rdx %016lx", vmcb->rax, r[RBX], r[RCX], r[RDX]);
	log_error("  rsi %016lx rdi %016lx rbp %016lx r8  %016lx", r[RSI], r[RDI], r[RBP], r[R8]);
	log_error("  r9  %016lx r10 %016lx r11 %016lx r12 %016lx", r[R9], r[R10], r[R11], r[R12]);
	log_error("  r13 %016lx r14 %016lx r15 %016lx dr6 %08lx dr7 %08lx", r[R13], r[R14], r[R15],
		vmcb->dr6, vmcb->dr7);
	dump_segment("cs", &vmcb->cs);
	dump_segment("ss", &vmcb->ss);
	dump_segment("ds", &vmcb->ds);
	dump_segment("tr", &vmcb->tr);
	dump_segment("gdtr", &vmcb->gdtr);
	dump_segment("idtr", &vmcb->idtr);
	log_error("  asid %u, interrupt control %#lx, shadow %lu, clean %#x", vmcb->asid,
		vmcb->interrupt_control, vmcb->interrupt_shadow, vmcb->clean);
	platform_dump(vcpu);
}
