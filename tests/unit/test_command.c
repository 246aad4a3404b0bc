/*
 * The operator's line and his commands: what is typed becomes a line, and a line a command or a
 * message that names the word.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <abi/balloon_control.h>
#include <abi/tmem_control.h>

#include "balloon/balloon.h"
#include "kernel/command.h"
#include "kernel/core/log.h"
#include "kernel/core/typing.h"
#include "kernel/line_edit.h"

/* ---- The line ------------------------------------------------------------------------ */

static struct line_edit line;

static enum line_event type(const char *bytes)
{
	enum line_event event = LINE_SAME;

	for (; *bytes; bytes++)
		event = line_type(&line, (u8)*bytes);
	return event;
}

static int start(void **state)
{
	(void)state;
	memset(&line, 0, sizeof(line));
	return 0;
}

static void expect(const char *typed, const char *text)
{
	memset(&line, 0, sizeof(line));
	type(typed);
	assert_int_equal(type("\r"), *text ? LINE_ENTERED : LINE_SAME);
	assert_string_equal(line.text, text);
}

static void a_line_is_edited(void **state)
{
	(void)state;
	expect("guests", "guests");
	expect("guexx\b\x7fsts", "guests");
	expect("\b\bpool\b\b\b\b\b\b", "");
	expect("stop web\x15pool", "pool");
	expect("stop web\x03pool", "pool");
	expect("\t\x01po\x80\xffol\x07", "pool");
	expect("po\x1b[Aol\x1b[3~\x1bOP", "pool");
	/* What only begins like a key does not swallow what follows. */
	expect("po\x1bxol\x1b[1;2\b", "poxo");
}

static void it_says_what_changed(void **state)
{
	(void)state;
	assert_int_equal(type("a"), LINE_CHANGED);
	assert_int_equal(type("\x1b"), LINE_SAME);
	assert_int_equal(type("[D"), LINE_SAME);
	assert_int_equal(type("\b"), LINE_CHANGED);
	assert_int_equal(type("\b"), LINE_SAME);
	assert_int_equal(type("\n"), LINE_SAME);
	assert_int_equal(type("b\n"), LINE_ENTERED);
	line_clear(&line);
	assert_int_equal(line.length, 0);
}

static void a_long_line_is_remembered_as_such(void **state)
{
	(void)state;
	for (unsigned i = 0; i < LINE_EDIT_MAX; i++)
		assert_int_equal(type("x"), LINE_CHANGED);
	assert_false(line.too_long);
	assert_int_equal(type("y"), LINE_SAME);
	assert_true(line.too_long);
	type("\b\b");
	assert_true(line.too_long);
	assert_int_equal(type("\r"), LINE_ENTERED);
	assert_int_equal(strlen(line.text), LINE_EDIT_MAX - 2);
	type("\x15");
	assert_false(line.too_long);
}

/* ---- The screen ---------------------------------------------------------------------- */

static struct typing typing;

/* All that is to be sent now, two bytes at a time. */
static const char *shown(bool line_waits)
{
	static char all[256];
	u32 count, at = 0;

	while ((count = typing_next(&typing, line_waits, all + at, 2)) > 0) {
		typing_sent(&typing, count);
		at += count;
	}
	all[at] = 0;
	return all;
}

static void what_is_typed_stays_below_the_lines(void **state)
{
	(void)state;
	memset(&typing, 0, sizeof(typing));
	typing_set(&typing, "", 0);
	assert_false(typing_is_due(&typing));
	typing_set(&typing, "ab", 2);
	assert_true(typing_is_due(&typing));
	assert_string_equal(shown(true), ""); /* the line first */
	assert_string_equal(shown(false), TYPING_ERASE "ab");
	assert_false(typing_is_due(&typing));
	assert_string_equal(shown(false), "");
	assert_string_equal(shown(true), TYPING_ERASE);
	assert_string_equal(shown(true), "");
	assert_string_equal(shown(false), TYPING_ERASE "ab");
	typing_set(&typing, "abc", 3);
	assert_string_equal(shown(true), TYPING_ERASE);
	typing_set(&typing, "", 0);
	assert_string_equal(shown(false), "");
	typing_set(&typing, "d", 1);
	assert_string_equal(shown(false), TYPING_ERASE "d");
	typing_set(&typing, "", 0);
	assert_string_equal(shown(false), TYPING_ERASE);
	assert_false(typing_is_due(&typing));
}

static void an_escape_sequence_is_sent_whole(void **state)
{
	char bytes[3];

	(void)state;
	memset(&typing, 0, sizeof(typing));
	typing_set(&typing, "ab", 2);
	assert_int_equal(typing_next(&typing, false, bytes, 3), 3);
	typing_sent(&typing, 2);
	typing_set(&typing, "xyz", 3);
	assert_string_equal(shown(true), "[Kab" TYPING_ERASE);
	assert_string_equal(shown(false), TYPING_ERASE "xyz");
}

static void of_a_long_line_the_end_is_shown(void **state)
{
	char text[TYPING_MAX + 10], expected[sizeof(TYPING_ERASE) + TYPING_MAX];

	(void)state;
	memset(&typing, 0, sizeof(typing));
	for (unsigned i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 26);
	typing_set(&typing, text, sizeof(text));
	snprintf(expected, sizeof(expected), "%s%.*s", TYPING_ERASE, (int)TYPING_MAX, text + 10);
	assert_string_equal(shown(false), expected);
}

/* ---- Commands ------------------------------------------------------------------------ */

static char text[100], error[160];
static struct command command;

static bool parse(const char *typed)
{
	snprintf(text, sizeof(text), "%s", typed);
	error[0] = 0;
	return command_parse(text, &command, error, sizeof(error));
}

static void refuses(const char *typed, const char *message)
{
	assert_false(parse(typed));
	assert_string_equal(error, message);
}

static void every_command_is_understood(void **state)
{
	(void)state;
	assert_true(parse("help") && command.kind == COMMAND_HELP);
	assert_true(parse("  guests  ") && command.kind == COMMAND_GUESTS);
	assert_true(parse("guest web") && command.kind == COMMAND_GUEST);
	assert_string_equal(command.guest, "web");
	assert_true(parse("console   a.b-c") && command.kind == COMMAND_CONSOLE);
	assert_string_equal(command.guest, "a.b-c");
	assert_true(parse("stop web") && command.kind == COMMAND_STOP);
	assert_true(parse("shutdown all") && command.kind == COMMAND_SHUTDOWN);
	assert_string_equal(command.guest, "all");
	assert_true(parse("pool") && command.kind == COMMAND_POOL);
	assert_true(parse("freeze web") && command.kind == COMMAND_FREEZE);
	assert_true(parse("thaw web") && command.kind == COMMAND_THAW);
	assert_true(parse("audit") && command.kind == COMMAND_AUDIT);
	assert_true(parse("poweroff") && command.kind == COMMAND_POWEROFF);
	assert_true(parse("weight web 65535") && command.kind == COMMAND_WEIGHT);
	assert_int_equal(command.value, 65535);
	assert_string_equal(command.guest, "web");
	for (unsigned kind = 0; kind < COMMANDS; kind++)
		assert_true(command_usage((enum command_kind)kind)[0] &&
			    command_help((enum command_kind)kind)[0]);
}

static void caps_are_in_pages(void **state)
{
	(void)state;
	assert_true(parse("cap web precache 8M") && command.kind == COMMAND_CAP);
	assert_false(command.persistent);
	assert_int_equal(command.value, 2048);
	assert_true(parse("cap web preswap 4096") && command.persistent && command.value == 1);
	assert_true(parse("cap web preswap 0") && command.value == 0);
	assert_true(parse("cap web preswap 1G") && command.value == 262144);
	assert_true(parse("cap web precache none") && command.value == TMEM_UNLIMITED);
}

static void policies_and_levels_have_their_names(void **state)
{
	char typed[64];

	(void)state;
	assert_true(parse("policy") && command.value == COMMAND_NO_VALUE);
	assert_true(parse("log") && command.value == COMMAND_NO_VALUE);
	for (unsigned p = 0; p < BALLOON_CONTROL_POLICIES; p++) {
		/* The engine counts its own alike. */
		if (p != BALLOON_CONTROL_ALTERNATE)
			assert_string_equal(command_policies[p], balloon_policy_name(p));
		snprintf(typed, sizeof(typed), "policy %s", command_policies[p]);
		assert_true(parse(typed) && command.kind == COMMAND_POLICY && command.value == p);
	}
	assert_null(command_policies[BALLOON_CONTROL_POLICIES]);
	assert_true(parse("log debug") && command.kind == COMMAND_LOG);
	assert_int_equal(command.value, LOG_DEBUG);
	assert_true(parse("log error") && command.value == LOG_ERROR);
}

static void what_is_wrong_is_named(void **state)
{
	(void)state;
	refuses("   ", "an empty line; \"help\" lists the commands");
	refuses("gues web", "unknown command \"gues\"; \"help\" lists those there are");
	refuses("guestsx", "unknown command \"guestsx\"; \"help\" lists those there are");
	refuses("guest", "guest: a word is missing; it is: guest GUEST");
	refuses("stop a b", "stop: too many words; it is: stop GUEST");
	refuses("help a b c d e f g", "help: too many words; it is: help");
	refuses("weight web", "weight: a word is missing; it is: weight GUEST 1..65535");
	refuses("weight web 0", "weight: \"0\" is not a number from 1 to 65535");
	refuses("weight web 65536", "weight: \"65536\" is not a number from 1 to 65535");
	refuses("weight web 99999999999999999999999",
		"weight: \"99999999999999999999999\" is not a number from 1 to 65535");
	refuses("weight web 7x", "weight: \"7x\" is not a number from 1 to 65535");
	refuses("weight web -1", "weight: \"-1\" is not a number from 1 to 65535");
	refuses("cap web swap 8M", "cap: \"swap\" is not precache or preswap");
	refuses("cap web preswap 8T", "cap: \"8T\" is not none, or a size of whole pages, as 16M");
	refuses("cap web preswap 8MB",
		"cap: \"8MB\" is not none, or a size of whole pages, as 16M");
	refuses("cap web preswap M", "cap: \"M\" is not none, or a size of whole pages, as 16M");
	refuses("cap web preswap 5K", "cap: \"5K\" is not none, or a size of whole pages, as 16M");
	refuses("policy fair",
		"policy: \"fair\" is not refault, static, selfballoon, shares or alternate");
	refuses("log loud", "log: \"loud\" is not error, warn, info or debug");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_line_is_edited, start),
		cmocka_unit_test_setup(it_says_what_changed, start),
		cmocka_unit_test_setup(a_long_line_is_remembered_as_such, start),
		cmocka_unit_test(what_is_typed_stays_below_the_lines),
		cmocka_unit_test(an_escape_sequence_is_sent_whole),
		cmocka_unit_test(of_a_long_line_the_end_is_shown),
		cmocka_unit_test(every_command_is_understood),
		cmocka_unit_test(caps_are_in_pages),
		cmocka_unit_test(policies_and_levels_have_their_names),
		cmocka_unit_test(what_is_wrong_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
