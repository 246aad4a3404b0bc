/* The manifest parser: good documents, every message once, and whom an error is charged to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "manifest/manifest.h"

static struct manifest manifest;
static bool fatal;
static char messages[65536];
static unsigned reported;

static void collect(void *argument, unsigned line, const char *message)
{
	size_t used = strlen(messages);

	assert_ptr_equal(argument, messages);
	assert_true(used + strlen(message) + 16 < sizeof(messages));
	snprintf(messages + used, sizeof(messages) - used, "%u: %s\n", line, message);
	reported++;
}

/* The document goes into a block of exactly its size, so that the sanitizer sees any read beyond.
 */
static unsigned parse_bytes(const char *text, size_t length)
{
	char *copy = malloc(length ? length : 1);
	unsigned errors;

	assert_non_null(copy);
	memcpy(copy, text, length);
	messages[0] = '\0';
	reported = 0;
	errors = manifest_parse(copy, length, &manifest, &fatal, collect, messages);
	free(copy);
	assert_int_equal(errors, reported);
	return errors;
}

static unsigned parse(const char *text)
{
	return parse_bytes(text, strlen(text));
}

#define GUEST "[[guest]]\nname = \"web\"\nkernel = \"web.elf\"\nmemory_max = \"16M\"\n"

static void a_full_manifest_gives_its_values(void **state)
{
	const struct guest_config *guest = &manifest.guests[0];

	(void)state;
	assert_int_equal(parse("# all keys\r\n"
			       "[machine]\n"
			       "reserve = \"8M\" # of frames\n"
			       "log_level = \"debug\"\n"
			       "console = \"ring\"\n"
			       "when_done = 'halt'\n"
			       "on_bug = \"reboot\"\n"
			       "copy = \"nontemporal\"\n"
			       "[tmem]\n"
			       "enabled = false\n"
			       "pool_max = \"12288K\"\n"
			       "[balloon]\n"
			       "policy = \"alternate\"\n"
			       "memory = \"48M\"\n"
			       "tick_ms = 250\n"
			       "wait_memory_s = 5\n"
			       "[[guest]]\n"
			       "name = \"web\"\n"
			       "kernel = \"web.elf\"\n"
			       "initrd = \"web.cpio\"\n"
			       "cmdline = \"a \\\"b\\\" c\\\\d\\te \xc3\xa9\"\n"
			       "memory_min = \"16M\"\n"
			       "memory_max = \"1G\"\n"
			       "memory_start = \"20M\"\n"
			       "vcpus = 2\n"
			       "cpus = [0,\n\t3, # the last\n\t63,\n]\n"
			       "weight = 1_000\n"
			       "tmem = false\n"
			       "tmem_share = +7\n"
			       "priority = 250\n"
			       "max_refaults_per_second = 40\n"
			       "preswap_max = \"0\"\n"
			       "precache_max = \"8M\"\n"
			       "dedup_group = \"web\"\n"
			       "tmem_zero_pages = \"none\"\n"
			       "tmem_dedup = \"all\"\n"
			       "tmem_compress = \"preswap\"\n"
			       "privileged = true\n"
			       "time_limit = 60\n"
			       "[[ guest.disk ]]\n"
			       "name = \"root\"\n"
			       "module = \"root.img\"\n"
			       "service_us = 200\n"
			       "[[guest.disk]]\n"
			       "name = \"swap\"\n"
			       "size = \"32M\"\n"
			       "[[guest.shared_pool]]\n"
			       "uuid = \"01234567-89ab-cdef-FEDC-ba9876543210\"\n"
			       "[[guest.shared_pool]]\n"
			       "uuid = \"00000000-0000-0001-0000-000000000002\"\n"
			       "weight = 7"),
		0);
	assert_string_equal(messages, "");
	assert_false(fatal);
	assert_int_equal(manifest.machine.reserve, MIB(8));
	assert_int_equal(manifest.machine.log_level, 3);
	assert_false(manifest.machine.console_uart);
	assert_int_equal(manifest.machine.when_done, WHEN_DONE_HALT);
	assert_int_equal(manifest.machine.on_bug, WHEN_DONE_REBOOT);
	assert_int_equal(manifest.machine.copy, 4);
	assert_false(manifest.tmem.enabled);
	assert_int_equal(manifest.tmem.pool_max, MIB(12));
	assert_int_equal(manifest.guest_count, 1);
	assert_int_equal(guest->line, 17);
	assert_false(guest->bad);
	assert_string_equal(guest->name, "web");
	assert_string_equal(guest->kernel, "web.elf");
	assert_string_equal(guest->initrd, "web.cpio");
	assert_string_equal(guest->cmdline, "a \"b\" c\\d\te \xc3\xa9");
	assert_int_equal(guest->memory_min, MIB(16));
	assert_int_equal(guest->memory_max, GIB(1));
	assert_int_equal(guest->memory_start, MIB(20));
	assert_int_equal(manifest.balloon.policy, BALLOON_POLICY_ALTERNATE);
	assert_int_equal(manifest.balloon.memory, MIB(48));
	assert_int_equal(manifest.balloon.tick_ms, 250);
	assert_int_equal(manifest.balloon.wait_memory_s, 5);
	assert_int_equal(guest->vcpus, 2);
	assert_true(guest->cpus == (BIT(0) | BIT(3) | BIT(63)));
	assert_int_equal(guest->weight, 1000);
	assert_false(guest->tmem);
	assert_int_equal(guest->tmem_share, 7);
	assert_int_equal(guest->priority, 250);
	assert_int_equal(guest->max_refaults_per_second, 40);
	assert_int_equal(guest->preswap_max, 0);
	assert_int_equal(guest->precache_max, MIB(8));
	assert_string_equal(guest->dedup_group, "web");
	assert_int_equal(guest->dedup_group_number, 1);
	assert_int_equal(guest->tmem_zero_pages, 0);
	assert_int_equal(guest->tmem_dedup, TMEM_OF_ALL);
	assert_int_equal(guest->tmem_compress, TMEM_OF_PRESWAP);
	assert_true(guest->privileged);
	assert_int_equal(guest->time_limit, 60);
	assert_int_equal(guest->disk_count, 2);
	assert_string_equal(guest->disks[0].name, "root");
	assert_string_equal(guest->disks[0].module, "root.img");
	assert_int_equal(guest->disks[0].size, 0);
	assert_int_equal(guest->disks[0].service_us, 200);
	assert_string_equal(guest->disks[1].name, "swap");
	assert_string_equal(guest->disks[1].module, "");
	assert_int_equal(guest->disks[1].size, MIB(32));
	assert_int_equal(guest->shared_pool_count, 2);
	assert_true(guest->shared_pools[0].uuid[1] == 0x0123456789abcdefUL);
	assert_true(guest->shared_pools[0].uuid[0] == 0xfedcba9876543210UL);
	assert_int_equal(guest->shared_pools[0].weight, 100);
	assert_int_equal(guest->shared_pools[1].uuid[1], 1);
	assert_int_equal(guest->shared_pools[1].uuid[0], 2);
	assert_int_equal(guest->shared_pools[1].weight, 7);
}

static void absent_keys_get_their_defaults(void **state)
{
	const struct guest_config *guest = &manifest.guests[0];

	(void)state;
	assert_int_equal(parse(GUEST), 0);
	assert_int_equal(manifest.machine.reserve, 0);
	assert_int_equal(manifest.machine.log_level, 2);
	assert_true(manifest.machine.console_uart);
	assert_int_equal(manifest.machine.when_done, WHEN_DONE_POWER_OFF);
	assert_int_equal(manifest.machine.on_bug, WHEN_DONE_HALT);
	assert_int_equal(manifest.machine.copy, 0);
	assert_true(manifest.tmem.enabled);
	assert_int_equal(manifest.tmem.pool_max, 0);
	assert_int_equal(guest->memory_min, MIB(16));
	assert_int_equal(guest->memory_start, 0);
	assert_int_equal(manifest.balloon.policy, BALLOON_POLICY_REFAULT);
	assert_int_equal(manifest.balloon.memory, 0);
	assert_int_equal(manifest.balloon.tick_ms, 100);
	assert_int_equal(manifest.balloon.wait_memory_s, 30);
	assert_int_equal(guest->vcpus, 1);
	assert_int_equal(guest->cpus, 0);
	assert_int_equal(guest->weight, 100);
	assert_true(guest->tmem);
	assert_int_equal(guest->tmem_share, 100);
	assert_int_equal(guest->priority, 100);
	assert_int_equal(guest->max_refaults_per_second, 0);
	assert_true(guest->preswap_max == ~0UL);
	assert_int_equal(guest->precache_max, 0);
	assert_int_equal(guest->dedup_group_number, 0);
	assert_int_equal(guest->tmem_zero_pages, TMEM_OF_MACHINE);
	assert_int_equal(guest->tmem_dedup, TMEM_OF_MACHINE);
	assert_int_equal(guest->tmem_compress, TMEM_OF_MACHINE);
	assert_false(guest->privileged);
	assert_int_equal(guest->time_limit, 0);
	assert_int_equal(guest->disk_count, 0);
	assert_int_equal(guest->shared_pool_count, 0);
}

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
		"dedup_group, tmem_zero_pages, tmem_dedup, tmem_compress, privileged, time_limit\n",
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
		"2: console \"vga\" is not \"ring\", \"uart\"\n"
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

static void a_bad_guest_leaves_the_others_usable(void **state)
{
	(void)state;
	assert_int_equal(parse("[[guest]]\nname = \"a\"\nkernel = \"k\"\nmemory_max = \"1M\"\n"
			       "[[guest]]\nname = \"b\"\nkernel = \"k\"\nmemory_max = \"huge\"\n"
			       "[[guest]]\nname = \"a\"\nkernel = \"k\"\nmemory_max = \"1M\"\n"
			       "[[guest]]\nname = \"d\"\nkernel = \"k\"\nmemory_max = \"4M\"\n"),
		2);
	assert_false(fatal);
	assert_int_equal(manifest.guest_count, 4);
	assert_false(manifest.guests[0].bad);
	assert_true(manifest.guests[1].bad);
	assert_true(manifest.guests[2].bad);
	assert_false(manifest.guests[3].bad);
	assert_int_equal(manifest.guests[3].memory_min, MIB(4));
}

static void more_guests_than_fit_are_refused_and_named(void **state)
{
	static char text[65536];
	size_t used = 0;

	(void)state;
	for (int i = 0; i < MANIFEST_GUESTS_MAX + 2; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used,
			"[[guest]]\nname = \"g%d\"\nkernel = \"k\"\nmemory_max = \"1M\"\n"
			"[[guest.disk]]\nname = \"d\"\nsize = \"4K\"\n",
			i);
	assert_int_equal(parse(text), 2);
	assert_string_equal(messages, "449: guest \"g64\": there are at most 64 guests\n"
				      "456: guest \"g65\": there are at most 64 guests\n");
	assert_false(fatal);
	assert_int_equal(manifest.guest_count, MANIFEST_GUESTS_MAX);
	assert_false(manifest.guests[63].bad);
	assert_int_equal(manifest.guests[63].disk_count, 1);
}

static void groups_are_numbered(void **state)
{
	static char text[8192];

	(void)state;
	text[0] = 0;
	for (int i = 0; i < MANIFEST_GROUPS_MAX + 2; i++)
		sprintf(text + strlen(text),
			"[[guest]]\nname = \"g%d\"\nkernel = \"k\"\nmemory_max = \"1M\"\n"
			"dedup_group = \"%c\"\n",
			i, i == 1 ? 'a' : 'a' + i);
	assert_int_equal(parse(text), 1);
	assert_string_equal(messages, "50: guest \"g9\": there are at most 8 groups of guests\n");
	assert_false(fatal);
	assert_int_equal(manifest.guests[0].dedup_group_number, 1);
	assert_int_equal(manifest.guests[1].dedup_group_number, 1);
	assert_int_equal(manifest.guests[8].dedup_group_number, MANIFEST_GROUPS_MAX);
	assert_true(manifest.guests[9].bad);
}

static void more_shared_pools_than_fit_are_refused(void **state)
{
	static char text[4096];

	(void)state;
	strcpy(text, GUEST);
	for (int i = 0; i < MANIFEST_SHARED_MAX + 1; i++)
		sprintf(text + strlen(text),
			"[[guest.shared_pool]]\nuuid = \"00000000-0000-0000-0000-%012x\"\n", i);
	assert_int_equal(parse(text), 1);
	assert_string_equal(messages, "21: guest \"web\": a guest has at most 8 shared pools\n");
	assert_int_equal(manifest.guests[0].shared_pool_count, MANIFEST_SHARED_MAX);
}

static void more_disks_than_fit_are_refused(void **state)
{
	char text[2048] = GUEST;

	(void)state;
	for (int i = 0; i < MANIFEST_DISKS_MAX + 1; i++)
		sprintf(text + strlen(text), "[[guest.disk]]\nname = \"d%d\"\nsize = \"4K\"\n", i);
	assert_int_equal(parse(text), 1);
	assert_string_equal(messages, "29: guest \"web\": a guest has at most 8 disks\n");
	assert_int_equal(manifest.guests[0].disk_count, MANIFEST_DISKS_MAX);
}

static void strings_at_and_over_their_limits(void **state)
{
	char text[2048];

	(void)state;
	for (int length = 254; length <= 300; length++) {
		snprintf(text, sizeof(text), GUEST "cmdline = \"%0*d\"\n", length, 0);
		assert_int_equal(parse(text), length > 255);
		assert_int_equal(strlen(manifest.guests[0].cmdline), length > 255 ? 0 : length);
	}
	for (int length = 30; length <= 33; length++) {
		snprintf(text, sizeof(text), GUEST "initrd = \"%0*d\"\n", length, 0);
		assert_int_equal(parse(text), length > 31);
	}
	snprintf(text, sizeof(text), GUEST "initrd = \"%0*d\"\n", 100, 0);
	parse(text);
	assert_non_null(
		strstr(messages, "initrd \"00000000000000000000000000000000000000000000000... "
				 "is not"));
}

static void arrays_at_and_over_their_limit(void **state)
{
	char text[2048] = GUEST "cpus = [0";

	(void)state;
	for (int i = 1; i < 64; i++)
		sprintf(text + strlen(text), ",%d", i);
	strcat(text, ", ]\n");
	assert_int_equal(parse(text), 0);
	assert_true(manifest.guests[0].cpus == ~0UL);
	strcpy(strrchr(text, ']'), "0]\n");
	assert_int_equal(parse(text), 1);
	assert_string_equal(
		messages, "5: guest \"web\": an array holds at most 64 integers; found: ]\n");
}

/* Cut anywhere, a document gives errors or a manifest, and never a read beyond its end. */
static void every_prefix_is_survived(void **state)
{
	static const char text[] =
		"[machine]\nlog_level = \"info\"\r\n" GUEST
		"cpus = [1, # x\n 2]\ncmdline = '\xe2\x82\xac \xf0\x9f\x98\x80'\n"
		"[[guest.disk]]\nname = \"d\\\"\"\nsize = \"4K\"\n";

	(void)state;
	for (size_t length = 0; length < sizeof(text); length++)
		parse_bytes(text, length);
}

static void zero_bytes_are_errors(void **state)
{
	static const char text[] = GUEST "weight = 3\0\n";

	(void)state;
	assert_int_equal(parse_bytes(text, sizeof(text) - 1), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_manifest_gives_its_values),
		cmocka_unit_test(absent_keys_get_their_defaults),
		cmocka_unit_test(every_error_has_its_message),
		cmocka_unit_test(a_bad_guest_leaves_the_others_usable),
		cmocka_unit_test(more_guests_than_fit_are_refused_and_named),
		cmocka_unit_test(more_disks_than_fit_are_refused),
		cmocka_unit_test(groups_are_numbered),
		cmocka_unit_test(more_shared_pools_than_fit_are_refused),
		cmocka_unit_test(strings_at_and_over_their_limits),
		cmocka_unit_test(arrays_at_and_over_their_limit),
		cmocka_unit_test(every_prefix_is_survived),
		cmocka_unit_test(zero_bytes_are_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
