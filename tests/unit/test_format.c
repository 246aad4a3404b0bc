/*
 * The hypervisor's formatting against the host's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/format.h"

#define ROOM 128

static int format(char *to, size_t room, const char *text, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, text);
	length = format_text(to, room, text, arguments);
	va_end(arguments);
	return length;
}

/* Both write the same into every room, and nothing beyond it. */
#define CHECK(...)                                                                                 \
	do {                                                                                       \
		for (size_t room = 0; room <= ROOM; room++) {                                      \
			char ours[ROOM + 1], theirs[ROOM + 1];                                     \
                                                                                                   \
			memset(ours, 0x5a, sizeof(ours));                                          \
			memset(theirs, 0x5a, sizeof(theirs));                                      \
			assert_int_equal(format(ours, room, __VA_ARGS__),                          \
				snprintf(theirs, room, __VA_ARGS__));                              \
			assert_memory_equal(ours, theirs, sizeof(ours));                           \
		}                                                                                  \
	} while (0)

static void plain_text_and_percents(void **state)
{
	(void)state;
	CHECK("%s", "");
	CHECK("nothing to do%s", "");
	CHECK("%u%%, %%%s", 5, "");
}

static void numbers_of_all_sizes(void **state)
{
	static const u64 values[] = {0, 1, 9, 10, 127, 128, 255, 256, 32767, 32768, 65536,
		0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x123456789abcdef0,
		0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
		u64 value = values[i];

		CHECK("%d %i %u %x %X %#x", (int)value, (int)value, (unsigned)value,
			(unsigned)value, (unsigned)value, (unsigned)value);
		CHECK("%ld %lu %lx %#lx %lX", (long)value, value, value, value, value);
		CHECK("%lld %llu %llx %zu", (long long)value, (unsigned long long)value,
			(unsigned long long)value, (size_t)value);
		CHECK("%hd %hu %hx", (short)value, (unsigned short)value, (unsigned short)value);
		CHECK("%hhd %hhu %hhx", (signed char)value, (unsigned char)value,
			(unsigned char)value);
	}
}

/* An int's upper half is not looked at, be it passed in a register or on the stack. */
static void what_lies_beside_an_int(void **state)
{
	char text[ROOM];

	(void)state;
	format(text, sizeof(text), "%u %d %u %d %u %d", 0x1234567800000001, 0xfffffff7fffffffe,
		0xffffffff00000003, 0xffffffff7ffffffc, 0x1234567800000005, 0xeeeeeeeefffffffa);
	assert_string_equal(text, "1 -2 3 2147483644 5 -6");
}

static void widths_and_flags(void **state)
{
	(void)state;
	CHECK("[%5d] [%-5d] [%05d] [%5d] [%05d] [%-5d]", 42, 42, 42, -42, -42, -42);
	CHECK("[%2d] [%02d] [%-2d]", 12345, 12345, -12345);
	CHECK("[%8x] [%08x] [%-8x] [%#8x] [%#010x] [%#-8x]", 0xbeef, 0xbeef, 0xbeef, 0xbeef, 0xbeef,
		0xbeef);
	CHECK("[%#x] [%#5x] [%016lx] [%3lu.%06lu]", 0, 0, 0xffffffff80100000, 12UL, 345UL);
	CHECK("[%*d] [%-*d] [%*s]", 7, 42, 7, 42, 7, "text");
	CHECK("[%10llu] [%-10llu]", 1234567ULL, 1234567ULL);
}

static void strings_and_characters(void **state)
{
	static const char not_ended[] = {'a', 'b', 'c'};
	const char *none = NULL;

	(void)state;
	CHECK("[%s] [%10s] [%-10s] [%2s]", "text", "text", "text", "text");
	CHECK("[%.2s] [%.*s] [%10.3s] [%-10.3s] [%.0s]", "text", 3, "text", "text", "text", "text");
	CHECK("[%.3s] [%.*s]", not_ended, 2, not_ended);
	CHECK("[%c] [%3c] [%-3c] %c", 'a', 'b', 'c', 'd');
	HIDE_FROM_COMPILER(none);
	CHECK("[%s]", none);
}

static void pointers(void **state)
{
	(void)state;
	CHECK("[%p] [%20p] [%-20p]", (void *)0x1234, (void *)0xffff800000000000,
		(void *)0xffffffff80100000);
}

static void many_arguments_in_a_row(void **state)
{
	(void)state;
	CHECK("%u %lu %s %d %x %lx %s %c %u %d %lu", 1U, 2UL, "three", -4, 5U, 6UL, "seven", '8',
		9U, -10, ~0UL);
}

static void what_is_no_conversion_stands_as_it_is(void **state)
{
	char text[ROOM];

	(void)state;
	assert_int_equal(format(text, sizeof(text), "%f %+d 100%"), 11);
	assert_string_equal(text, "%f %+d 100%");
}

/* Random conversions of random numbers. */
static void anything(void **state)
{
	static const char *const flags[] = {"", "-", "0", "#", "-#", "#0", "-0"};
	static const char letters[] = "diuxX";

	(void)state;
	srand(1);
	for (unsigned i = 0; i < 20000; i++) {
		char conversion[32], ours[ROOM], theirs[ROOM];
		char letter = letters[rand() % 5];
		const char *flag = flags[rand() % (strchr("xX", letter) ? 7 : 3)];
		u64 value = ((u64)rand() << 40 ^ (u64)rand() << 20 ^ (u64)rand()) >> rand() % 64;

		if (letter == 'X')
			flag = "0";
		if (rand() % 2)
			snprintf(conversion, sizeof(conversion), "%%%s%dl%c", flag, 1 + rand() % 25,
				letter);
		else
			snprintf(conversion, sizeof(conversion), "%%%sl%c", flag, letter);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		assert_int_equal(format(ours, ROOM, conversion, value),
			snprintf(theirs, ROOM, conversion, value));
#pragma GCC diagnostic pop
		assert_string_equal(ours, theirs);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_text_and_percents),
		cmocka_unit_test(numbers_of_all_sizes),
		cmocka_unit_test(what_lies_beside_an_int),
		cmocka_unit_test(widths_and_flags),
		cmocka_unit_test(strings_and_characters),
		cmocka_unit_test(pointers),
		cmocka_unit_test(many_arguments_in_a_row),
		cmocka_unit_test(what_is_no_conversion_stands_as_it_is),
		cmocka_unit_test(anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
