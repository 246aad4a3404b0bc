/*
 * The machine's COM1 against a model of a 16550: what comes in is read in order, or counted as an
 * overrun; a port that is dead, stuck or not there costs bytes, not the machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/processor.h"

static u8 port_in(u16 port);
static void port_out(u16 port, u8 value);
#define inb         port_in
#define outb        port_out
#define cpu_pause() (void)0
#include "arch/x86/uart.c"

#define FIFO 16u

static struct {
	bool there, has_fifo, stuck; /* stuck: what is sent never leaves */
	u8 ier, lcr, scratch;
	u8 fifo[FIFO];
	unsigned count;  /* in the FIFO */
	bool overrun;    /* told and cleared by a read of LSR */
	bool line, edge; /* the interrupt's line, and that it has risen */
	char sent[4096];
	unsigned sent_count;
	unsigned accesses;
} port;
static u64 now;

static struct cpu boot_cpu;
_Thread_local struct cpu *fake_cpu = &boot_cpu;

void arch_kick(unsigned index)
{
	(void)index;
}

u64 arch_tsc(void)
{
	return now;
}

u64 arch_tsc_hz(void)
{
	return 1000000;
}

static void update_line(void)
{
	bool line = ((port.ier & IER_RECEIVE) && port.count) ||
		    ((port.ier & IER_TRANSMIT) && !port.stuck);

	port.edge |= line && !port.line;
	port.line = line;
}

static u8 receive_byte(void)
{
	u8 byte = port.fifo[0];

	if (port.count == 0)
		return 0;
	memmove(port.fifo, port.fifo + 1, --port.count);
	return byte;
}

static u8 line_register(void)
{
	u8 value = (u8)((port.count ? LSR_DATA_READY : 0) | (port.overrun ? LSR_OVERRUN : 0) |
			(port.stuck ? 0 : LSR_TRANSMIT_EMPTY | LSR_IDLE));

	port.overrun = false;
	return value;
}

static u8 port_in(u16 number)
{
	u8 value = 0xff;

	now++; /* a microsecond each */
	port.accesses++;
	if (!port.there)
		return value;
	switch (number) {
	case UART_DATA:
		value = receive_byte();
		break;
	case UART_IER:
		value = port.ier;
		break;
	case UART_IIR:
		value = port.has_fifo ? IIR_FIFO_ENABLED : 0;
		break;
	case UART_LSR:
		value = line_register();
		break;
	case UART_SCRATCH:
		value = port.scratch;
		break;
	}
	update_line();
	return value;
}

static void port_out(u16 number, u8 value)
{
	port.accesses++;
	if (number == UART_DATA && !(port.lcr & LCR_DIVISOR) && port.sent_count < sizeof(port.sent))
		port.sent[port.sent_count++] = (char)value;
	else if (number == UART_IER)
		port.ier = value;
	else if (number == UART_LCR)
		port.lcr = value;
	else if (number == UART_SCRATCH)
		port.scratch = value;
	update_line();
}

/* The sender does not heed whether anybody reads. */
static void arrive(u8 byte)
{
	if (port.count == FIFO) {
		port.overrun = true;
		return;
	}
	port.fifo[port.count++] = byte;
	update_line();
}

/* Interrupts as they reach the boot CPU: one an edge. */
static void serve_interrupts(void)
{
	for (unsigned n = 0; port.edge; n++) {
		assert_true(n < 100);
		port.edge = false;
		uart_interrupt();
	}
}

static int begin(void **state)
{
	(void)state;
	memset(&port, 0, sizeof(port));
	port.there = port.has_fifo = true;
	present = receiving = false;
	fifo_size = 1;
	input_head = input_tail = 0;
	receive_interrupt = 0;
	overruns = 0;
	uart_start();
	uart_start_input();
	serve_interrupts();
	return 0;
}

static void what_comes_in_is_read_in_order(void **state)
{
	u8 typed = 0, heard = 0;
	u64 random = 1;

	(void)state;
	/* A sender that heeds a full FIFO; a reader who comes now and then. */
	for (unsigned i = 0; i < 20000; i++) {
		random = random * 6364136223846793005 + 1442695040888963407;
		for (unsigned n = random >> 60; n > 0 && port.count < FIFO; n--)
			arrive(typed++);
		serve_interrupts();
		for (unsigned n = random >> 56 & 15; n > 0 && uart_has_input(); n--)
			assert_int_equal(uart_read(), heard++);
		serve_interrupts();
		assert_true(input_head - input_tail <= INPUT_BYTES);
		/* Whatever waits in the port is told of, or the reader has enough. */
		assert_true(!port.count || !has_room() || !receive_interrupt);
	}
	while (uart_has_input()) {
		assert_int_equal(uart_read(), heard++);
		serve_interrupts();
	}
	assert_int_equal(heard, typed);
	assert_int_equal(uart_read(), -1);
	assert_int_equal(uart_overruns(), 0);
}

/* Nobody reads: the ring fills, then the port, then bytes are lost and counted; the first ones are
 * whole, and it goes on afterwards. */
static void overruns_are_counted(void **state)
{
	const unsigned kept = INPUT_BYTES + FIFO;

	(void)state;
	for (unsigned i = 0; i < kept + 5; i++) {
		arrive((u8)i);
		serve_interrupts();
	}
	assert_int_equal(port.count, FIFO);
	assert_false(port.line); /* nobody is called for what there is no room for */
	for (unsigned i = 0; i < kept; i++) {
		assert_int_equal(uart_read(), i);
		serve_interrupts();
	}
	assert_int_equal(uart_read(), -1);
	assert_int_equal(uart_overruns(), 1); /* the port tells that it was, not how often */
	arrive(77);
	serve_interrupts();
	assert_int_equal(uart_read(), 77);
}

/* The port tells of it once, to whoever asks first. */
static void an_overrun_is_seen_by_who_writes(void **state)
{
	(void)state;
	port.overrun = true;
	assert_int_equal(uart_write("a", 1), 1);
	assert_int_equal(uart_overruns(), 1);
	/* So, too, while the end of the last byte is waited for. */
	port.overrun = true;
	uart_write_wait("", 0);
	assert_int_equal(uart_overruns(), 2);
}

/* What an edge that never came would have told of is found ten times a second. */
static void a_lost_interrupt_is_made_up_for(void **state)
{
	(void)state;
	arrive('x');
	port.edge = false;
	assert_false(uart_has_input());
	uart_poll();
	assert_int_equal(uart_read(), 'x');
}

/* Whether the log wants its interrupt changes nothing for input. */
static void output_does_not_turn_input_off(void **state)
{
	(void)state;
	uart_want_interrupt(true);
	serve_interrupts();
	uart_want_interrupt(false);
	arrive('x');
	serve_interrupts();
	assert_int_equal(uart_read(), 'x');
	assert_int_equal(uart_write("abcdefghijklmnopqrstuvwxyz", 26), FIFO);
	uart_write_wait("0123456789abcdefghi", 19);
	assert_memory_equal(port.sent, "abcdefghijklmnop0123456789abcdefghi", FIFO + 19);
}

static void a_stuck_port_costs_bytes(void **state)
{
	(void)state;
	port.stuck = true;
	assert_int_equal(uart_write("a", 1), 0);
	port.accesses = 0;
	uart_write_wait("ab", 2);
	assert_true(port.accesses < 4 * UART_PATIENCE_READS);
}

static void no_port(void **state)
{
	(void)state;
	memset(&port, 0, sizeof(port));
	present = receiving = false;
	uart_start();
	uart_start_input();
	port.accesses = 0;
	assert_int_equal(uart_write("abc", 3), 3); /* swallowed */
	uart_write_wait("abc", 3);
	boot_cpu.events = 0;
	uart_want_interrupt(true);
	assert_int_equal(boot_cpu.events, CPU_EVENT_UART);
	uart_poll();
	assert_int_equal(uart_read(), -1);
	assert_int_equal(port.accesses, 0);
}

/* An 8250 has no FIFO: a byte at a time. */
static void no_fifo(void **state)
{
	(void)state;
	port.has_fifo = false;
	fifo_size = 1;
	uart_start();
	uart_start_input();
	serve_interrupts();
	assert_int_equal(uart_write("abc", 3), 1);
	for (u8 i = 0; i < 5; i++) {
		arrive(i);
		serve_interrupts();
		assert_int_equal(uart_read(), i);
	}
}

int main(void)
{
#define COM1_TEST(name) cmocka_unit_test_setup(name, begin)
	const struct CMUnitTest tests[] = {
		COM1_TEST(what_comes_in_is_read_in_order),
		COM1_TEST(overruns_are_counted),
		COM1_TEST(an_overrun_is_seen_by_who_writes),
		COM1_TEST(a_lost_interrupt_is_made_up_for),
		COM1_TEST(output_does_not_turn_input_off),
		COM1_TEST(a_stuck_port_costs_bytes),
		COM1_TEST(no_port),
		COM1_TEST(no_fifo),
	};

	return cmocka_run_group_tests_name("com1", tests, NULL, NULL);
}
