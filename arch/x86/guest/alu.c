/* Results and flags of arithmetic: see alu.h. */
#include "arch/x86/guest/alu.h"

#define FLAG_CF BIT(0)
#define FLAG_PF BIT(2)
#define FLAG_AF BIT(4)
#define FLAG_ZF BIT(6)
#define FLAG_SF BIT(7)
#define FLAG_OF BIT(11)
#define FLAGS   (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

/* The carries out of each bit of a + b + carry, and the borrows of a - b - borrow (H. S. Warren,
 * Hacker's Delight, 2-13). */
static u64 carries(u64 a, u64 b, u64 sum)
{
	return (a & b) | ((a | b) & ~sum);
}

static u64 borrows(u64 a, u64 b, u64 difference)
{
	return (~a & b) | ((~a | b) & difference);
}

u64 alu_compute(enum alu alu, u64 a, u64 b, unsigned bytes, u64 *flags)
{
	u64 mask = bytes == 8 ? ~0UL : BIT(8 * bytes) - 1, top = BIT(8 * bytes - 1);
	u64 carry = *flags & FLAG_CF, chain = 0, overflow = 0, result, set = 0;

	a &= mask;
	b &= mask;
	switch (alu) {
	case ALU_ADD:
	case ALU_ADC:
		result = (a + b + (alu == ALU_ADC ? carry : 0)) & mask;
		chain = carries(a, b, result);
		overflow = ~(a ^ b) & (a ^ result);
		break;
	case ALU_SUB:
	case ALU_SBB:
	case ALU_CMP:
		result = (a - b - (alu == ALU_SBB ? carry : 0)) & mask;
		chain = borrows(a, b, result);
		overflow = (a ^ b) & (a ^ result);
		break;
	case ALU_OR:
		result = a | b;
		break;
	case ALU_XOR:
		result = a ^ b;
		break;
	default: /* AND, TEST */
		result = a & b;
		break;
	}
	set |= chain & top ? FLAG_CF : 0;
	set |= chain & BIT(3) ? FLAG_AF : 0;
	set |= overflow & top ? FLAG_OF : 0;
	set |= result & top ? FLAG_SF : 0;
	set |= result == 0 ? FLAG_ZF : 0;
	set |= __builtin_parity((u32)result & 0xff) ? 0 : FLAG_PF;
	*flags = (*flags & ~FLAGS) | set;
	return result;
}
