/*
 * What a vendor (VMX, SVM) offers to the top floor. Chosen once at boot; the one function pointer
 * on the way to a guest is taken once a turn of the dispatch loop.
 */
#ifndef VM_VIRT_H
#define VM_VIRT_H

#include "kernel/vm/memory.h"
#include "kernel/vm/vcpu.h"

struct virt {
	const char *name;          /* "VMX" or "SVM" */
	u32 hypercall_instruction; /* SLUICE_INSTRUCTION_* */
	/* Whether this processor has the vendor's extension. No message. */
	bool (*present)(void);
	/* Reads the capabilities; 0, or a negative errno after naming each thing that is missing
	 * and what was found. Called once, on the boot CPU. */
	int (*probe)(void);
	/* Valid after probe(). */
	const struct nested_layout *(*layout)(void);
	/* Whether another CPU offers what probe() chose to use: 0, or a negative errno after a
	 * message. On that CPU, before cpu_enable(). */
	int (*cpu_check)(void);
	/* Enters VMX root mode or sets EFER.SVME on this CPU. 0 or a negative errno after a
	 * message. */
	int (*cpu_enable)(void);
	/* Leaves it again, so that the machine can be rebooted. */
	void (*cpu_disable)(void);
	/* Allocates and frees the vendor's part of a vCPU (vcpu->vendor). 0 or -ENOMEM. */
	int (*vcpu_create)(struct vcpu *vcpu);
	void (*vcpu_destroy)(struct vcpu *vcpu);
	/* Whether run() ends the turn at @until by itself; else the caller arms a timer. */
	bool ends_turn;
	/* Runs @vcpu on this CPU until it must yield; @until is the TSC at which its slice ends. */
	void (*run)(struct vcpu *vcpu, u64 until);
};

extern const struct virt vmx_virt;
extern const struct virt svm_virt;

/* The vendor in use, set by main before the first VM. */
extern const struct virt *virt;

#endif
