/*
 * How long the instruction was that exited, and which register it names. With NRIPS and decode
 * assists the processor says so. Without, the instruction is fetched from guest memory and its
 * prefixes are counted; a guest that changes its code meanwhile confuses nobody but itself.
 */
#include "arch/x86/guest/fetch.h"
#include "arch/x86/svm/svm.h"

#define DR6_BS BIT(14)

#define REX_B BIT(0)

#define MODRM_RM 7

/* MOV to or from CRn: 0f 20 or 0f 22, then ModRM. */
#define MOV_CR_MODRM 2

struct prefixes {
	unsigned count;
	u8 rex; /* 0 if there is none */
	u8 bytes[INSTRUCTION_MAX];
	unsigned fetched;
};

static bool is_legacy_prefix(u8 byte)
{
	switch (byte) {
	case 0x26: /* segments */
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x64:
	case 0x65:
	case 0x66: /* operand size, address size */
	case 0x67:
	case 0xf0: /* LOCK, REPNE, REP */
	case 0xf2:
	case 0xf3:
		return true;
	default:
		return false;
	}
}

/* The byte at @offset; the second page is read only if the first one ends before it. */
static bool fetch(struct vcpu *vcpu, struct prefixes *p, unsigned offset)
{
	if (offset >= INSTRUCTION_MAX)
		return false;
	if (offset >= p->fetched)
		p->fetched += guest_fetch(
			vcpu, p->fetched, p->bytes + p->fetched, INSTRUCTION_MAX - p->fetched);
	return offset < p->fetched;
}

/* False if the instruction is not there any more: another vCPU changed the mapping. */
static bool read_prefixes(struct vcpu *vcpu, struct prefixes *p)
{
	bool long_mode;

	vmcb_fill_context(vcpu);
	long_mode = guest_code_size(&vcpu->context) == CODE_64;
	*p = (struct prefixes){0};
	while (fetch(vcpu, p, p->count)) {
		u8 byte = p->bytes[p->count];

		if (long_mode && (byte & 0xf0) == 0x40)
			p->rex = byte;
		else if (is_legacy_prefix(byte))
			p->rex = 0; /* REX counts only right before the opcode */
		else
			return true;
		p->count++;
	}
	return false;
}

void svm_retire_instruction(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	vmcb->interrupt_shadow = 0;
	if (unlikely(vmcb->rflags & RFLAGS_TF)) {
		vmcb->dr6 |= DR6_BS;
		vmcb->clean &= ~(u32)CLEAN_DR;
		vcpu_inject_exception(vcpu, VECTOR_DB, 0);
	}
}

void svm_skip_unprefixed(struct vcpu *vcpu, unsigned length)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	if (svm_features.next_rip)
		vmcb->rip = vmcb->next_rip;
	else if (svm_in_long_mode(vmcb))
		vmcb->rip += length;
	else
		vmcb->rip = (u32)(vmcb->rip + length);
	svm_retire_instruction(vcpu);
}

void svm_skip_instruction(struct vcpu *vcpu, unsigned length)
{
	struct prefixes p;

	if (!svm_features.next_rip && read_prefixes(vcpu, &p))
		length += p.count;
	svm_skip_unprefixed(vcpu, length);
}

bool svm_cr_operand(struct vcpu *vcpu, enum reg *reg)
{
	const struct vmcb *vmcb = vmcb_of(vcpu);
	struct prefixes p;

	if (vmcb->exit_info_1 & CR_INFO_VALID) {
		*reg = vmcb->exit_info_1 & CR_INFO_REG;
		return true;
	}
	if (!read_prefixes(vcpu, &p) || !fetch(vcpu, &p, p.count + MOV_CR_MODRM))
		return false;
	*reg = (p.bytes[p.count + MOV_CR_MODRM] & MODRM_RM) | (p.rex & REX_B ? R8 : 0);
	return true;
}
