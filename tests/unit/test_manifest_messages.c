/*
 * The manifest parser: every message once, and whom an error is charged to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake/manifest_text.h"

enum charge { FATAL, GUEST_BAD };

struct bad_case {
	const char *text, *messages;
	enum charge charge;
};

#define SIZE_FROM_1M                                                                               \
	" is not a size such as \"4096K\" or \"64M\", a multiple of 4K from 1M to 1024G\n"
#define TABLES                                                                                     \
	"; valid: [machine], [tmem], [balloon], [[guest]], [[guest.disk]], "                       \
	"[[guest.shared_pool]]\n"
#define VALUE_FORMS                                                                                \
	"a value is a string in quotation marks, an integer, true, false, or an array of integers"
#define INTEGER_FORM "an integer is decimal, without leading zeros"
#define SHARED       GUEST "[[guest.shared_pool]]\n"
#define UUID_FORM    "\"xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx\" of hexadecimal digits\n"
#define DISK         GUEST "[[guest.disk]]\nname = \"root\"\n"

/* Each message of the parser stands here at least once. */
static const struct bad_case bad_cases[] = {
	/* The schema. */
	{GUEST "colour = 1\n",
		"5: guest \"web\": unknown key colour in [[guest]]; valid: name, kernel, initrd, "
		"cmdline, memory_min, memory_max, memory_start, vcpus, cpus, weight, tmem, "
		"tmem_share, priority, max_refaults_per_second, preswap_max, precache_max, "
		"dedup_group, tmem_zero_pages, tmem_dedup, tmem_compress, rng, privileged, "
		"time_limit, restart\n",
		GUEST_BAD},
	{GUEST "[tmem]\nmax = 1\n",
		"6: unknown key max in [tmem]; valid: enabled, pool_max, eviction, zero_pages, "
		"keys_only, dedup, compress\n",
		FATAL},
	{GUEST "weight = 1\nweight = 1\n", "6: guest \"web\": weight is already set at line 5\n",
		GUEST_BAD},
	{"[[guest]]\nkernel = \"k\"\nmemory_max = \"1M\"\n",
		"1: guest number 1: [[guest]] has no name, which is 1 to 31 of the characters "
		"a-z A-Z 0-9 _ - .\n",
		GUEST_BAD},
	{"[[guest]]\nname = \"a\"\n",
		"1: guest \"a\": [[guest]] has no kernel, which is a module's name, 1 to 31 ASCII "
		"characters without blanks\n"
		"1: guest \"a\": [[guest]] has no memory_max, which is a size such as \"4096K\" or "
		"\"64M\", a multiple of 4K from 1M to 1024G\n",
		GUEST_BAD},
	{GUEST "memory_min = \"32M\"\n",
		"5: guest \"web\": memory_max 16M is below memory_min 32M\n", GUEST_BAD},
	{GUEST "memory_start = \"32M\"\nmemory_min = \"4M\"\n",
		"5: guest \"web\": memory_max 16M is below memory_start 32M\n", GUEST_BAD},
	{GUEST "memory_start = \"4M\"\nmemory_min = \"8M\"\n",
		"6: guest \"web\": memory_start 4M is below memory_min 8M\n", GUEST_BAD},
	{GUEST "memory_start = \"8M\"\n",
		"5: guest \"web\": memory_start 8M is below memory_max 16M, which is memory_min, "
		"too, "
		"where that is left out\n",
		GUEST_BAD},
	{GUEST "memory_start = \"4097\"\n", "5: guest \"web\": memory_start \"4097\"" SIZE_FROM_1M,
		GUEST_BAD},
	{"[balloon]\npolicy = \"greedy\"\ntick_ms = 9\nwait_memory_s = 0\n" GUEST,
		"2: policy \"greedy\" is not \"refault\", \"static\", \"selfballoon\", \"shares\", "
		"\"alternate\"\n"
		"3: tick_ms 9 is not an integer from 10 to 60000\n"
		"4: wait_memory_s 0 is not an integer from 1 to 3600\n",
		FATAL},
	{"[balloon]\nmemory = \"8M\"\n" GUEST "[[guest]]\nname = \"b\"\nkernel = \"k\"\n"
	 "memory_max = \"8M\"\nmemory_min = \"4M\"\n",
		"2: memory 8M of [balloon] is below the sum of all memory_min, 20M\n", FATAL},
	{GUEST "[balloon]\nmemory = \"15M\"\n",
		"6: memory 15M of [balloon] is below the sum of all memory_min, 16M\n", FATAL},
	{"[balloon]\n[balloon]\n" GUEST, "2: this table is already at line 1\n", FATAL},
	{GUEST "memory_min = \"64Q\"\n", "5: guest \"web\": memory_min \"64Q\"" SIZE_FROM_1M,
		GUEST_BAD},
	{GUEST "memory_min = 64\n", "5: guest \"web\": memory_min 64" SIZE_FROM_1M, GUEST_BAD},
	{GUEST "memory_min = \"2000000\"\n",
		"5: guest \"web\": memory_min \"2000000\"" SIZE_FROM_1M, GUEST_BAD},
	{GUEST "memory_min = \"512K\"\n", "5: guest \"web\": memory_min \"512K\"" SIZE_FROM_1M,
		GUEST_BAD},
	{GUEST "memory_min = \"18014398509481984K\"\n",
		"5: guest \"web\": memory_min \"18014398509481984K\"" SIZE_FROM_1M, GUEST_BAD},
	{GUEST "memory_min = \"99999999999999999999\"\n",
		"5: guest \"web\": memory_min \"99999999999999999999\"" SIZE_FROM_1M, GUEST_BAD},
	{GUEST "vcpus = 9\n", "5: guest \"web\": vcpus 9 is not an integer from 1 to 8\n",
		GUEST_BAD},
	{GUEST "vcpus = -1\n", "5: guest \"web\": vcpus -1 is not an integer from 1 to 8\n",
		GUEST_BAD},
	{GUEST "vcpus = \"2\"\n", "5: guest \"web\": vcpus \"2\" is not an integer from 1 to 8\n",
		GUEST_BAD},
	{GUEST "tmem = 1\n", "5: guest \"web\": tmem 1 is not true or false\n", GUEST_BAD},
	{GUEST "cpus = [0, 64]\n",
		"5: guest \"web\": cpus [0, 64] is not an array of different CPU numbers from 0 to "
		"63\n",
		GUEST_BAD},
	{GUEST "cpus = [1, 1]\ninitrd = \"a b\"\n",
		"5: guest \"web\": cpus [1, 1] is not an array of different CPU numbers from 0 to "
		"63\n"
		"6: guest \"web\": initrd \"a b\" is not a module's name, 1 to 31 ASCII characters "
		"without blanks\n",
		GUEST_BAD},
	{GUEST "cpus = []\n",
		"5: guest \"web\": cpus [] is not an array of different CPU numbers from 0 to 63\n",
		GUEST_BAD},
	{"[machine]\nconsole = \"vga\"\non_bug = \"power-off\"\n" GUEST,
		"2: console \"vga\" is not \"ring\", \"output\", \"uart\"\n"
		"3: on_bug \"power-off\" is not \"halt\", \"reboot\"\n",
		FATAL},
	{GUEST "cmdline = true\n",
		"5: guest \"web\": cmdline true is not a string of at most 255 bytes\n", GUEST_BAD},
	{"[[guest]]\nname = \"a b\"\nkernel = \"k\"\nmemory_max = \"1M\"\n",
		"2: guest \"a b\": name \"a b\" is not 1 to 31 of the characters a-z A-Z 0-9 _ - "
		".\n",
		GUEST_BAD},
	/* Tables. */
	{"[disk]\nx = 1\n" GUEST, "1: there is no table [disk]" TABLES, FATAL},
	{"[[machine]]\n" GUEST, "1: there is no table [[machine]]" TABLES, FATAL},
	{"[guest]\nname = \"a\"\n" GUEST, "1: there is no table [guest]" TABLES, FATAL},
	{"[tmem]\n[tmem]\nx = 1\n" GUEST, "2: this table is already at line 1\n", FATAL},
	{"[machine]\n", "2: there is no [[guest]] to run\n", FATAL},
	{"", "1: there is no [[guest]] to run\n", FATAL},
	{"x = 1\n" GUEST, "1: key x stands before any [table]\n", FATAL},
	/* Disks. */
	{"[[guest.disk]]\nname = \"a\"\n" GUEST,
		"1: [[guest.disk]] stands after the [[guest]] it belongs to\n", FATAL},
	{DISK "module = \"m\"\nsize = \"4K\"\n",
		"8: guest \"web\": a disk has a module (read-only contents) or a size (blank), not "
		"both\n",
		GUEST_BAD},
	{DISK,
		"5: guest \"web\": a disk has either a module (read-only contents) or a size "
		"(blank)\n",
		GUEST_BAD},
	{DISK "size = \"4K\"\n[[guest.disk]]\nname = \"root\"\nsize = \"4K\"\n",
		"9: guest \"web\": this disk has the name of the one at line 5\n", GUEST_BAD},
	{DISK "size = \"4097\"\n",
		"7: guest \"web\": size \"4097\" is not a size such as \"4096K\" or \"64M\", a "
		"multiple "
		"of 4K from 4K to 1024G\n",
		GUEST_BAD},
	/* Shared pools. */
	{"[[guest.shared_pool]]\nuuid = \"a\"\n" GUEST,
		"1: [[guest.shared_pool]] stands after the [[guest]] it belongs to\n", FATAL},
	{SHARED "uuid = \"01234567-89ab-cdef-0123-456789abcde\"\n",
		"6: guest \"web\": uuid \"01234567-89ab-cdef-0123-456789abcde\" is not " UUID_FORM,
		GUEST_BAD},
	{SHARED "uuid = \"0123456789-ab-cdef-0123-456789abcdef\"\n",
		"6: guest \"web\": uuid \"0123456789-ab-cdef-0123-456789abcdef\" is not " UUID_FORM,
		GUEST_BAD},
	{SHARED "uuid = \"g1234567-89ab-cdef-0123-456789abcdef\"\n",
		"6: guest \"web\": uuid \"g1234567-89ab-cdef-0123-456789abcdef\" is not " UUID_FORM,
		GUEST_BAD},
	{SHARED "weight = 0\n",
		"6: guest \"web\": weight 0 is not an integer from 1 to 1000\n"
		"5: guest \"web\": [[guest.shared_pool]] has no uuid, which is " UUID_FORM,
		GUEST_BAD},
	{SHARED "uuid = \"01234567-89ab-cdef-0123-456789abcdef\"\n[[guest.shared_pool]]\n"
		"uuid = \"01234567-89ab-CDEF-0123-456789abcdef\"\n",
		"8: guest \"web\": this shared pool is the one at line 5\n", GUEST_BAD},
	/* Syntax. */
	{GUEST "weight 3\n", "5: guest \"web\": a key is followed by = and a value; found: 3\n",
		GUEST_BAD},
	{GUEST "weight =\n", "5: guest \"web\": " VALUE_FORMS "\n", GUEST_BAD},
	{GUEST "tmem = yes # \x01\n", "5: guest \"web\": " VALUE_FORMS "; found: yes # ?\n",
		GUEST_BAD},
	{GUEST "tmem = {a = 1}\n", "5: guest \"web\": " VALUE_FORMS "; found: {a = 1}\n",
		GUEST_BAD},
	{GUEST "weight = 010\n", "5: guest \"web\": " INTEGER_FORM "; found: 10\n", GUEST_BAD},
	{GUEST "weight = 1__0\n", "5: guest \"web\": " INTEGER_FORM "; found: __0\n", GUEST_BAD},
	{GUEST "weight = 1.5\n", "5: guest \"web\": " INTEGER_FORM "; found: .5\n", GUEST_BAD},
	{GUEST "weight = -\n", "5: guest \"web\": " INTEGER_FORM "\n", GUEST_BAD},
	{GUEST "weight = 9223372036854775808\n",
		"5: guest \"web\": an integer fits in 64 bits; found: 8\n", GUEST_BAD},
	{GUEST "weight = 3 4\n",
		"5: guest \"web\": nothing but a comment may follow on this line; found: 4\n",
		GUEST_BAD},
	{GUEST "a.b = 3\n",
		"5: guest \"web\": a key has no dots: write it under its [table]; found: .b = 3\n",
		GUEST_BAD},
	{GUEST "\"weight\" = 3\n",
		"5: guest \"web\": a line is [table], [[array of tables]], key = value, or a "
		"comment; "
		"found: \"weight\" = 3\n",
		GUEST_BAD},
	{GUEST "cmdline = \"a\n",
		"5: guest \"web\": a string ends with a quotation mark on the same line\n",
		GUEST_BAD},
	{GUEST "cmdline = \"a\\n\"\n",
		"5: guest \"web\": the escapes of a string are \\\" \\\\ and \\t; found: \\n\"\n",
		GUEST_BAD},
	{GUEST "cmdline = \"\"\"a\"\"\"\n",
		"5: guest \"web\": a string stands on one line, between single quotation marks; "
		"found: "
		"\"\"\"a\"\"\"\n",
		GUEST_BAD},
	{GUEST "cmdline = \"\xff\"\n",
		"5: guest \"web\": a string holds UTF-8 text without control characters; found: "
		"\xff\"\n",
		GUEST_BAD},
	{GUEST "cmdline = \"\xf4\x90\x80\x80\"\n", /* beyond U+10FFFF */
		"5: guest \"web\": a string holds UTF-8 text without control characters; found: "
		"\xf4\x90\x80\x80\"\n",
		GUEST_BAD},
	{GUEST "# \xc0\x80\n",
		"5: guest \"web\": a comment holds UTF-8 text without control characters; found: "
		"\xc0\x80\n",
		GUEST_BAD},
	{GUEST "cpus = [0 1]\n",
		"5: guest \"web\": the elements of an array are separated by commas, and it ends "
		"with "
		"]; found: 1]\n",
		GUEST_BAD},
	{GUEST "cpus = [0,\n\"a\"]\n",
		"6: guest \"web\": an array holds integers, and ends with ]; found: \"a\"]\n",
		GUEST_BAD},
	{"[]\n" GUEST, "1: a table's name is made of a-z A-Z 0-9 _ - and dots; found: ]\n", FATAL},
	{"[tmem\n" GUEST, "1: a table header is [name]\n", FATAL},
	{"[[guest]\nname = 1\n" GUEST,
		"1: the header of an array of tables is [[name]]; found: ]\n", FATAL},
};

static void every_error_has_its_message(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad_cases); i++) {
		const struct bad_case *test = &bad_cases[i];

		assert_int_not_equal(parse(test->text), 0);
		assert_string_equal(messages, test->messages);
		assert_int_equal(fatal, test->charge == FATAL);
		if (test->charge == GUEST_BAD)
			assert_true(manifest.guests[0].bad);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_error_has_its_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
