/*
 * Any bytes as an instruction on device memory, in every mode: what is decoded is consistent, reads
 * only what it was given, and means the same when the bytes come piece by piece.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "arch/x86/guest/decode.h"

static bool is_size(unsigned bytes, enum code_size mode)
{
	return bytes == 1 || bytes == 2 || bytes == 4 || (bytes == 8 && mode == CODE_64);
}

static void check(const struct instruction *i, enum code_size mode, unsigned count)
{
	REQUIRE(i->length >= 2 && i->length <= INSTRUCTION_MAX && i->length <= count);
	REQUIRE(is_size(i->memory_bytes, mode) && is_size(i->register_bytes, mode));
	REQUIRE(i->register_bytes >= i->memory_bytes);
	REQUIRE(i->reg < (mode == CODE_64 ? 16 : 8));
	REQUIRE(!i->high_byte || (i->reg < 4 && i->register_bytes == 1));
	REQUIRE(i->kind <= INSTRUCTION_ALU && i->alu <= ALU_TEST);
	REQUIRE(i->kind == INSTRUCTION_ALU || (i->alu == 0 && !i->to_memory));
	REQUIRE(!i->sign_extend || i->kind == INSTRUCTION_LOAD);
	REQUIRE(!i->has_immediate || i->kind != INSTRUCTION_LOAD);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct instruction whole, again;
	enum code_size mode;
	enum decoded result;
	unsigned count;

	if (size < 1)
		return 0;
	mode = (enum code_size)(data[0] % 3);
	count = (unsigned)MIN(size - 1, (size_t)INSTRUCTION_MAX + 1);
	result = decode(data + 1, count, mode, &whole);
	REQUIRE(result <= DECODE_UNSUPPORTED);
	REQUIRE(result != DECODE_TRUNCATED || count < INSTRUCTION_MAX);
	if (result == DECODED)
		check(&whole, mode, count);
	for (unsigned part = 0; part < count; part++) {
		u8 *exact = malloc(part ? part : 1);
		enum decoded early;

		REQUIRE(exact);
		memcpy(exact, data + 1, part);
		early = decode(exact, part, mode, &again);
		free(exact);
		/* With fewer bytes it is either the same or cut short, never something else. */
		if (early == DECODED)
			REQUIRE(result == DECODED && memcmp(&whole, &again, sizeof(whole)) == 0);
		if (result == DECODED && part < whole.length)
			REQUIRE(early == DECODE_TRUNCATED);
	}
	return 0;
}
