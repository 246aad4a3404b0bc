/*
 * The log: what reaches the port and in which order, what is counted when it comes too fast.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/arch.h"
#include "kernel/core/frame.h"
#include "kernel/core/lock.h"
#include "kernel/core/log.h"

/* ---- The machine
 * ------------------------------------------------------------------------------------ */

static char sent[262144];
static u32 sent_bytes, shown_bytes;
static bool port_busy, interrupt_wanted;
static const char *typed = "";
static u64 now;
static struct cpu cpus[2];
__thread struct cpu *fake_cpu;
static struct boot_info info;
static int locked;

u64 arch_tsc(void)
{
	return now;
}
u64 arch_tsc_hz(void)
{
	return 1000000;
}
const struct boot_info *boot_info(void)
{
	return &info;
}
unsigned uart_write(const char *bytes, unsigned count)
{
	assert_int_equal(shown_bytes, sent_bytes); /* the screen has what came before */
	count = MIN(count, 16U);
	if (port_busy || sent_bytes + count > sizeof(sent) - 1)
		return 0;
	memcpy(sent + sent_bytes, bytes, count);
	sent_bytes += count;
	sent[sent_bytes] = 0;
	return count;
}
void uart_write_wait(const char *bytes, unsigned count)
{
	assert_true(count <= 16);
	assert_int_equal(uart_write(bytes, count), count);
}
void screen_write(const char *bytes, unsigned count)
{
	shown_bytes += count;
	assert_true(shown_bytes <= sent_bytes);
	assert_memory_equal(sent + shown_bytes - count, bytes, count);
}
void uart_want_interrupt(bool wanted)
{
	interrupt_wanted = wanted;
}
int uart_read(void)
{
	return *typed ? *typed++ : -1;
}
void spin_lock(struct spinlock *lock)
{
	(void)lock;
	assert_int_equal(locked++, 0);
}
void spin_unlock(struct spinlock *lock)
{
	(void)lock;
	assert_int_equal(--locked, 0);
}
void *hypervisor_alloc(unsigned order)
{
	return calloc(PAGE_SIZE, 1U << order);
}
void hypervisor_free(void *pages, unsigned order)
{
	(void)order;
	free(pages);
}

static void drain(void)
{
	while (!log_is_empty())
		log_drain();
}

/* The rings are the file's own, so every test leaves them empty. */
static int start(void **state)
{
	(void)state;
	fake_cpu = &cpus[0];
	cpus[1].index = 1;
	port_busy = false;
	log_configure(LOG_INFO, true);
	drain();
	sent_bytes = shown_bytes = 0;
	sent[0] = 0;
	now = 1500000;
	return 0;
}

static unsigned count_of(const char *text)
{
	unsigned count = 0;

	for (const char *at = sent; (at = strstr(at, text)) != NULL; at++)
		count++;
	return count;
}

/* ---- Tests
 * ---------------------------------------------------------------------------------------- */

static void a_line_carries_the_time_and_asks_for_the_interrupt(void **state)
{
	(void)state;
	interrupt_wanted = false;
	log_info("hello %d", 42);
	assert_true(interrupt_wanted);
	assert_int_equal(sent_bytes, 0); /* nobody polls the port here */
	drain();
	assert_string_equal(sent, "[  1.500000] hello 42\n");
	assert_false(interrupt_wanted);
}

static void lines_above_the_level_are_dropped(void **state)
{
	(void)state;
	log_configure(LOG_WARN, true);
	log_info("not this");
	log_warn("this");
	drain();
	assert_string_equal(sent, "[  1.500000] warning: this\n");
}

static void one_drain_writes_at_most_one_fifo(void **state)
{
	(void)state;
	log_info("a line that is longer than one FIFO of sixteen bytes");
	log_drain();
	assert_int_equal(sent_bytes, 16);
	assert_true(interrupt_wanted);
	port_busy = true;
	log_drain();
	assert_int_equal(sent_bytes, 16);
	assert_true(interrupt_wanted);
}

static void only_the_boot_processor_drains(void **state)
{
	(void)state;
	log_info("x");
	fake_cpu = &cpus[1];
	log_drain();
	assert_int_equal(sent_bytes, 0);
	fake_cpu = &cpus[0];
	log_drain();
	assert_true(sent_bytes > 0);
}

static void a_long_line_is_cut_and_ends(void **state)
{
	char text[1000];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = 0;
	log_info("%s", text);
	log_info("next");
	drain();
	assert_int_equal(count_of("\n"), 2);
	assert_non_null(strstr(sent, "\n[  1.500000] next\n"));
}

static void a_flood_is_counted(void **state)
{
	(void)state;
	for (int i = 0; i < 5000; i++)
		log_info("line %d of a flood that nobody drains", i);
	assert_int_equal(count_of("flood"), 0);
	drain();
	assert_non_null(strstr(sent, "line 0 of"));
	assert_int_equal(count_of("lines were lost here"), 1);
	assert_non_null(strstr(sent, "warning: "));
	/* Kept and lost together are all there were. */
	assert_int_equal(count_of("of a flood") +
				 (unsigned)atoi(strstr(sent, "warning: ") + strlen("warning: ")),
		5000);
}

static void without_a_port_the_newest_lines_stay(void **state)
{
	(void)state;
	log_configure(LOG_INFO, false);
	for (int i = 0; i < 5000; i++)
		log_info("line %d", i);
	log_drain();
	assert_int_equal(sent_bytes, 0);
	log_configure(LOG_INFO, true);
	drain();
	assert_null(strstr(sent, "line 0\n"));
	assert_non_null(strstr(sent, "line 4999\n"));
	assert_memory_equal(sent, "[  1.500000] line ", 18);
}

static void a_console_speaks_in_whole_lines_under_its_name(void **state)
{
	struct guest_console *web = guest_console_create("web"), *db = guest_console_create("db");

	(void)state;
	assert_int_equal(guest_console_write(web, "he", 2), 2);
	guest_console_write(db, "one\ntw", 6);
	guest_console_write(web, "llo\r\n\x1b[2J\n", 10);
	log_info("host");
	drain();
	assert_non_null(strstr(sent, "guest db: one\n"));
	assert_non_null(strstr(sent, "guest web: hello\n"));
	assert_non_null(strstr(sent, "guest web: ?[2J\n")); /* no escape reaches the terminal */
	assert_null(strstr(sent, "tw"));
	/* What a guest said last is shown when it goes. */
	guest_console_destroy(db);
	drain();
	assert_non_null(strstr(sent, "guest db: tw\n"));
	guest_console_destroy(web);
}

static void lines_of_both_rings_come_in_the_order_they_were_written(void **state)
{
	struct guest_console *web = guest_console_create("web");

	(void)state;
	log_info("1");
	guest_console_write(web, "2\n", 2);
	log_info("3");
	guest_console_write(web, "4\n5\n", 4);
	drain();
	assert_string_equal(sent, "[  1.500000] 1\nguest web: 2\n[  1.500000] 3\n"
				  "guest web: 4\nguest web: 5\n");
	guest_console_destroy(web);
}

static void a_line_that_is_half_sent_can_be_dropped(void **state)
{
	(void)state;
	log_info("the first line, which will be cut off in the middle");
	log_drain();
	log_configure(LOG_INFO, false);
	for (int i = 0; i < 5000; i++)
		log_info("line %d", i);
	log_configure(LOG_INFO, true);
	drain();
	assert_memory_equal(sent, "[  1.500000] the[  1.500000] line ", 33);
	assert_non_null(strstr(sent, "line 4999\n"));
}

static void a_host_line_never_cuts_a_guest_line(void **state)
{
	struct guest_console *web = guest_console_create("web");

	(void)state;
	guest_console_write(web, "a line of more than sixteen bytes\n", 34);
	log_drain();
	log_info("urgent");
	drain();
	assert_string_equal(
		sent, "guest web: a line of more than sixteen bytes\n[  1.500000] urgent\n");
	guest_console_destroy(web);
}

static void a_guest_that_floods_loses_only_its_own_output(void **state)
{
	struct guest_console *web = guest_console_create("web");

	(void)state;
	for (int i = 0; i < 3000; i++)
		guest_console_write(web, "0123456789012345\n", 17);
	log_info("the host still speaks");
	assert_true(guest_console_dropped(web) > 0);
	drain();
	assert_non_null(strstr(sent, "the host still speaks\n"));
	assert_int_equal(count_of("lines were lost"), 0);
	guest_console_write(web, "after\n", 6);
	drain();
	assert_non_null(strstr(sent, "guest web: [output was lost here] after\n"));
	guest_console_destroy(web);
}

/* Until there is nothing to be sent any more. */
static void show_all(void)
{
	u32 before;

	do {
		before = sent_bytes;
		log_drain();
	} while (sent_bytes != before);
}

static void what_is_typed_never_cuts_a_line(void **state)
{
	(void)state;
	log_info("a line of more than sixteen bytes");
	log_drain();
	log_show_typed("> gue", 5);
	show_all();
	assert_string_equal(sent, "[  1.500000] a line of more than sixteen bytes\n\r\x1b[K> gue");
	sent_bytes = shown_bytes = 0;
	log_info("another");
	log_info("third");
	show_all();
	assert_string_equal(sent, "\r\x1b[K[  1.500000] another\n[  1.500000] third\n"
				  "\r\x1b[K> gue");
	sent_bytes = shown_bytes = 0;
	log_info("the end");
	log_flush();
	assert_string_equal(sent, "\r\x1b[K[  1.500000] the end\n");
	log_show_typed("", 0);
	show_all();
}

static void replies_come_whatever_the_level(void **state)
{
	(void)state;
	log_set_level(LOG_ERROR);
	assert_int_equal(log_level(), LOG_ERROR);
	log_warn("not this");
	log_line(LOG_REPLY, "this");
	drain();
	assert_string_equal(sent, "[  1.500000] this\n");
	log_set_level(LOG_INFO);
}

static void a_guests_unfinished_line_is_shown_to_who_watches(void **state)
{
	struct guest_console *web = guest_console_create("web"), *db = guest_console_create("db");

	(void)state;
	guest_console_write(web, "lost\n/ # ", 9);
	drain();
	sent_bytes = shown_bytes = 0;
	log_watch(web);
	show_all();
	assert_string_equal(sent, "\r\x1b[Kweb: / # ");
	sent_bytes = shown_bytes = 0;
	guest_console_write(db, "x", 1); /* not his */
	guest_console_write(web, "lx\b \bs", 6);
	show_all();
	assert_string_equal(sent, "\r\x1b[Kweb: / # ls");
	sent_bytes = shown_bytes = 0;
	guest_console_write(web, "\r\nbin\r\n/ # ", 11);
	show_all();
	assert_string_equal(sent, "\r\x1b[Kguest web: / # ls\nguest web: bin\n\r\x1b[Kweb: / # ");
	log_show_typed("", 0);
	show_all();
	sent_bytes = shown_bytes = 0;
	sent[0] = 0;
	guest_console_write(web, "y", 1);
	show_all();
	assert_string_equal(sent, "");
	guest_console_destroy(web);
	guest_console_destroy(db);
}

static void what_was_typed_is_read(void **state)
{
	(void)state;
	typed = "ab";
	assert_int_equal(log_read_typed(), 'a');
	assert_int_equal(log_read_typed(), 'b');
	assert_int_equal(log_read_typed(), -1);
}

static void there_is_room_while_half_of_the_ring_is_free(void **state)
{
	(void)state;
	assert_true(log_has_room());
	for (int i = 0; i < 320; i++)
		log_info("a line of the log that takes fifty bytes");
	assert_false(log_has_room());
	drain();
	assert_true(log_has_room());
}

static void the_rate_limit_counts_what_it_suppresses(void **state)
{
	struct rate_limit limit = {0};
	unsigned passed = 0;

	(void)state;
	for (int i = 0; i < 50; i++)
		passed += rate_limit_ok(&limit);
	assert_int_equal(passed, 10);
	assert_int_equal(limit.suppressed, 40);
	for (int second = 0; second < 100; second++) {
		now += 1000000;
		for (int i = 0; i < 50; i++)
			passed += rate_limit_ok(&limit);
	}
	assert_int_equal(passed, 200);
}

static void flush_writes_everything(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++)
		log_info("line %d", i);
	log_drain();
	log_flush();
	assert_int_equal(count_of("\n"), 100);
	assert_true(log_is_empty());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_line_carries_the_time_and_asks_for_the_interrupt, start),
		cmocka_unit_test_setup(lines_above_the_level_are_dropped, start),
		cmocka_unit_test_setup(one_drain_writes_at_most_one_fifo, start),
		cmocka_unit_test_setup(only_the_boot_processor_drains, start),
		cmocka_unit_test_setup(a_long_line_is_cut_and_ends, start),
		cmocka_unit_test_setup(a_flood_is_counted, start),
		cmocka_unit_test_setup(without_a_port_the_newest_lines_stay, start),
		cmocka_unit_test_setup(a_console_speaks_in_whole_lines_under_its_name, start),
		cmocka_unit_test_setup(
			lines_of_both_rings_come_in_the_order_they_were_written, start),
		cmocka_unit_test_setup(a_line_that_is_half_sent_can_be_dropped, start),
		cmocka_unit_test_setup(a_host_line_never_cuts_a_guest_line, start),
		cmocka_unit_test_setup(a_guest_that_floods_loses_only_its_own_output, start),
		cmocka_unit_test_setup(the_rate_limit_counts_what_it_suppresses, start),
		cmocka_unit_test_setup(flush_writes_everything, start),
		cmocka_unit_test_setup(what_is_typed_never_cuts_a_line, start),
		cmocka_unit_test_setup(replies_come_whatever_the_level, start),
		cmocka_unit_test_setup(a_guests_unfinished_line_is_shown_to_who_watches, start),
		cmocka_unit_test_setup(what_was_typed_is_read, start),
		cmocka_unit_test_setup(there_is_room_while_half_of_the_ring_is_free, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
