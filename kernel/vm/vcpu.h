/*
 * A virtual CPU as every service sees it. Services never call the vendor: the run loop fills in
 * what an exit needs before it calls a service, and loads what changed (registers, @event, @start)
 * before the next entry. Fields are written on the CPU that runs the vCPU, except @requests and
 * @state.
 */
#ifndef VM_VCPU_H
#define VM_VCPU_H

#include "arch/x86/arch.h"
#include "kernel/core/timer.h"
#include "lib/types.h"

#define VCPUS_MAX 8 /* per VM */

/* Index into vcpu.regs: the processor's own encoding order. RSP lives in the control block. */
enum reg { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, REGS };

/* What a service tells its caller. */
enum outcome {
	DONE,    /* finished: skip the instruction */
	RESTART, /* run the instruction again after other work had its turn */
	MMIO,    /* not RAM: a device may live there */
	BAD,  /* no such memory, or no such instruction: the caller decides what the guest gets */
	WAIT, /* the vCPU was blocked; run the instruction again when it wakes */
};

/* Why exits happened, for statistics: the same names for both vendors. */
enum exit_class {
	EXITED_HYPERCALL,
	EXITED_NESTED_FAULT, /* RAM populated, or an entry repaired */
	EXITED_MMIO,
	EXITED_PORT,
	EXITED_MSR,
	EXITED_CPUID,
	EXITED_HALT,
	EXITED_CR,        /* control and debug registers */
	EXITED_INTERRUPT, /* host interrupts and the slice timer */
	EXITED_WINDOW,    /* the guest became ready for an interrupt */
	EXITED_EXCEPTION,
	EXITED_OTHER,
	EXITED_CLASSES
};

/* As the summary and `stat: exits` name it. */
const char *exit_class_name(enum exit_class class);

/* vcpu.requests: set by any CPU with an atomic or, taken by the run loop before an entry. */
#define VCPU_REQ_EVENT BIT(0) /* look at the LAPIC and at @event again */
#define VCPU_REQ_START BIT(1) /* load @start into the control block */
#define VCPU_REQ_YIELD BIT(2) /* leave the run loop: stopped, blocked or preempted */
#define VCPU_REQ_VE    BIT(3) /* @ve_page has changed */

enum vcpu_state {
	VCPU_WAIT_SIPI, /* after INIT */
	VCPU_RUNNABLE,  /* on a run queue */
	VCPU_RUNNING,
	VCPU_BLOCKED, /* HLT: until vcpu_wake() */
	VCPU_STOPPED,
};

/* An event to deliver at the next entry, encoded alike for both vendors (Intel SDM vol. 3, 25.8.3,
 * and AMD APM vol. 2, 15.20: the same types). */
enum event_type {
	EVENT_INTERRUPT = 0,
	EVENT_NMI = 2,
	EVENT_EXCEPTION = 3,
	EVENT_SOFT_INTERRUPT = 4
};

struct vcpu_event {
	bool valid;
	u8 type; /* enum event_type */
	u8 vector;
	bool has_error;
	u32 error;
	u8 length; /* of the instruction, for software interrupts and exceptions */
	bool has_address;
	u64 address; /* CR2 gets it with the event */
};

/* How a vCPU begins. */
struct vcpu_start {
	enum { START_NONE, START_PVH, START_SIPI } kind;
	u32 entry;      /* START_PVH: 32-bit physical entry point */
	u32 start_info; /* START_PVH: gpa of hvm_start_info, in EBX */
	u8 sipi_vector; /* START_SIPI: CS = vector << 8, IP = 0 */
};

/* What the decoder needs of the processor's state; filled by the run loop before mmio_emulate() and
 * a dump. @rip is advanced by the service when it says DONE. */
struct vcpu_context {
	u64 rip, rsp, rflags;
	u64 cr0, cr2, cr3, cr4, efer;
	u64 cs_base;
	bool cs_long, cs_default_32;
	u8 cpl;
};

struct vm;
struct lapic;
struct virt;

struct vcpu {
	u64 regs[REGS]; /* offset 0: entry code relies on it */
	void *vendor;   /* VMX's or SVM's part of this vCPU */
	struct vm *vm;
	u32 requests;           /* VCPU_REQ_* */
	u32 id;                 /* APIC id in the guest */
	u64 flushed_generation; /* vm->memory.generation that this vCPU's translations were flushed
				   for */
	u64 flushes;            /* how often they were, for the summary */
	u64 exits[EXITED_CLASSES];
	u64 eois_without_exit; /* interrupts that ended so: arch/x86/guest/pv_eoi.h */

	struct vcpu_event event;
	struct vcpu_start start;
	struct vcpu_context context;
	struct lapic *lapic; /* arch/x86/guest/lapic.c */
	u64 steal_time_at;   /* its MSR: arch/x86/guest/steal_time.h; 0: off */

	/* kernel/vm/sched.c */
	enum vcpu_state state;
	u32 cpu;               /* the processor it is placed on */
	u64 virtual_time;      /* weighted ticks consumed */
	u64 cpu_ticks;         /* TSC ticks in guest mode and its exits */
	u64 ready_since;       /* TSC: listed in the run queue */
	u64 waited_ticks;      /* in the run queue, while others had the processor */
	struct vcpu *next;     /* run queue */
	bool wake_pending;     /* woken while running: do not block */
	bool blocking;         /* vcpu_block() was called this turn */
	bool offline;          /* INIT came while it ran */
	bool waits_for_memory; /* blocked by memory_wait() */
	bool is_fresh;         /* its vector state is to be that of a reset */

	/* memory_ve.c: where the processor tells of #VE, pinned; 0: it does not */
	hpa_t ve_page;
	gfn_t ve_frame;

	u64 debug_registers[4]; /* DR0-3; DR6 and DR7 where the vendor keeps them */
	u64 dr6;
	u64 cr2; /* while not running */

	u32 osxsave; /* CPUID leaf 1 ECX bit 27 while CR4.OSXSAVE is set: arch/x86/guest/xsave.h */
	/* While another vCPU's are loaded: kernel/dispatch.c. */
	u64 xcr0;
	u8 fpu[FPU_STATE_SIZE] __aligned_to(64);
};
_Static_assert(sizeof(struct vcpu) <= PAGE_SIZE, "a vCPU takes one page");

/* A vCPU of @vm in VCPU_WAIT_SIPI, without vendor's and platform's part; NULL without memory. */
struct vcpu *vcpu_create(struct vm *vm, u32 id);
void vcpu_destroy(struct vcpu *vcpu);
/* As vcpu_create() leaves it, but that statistics and its place stay. It is stopped, and its VM
 * quiet; @vcpu->vendor and @vcpu->lapic are the caller's. */
void vcpu_reset(struct vcpu *vcpu);

/* INIT: the vCPU stops where it is and waits for a SIPI. Any CPU; takes LOCK_SCHED. */
void vcpu_wait_for_sipi(struct vcpu *vcpu);
/* SIPI, or the first start: @vcpu->start is set; a vCPU that does not wait for it ignores it. Any
 * CPU. */
void sched_start(struct vcpu *vcpu);

/* Marks the vCPU as having something to do and makes it run: wakes it if blocked, kicks its CPU if
 * it runs there. Waking is not dispatching. Any CPU; takes LOCK_SCHED. */
void vcpu_wake(struct vcpu *vcpu);
/* Blocks the current vCPU in HLT; it leaves the run loop unless a wake came meanwhile. */
void vcpu_block(struct vcpu *vcpu);

/* Queues an exception for the next entry; a second one becomes #DF, then a triple fault (Intel SDM
 * vol. 3, table 6-5). @error is ignored unless the vector carries one. */
void vcpu_inject_exception(struct vcpu *vcpu, u8 vector, u32 error);

/* The same for #PF: CR2 gets @address. */
void vcpu_inject_page_fault(struct vcpu *vcpu, u64 address, u32 error);

/* Asks the run loop for @bits (VCPU_REQ_*) before its next entry; does not kick. Any CPU. */
static inline void vcpu_request(struct vcpu *vcpu, u32 bits)
{
	__atomic_fetch_or(&vcpu->requests, bits, __ATOMIC_RELEASE);
}

#define VECTOR_DB 1
#define VECTOR_BP 3
#define VECTOR_UD 6
#define VECTOR_DF 8
#define VECTOR_GP 13
#define VECTOR_PF 14
#define VECTOR_AC 17

#endif
