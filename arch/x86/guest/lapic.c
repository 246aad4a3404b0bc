/*
 * The registers of a LAPIC in x2APIC mode (Intel SDM vol. 3, 11.12.1.2, table 11-6) and what is
 * pending in it. lapic_timer.c has the timer, lapic_ipi.c what goes from one LAPIC to others.
 * Locks: see lapic_state.h.
 */
#include "arch/x86/guest/lapic.h"

#include "arch/x86/guest/ioapic.h"
#include "arch/x86/guest/lapic_state.h"
#include "kernel/core/frame.h"
#include <abi/errno.h>
#include <abi/platform.h>
#include <string.h>

/* Indices of registers: MSR less 0x800. */
enum {
	REG_ID = 0x02,
	REG_VERSION = 0x03,
	REG_TPR = 0x08,
	REG_PPR = 0x0a,
	REG_EOI = 0x0b,
	REG_LDR = 0x0d,
	REG_SVR = 0x0f,
	REG_ISR = 0x10,
	REG_TMR = 0x18,
	REG_IRR = 0x20,
	REG_ESR = 0x28,
	REG_ICR = 0x30,
	REG_LVT = 0x32,
	REG_TIMER_INITIAL = 0x38,
	REG_TIMER_CURRENT = 0x39,
	REG_TIMER_DIVIDE = 0x3e,
	REG_SELF_IPI = 0x3f,
};

#define VERSION_VALUE ((LVTS - 1) << 16 | 0x14u)

/* Bits of each LVT entry that can be written; the delivery status and remote IRR are read-only. */
static const u32 lvt_writable[LVTS] = {
	[LVT_TIMER] = 0x700ff,
	[LVT_THERMAL] = 0x107ff,
	[LVT_PERFORMANCE] = 0x107ff,
	[LVT_LINT0] = 0x1a7ff,
	[LVT_LINT1] = 0x1a7ff,
	[LVT_ERROR] = 0x100ff,
};
#define LVT_READ_ONLY (BIT(12) | BIT(14))

#define APIC_BASE_BSP     BIT(8)
#define APIC_BASE_X2APIC  BIT(10)
#define APIC_BASE_ENABLED BIT(11)

_Static_assert(sizeof(struct lapic) <= PAGE_SIZE, "a LAPIC is allocated as one page");

COLD void lapic_reset(struct lapic *lapic)
{
	timer_cancel(&lapic->timer);
	memset(lapic->irr, 0, sizeof(lapic->irr));
	memset(lapic->isr, 0, sizeof(lapic->isr));
	memset(lapic->tmr, 0, sizeof(lapic->tmr));
	lapic->tpr = 0;
	lapic->svr = 0xff;
	lapic->esr = lapic->esr_next = 0;
	lapic->icr = 0;
	for (unsigned i = 0; i < LVTS; i++)
		lapic->lvt[i] = LVT_MASKED;
	lapic->timer_initial = lapic->timer_divide = 0;
	lapic->deadline = 0;
	lapic->nmi = false;
	/* Not taken back: after INIT the word may be anything's. */
	lapic->offered = 0;
	lapic->pv_eoi_at = 0;
}

__init int lapic_create(struct vcpu *vcpu)
{
	struct lapic *lapic = hypervisor_alloc(0);

	if (!lapic)
		return -SLUICE_ENOMEM;
	lapic->vcpu = vcpu;
	lapic->timer.kind = TIMER_LAPIC;
	vcpu->lapic = lapic;
	lapic_power_cycle(vcpu);
	return 0;
}

COLD void lapic_power_cycle(struct vcpu *vcpu)
{
	struct lapic *lapic = vcpu->lapic;

	lapic_reset(lapic);
	lapic->deaf = false;
	/* vCPU 0 is started by its start info, the others by a SIPI. */
	lapic->waits_for_sipi = vcpu->id != 0;
}

COLD void lapic_destroy(struct vcpu *vcpu)
{
	if (!vcpu->lapic)
		return;
	timer_cancel(&vcpu->lapic->timer);
	hypervisor_free(vcpu->lapic, 0);
	vcpu->lapic = NULL;
}

/* The highest vector in @bits, or -1. */
static int highest(const u64 bits[4])
{
	for (int word = 3; word >= 0; word--) {
		u64 value = READ_ONCE(bits[word]);

		if (value)
			return word * 64 + 63 - __builtin_clzl(value);
	}
	return -1;
}

/* Before anything depends on what is in service. */
static inline void settle(struct lapic *lapic)
{
	if (unlikely(lapic->offered))
		pv_eoi_settle(lapic);
}

/* The processor priority: what has to be exceeded (Intel SDM vol. 3, 11.8.3.1). */
static u32 priority(const struct lapic *lapic)
{
	int serving = highest(lapic->isr);
	u32 class = serving < 0 ? 0 : (u32)serving & 0xf0;

	return (lapic->tpr & 0xf0) >= class ? lapic->tpr : class;
}

int lapic_pending(struct vcpu *vcpu)
{
	struct lapic *lapic = vcpu->lapic;
	int vector = highest(lapic->irr);

	if (vector < 0)
		return -1;
	settle(lapic);
	if (((u32)vector & 0xf0) <= (priority(lapic) & 0xf0))
		return -1;
	return vector;
}

void lapic_accept(struct vcpu *vcpu, u8 vector)
{
	struct lapic *lapic = vcpu->lapic;

	__atomic_fetch_and(&lapic->irr[vector / 64], ~BIT(vector % 64), __ATOMIC_ACQ_REL);
	lapic->isr[vector / 64] |= BIT(vector % 64);
	if (lapic->pv_eoi_at)
		pv_eoi_offer(lapic, vector);
}

void lapic_withdraw(struct vcpu *vcpu, u8 vector)
{
	struct lapic *lapic = vcpu->lapic;

	settle(lapic);
	lapic->isr[vector / 64] &= ~BIT(vector % 64);
	__atomic_fetch_or(&lapic->irr[vector / 64], BIT(vector % 64), __ATOMIC_ACQ_REL);
}

bool lapic_nmi_pending(const struct vcpu *vcpu)
{
	return READ_ONCE(vcpu->lapic->nmi);
}

void lapic_nmi_accept(struct vcpu *vcpu)
{
	WRITE_ONCE(vcpu->lapic->nmi, false);
}

static void set_tpr(struct vcpu *vcpu, u32 tpr)
{
	vcpu->lapic->tpr = tpr;
	/* What was deliverable may not be any more, and the other way round. */
	if (highest(vcpu->lapic->irr) >= 0)
		vcpu_request(vcpu, VCPU_REQ_EVENT);
}

void lapic_set_tpr(struct vcpu *vcpu, u8 cr8)
{
	set_tpr(vcpu, (u32)(cr8 & 0xf) << 4);
}

u8 lapic_get_tpr(const struct vcpu *vcpu)
{
	return (u8)(vcpu->lapic->tpr >> 4);
}

COLD void lapic_error(struct lapic *lapic, u32 bit)
{
	u8 vector = (u8)lapic->lvt[LVT_ERROR];

	lapic->esr_next |= bit;
	/* A bad vector in the error entry itself raises nothing more. */
	if (!(lapic->lvt[LVT_ERROR] & LVT_MASKED) && vector >= 16)
		lapic_raise(lapic->vcpu, vector, false);
}

void lapic_raise(struct vcpu *vcpu, u8 vector, bool level)
{
	struct lapic *lapic = vcpu->lapic;
	u64 bit = BIT(vector % 64);

	if (vector < 16 || !(READ_ONCE(lapic->svr) & SVR_ENABLED))
		return;
	if (level)
		__atomic_fetch_or(&lapic->tmr[vector / 64], bit, __ATOMIC_RELAXED);
	else if (READ_ONCE(lapic->tmr[vector / 64]) & bit)
		__atomic_fetch_and(&lapic->tmr[vector / 64], ~bit, __ATOMIC_RELAXED);
	/* Pending already: whoever set the bit has asked for attention. */
	if (__atomic_fetch_or(&lapic->irr[vector / 64], bit, __ATOMIC_ACQ_REL) & bit)
		return;
	vcpu_request(vcpu, VCPU_REQ_EVENT);
	if (!READ_ONCE(lapic->deaf))
		vcpu_wake(vcpu);
}

static void end_of_interrupt(struct vcpu *vcpu)
{
	struct lapic *lapic = vcpu->lapic;
	int vector;
	u64 bit;

	settle(lapic);
	vector = highest(lapic->isr);
	if (vector < 0)
		return;
	bit = BIT(vector % 64);
	lapic->isr[vector / 64] &= ~bit;
	if (READ_ONCE(lapic->tmr[vector / 64]) & bit)
		ioapic_end_of_interrupt(vcpu->vm, (u8)vector);
	if (lapic_pending(vcpu) >= 0)
		vcpu_request(vcpu, VCPU_REQ_EVENT);
}

/* Registers of 256 bits are read as eight of 32. */
static u32 part(const u64 bits[4], u32 index)
{
	return (u32)(READ_ONCE(bits[index / 2]) >> (index % 2 * 32));
}

enum outcome lapic_read(struct vcpu *vcpu, u32 index, u64 *value)
{
	struct lapic *lapic = vcpu->lapic;

	switch (index) {
	case REG_ID:
		*value = vcpu->id;
		return DONE;
	case REG_VERSION:
		*value = VERSION_VALUE;
		return DONE;
	case REG_TPR:
		*value = lapic->tpr;
		return DONE;
	case REG_PPR:
		settle(lapic);
		*value = priority(lapic);
		return DONE;
	case REG_LDR: /* Intel SDM vol. 3, 11.12.10.2 */
		*value = (vcpu->id >> 4) << 16 | 1u << (vcpu->id & 15);
		return DONE;
	case REG_SVR:
		*value = lapic->svr;
		return DONE;
	case REG_ISR ... REG_ISR + 7:
		settle(lapic);
		*value = part(lapic->isr, index - REG_ISR);
		return DONE;
	case REG_TMR ... REG_TMR + 7:
		*value = part(lapic->tmr, index - REG_TMR);
		return DONE;
	case REG_IRR ... REG_IRR + 7:
		*value = part(lapic->irr, index - REG_IRR);
		return DONE;
	case REG_ESR:
		*value = lapic->esr;
		return DONE;
	case REG_ICR:
		*value = lapic->icr;
		return DONE;
	case REG_LVT ... REG_LVT + LVTS - 1:
		*value = lapic->lvt[index - REG_LVT];
		return DONE;
	case REG_TIMER_INITIAL:
		*value = lapic->timer_initial;
		return DONE;
	case REG_TIMER_CURRENT:
		*value = lapic_timer_current(lapic);
		return DONE;
	case REG_TIMER_DIVIDE:
		*value = lapic->timer_divide;
		return DONE;
	default: /* EOI and SELF IPI are write-only */
		return BAD;
	}
}

static enum outcome write_lvt(struct lapic *lapic, u32 index, u64 value)
{
	if (value & ~(u64)(lvt_writable[index] | LVT_READ_ONLY))
		return BAD;
	value &= lvt_writable[index];
	/* Software-disabled: every entry stays masked (Intel SDM vol. 3, 11.4.7.2). */
	if (!(lapic->svr & SVR_ENABLED))
		value |= LVT_MASKED;
	if (index == LVT_TIMER)
		lapic_timer_write_lvt(lapic, (u32)value);
	else
		lapic->lvt[index] = (u32)value;
	return DONE;
}

static enum outcome write_svr(struct lapic *lapic, u64 value)
{
	if (value & ~0x1ffUL) /* no focus check, no suppression of EOI broadcasts */
		return BAD;
	WRITE_ONCE(lapic->svr, (u32)value);
	if (!(value & SVR_ENABLED))
		for (unsigned i = 0; i < LVTS; i++)
			lapic->lvt[i] |= LVT_MASKED;
	return DONE;
}

enum outcome lapic_write(struct vcpu *vcpu, u32 index, u64 value)
{
	struct lapic *lapic = vcpu->lapic;

	if (index == REG_ICR) {
		lapic->icr = value & ~BIT(12); /* delivery status: always idle */
		return lapic_send(vcpu, value) ? DONE : BAD;
	}
	if (value > ~0U)
		return BAD;
	switch (index) {
	case REG_TPR:
		if (value > 0xff)
			return BAD;
		set_tpr(vcpu, (u32)value);
		return DONE;
	case REG_EOI:
		if (value)
			return BAD;
		end_of_interrupt(vcpu);
		return DONE;
	case REG_SVR:
		return write_svr(lapic, value);
	case REG_ESR:
		if (value)
			return BAD;
		lapic->esr = lapic->esr_next;
		lapic->esr_next = 0;
		return DONE;
	case REG_LVT ... REG_LVT + LVTS - 1:
		return write_lvt(lapic, index - REG_LVT, value);
	case REG_TIMER_INITIAL:
		lapic_timer_write_initial(lapic, (u32)value);
		return DONE;
	case REG_TIMER_DIVIDE:
		if (value & ~0xbUL)
			return BAD;
		lapic->timer_divide = (u32)value;
		return DONE;
	case REG_SELF_IPI:
		if (value > 0xff)
			return BAD;
		if (value < 16)
			lapic_error(lapic, ESR_SEND_ILLEGAL);
		else
			lapic_raise(vcpu, (u8)value, false);
		return DONE;
	default: /* the read-only ones too */
		return BAD;
	}
}

u64 lapic_base(const struct vcpu *vcpu)
{
	return PLATFORM_LAPIC_BASE | APIC_BASE_ENABLED | APIC_BASE_X2APIC |
	       (vcpu->id == 0 ? APIC_BASE_BSP : 0);
}
