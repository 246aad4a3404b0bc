/*
 * A guest that ends its interrupts as PV EOI lets it, beside a plain LAPIC whose every EOI is a
 * register's write: after any program of interrupts, ends, entries, priorities, restarts and moved
 * pages both must deliver the same in the same order, and hold the same at each look. The guest's
 * words of memory must be as they were but for the one bit that is offered.
 *
 * To be included after fake/pc_guest.h; REQUIRE(condition) is the includer's.
 */
#ifndef FAKE_EOI_MODEL_H
#define FAKE_EOI_MODEL_H

#include "arch/x86/guest/pv_eoi.h"
#include "kernel/vm/limbo.h"

/* Vectors from here on are a level-triggered line's, pins 0 to 3. */
#define MODEL_LEVEL      0x80
#define MODEL_LINES      4
#define MODEL_WORDS      4
#define MODEL_WORD(i)    (16 * PAGE_SIZE + (i) * (2 * PAGE_SIZE + 4))
#define MODEL_OTHER_BITS 0xa5a5a5a4u

/* What the steps are made of. */
struct model_step {
	u8 what, vcpu;
	u16 number;
};

struct model_vcpu {
	bool irr[256], isr[256];
	u32 tpr;
	int word; /* -1: PV EOI is off */
	bool waits_for_sipi;
};

static struct model_vcpu model[VCPUS];
static bool model_line[MODEL_LINES], model_remote_irr[MODEL_LINES];
static bool model_gone[MODEL_WORDS];
/* How often the guest ended one without an exit, had to exit for it, and got one. */
static u64 model_cheap, model_dear, model_delivered;

static int model_highest(const bool *bits)
{
	for (int vector = 255; vector >= 0; vector--)
		if (bits[vector])
			return vector;
	return -1;
}

static u32 model_priority(const struct model_vcpu *m)
{
	int serving = model_highest(m->isr);
	u32 class = serving < 0 ? 0 : (u32)serving & 0xf0;

	return (m->tpr & 0xf0) >= class ? m->tpr : class;
}

static int model_pending(const struct model_vcpu *m)
{
	int vector = model_highest(m->irr);

	return vector >= 0 && ((u32)vector & 0xf0) > (model_priority(m) & 0xf0) ? vector : -1;
}

/* Lines go to vCPU 0. */
static void model_send_line(unsigned pin)
{
	if (!model_line[pin] || model_remote_irr[pin])
		return;
	model_remote_irr[pin] = true;
	if (!model[0].waits_for_sipi)
		model[0].irr[MODEL_LEVEL + 16 * pin] = true;
}

static void model_end(unsigned id)
{
	int vector = model_highest(model[id].isr);

	if (vector < 0)
		return;
	model[id].isr[vector] = false;
	if (vector < MODEL_LEVEL)
		return;
	model_remote_irr[(vector - MODEL_LEVEL) / 16] = false;
	model_send_line((unsigned)(vector - MODEL_LEVEL) / 16);
}

static u32 *model_word(unsigned word)
{
	u8 *page = memory_page(vm, gpa_to_gfn(gpa(MODEL_WORD(word))));

	return page ? (u32 *)(page + (MODEL_WORD(word) & PAGE_MASK)) : NULL;
}

/* The guest's end of what it serves: test and clear in one instruction, or a write to EOI. */
static void model_guest_ends(unsigned id, bool ignores_the_offer)
{
	int word = model[id].word;
	u32 *at = word < 0 || model_gone[word] || ignores_the_offer ? NULL
								    : model_word((unsigned)word);

	model_end(id);
	if (at && (*at & PV_EOI_OFFERED)) {
		*at &= ~PV_EOI_OFFERED;
		model_cheap++;
		return;
	}
	set(id, X2(EOI), 0);
	model_dear++;
}

static void model_deliver(unsigned id, int vector)
{
	model[id].irr[vector] = false;
	model[id].isr[vector] = true;
	model_delivered++;
}

/* An entry, as a run loop makes it: if asked, what is highest goes in. */
static void model_enter(unsigned id)
{
	struct vcpu *vcpu = &vcpus[id];
	int want = model_pending(&model[id]), got = -1;

	if (vcpu->requests & VCPU_REQ_EVENT) {
		vcpu->requests &= ~(u32)VCPU_REQ_EVENT;
		got = lapic_pending(vcpu);
	}
	/* What nobody asked the run loop to look at is lost. */
	REQUIRE(got == want);
	if (got < 0)
		return;
	lapic_accept(vcpu, (u8)got);
	model_deliver(id, got);
}

/*
 * The same with an interrupt that waits in the control block, as under AMD-V: the guest may end
 * what it serves before it gets the new one, and what it has not got by the next exit is withdrawn.
 */
static void model_enter_late(unsigned id, bool ends_first, bool gets_it)
{
	struct vcpu *vcpu = &vcpus[id];
	const u32 *word = model[id].word < 0 ? NULL : model_word((unsigned)model[id].word);
	int got = lapic_pending(vcpu);

	REQUIRE(got == model_pending(&model[id]));
	if (got < 0)
		return;
	lapic_accept(vcpu, (u8)got);
	ends_first &= model_highest(model[id].isr) >= 0;
	if (ends_first && word && (*word & PV_EOI_OFFERED))
		model_guest_ends(id, false);
	else
		gets_it &= !ends_first; /* the end is an exit */
	if (gets_it) {
		model_deliver(id, got);
		return;
	}
	lapic_withdraw(vcpu, (u8)got);
	vcpu_request(vcpu, VCPU_REQ_EVENT);
	if (ends_first)
		model_guest_ends(id, false);
}

static void model_check(unsigned id)
{
	const struct lapic *lapic = vcpus[id].lapic;
	const struct model_vcpu *m = &model[id];

	for (unsigned vector = 0; vector < 256; vector++)
		REQUIRE(m->irr[vector] == !!(lapic->irr[vector / 64] & BIT(vector % 64)));
	if (lapic->offered) {
		REQUIRE(lapic->offered < MODEL_LEVEL);
		return;
	}
	for (unsigned vector = 0; vector < 256; vector++)
		REQUIRE(m->isr[vector] == !!(lapic->isr[vector / 64] & BIT(vector % 64)));
}

/* A look at registers is one that matters. */
static void model_look(unsigned id)
{
	u32 in_service = 0;

	REQUIRE(get(id, X2(PPR)) == model_priority(&model[id]));
	for (unsigned i = 0; i < 256; i++) {
		in_service |= (u32)model[id].isr[i] << i % 32;
		if (i % 32 == 31) {
			REQUIRE(get(id, X2(ISR) + i / 32) == in_service);
			in_service = 0;
		}
	}
	REQUIRE(vcpus[id].lapic->offered == 0);
}

static void model_name_word(unsigned id, u16 number)
{
	unsigned word = number % MODEL_WORDS;

	/* One vCPU a word. */
	for (unsigned i = 0; i < VCPUS; i++)
		if (i != id && model[i].word == (int)word)
			return;
	if (number & 0x80) {
		set(id, MSR_KVM_PV_EOI, number & 0x40 ? MODEL_WORD(word) : 0);
		model[id].word = -1;
	} else if (model_gone[word]) {
		refuses(id, MSR_KVM_PV_EOI, MODEL_WORD(word) | PV_EOI_ON);
	} else {
		set(id, MSR_KVM_PV_EOI, MODEL_WORD(word) | PV_EOI_ON);
		model[id].word = (int)word;
	}
}

static void model_restart(unsigned id)
{
	int word = model[id].word;

	set(1 - id % 2, X2(ICR), (u64)id << 32 | DELIVER_INIT << 8 | BIT(14));
	set(1 - id % 2, X2(ICR), (u64)id << 32 | DELIVER_SIPI << 8 | 0x10);
	REQUIRE(vcpus[id].requests & VCPU_REQ_START);
	vcpus[id].requests = 0;
	REQUIRE(vcpu_take_start(&vcpus[id]).kind == START_SIPI);
	set(id, X2(SVR), 0x1ff);
	memset(&model[id], 0, sizeof(model[id]));
	model[id].word = -1;
	/* A bit that was offered may stand: whoever names the word again has cleared it. */
	if (word >= 0 && !model_gone[word])
		*model_word((unsigned)word) = MODEL_OTHER_BITS;
}

/* A word that nobody uses goes into the balloon with its page, or comes back. */
static void model_move_page(unsigned word)
{
	gfn_t frame = gpa_to_gfn(gpa(MODEL_WORD(word)));

	for (unsigned i = 0; i < VCPUS; i++)
		if (model[i].word == (int)word)
			return;
	if (model_gone[word])
		REQUIRE(memory_deflate(vm, frame, 0) == 0);
	else
		REQUIRE(memory_inflate(vm, frame, 0) == 0);
	model_gone[word] = !model_gone[word];
	fake_all_pass();
	limbo_drain();
	if (!model_gone[word])
		*model_word(word) = MODEL_OTHER_BITS;
}

static void model_raise(unsigned id, u16 number)
{
	u8 vector = (u8)(16 + number % (MODEL_LEVEL - 16));
	unsigned from = number >> 8 & 3;

	if (from < VCPUS)
		set(from, X2(ICR), (u64)id << 32 | vector);
	else
		set(id, X2(SELF), vector);
	model[id].irr[vector] = true;
}

static void model_move_line(unsigned pin, bool high)
{
	model_line[pin] = high;
	if (!high) {
		ioapic_lower(vm, pin);
		return;
	}
	ioapic_raise(vm, pin);
	model_send_line(pin);
}

static void model_step(const struct model_step *step)
{
	unsigned id = step->vcpu % VCPUS;

	switch (step->what % 16) {
	case 0:
		model_raise(id, step->number);
		break;
	case 1 ... 4:
		model_enter(id);
		break;
	case 5 ... 9:
		/* Seldom one that ends nothing. */
		if (model_highest(model[id].isr) >= 0 || step->number % 8 == 0)
			model_guest_ends(id, step->number % 8 == 1);
		break;
	case 10:
		model_move_line(step->number % MODEL_LINES, step->number & 0x80);
		break;
	case 11:
		/* Mostly 0. */
		model[id].tpr = step->number & 0x300 ? 0 : step->number & 0xff;
		set(id, X2(TPR), model[id].tpr);
		break;
	case 12:
		model_name_word(id, step->number);
		break;
	case 13:
		model_enter_late(id, step->number & 1, step->number & 2);
		break;
	case 14:
		model_look(id);
		break;
	case 15:
		if (step->number % 8 == 0)
			model_restart(id);
		else
			model_move_page(step->number / 8 % MODEL_WORDS);
		break;
	}
	for (unsigned i = 0; i < VCPUS; i++)
		model_check(i);
	for (unsigned i = 0; i < MODEL_WORDS; i++)
		REQUIRE(model_gone[i] || (*model_word(i) & ~PV_EOI_OFFERED) == MODEL_OTHER_BITS);
}

/* After fake/pc_guest.h's setup(). */
static void model_begin(void)
{
	memset(model, 0, sizeof(model));
	memset(model_line, 0, sizeof(model_line));
	memset(model_remote_irr, 0, sizeof(model_remote_irr));
	memset(model_gone, 0, sizeof(model_gone));
	model_cheap = model_dear = model_delivered = 0;
	enable_all();
	for (unsigned i = 0; i < VCPUS; i++)
		model[i].word = -1;
	for (unsigned i = 0; i < MODEL_WORDS; i++)
		*model_word(i) = MODEL_OTHER_BITS;
	for (unsigned pin = 0; pin < MODEL_LINES; pin++) {
		ioapic_write(vm, 0, 0x10 + 2 * pin);
		ioapic_write(vm, 0x10, (u32)(MODEL_LEVEL + 16 * pin) | BIT(15));
	}
}

#endif
