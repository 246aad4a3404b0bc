/*
 * The state of one LAPIC, for lapic.c, lapic_timer.c and lapic_ipi.c only.
 *
 * Invariant: irr and tmr change by atomic operations from any CPU; deaf and waits_for_sipi
 * under the VM's lock; all else on the vCPU's own CPU.
 */
#ifndef GUEST_LAPIC_STATE_H
#define GUEST_LAPIC_STATE_H

#include "arch/x86/guest/lapic.h"

enum lvt { LVT_TIMER, LVT_THERMAL, LVT_PERFORMANCE, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVTS };

#define LVT_VECTOR     0xffu
#define LVT_MASKED     BIT(16)
#define LVT_MODE_SHIFT 17
#define LVT_MODE       (3u << LVT_MODE_SHIFT)

#define SVR_ENABLED BIT(8)

enum timer_mode { MODE_ONE_SHOT, MODE_PERIODIC, MODE_DEADLINE, MODE_RESERVED };

struct lapic {
	struct timer timer; /* TIMER_LAPIC */
	struct vcpu *vcpu;
	u64 irr[4], isr[4], tmr[4]; /* a bit for each vector */
	u32 tpr, svr;
	u32 esr, esr_next; /* as read, and gathered since the last write */
	u64 icr;
	u32 lvt[LVTS];
	u32 timer_initial, timer_divide; /* @timer_divide as written: 0..3, 8..11 */
	u64 deadline;                    /* TSC; of MODE_DEADLINE, 0 if not armed */
	bool nmi;                        /* pending */
	bool deaf;                       /* in HLT with interrupts off: only NMI and INIT wake it */
	bool waits_for_sipi;             /* after INIT */
	u8 offered; /* the vector whose end the guest may say without an exit, alone in service; or
		       0 */
	u64 pv_eoi_at; /* its MSR (pv_eoi.h); 0: off */
};

/* All registers as after INIT (Intel SDM vol. 3, 11.4.7.3); keeps the flags of the vCPU's life. */
void lapic_reset(struct lapic *lapic);
void lapic_error(struct lapic *lapic, u32 bit);
/* Whether no vCPU of @vm can ever run again. Under the VM's lock. */
bool lapic_all_deaf(const struct vm *vm);

/* lapic_timer.c: the mode in the LVT, writes to LVT and initial count, and what the current count
 * reads. */
enum timer_mode lapic_timer_mode(const struct lapic *lapic);
void lapic_timer_write_lvt(struct lapic *lapic, u32 value);
void lapic_timer_write_initial(struct lapic *lapic, u32 value);
u32 lapic_timer_current(const struct lapic *lapic);

/* pv_eoi.c: offers the end of @vector, just accepted, if it needs no exit; and finds out whether
 * the guest has taken the offer, or takes it back. While pv_eoi_at and offered, respectively. */
void pv_eoi_offer(struct lapic *lapic, u8 vector);
void pv_eoi_settle(struct lapic *lapic);

/* ICR and SELF IPI: sends what @icr says from @vcpu. False: reserved bits or modes (#GP). */
bool lapic_send(struct vcpu *vcpu, u64 icr);

#define ESR_SEND_ILLEGAL    BIT(5)
#define ESR_RECEIVE_ILLEGAL BIT(6)

#endif
