/*
 * The operator's console: commands as they are typed, byte for byte, and what comes of each.
 * Guests, log and devices are this file's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/platform.h>

#include "arch/x86/guest/ioapic.h"
#include "arch/x86/guest/uart.h"
#include "kernel/ending.h"
#include "kernel/guests.h"
#include "kernel/monitor.h"
#include "kernel/monitor_show.h"
#include "kernel/restart.h"
#include "kernel/virtio/console.h"
#include "kernel/vm/audit.h"
#include "kernel/vm/balloon_control.h"
#include "kernel/vm/vm.h"
#include "kernel/world.h"

/* ---- What stands below ----------------------------------------------------------------------- */

#define GUESTS 2
static struct vm guests[GUESTS];
static struct guest_config configs[GUESTS];
static char typed[512], said[4096], shown[128], to_uart[512], to_console[512];
static unsigned typed_at, taken_by_uart, taken_by_console, pressed, audits, worlds, uart_room;
static unsigned caps_tries;
static u64 caps[2];
static u32 lost;
/* What has its image kept, and what is to be started again. */
static struct vm *to_come;
static bool no_more;
static bool room, listens, has_driver, frozen, reaping, must_power_off;
static int level, policy;

struct vm *vm_at(unsigned slot)
{
	return slot < GUESTS ? &guests[slot] : NULL;
}

void vm_stop(struct vm *vm, enum stop_reason reason, u64 code)
{
	vm->stop_reason = reason;
	vm->stop_code = code;
}

const char *stop_reason_name(enum stop_reason reason)
{
	return reason == STOP_OPERATOR ? "operator" : "another";
}

/* Each line behind the one before, with its newline. */
void log_line(int at, const char *format, ...)
{
	size_t length = strlen(said);
	va_list list;

	assert_int_equal(at, LOG_REPLY);
	va_start(list, format);
	vsnprintf(said + length, sizeof(said) - length - 1, format, list);
	va_end(list);
	strcat(said, "\n");
}

int log_read_typed(void)
{
	return typed[typed_at] ? (u8)typed[typed_at++] : -1;
}

bool uart_has_input(void)
{
	return typed[typed_at];
}

void log_show_typed(const char *text, u32 length)
{
	assert_true(length < sizeof(shown));
	memcpy(shown, text, length);
	shown[length] = '\0';
}

void log_watch(const struct guest_console *console)
{
	(void)console;
}

bool log_has_room(void)
{
	return room;
}

void log_set_level(int to)
{
	level = to;
}

int log_level(void)
{
	return level;
}

u32 uart_overruns(void)
{
	return lost;
}

void uart_start_input(void)
{
}

/* As kernel/core/rate_limit.c does, all within a second. */
bool rate_limit_ok(struct rate_limit *limit)
{
	return limit->total++ < 10;
}

bool uart_guest_listens(const struct vm *vm)
{
	(void)vm;
	return listens;
}

unsigned uart_guest_input(struct vm *vm, const char *bytes, unsigned count)
{
	assert_ptr_equal(vm, &guests[1]);
	assert_int_equal(count, 1);
	if (taken_by_uart == uart_room)
		return 0;
	to_uart[taken_by_uart++] = *bytes;
	return 1;
}

bool console_has_driver(const struct vm *vm)
{
	(void)vm;
	return has_driver;
}

unsigned console_input(struct vm *vm, const char *bytes, unsigned count)
{
	assert_ptr_equal(vm, &guests[1]);
	assert_int_equal(count, 1);
	to_console[taken_by_console++] = *bytes;
	return 1;
}

void ioapic_raise(struct vm *vm, unsigned pin)
{
	assert_int_equal(pin, PLATFORM_POWER_GSI);
	pressed |= 1u << (vm - guests);
}

void ending_must_power_off(void)
{
	must_power_off = true;
}

void restart_no_more(void)
{
	no_more = true;
}

void restart_order(struct vm *vm)
{
	log_line(LOG_REPLY, "%s again", vm->config->name);
}

bool restart_cancel(struct vm *vm)
{
	return vm == to_come;
}

bool guests_to_reap(void)
{
	return reaping;
}

void world_stop(void)
{
	worlds++;
}

void world_resume(void)
{
	worlds--;
}

u64 audit_run(void)
{
	assert_int_equal(worlds, 1);
	audits++;
	return 0;
}

u32 balloon_control_policy(void)
{
	return (u32)policy;
}

void balloon_control_set(u32 to)
{
	policy = (int)to;
}

void tmem_client_freeze(struct tmem_client *client, bool freeze)
{
	(void)client;
	frozen = freeze;
}

int tmem_client_set_weight(struct tmem_client *client, u64 weight)
{
	(void)client;
	return weight == 7 ? -SLUICE_EINVAL : 0;
}

void tmem_client_info(struct tmem_client *client, struct tmem_guest_info *info)
{
	(void)client;
	*info = (struct tmem_guest_info){.persistent_max = 111, .ephemeral_max = 222};
}

/* Has to be asked three times. */
int tmem_client_set_caps(struct tmem_client *client, u64 persistent_max, u64 ephemeral_max)
{
	(void)client;
	caps[0] = persistent_max;
	caps[1] = ephemeral_max;
	return ++caps_tries % 3 ? -SLUICE_EAGAIN : 0;
}

void show_guests_head(void)
{
	log_line(LOG_REPLY, "head");
}

void show_guests_row(const struct vm *vm)
{
	log_line(LOG_REPLY, "row %s", vm->config->name);
}

void show_guest(struct vm *vm)
{
	log_line(LOG_REPLY, "all of %s", vm->config->name);
}

void show_pool(void)
{
	log_line(LOG_REPLY, "the pool");
}

/* ---- The operator ---------------------------------------------------------------------------- */

static int begin(void **state)
{
	static const char *const names[] = {"web", "db"};

	(void)state;
	for (unsigned i = 0; i < GUESTS; i++) {
		memset(&guests[i], 0, sizeof(guests[i]));
		strcpy(configs[i].name, names[i]);
		guests[i].config = &configs[i];
	}
	guests[1].image = (void *)&guests[1];
	guests[1].tmem = (struct tmem_client *)&guests[1]; /* only its being there counts */
	memset(to_uart, 0, sizeof(to_uart));
	memset(to_console, 0, sizeof(to_console));
	said[0] = '\0';
	taken_by_uart = taken_by_console = pressed = audits = caps_tries = 0;
	to_come = NULL;
	no_more = false;
	room = listens = true;
	has_driver = reaping = must_power_off = false;
	uart_room = 500;
	return 0;
}

/* Turns until there is nothing to do. */
static void turns(void)
{
	unsigned n = 0;

	while (monitor_is_due()) {
		monitor_turn();
		assert_true(++n < 1000);
	}
}

static void type(const char *bytes)
{
	strcpy(typed, bytes);
	typed_at = 0;
	said[0] = '\0';
	turns();
}

static void expect(const char *bytes, const char *replies)
{
	type(bytes);
	assert_string_equal(said, replies);
}

static void every_command(void **state)
{
	(void)state;
	expect("guests\r", "> guests\nhead\nrow web\nrow db\n");
	expect("guest db\r", "> guest db\nall of db\n");
	expect("pool\r", "> pool\nthe pool\n");
	expect("policy shares\r", "> policy shares\npolicy: shares from the next tick on\n");
	expect("policy\r", "> policy\npolicy: shares\n");
	expect("log warn\r", "> log warn\nlog: warn and what is worse\n");
	expect("audit\r", "> audit\naudit: every frame is where it should be\n");
	assert_int_equal(audits, 1);
	expect("freeze db\r", "> freeze db\nguest \"db\": frozen\n");
	assert_true(frozen);
	expect("thaw db\r", "> thaw db\nguest \"db\": thawed\n");
	assert_false(frozen);
	expect("freeze web\r", "> freeze web\nguest \"web\" has no tmem\n");
	expect("weight db 7\r", "> weight db 7\nweight: 7 is not valid\n");
	expect("weight db 8\r", "> weight db 8\nguest \"db\": weight 8\n");
	expect("guest nobody\r",
		"> guest nobody\nthere is no guest \"nobody\"; \"guests\" lists those there are\n");
	expect("shutdown web\r", "> shutdown web\nguest \"web\": asked to shut down\n");
	assert_int_equal(pressed, 1);
	assert_true(guests[0].restart.stays_off);
	expect("start web\r",
		"> start web\nguest \"web\" cannot be started again: its restart is \"never\"\n");
	expect("start db\r", "> start db\nguest \"db\" runs\n");
	expect("restart db\r", "> restart db\ndb again\n");
	to_come = &guests[0];
	expect("stop web\r", "> stop web\nguest \"web\" is not started again\n");
	assert_int_equal(guests[0].stop_reason, STOP_NONE);
	to_come = NULL;
	expect("stop web\r", "> stop web\n");
	assert_int_equal(guests[0].stop_reason, STOP_OPERATOR);
	expect("stop web\r", "> stop web\nguest \"web\" has ended: operator\n");
	expect("guest web\r", "> guest web\nall of web\n"); /* that may be asked still */
	expect("shutdown all\r", "> shutdown all\nguest \"db\": asked to shut down\n");
	assert_int_equal(pressed, 3);
	expect("poweroff\r", "> poweroff\npowering off\n");
	assert_true(must_power_off && no_more);
	assert_int_equal(guests[1].stop_reason, STOP_OPERATOR);
}

/* The one limit is set, the other stays; 64 pages a turn go, and the guest may end meanwhile. */
static void caps_take_turns(void **state)
{
	(void)state;
	expect("cap db preswap 4M\r", "> cap db preswap 4M\nguest \"db\": new caps\n");
	assert_int_equal(caps_tries, 3);
	assert_int_equal(caps[0], 1024);
	assert_int_equal(caps[1], 222);
	strcpy(typed, "cap db precache 4M\rpool\r");
	typed_at = 0;
	said[0] = '\0';
	monitor_turn();
	monitor_turn();
	assert_int_equal(caps[0], 111);
	assert_int_equal(caps[1], 1024);
	vm_stop(&guests[1], STOP_OPERATOR, 0);
	turns();
	assert_string_equal(
		said, "> cap db precache 4M\nguest \"db\" has ended: operator\n> pool\nthe pool\n");
}

/* What is typed while a command is at work waits for it, and for room in the log. */
static void typed_ahead(void **state)
{
	(void)state;
	reaping = true;
	strcpy(typed, "audit\rpool\r");
	typed_at = 0;
	for (unsigned i = 0; i < 10; i++)
		monitor_turn();
	assert_string_equal(said, "> audit\n");
	assert_true(monitor_is_due());
	reaping = false;
	turns();
	assert_string_equal(
		said, "> audit\naudit: every frame is where it should be\n> pool\nthe pool\n");
	room = false;
	strcpy(typed, "pool\r");
	typed_at = 0;
	for (unsigned i = 0; i < 10; i++)
		monitor_turn();
	assert_int_equal(typed_at, 0);
	room = true;
	turns();
	assert_int_equal(typed_at, 5);
}

static void lines_are_edited(void **state)
{
	(void)state;
	expect("stop db\x03po\x1b[A\x1b[3~olx\x7f\r", "> pool\nthe pool\n");
	type("gues");
	assert_string_equal(shown, "> gues");
	assert_string_equal(said, "");
	type("\x15");
	assert_string_equal(shown, "");
	expect("\r\n\r\n", "");
	type("pool "
	     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r");
	assert_non_null(strstr(said, "too long"));
	expect("pool\r", "> pool\nthe pool\n");
}

/* A line of which the port lost something is not carried out, whatever it looks like. */
static void a_line_with_a_hole(void **state)
{
	(void)state;
	type("stop ");
	lost++;
	type("db\r");
	assert_non_null(strstr(said, "parts of the line were lost (1 times so far)"));
	assert_int_equal(guests[1].stop_reason, STOP_NONE);
	expect("pool\r", "> pool\nthe pool\n");
}

static void bad_lines_come_to_an_end(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 50; i++)
		type("nonsense\r");
	assert_string_equal(said, "");
	expect("pool\r", "> pool\nthe pool\n");
	type("nonsense\r");
	assert_non_null(strstr(said, "> nonsense\n"));
}

/* Every byte but ctrl-] is the guest's, ctrl-C too, in its order and to where it listens. */
static void a_guests_console(void **state)
{
	char all[256];
	unsigned count = 0;

	(void)state;
	for (unsigned byte = 1; byte < 256; byte++)
		if (byte != 0x1d)
			all[count++] = (char)byte;
	all[count] = '\0';
	expect("console db\r", "> console db\nconsole of guest \"db\": ctrl-] ends it\n");
	expect(all, "");
	assert_int_equal(taken_by_uart, count);
	assert_memory_equal(to_uart, all, count);
	/* Not to the UART: it has a driver for the other, and nobody listens there. */
	has_driver = true;
	listens = false;
	expect("\x03", "");
	assert_string_equal(to_console, "\x03");
	/* Nobody anywhere: where it may be found. */
	has_driver = false;
	expect("x", "");
	assert_int_equal(taken_by_uart, count + 1);
	expect("\x1dpool\r", "console of guest \"db\" is left\n> pool\nthe pool\n");
	assert_int_equal(taken_by_uart, count + 1);
}

/* What a guest did not get is told when it is left, and no command pays for it. */
static void lost_on_a_guests_console(void **state)
{
	static const char left[] =
		"console of guest \"db\" is left; it did not get all that was typed\n";
	char expected[256];

	(void)state;
	type("console db\r");
	uart_room = 2;
	expect("abc\x1d", left);
	uart_room = 500;
	type("console db\r");
	lost++;
	snprintf(expected, sizeof(expected), "%s> pool\nthe pool\n", left);
	expect("abc\x1dpool\r", expected);
	type("console db\r");
	expect("\x1d", "console of guest \"db\" is left\n");
}

static void a_guest_ends_while_its_console_is_watched(void **state)
{
	(void)state;
	type("console db\r");
	said[0] = '\0';
	monitor_guest_ends(&guests[0]);
	assert_string_equal(said, "");
	monitor_guest_ends(&guests[1]);
	assert_string_equal(said, "console of guest \"db\" is left\n");
	expect("pool\r", "> pool\nthe pool\n");
}

int main(void)
{
#define MONITOR_TEST(name) cmocka_unit_test_setup(name, begin)
	const struct CMUnitTest tests[] = {
		MONITOR_TEST(every_command),
		MONITOR_TEST(caps_take_turns),
		MONITOR_TEST(typed_ahead),
		MONITOR_TEST(lines_are_edited),
		MONITOR_TEST(a_line_with_a_hole),
		MONITOR_TEST(bad_lines_come_to_an_end),
		MONITOR_TEST(a_guests_console),
		MONITOR_TEST(lost_on_a_guests_console),
		MONITOR_TEST(a_guest_ends_while_its_console_is_watched),
	};

	return cmocka_run_group_tests_name("monitor", tests, NULL, NULL);
}
