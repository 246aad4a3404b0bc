/*
 * VT-x: what the files of this folder share. The rest of Sluice sees only vmx_virt
 * (kernel/vm/virt.h).
 *
 * A VMCS is active on a processor only inside vmx_run(): it is loaded at the start and cleared at
 * the end, so that a vCPU can be freed or run elsewhere without asking the processor it ran on
 * last.
 */
#ifndef VMX_VMX_H
#define VMX_VMX_H

#include "arch/x86/vmx/vmcs.h"
#include "kernel/vm/memory.h"
#include "kernel/vm/vcpu.h"
#include "kernel/vm/virt.h"
#include "kernel/vm/vm.h"
#include "lib/types.h"

/* What this machine's processors can do and which controls Sluice uses: filled once by vmx_probe().
 */
struct vmx_capabilities {
	u32 revision;                             /* VMCS revision identifier */
	u32 pin, primary, secondary, exit, entry; /* controls as they are loaded */
	u64 cr0_fixed0, cr0_fixed1;               /* bits that must be 1; bits that may be 1 */
	u64 cr4_fixed0, cr4_fixed1;
	u64 ept;                       /* IA32_VMX_EPT_VPID_CAP */
	u64 invept_type, invvpid_type; /* the narrowest there is; invvpid_type 0: none */
	bool ve;                       /* "EPT-violation #VE" can be set, for one vCPU or another */
	bool preemption_timer;         /* else the LAPIC timer ends slices */
	u8 timer_shift;                /* it counts down once every 2^shift TSC ticks */
};
extern struct vmx_capabilities vmx_capabilities;

/* The vendor's part of a vCPU. Touched by the CPU that runs it only. */
struct vmx_vcpu {
	u64 host_rsp; /* HOST_RSP in the VMCS; 0 while the VMCS is not launched */
	void *vmcs;
	u64 until; /* TSC at which the slice ends */
	u64 ept_pointer;
	u64 efer;        /* the guest's, as it reads it */
	u64 cr4_allowed; /* bits the guest may set, from its CPUID */
	u64 cr0_owned;   /* bits the guest changes without an exit */
	u64 cr4_owned;
	u32 primary;  /* primary controls now in the VMCS: the windows come and go */
	u32 host_cpu; /* the CPU that the host state in the VMCS belongs to; ~0 none yet */
	u16 vpid;
	struct timer turn; /* armed where there is no preemption timer */
	/* MSRs that a guest writes without an exit and that no VMCS field holds, while not running.
	 */
	u64 msrs[5];
};

/* vmx_capabilities.c */
bool vmx_present(void);
int vmx_probe(void);
/* Whether this processor can do what was chosen on the boot processor: 0, or a negative errno after
 * a message. */
int __must_check vmx_cpu_check(void);

/* vmx_cpu.c */
int vmx_cpu_enable(void);
void vmx_cpu_disable(void);

/* vmcs.c */
/* Builds the MSR and I/O bitmaps that all vCPUs share; 0 or -ENOMEM. */
int __must_check vmcs_create_bitmaps(void);
int vmx_vcpu_create(struct vcpu *vcpu);
void vmx_vcpu_destroy(struct vcpu *vcpu);
/* Makes the VMCS current, with controls and host state of this CPU. */
void vmcs_load(struct vcpu *vcpu);
/* The VMCS, which is current, follows vcpu->ve_page. */
void vmcs_set_ve(struct vcpu *vcpu);
/* Writes it back to memory and makes it inactive. */
void vmcs_unload(struct vmx_vcpu *vmx);

/* vmx_switch.c: what the VMCS does not switch. */
void vmx_guest_registers_load(struct vcpu *vcpu);
void vmx_guest_registers_save(struct vcpu *vcpu);

/* ept.c */
const struct nested_layout *ept_layout(void);
u64 ept_pointer(hpa_t root);
/* Drops this CPU's cached translations of the VM. */
void ept_flush(const struct vmx_vcpu *vmx);
/* Drops this CPU's cached linear translations of the vCPU. */
void vpid_flush(const struct vmx_vcpu *vmx);
/* Logs the entries that the processor met on its way to @address. */
void ept_dump(const struct vcpu *vcpu, gpa_t address);

/* vmx_start.c */
/* Loads the state that vcpu->start asks for. */
void vmx_start(struct vcpu *vcpu);

/* vmx_control_registers.c: these answer DONE, or BAD for #GP(0), with nothing changed. */
enum outcome vmx_set_cr0(struct vcpu *vcpu, u64 value);
enum outcome vmx_set_cr4(struct vcpu *vcpu, u64 value);
enum outcome vmx_set_efer(struct vcpu *vcpu, u64 value);
u64 vmx_cr0(void); /* as the guest reads it */
u64 vmx_cr4(void);
/* Chooses which bits of CR4 the guest may set and which without an exit. */
void vmx_choose_cr_bits(struct vcpu *vcpu);

/* vmx_events.c */
/* Writes the next event into the VMCS, and opens the windows for what must wait. */
void vmx_deliver(struct vcpu *vcpu);
/* If the exit struck while an event was being delivered, queues that event again. Returns whether.
 */
bool vmx_requeue_vectored_event(struct vcpu *vcpu);
void vmx_close_window(struct vmx_vcpu *vmx, u32 window);

/* vmx_exits.c: the exits that take more than two lines. */
void vmx_exception_or_nmi(struct vcpu *vcpu);
void vmx_cr_access(struct vcpu *vcpu);
void vmx_port_io(struct vcpu *vcpu);
void vmx_rdmsr(struct vcpu *vcpu);
void vmx_wrmsr(struct vcpu *vcpu);
void vmx_ept_violation(struct vcpu *vcpu);
__attribute__((noreturn)) void vmx_ept_misconfiguration(struct vcpu *vcpu);

/* vmx_dump.c */
/* Reads the guest's state into vcpu->context. */
void vmx_fill_context(struct vcpu *vcpu);
/* Stops the VM after a dump of this vCPU. */
void vmx_stop(struct vcpu *vcpu, enum stop_reason reason, u64 code, const char *what);
/* The entry of the current VMCS was refused: by VMfail, or as exit reason @reason. */
void vmx_entry_refused(struct vcpu *vcpu);
void vmx_entry_failed(struct vcpu *vcpu, u32 reason);

/* vmx_run.c */
void vmx_run(struct vcpu *vcpu, u64 until);

/* vmx_entry.S: where VM exits arrive. */
extern const char vmx_exit[];

/* The instruction that exited is done: goes behind it, ends the blocking that it lived under, and
 * leaves the single-step trap that it owes. */
static inline void vmx_skip_to(u64 rip)
{
	u64 blocking = vmread(GUEST_INTERRUPTIBILITY);

	vmwrite(GUEST_RIP, rip);
	if (unlikely(blocking & (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS)))
		vmwrite(GUEST_INTERRUPTIBILITY, blocking & ~(BLOCKING_BY_STI | BLOCKING_BY_MOV_SS));
	if (unlikely(vmread(GUEST_RFLAGS) & BIT(8) /* TF */))
		vmwrite(GUEST_PENDING_DEBUG, vmread(GUEST_PENDING_DEBUG) | PENDING_DEBUG_BS);
}

/* Not by a length known beforehand: any instruction may carry prefixes. */
static inline void vmx_skip_instruction(void)
{
	vmx_skip_to(vmread(GUEST_RIP) + vmread(VMCS_EXIT_INSTRUCTION_LENGTH));
}

#endif
