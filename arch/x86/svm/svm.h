/*
 * What the files of the AMD-V backend share: the SVM part of a vCPU and of a processor, and who
 * does what. Both structs are touched only by the CPU that they belong to.
 */
#ifndef SVM_SVM_H
#define SVM_SVM_H

#include "arch/x86/arch.h"
#include "arch/x86/processor.h"
#include "arch/x86/svm/vmcb.h"
#include "kernel/vm/virt.h"
#include "kernel/vm/vm.h"

/* Exceptions that the core does not name. */
#define VECTOR_NMI        2
#define VECTOR_OF         4
#define VECTOR_MC         18
#define EXCEPTION_VECTORS 32

/* vcpu->vendor. */
struct svm_vcpu {
	struct vmcb vmcb;     /* first: its address is what VMRUN gets */
	u64 vmcb_address;     /* hpa */
	u64 asid_generation;  /* svm_cpu.asid_generation that its ASID belongs to; 0: none yet */
	u64 iret_rip;         /* of the IRET that ends NMI blocking */
	bool flush;           /* the guest's translations are void: take a clean ASID at entry */
	bool owns_debug;      /* it touched DR0-3 once, so they are switched for it */
	bool nmi_blocked;     /* an NMI was delivered and its IRET has not come */
	bool iret_seen;       /* its IRET is the next instruction */
	bool interrupt_armed; /* the VMCB has a vector that the LAPIC holds as accepted */
};

/* cpu->vendor. */
struct svm_cpu {
	void *save_area; /* VM_HSAVE_PA: where VMRUN keeps the host's state */
	void *host;      /* a VMCB for VMSAVE of the host's FS, GS, TR, LDTR and system-call MSRs */
	u64 host_address; /* hpa of @host */
	u64 asid_generation;
	u32 asid_next;
};

/* Read once at boot, constant afterwards. */
struct svm_features {
	u32 asid_count;
	u32 clean_bits; /* CLEAN_ALL where the processor knows them, else 0 */
	bool next_rip;
	bool flush_by_asid;
	u64 cr4_kept; /* set while any guest runs, and hidden from it: MCE where the host has it */
};
extern struct svm_features svm_features;

/* What this vendor keeps of a vCPU. */
static inline struct svm_vcpu *svm_of(const struct vcpu *vcpu)
{
	return vcpu->vendor;
}
static inline struct vmcb *vmcb_of(const struct vcpu *vcpu)
{
	return &svm_of(vcpu)->vmcb;
}

/* CPL 0 of a 16- or 32-bit segment is not enough for a hypercall. */
static inline bool svm_in_long_mode(const struct vmcb *vmcb)
{
	return (vmcb->efer & EFER_LMA) && (vmcb->cs.attributes & SEGMENT_LONG);
}

/* svm_capabilities.c */
bool svm_present(void);
int __must_check svm_probe(void);
/* Whether the firmware lets this CPU use it: 0, or a negative errno after a message. */
int __must_check svm_check_enabled(void);
/* Whether this CPU can do what was found on the boot CPU: 0, or a negative errno after a message.
 */
int __must_check svm_cpu_check(void);
const struct nested_layout *svm_layout(void);

/* svm_permissions.c: the maps that all guests share. */
int __must_check svm_permissions_create(void);
extern u8 *svm_io_map, *svm_msr_map;

/* svm_cpu.c */
int __must_check svm_cpu_enable(void);
void svm_cpu_disable(void);
/* Before every entry: a clean ASID if this one is stale or a flush is due. */
void svm_prepare_asid(struct svm_cpu *cpu, struct svm_vcpu *svm);

/* vmcb.c */
void vmcb_init(struct vcpu *vcpu);
void vmcb_load_start(struct vcpu *vcpu, const struct vcpu_start *start);
/* Between vcpu->context (and RSP in vcpu->regs) and the VMCB. */
void vmcb_fill_context(struct vcpu *vcpu);
void vmcb_dump(struct vcpu *vcpu);

/* svm_events.c */
/* What was being delivered when the exit came is delivered again. */
void svm_requeue_event(struct vcpu *vcpu);
/* Before an entry: injects what is due, and arms the interrupt that the guest is to take next. */
void svm_deliver_event(struct vcpu *vcpu);
/* After an exit with an interrupt armed: the LAPIC has it back unless the guest has taken it. */
void svm_settle_interrupt(struct vcpu *vcpu);
void svm_nmi_returns(struct vcpu *vcpu);

/* svm_instruction.c */
/* RIP stands behind the instruction that exited: ends the interrupt shadow it lived under, and
 * raises the single-step trap that it owes. */
void svm_retire_instruction(struct vcpu *vcpu);
/* Moves RIP there, @length without prefixes, and retires. */
void svm_skip_instruction(struct vcpu *vcpu, unsigned length);
/* The same for an instruction that has no prefixes by definition. */
void svm_skip_unprefixed(struct vcpu *vcpu, unsigned length);
/* The general register of a MOV to or from a control register that exited. False if the instruction
 * is gone: it must run again. */
bool __must_check svm_cr_operand(struct vcpu *vcpu, enum reg *reg);

/* svm_registers.c */
void svm_read_cr(struct vcpu *vcpu, unsigned number);
void svm_write_cr(struct vcpu *vcpu, unsigned number);
void svm_own_debug_registers(struct vcpu *vcpu);
void svm_access_msr(struct vcpu *vcpu);
/* The debug registers that no VMCB holds, around a vCPU's turn. */
void svm_load_debug_registers(struct vcpu *vcpu);
void svm_save_debug_registers(struct vcpu *vcpu);

/* svm_exits.c */
void svm_hypercall(struct vcpu *vcpu);
void svm_nested_fault(struct vcpu *vcpu);
void svm_port(struct vcpu *vcpu);
void svm_halt(struct vcpu *vcpu);
void svm_reinject(struct vcpu *vcpu, u8 vector);
void svm_host_interrupt(void);
void svm_finish_halt(struct vcpu *vcpu);
void svm_host_machine_check(void);
void svm_entry_failed(struct vcpu *vcpu);
void svm_unhandled_exit(struct vcpu *vcpu);

/* svm_run.c */
void svm_run(struct vcpu *vcpu, u64 until);

/* svm_entry.S: one trip into the guest and back; host state is whole again afterwards. */
void svm_enter(struct vcpu *vcpu, u64 vmcb_address, u64 host_address);

#endif
