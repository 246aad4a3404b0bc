/* The decoder: see decode.h. Encodings after the Intel SDM vol. 2, chapter 2 and appendix A. */
#include "arch/x86/guest/decode.h"

#include <string.h>

/* Where the decoder stands in the bytes, and the prefixes it met. */
struct cursor {
	const u8 *bytes;
	unsigned count, at;
	bool truncated;
	enum code_size size;
	bool operand_prefix, address_prefix, repeat_prefix, lock;
	u8 rex; /* 0 if none */
};

#define REX_W 0x8
#define REX_R 0x4

static u8 next(struct cursor *c)
{
	if (c->at >= c->count) {
		c->truncated = true;
		return 0;
	}
	return c->bytes[c->at++];
}

static void skip(struct cursor *c, unsigned count)
{
	if (count > c->count - c->at) {
		c->truncated = true;
		c->at = c->count;
		return;
	}
	c->at += count;
}

/* A little-endian number of 1, 2, 4 or 8 bytes, sign-extended. */
static u64 number(struct cursor *c, unsigned bytes)
{
	u64 value = 0;
	unsigned shift = 64 - 8 * bytes;

	for (unsigned i = 0; i < bytes; i++)
		value |= (u64)next(c) << 8 * i;
	return (u64)((s64)(value << shift) >> shift);
}

/* Reads prefixes and returns the first byte of the opcode. A REX prefix counts only as the last
 * one. */
static u8 prefixes(struct cursor *c)
{
	for (;;) {
		u8 byte = next(c);

		if (c->size == CODE_64 && (byte & 0xf0) == 0x40) {
			c->rex = byte;
			continue;
		}
		switch (byte) {
		case 0x66:
			c->operand_prefix = true;
			break;
		case 0x67:
			c->address_prefix = true;
			break;
		case 0xf0:
			c->lock = true;
			break;
		case 0x26: /* segments: the address is known already */
		case 0x2e:
		case 0x36:
		case 0x3e:
		case 0x64:
		case 0x65:
			break;
		case 0xf2: /* REP, or a lock elision hint: nothing to most of these instructions */
		case 0xf3:
			c->repeat_prefix = true;
			break;
		default:
			return byte;
		}
		c->rex = 0;
	}
}

static u8 operand_bytes(const struct cursor *c)
{
	if (c->size == CODE_64 && (c->rex & REX_W))
		return 8;
	return (c->size == CODE_16) == c->operand_prefix ? 4 : 2;
}

static unsigned address_bytes(const struct cursor *c)
{
	if (c->size == CODE_64)
		return c->address_prefix ? 4 : 8;
	return (c->size == CODE_16) == c->address_prefix ? 4 : 2;
}

/* Skips ModRM's SIB and displacement. False if its operand is a register. */
static bool memory_operand(struct cursor *c, u8 *reg)
{
	u8 modrm = next(c), mod = modrm >> 6, rm = modrm & 7;

	*reg = (modrm >> 3 & 7) | (c->rex & REX_R ? 8 : 0);
	if (mod == 3)
		return false;
	if (address_bytes(c) == 2) { /* table 2-1 */
		if (mod == 1)
			skip(c, 1);
		else if (mod == 2 || rm == 6)
			skip(c, 2);
		return true;
	}
	if (rm == 4) { /* table 2-3; without a base there is a displacement */
		u8 sib = next(c);

		if (mod == 0 && (sib & 7) == 5)
			skip(c, 4);
	} else if (mod == 0 && rm == 5) { /* disp32, or relative to RIP */
		skip(c, 4);
	}
	if (mod == 1)
		skip(c, 1);
	else if (mod == 2)
		skip(c, 4);
	return true;
}

static void set_register(const struct cursor *c, struct instruction *out, u8 reg, u8 bytes)
{
	out->register_bytes = bytes;
	out->reg = reg;
	/* Without REX the byte registers 4 to 7 are AH, CH, DH, BH. */
	if (bytes == 1 && !c->rex && reg >= 4) {
		out->reg = reg - 4;
		out->high_byte = true;
	}
}

static bool with_register(
	struct cursor *c, struct instruction *out, u8 memory_bytes, u8 register_bytes)
{
	u8 reg;
	bool memory = memory_operand(c, &reg);

	out->memory_bytes = memory_bytes;
	set_register(c, out, reg, register_bytes);
	return memory;
}

/* /digit in the reg field says which instruction it is; an immediate of at most 4 bytes follows. */
static bool with_immediate(
	struct cursor *c, struct instruction *out, u8 bytes, unsigned immediate_bytes, u8 *digit)
{
	if (!memory_operand(c, digit))
		return false;
	*digit &= 7;
	out->memory_bytes = out->register_bytes = bytes;
	out->has_immediate = true;
	out->immediate = number(c, immediate_bytes);
	return true;
}

/* MOV AL/AX/EAX/RAX with an absolute address in the instruction. */
static bool absolute(struct cursor *c, struct instruction *out, u8 bytes)
{
	skip(c, address_bytes(c));
	out->memory_bytes = out->register_bytes = bytes;
	out->reg = 0;
	return true;
}

static bool decode_two_bytes(struct cursor *c, struct instruction *out)
{
	u8 opcode = next(c), bytes = operand_bytes(c);

	out->kind = INSTRUCTION_LOAD;
	switch (opcode) {
	case 0xb6: /* MOVZX r, r/m8 */
	case 0xb7: /* MOVZX r, r/m16 */
	case 0xbe: /* MOVSX */
	case 0xbf:
		out->sign_extend = opcode >= 0xbe;
		return with_register(c, out, opcode & 1 ? 2 : 1, bytes);
	case 0xc3: /* MOVNTI m, r: 4 or 8 bytes, and no prefix that changes operands */
		out->kind = INSTRUCTION_STORE;
		bytes = bytes == 8 ? 8 : 4;
		return !c->operand_prefix && !c->repeat_prefix &&
		       with_register(c, out, bytes, bytes);
	case 0x38: /* MOVBE; with F2 it is CRC32 */
		opcode = next(c);
		if ((opcode != 0xf0 && opcode != 0xf1) || c->repeat_prefix)
			return false;
		out->kind = opcode == 0xf0 ? INSTRUCTION_LOAD : INSTRUCTION_STORE;
		out->swap = true;
		return with_register(c, out, bytes, bytes);
	default:
		return false;
	}
}

/* Opcodes 00 to 3B: eight operations in four forms each. */
static bool decode_alu(struct cursor *c, u8 opcode, struct instruction *out)
{
	u8 bytes = opcode & 1 ? operand_bytes(c) : 1;

	if ((opcode & 7) > 3)
		return false;
	out->kind = INSTRUCTION_ALU;
	out->alu = (enum alu)(opcode >> 3);
	out->to_memory = !(opcode & 2);
	return with_register(c, out, bytes, bytes);
}

static bool decode_alu_immediate(struct cursor *c, u8 opcode, struct instruction *out)
{
	u8 bytes = opcode & 1 ? operand_bytes(c) : 1, digit;

	out->kind = INSTRUCTION_ALU;
	out->to_memory = true;
	if (!with_immediate(c, out, bytes, opcode == 0x81 ? MIN(bytes, 4) : 1, &digit))
		return false;
	out->alu = (enum alu)digit;
	return true;
}

static bool decode_one_byte(struct cursor *c, u8 opcode, struct instruction *out)
{
	u8 bytes = opcode & 1 ? operand_bytes(c) : 1, digit;

	switch (opcode) {
	case 0x0f:
		return decode_two_bytes(c, out);
	case 0x63: /* MOVSXD; ARPL elsewhere */
		out->kind = INSTRUCTION_LOAD;
		out->sign_extend = true;
		return c->size == CODE_64 &&
		       with_register(c, out, MIN(operand_bytes(c), 4), operand_bytes(c));
	case 0x82: /* the same as 80, where it still exists */
		return c->size != CODE_64 && decode_alu_immediate(c, 0x80, out);
	case 0x80:
	case 0x81:
	case 0x83:
		return decode_alu_immediate(c, opcode, out);
	case 0x84: /* TEST r/m, r */
	case 0x85:
		out->kind = INSTRUCTION_ALU;
		out->alu = ALU_TEST;
		out->to_memory = true;
		return with_register(c, out, bytes, bytes);
	case 0x88: /* MOV r/m, r */
	case 0x89:
		out->kind = INSTRUCTION_STORE;
		return with_register(c, out, bytes, bytes);
	case 0x8a: /* MOV r, r/m */
	case 0x8b:
		out->kind = INSTRUCTION_LOAD;
		return with_register(c, out, bytes, bytes);
	case 0xa0: /* MOV accumulator, moffs */
	case 0xa1:
		out->kind = INSTRUCTION_LOAD;
		return absolute(c, out, bytes);
	case 0xa2: /* MOV moffs, accumulator */
	case 0xa3:
		out->kind = INSTRUCTION_STORE;
		return absolute(c, out, bytes);
	case 0xc6: /* MOV r/m, immediate */
	case 0xc7:
		out->kind = INSTRUCTION_STORE;
		return with_immediate(c, out, bytes, MIN(bytes, 4), &digit) && digit == 0;
	case 0xf6: /* TEST r/m, immediate; the other digits are NOT, NEG, MUL, DIV */
	case 0xf7:
		out->kind = INSTRUCTION_ALU;
		out->alu = ALU_TEST;
		out->to_memory = true;
		return with_immediate(c, out, bytes, MIN(bytes, 4), &digit) && digit <= 1;
	default:
		return opcode < 0x3c && decode_alu(c, opcode, out);
	}
}

/* LOCK is #UD but on instructions that write what they read. */
static bool lock_is_valid(const struct instruction *i)
{
	return i->kind == INSTRUCTION_ALU && i->to_memory && i->alu < ALU_CMP;
}

enum decoded decode(const u8 *bytes, unsigned count, enum code_size size, struct instruction *out)
{
	struct cursor c = {.bytes = bytes, .count = MIN(count, INSTRUCTION_MAX), .size = size};
	u8 opcode = prefixes(&c);
	bool known;

	memset(out, 0, sizeof(*out));
	known = !c.truncated && decode_one_byte(&c, opcode, out);
	if (c.truncated)
		return count < INSTRUCTION_MAX ? DECODE_TRUNCATED : DECODE_UNSUPPORTED;
	if (!known || (c.lock && !lock_is_valid(out)))
		return DECODE_UNSUPPORTED;
	out->length = (u8)c.at;
	return DECODED;
}
