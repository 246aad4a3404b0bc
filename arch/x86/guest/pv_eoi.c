/* Ends of interrupts without an exit: see pv_eoi.h. On the CPU of the vCPU, without a lock; the
 * guest's other vCPUs may write the word at the same time. */
#include "arch/x86/guest/pv_eoi.h"

#include "arch/x86/guest/lapic_state.h"

static u32 *word_in(u8 *page, u64 at)
{
	return page ? (u32 *)(page + (at & PAGE_MASK & ~PV_EOI_ON)) : NULL;
}

static gfn_t frame_of(u64 at)
{
	return gpa_to_gfn(gpa(at));
}

/* Whether @bits hold @vector and nothing else. */
static bool is_alone(const u64 bits[4], u8 vector)
{
	for (unsigned i = 0; i < 4; i++)
		if (bits[i] != (i == vector / 64 ? BIT(vector % 64) : 0))
			return false;
	return true;
}

static bool is_empty(const u64 bits[4])
{
	return !(READ_ONCE(bits[0]) | READ_ONCE(bits[1]) | READ_ONCE(bits[2]) | READ_ONCE(bits[3]));
}

void pv_eoi_offer(struct lapic *lapic, u8 vector)
{
	u64 at = lapic->pv_eoi_at;
	u32 *word;

	/* A level-triggered one has to tell the IOAPIC. */
	if (READ_ONCE(lapic->tmr[vector / 64]) & BIT(vector % 64))
		return;
	if (!is_alone(lapic->isr, vector) || !is_empty(lapic->irr))
		return;
	word = word_in(memory_page_now(lapic->vcpu->vm, frame_of(at)), at);
	if (!word)
		return;
	__atomic_fetch_or(word, PV_EOI_OFFERED, __ATOMIC_RELAXED);
	lapic->offered = vector;
}

void pv_eoi_settle(struct lapic *lapic)
{
	u8 vector = lapic->offered;
	u64 at = lapic->pv_eoi_at;
	/* A page on its way to another frame is brought back: the answer has to be right. */
	u32 *word = word_in(memory_page(lapic->vcpu->vm, frame_of(at)), at);

	lapic->offered = 0;
	if (word && (READ_ONCE(*word) & PV_EOI_OFFERED) &&
		(__atomic_fetch_and(word, ~PV_EOI_OFFERED, __ATOMIC_RELAXED) & PV_EOI_OFFERED))
		return; /* in service still: its end is a write to EOI now */
	lapic->isr[vector / 64] &= ~BIT(vector % 64);
	lapic->vcpu->eois_without_exit++;
}

enum outcome pv_eoi_write(struct vcpu *vcpu, u64 value)
{
	struct lapic *lapic = vcpu->lapic;

	if (value & PV_EOI_RESERVED)
		return BAD;
	if ((value & PV_EOI_ON) && !memory_page(vcpu->vm, frame_of(value))) {
		if (!memory_lacks_frame(vcpu->vm, frame_of(value)))
			return BAD;
		memory_wait(vcpu);
		return WAIT;
	}
	if (lapic->offered)
		pv_eoi_settle(lapic);
	lapic->pv_eoi_at = value & PV_EOI_ON ? value : 0;
	return DONE;
}
