/*
 * The guest's command line: options, arguments, and what is refused.
 */
#include "guest-shim/command_line.h"

#include <abi/errno.h>
#include <abi/platform.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char line[4096];
static char name[] = "guest";

/* Parses a copy of @text; returns the result, the options in @o and the word at fault. */
static int parse(const char *text, struct options *o, const char **bad)
{
	snprintf(line, sizeof(line), "%s", text);
	return command_line_parse(line, name, o, bad);
}

static void test_defaults(void **state)
{
	struct options o;
	const char *bad;

	(void)state;
	assert_int_equal(parse("  \t ", &o, &bad), 0);
	assert_true(o.precache && o.preswap && o.filter && o.report);
	assert_int_equal(o.argc, 1);
	assert_string_equal(o.argv[0], "guest");
	assert_null(o.argv[1]);
	assert_int_equal(o.virtio_base, PLATFORM_VIRTIO_BASE);
	assert_int_equal(o.tsc_khz, 0);
	assert_null(bad);
}

static void test_options_and_arguments_mix(void **state)
{
	struct options o;
	const char *bad;

	(void)state;
	assert_int_equal(parse("search  tmem=off seed=3\tswappiness=0 -- tmem=on --", &o, &bad), 0);
	assert_false(o.precache || o.preswap);
	assert_int_equal(o.swappiness, 0);
	assert_int_equal(o.argc, 5);
	assert_string_equal(o.argv[1], "search");
	assert_string_equal(o.argv[2], "seed=3");
	assert_string_equal(o.argv[3], "tmem=on");
	assert_string_equal(o.argv[4], "--");
	assert_null(o.argv[5]);
}

static void test_each_half_of_tmem(void **state)
{
	struct options o;
	const char *bad;

	(void)state;
	assert_int_equal(parse("tmem=precache", &o, &bad), 0);
	assert_true(o.precache && !o.preswap);
	assert_int_equal(parse("tmem=preswap", &o, &bad), 0);
	assert_true(!o.precache && o.preswap);
	assert_int_equal(parse("filter=off", &o, &bad), 0);
	assert_true(o.precache && !o.filter);
	assert_false(o.flip);
	assert_int_equal(parse("flip=on", &o, &bad), 0);
	assert_true(o.flip && o.precache && o.preswap);
	assert_false(o.volatiles);
	assert_int_equal(parse("volatile=on tmem=on", &o, &bad), 0);
	assert_true(o.volatiles && o.preswap && !o.precache); /* one or the other */
	assert_int_equal(parse("volatile=on volatile=off", &o, &bad), 0);
	assert_true(!o.volatiles && o.precache);
	assert_int_equal(parse("report=off", &o, &bad), 0);
	assert_false(o.report);
	assert_false(o.virtio_console);
	assert_int_equal(parse("console=virtio", &o, &bad), 0);
	assert_true(o.virtio_console);
	assert_int_equal(parse("console=virtio console=hypercall", &o, &bad), 0);
	assert_false(o.virtio_console);
	assert_int_equal(parse("filter=off filter=on", &o, &bad), 0);
	assert_true(o.filter);
	assert_int_equal(parse("tmem=off tmem=on", &o, &bad), 0);
	assert_true(o.precache && o.preswap);
}

static void test_another_machine(void **state)
{
	struct options o;
	const char *bad;

	(void)state;
	assert_int_equal(parse("virtio=0xfeb00000,512,5 tsc_khz=2500000", &o, &bad), 0);
	assert_int_equal(o.virtio_base, 0xfeb00000);
	assert_int_equal(o.virtio_stride, 512);
	assert_int_equal(o.virtio_gsi, 5);
	assert_int_equal(o.tsc_khz, 2500000);
}

static void test_bad_values_name_the_word(void **state)
{
	static const char *const words[] = {
		"tmem=",
		"tmem=no",
		"tmem=ON",
		"filter=",
		"volatile=1",
		"console=",
		"console=uart",
		"flip=1",
		"report=",
		"filter=maybe",
		"swappiness=",
		"swappiness=201",
		"swappiness=-1",
		"swappiness=1k",
		"swappiness=99999999999999999999",
		"tsc_khz=0",
		"tsc_khz=0x",
		"tsc_khz=4294967296",
		"virtio=",
		"virtio=1",
		"virtio=4,512",
		"virtio=4,512,",
		"virtio=4,512,24",
		"virtio=5,512,1",
		"virtio=4,100,1",
		"virtio=4,512,1,",
		"virtio=4,512,1,1",
		"virtio=,,",
		"virtio=0x100000000,512,1",
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
		struct options o;
		const char *bad;
		char text[100];

		snprintf(text, sizeof(text), "first %s last", words[i]);
		if (parse(text, &o, &bad) != -SLUICE_EINVAL)
			fail_msg("%s is taken", words[i]);
		assert_string_equal(bad, words[i]);
	}
}

static void test_as_many_arguments_as_fit(void **state)
{
	struct options o;
	const char *bad;
	char text[400] = "";

	(void)state;
	for (unsigned i = 1; i < ARGUMENTS_MAX; i++)
		strcat(text, "a ");
	assert_int_equal(parse(text, &o, &bad), 0);
	assert_int_equal(o.argc, ARGUMENTS_MAX);
	assert_null(o.argv[ARGUMENTS_MAX]);
	strcat(text, "more");
	assert_int_equal(parse(text, &o, &bad), -SLUICE_EINVAL);
	assert_string_equal(bad, "more");
}

/* Any bytes: no access outside of the line, and every argument lies in it. */
static void test_random_lines(void **state)
{
	static const char pieces[][12] = {"tmem=", "off", "virtio=", "0x", "123", ",", " ", "\t",
		"--", "=", "swappiness=", "\xff", "a"};

	(void)state;
	srand(1);
	for (unsigned round = 0; round < 200000; round++) {
		char *text = malloc(128);
		struct options o;
		const char *bad;
		size_t used = 0;

		for (unsigned n = (unsigned)rand() % 10; n > 0; n--) {
			const char *piece = pieces[(unsigned)rand() % ARRAY_SIZE(pieces)];

			memcpy(text + used, piece, strlen(piece));
			used += strlen(piece);
		}
		text[used] = 0;
		text = realloc(text, used + 1);
		if (command_line_parse(text, name, &o, &bad) == 0) {
			for (int i = 1; i < o.argc; i++)
				assert_true(o.argv[i] >= text && o.argv[i] < text + used);
		} else {
			assert_true(bad >= text && bad < text + used);
		}
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_options_and_arguments_mix),
		cmocka_unit_test(test_each_half_of_tmem),
		cmocka_unit_test(test_another_machine),
		cmocka_unit_test(test_bad_values_name_the_word),
		cmocka_unit_test(test_as_many_arguments_as_fit),
		cmocka_unit_test(test_random_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
