/*
 * The MMIO decoder against GNU as and objdump (decoder_forms.py), its arithmetic against the
 * processor of the host, and the page walk against tables written by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/guest/alu.h"
#include "arch/x86/guest/decode.h"
#include "arch/x86/guest/walk.h"
#include "arch/x86/processor.h"

struct form {
	const char *text;
	enum code_size size;
	unsigned length;
	u8 bytes[INSTRUCTION_MAX];
	struct instruction want; /* without length */
};
struct refusal {
	const char *text;
	enum code_size size;
	unsigned length;
	u8 bytes[INSTRUCTION_MAX];
};
struct stream {
	enum code_size size;
	unsigned length; /* 0: none of ours */
	u8 bytes[INSTRUCTION_MAX];
};

#include "decoder_forms.h"

static int mode_bits(enum code_size size)
{
	return size == CODE_16 ? 16 : size == CODE_32 ? 32 : 64;
}

static void print_bytes(const u8 *bytes, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		print_error(" %02x", bytes[i]);
	print_error("\n");
}

static bool same(const struct instruction *a, const struct instruction *b)
{
	return a->kind == b->kind && a->alu == b->alu && a->length == b->length &&
	       a->memory_bytes == b->memory_bytes && a->register_bytes == b->register_bytes &&
	       a->reg == b->reg && a->high_byte == b->high_byte &&
	       a->sign_extend == b->sign_extend && a->swap == b->swap &&
	       a->to_memory == b->to_memory && a->has_immediate == b->has_immediate &&
	       a->immediate == b->immediate;
}

/* Every form means what the assembler was asked for, and every prefix of it is too short. */
static void every_form(void **state)
{
	(void)state;
	for (size_t n = 0; n < ARRAY_SIZE(forms); n++) {
		const struct form *f = &forms[n];
		struct instruction got, want = f->want;
		u8 *exact;

		want.length = (u8)f->length;
		/* Immediates are compared as the operand that they make. */
		if (decode(f->bytes, INSTRUCTION_MAX, f->size, &got) != DECODED ||
			!same(&got, &want)) {
			print_error("%d bit: %s:", mode_bits(f->size), f->text);
			print_bytes(f->bytes, f->length);
			fail();
		}
		for (unsigned count = 0; count < f->length; count++) {
			/* On the heap, so that AddressSanitizer sees a read behind it. */
			exact = malloc(count ? count : 1);
			assert_non_null(exact);
			memcpy(exact, f->bytes, count);
			assert_int_equal(decode(exact, count, f->size, &got), DECODE_TRUNCATED);
			free(exact);
		}
	}
}

static void other_instructions(void **state)
{
	(void)state;
	for (size_t n = 0; n < ARRAY_SIZE(refusals); n++) {
		const struct refusal *r = &refusals[n];
		struct instruction got;

		if (decode(r->bytes, INSTRUCTION_MAX, r->size, &got) != DECODE_UNSUPPORTED) {
			print_error("%d bit: %s:", mode_bits(r->size), r->text);
			print_bytes(r->bytes, r->length);
			fail();
		}
	}
}

/* Random bytes: the same ones are ours, and as long, as objdump says. */
static void random_streams(void **state)
{
	unsigned ours = 0, bad = 0;

	(void)state;
	for (size_t n = 0; n < ARRAY_SIZE(streams); n++) {
		const struct stream *s = &streams[n];
		struct instruction got;
		enum decoded result = decode(s->bytes, INSTRUCTION_MAX, s->size, &got);
		unsigned length = result == DECODED ? got.length : 0;

		ours += s->length != 0;
		if (length != s->length) {
			print_error("%d bit: length %u, objdump says %u:", mode_bits(s->size),
				length, s->length);
			print_bytes(s->bytes, INSTRUCTION_MAX);
			bad++;
		}
	}
	assert_int_equal(bad, 0);
	assert_true(ours > 1000);
}

static void too_long(void **state)
{
	u8 bytes[16];
	struct instruction got;

	(void)state;
	memset(bytes, 0x66, sizeof(bytes));
	assert_int_equal(decode(bytes, 14, CODE_64, &got), DECODE_TRUNCATED);
	assert_int_equal(decode(bytes, 15, CODE_64, &got), DECODE_UNSUPPORTED);
	bytes[14] = 0x89; /* the 16th byte would be ModRM */
	bytes[15] = 0x00;
	assert_int_equal(decode(bytes, 16, CODE_64, &got), DECODE_UNSUPPORTED);
}

#define ARITHMETIC_FLAGS 0x8d5u

#define HOST_ALU(name, instruction)                                                                \
	static u64 host_##name(u64 a, u64 b, unsigned bytes, u64 *flags)                           \
	{                                                                                          \
		u64 f = *flags;                                                                    \
                                                                                                   \
		switch (bytes) {                                                                   \
		case 1:                                                                            \
			HOST_ALU_ONE(instruction "b %b2, %b0", u8);                                \
		case 2:                                                                            \
			HOST_ALU_ONE(instruction "w %w2, %w0", u16);                               \
		case 4:                                                                            \
			HOST_ALU_ONE(instruction "l %k2, %k0", u32);                               \
		default:                                                                           \
			HOST_ALU_ONE(instruction "q %2, %0", u64);                                 \
		}                                                                                  \
	}
/* The stack is left alone below the red zone while the flags go through it. */
#define HOST_ALU_ONE(text, type)                                                                   \
	do {                                                                                       \
		type r = (type)a;                                                                  \
                                                                                                   \
		__asm__ volatile("lea -128(%%rsp), %%rsp\n push %1\n popf\n" text                  \
				 "\n pushf\n pop %1\n lea 128(%%rsp), %%rsp"                       \
				 : "+&r"(r), "+&r"(f)                                              \
				 : "r"((type)b)                                                    \
				 : "cc", "memory");                                                \
		*flags = (*flags & ~(u64)ARITHMETIC_FLAGS) | (f & ARITHMETIC_FLAGS);               \
		return r;                                                                          \
	} while (0)

HOST_ALU(add, "add")
HOST_ALU(or, "or")
HOST_ALU(adc, "adc")
HOST_ALU(sbb, "sbb")
HOST_ALU(and, "and")
HOST_ALU(sub, "sub")
HOST_ALU(xor, "xor")
HOST_ALU(cmp, "cmp")
HOST_ALU(test, "test")

static u64 (*const host_alu[])(u64, u64, unsigned, u64 *) = {
	[ALU_ADD] = host_add,
	[ALU_OR] = host_or,
	[ALU_ADC] = host_adc,
	[ALU_SBB] = host_sbb,
	[ALU_AND] = host_and,
	[ALU_SUB] = host_sub,
	[ALU_XOR] = host_xor,
	[ALU_CMP] = host_cmp,
	[ALU_TEST] = host_test,
};

static void arithmetic(void **state)
{
	static const u64 values[] = {0, 1, 2, 0xf, 0x10, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff,
		0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000,
		0xffffffffffffffff, 0x123456789abcdef0};

	(void)state;
	for (unsigned op = 0; op < ARRAY_SIZE(host_alu); op++)
		for (unsigned bytes = 1; bytes <= 8; bytes *= 2)
			for (unsigned i = 0; i < ARRAY_SIZE(values) * ARRAY_SIZE(values) * 2; i++) {
				u64 a = values[i / 2 % ARRAY_SIZE(values)];
				u64 b = values[i / 2 / ARRAY_SIZE(values)];
				u64 mask = bytes == 8 ? ~0UL : BIT(8 * bytes) - 1;
				u64 ours = 0x202 | (i & 1), theirs = ours, defined = ~0UL, x, y;

				x = alu_compute((enum alu)op, a, b, bytes, &ours);
				y = host_alu[op](a, b, bytes, &theirs);
				if (op == ALU_OR || op == ALU_AND || op == ALU_XOR ||
					op == ALU_TEST)
					defined &= ~BIT(4); /* AF */
				if (op < ALU_CMP)
					assert_int_equal(x, y & mask);
				assert_int_equal(ours & defined, theirs & defined);
			}
}

/* ---- The page walk ----------------------------------------------------------------------------
 */

#define FAKE_BYTES 0x8000u
static u8 tables[FAKE_BYTES];

static bool read_fake(void *argument, u64 address, void *to, unsigned bytes)
{
	(void)argument;
	if (address > FAKE_BYTES - bytes)
		return false;
	memcpy(to, tables + address, bytes);
	return true;
}

static void put32(u64 address, u32 value)
{
	memcpy(tables + address, &value, sizeof(value));
}

static void put64(u64 address, u64 value)
{
	memcpy(tables + address, &value, sizeof(value));
}

static void walk_no_paging(void **state)
{
	struct walk_mode mode = {.cr0 = CR0_PE};
	u64 address;

	(void)state;
	assert_true(guest_walk(&mode, 0x123456789, read_fake, NULL, &address));
	assert_int_equal(address, 0x23456789);
}

static void walk_two_levels(void **state)
{
	struct walk_mode mode = {.cr0 = CR0_PE | CR0_PG, .cr3 = 0x1018};
	u64 address;

	(void)state;
	memset(tables, 0, sizeof(tables));
	put32(0x1000 + 0x300 * 4, 0x2000 | 1); /* 0xc0000000 */
	put32(0x2000 + 5 * 4, 0x00abc000 | 1);
	put32(0x1000 + 0x301 * 4, 0x00c00000 | 0x2000 | 0x81); /* 4 MiB, bit 32 from bit 13 */
	put32(0x1000 + 0x302 * 4, 0x90000 | 1);                /* a table outside of RAM */
	assert_true(guest_walk(&mode, 0xc0005123, read_fake, NULL, &address));
	assert_int_equal(address, 0xabc123);
	assert_false(guest_walk(&mode, 0xc0006000, read_fake, NULL, &address));
	assert_false(guest_walk(&mode, 0xc0800000, read_fake, NULL, &address));
	/* Without PSE the large bit means nothing: the entry names a table outside of RAM. */
	assert_false(guest_walk(&mode, 0xc0412345, read_fake, NULL, &address));
	mode.cr4 = CR4_PSE;
	assert_true(guest_walk(&mode, 0xc0412345, read_fake, NULL, &address));
	assert_int_equal(address, 0x100c12345);
}

static void walk_pae(void **state)
{
	struct walk_mode mode = {.cr0 = CR0_PE | CR0_PG, .cr4 = CR4_PAE, .cr3 = 0x1020};
	u64 address;

	(void)state;
	memset(tables, 0, sizeof(tables));
	put64(0x1020 + 3 * 8, 0x2000 | 1);
	put64(0x2000 + 1 * 8, 0x3000 | 7);
	put64(0x2000 + 2 * 8, 0x8000000012200000 | 0x87); /* 2 MiB, no execute */
	put64(0x3000 + 2 * 8, 0x8000000fedcb0000 | 7);
	assert_true(guest_walk(&mode, 0xc0202abc, read_fake, NULL, &address));
	assert_int_equal(address, 0xfedcb0abc);
	assert_true(guest_walk(&mode, 0xc0412345, read_fake, NULL, &address));
	assert_int_equal(address, 0x12212345);
	assert_false(guest_walk(&mode, 0x80000000, read_fake, NULL, &address));
}

static void walk_four_levels(void **state)
{
	struct walk_mode mode = {
		.cr0 = CR0_PE | CR0_PG, .cr4 = CR4_PAE, .cr3 = 0x1000, .efer = EFER_LMA};
	u64 address;

	(void)state;
	memset(tables, 0, sizeof(tables));
	put64(0x1000 + 511 * 8, 0x2000 | 3);
	put64(0x2000 + 510 * 8, 0x3000 | 3);
	put64(0x2000 + 509 * 8, 0x40000000 | 0x83); /* 1 GiB */
	put64(0x3000 + 1 * 8, 0x4000 | 3);
	put64(0x3000 + 2 * 8, 0x600000 | 0x1083); /* 2 MiB, PAT bit 12 set */
	put64(0x4000 + 3 * 8, 0x7000 | 0x83);     /* bit 7 is PAT at the last level */
	assert_true(guest_walk(&mode, 0xffffffff80203456, read_fake, NULL, &address));
	assert_int_equal(address, 0x7456);
	assert_true(guest_walk(&mode, 0xffffffff80512345, read_fake, NULL, &address));
	assert_int_equal(address, 0x712345);
	assert_true(guest_walk(&mode, 0xffffffff41234567, read_fake, NULL, &address));
	assert_int_equal(address, 0x41234567);
	assert_false(guest_walk(&mode, 0, read_fake, NULL, &address));
	assert_false(guest_walk(&mode, 0xffffffff80204000, read_fake, NULL, &address));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form),
		cmocka_unit_test(other_instructions),
		cmocka_unit_test(random_streams),
		cmocka_unit_test(too_long),
		cmocka_unit_test(arithmetic),
		cmocka_unit_test(walk_no_paging),
		cmocka_unit_test(walk_two_levels),
		cmocka_unit_test(walk_pae),
		cmocka_unit_test(walk_four_levels),
	};

	return cmocka_run_group_tests_name("decoder", tests, NULL, NULL);
}
