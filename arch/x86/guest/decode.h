/*
 * Decodes the one instruction that touched a device's memory: every MOV between memory and a
 * general register, and the arithmetic that compilers use on such memory (ADD to CMP, TEST). Pure:
 * bytes in, meaning out. The address is not computed: the nested fault already says it.
 */
#ifndef GUEST_DECODE_H
#define GUEST_DECODE_H

#include "lib/types.h"

#define INSTRUCTION_MAX 15u

enum code_size { CODE_16, CODE_32, CODE_64 };

/* The arithmetic operations in the order of their encoding (Intel SDM vol. 2, table A-2). */
enum alu { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP, ALU_TEST };

enum instruction_kind {
	INSTRUCTION_LOAD,  /* register = memory */
	INSTRUCTION_STORE, /* memory = register or immediate */
	INSTRUCTION_ALU,   /* destination = destination @alu source; CMP and TEST keep only flags */
};

struct instruction {
	enum instruction_kind kind;
	enum alu alu;
	u8 length;
	u8 memory_bytes;   /* of the operand in memory: 1, 2, 4, 8 */
	u8 register_bytes; /* of the register operand; more than memory_bytes for MOVZX and the like
			    */
	u8 reg;            /* 0..15 */
	bool high_byte;    /* AH, CH, DH, BH: bits 15:8 of register @reg */
	bool sign_extend;  /* LOAD: MOVSX, MOVSXD */
	bool swap;         /* MOVBE */
	bool to_memory;    /* ALU: memory is the destination */
	bool has_immediate;
	u64 immediate; /* sign-extended to 64 bits */
};

enum decoded {
	DECODED,
	DECODE_TRUNCATED,   /* more than @count bytes are needed (never with INSTRUCTION_MAX) */
	DECODE_UNSUPPORTED, /* no such instruction, or none of these */
};

/* Takes apart the instruction at @bytes, of which @count are there. Pure; *@out is filled in if it
 * says DECODED. */
enum decoded decode(const u8 *bytes, unsigned count, enum code_size size, struct instruction *out);

#endif
