/*
 * The manifest parser: good documents and what is absent from them, numbers of things and lengths
 * at and over their limits, and documents that are cut short.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake/manifest_text.h"

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
			       "rng = false\n"
			       "privileged = true\n"
			       "time_limit = 60\n"
			       "restart = \"failure\"\n"
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
	assert_int_equal(manifest.machine.console, CONSOLE_RING);
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
	assert_false(guest->rng);
	assert_true(guest->privileged);
	assert_int_equal(guest->time_limit, 60);
	assert_int_equal(guest->restart, RESTART_FAILURE);
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
	assert_int_equal(manifest.machine.console, CONSOLE_UART);
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
	assert_true(guest->rng);
	assert_false(guest->privileged);
	assert_int_equal(guest->time_limit, 0);
	assert_int_equal(guest->restart, RESTART_NEVER);
	assert_int_equal(guest->disk_count, 0);
	assert_int_equal(guest->shared_pool_count, 0);
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
