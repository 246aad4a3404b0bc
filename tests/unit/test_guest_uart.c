/*
 * The guest's UART under an operator who types at any moment: no byte is lost, doubled or out of
 * order, and none waits without an interrupt that tells of it.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake/pc_guest.h"

#include "fake/other_cpu.h"

enum { RBR, IER, IIR, LCR, MCR, LSR, MODEM };
#define RDI        1u /* IER: received data */
#define THRI       2u /* IER: transmitter empty */
#define DR         1u /* LSR */
#define NO_INT     1u /* IIR */
#define FCR_CLEARS 7u
#define VECTOR     0x71

static u8 typed, heard; /* how many bytes; the n-th is n */

static u8 in(unsigned reg)
{
	return uart_guest_read(vm, reg);
}

static void out(unsigned reg, u8 value)
{
	uart_guest_write(vm, reg, value);
}

/* The operator types a byte, on the boot CPU. */
static void other_cpu(void)
{
	char byte = (char)++typed;

	depth++;
	assert_int_equal(uart_guest_input(vm, &byte, 1), 1);
	depth--;
}

static void route(u64 entry)
{
	ioapic_write(vm, 0, 0x10 + 2 * PLATFORM_UART_GSI);
	ioapic_write(vm, 0x10, (u32)entry);
}

static int begin(void **state)
{
	int error = setup(state);

	enable_all();
	route(VECTOR);
	typed = heard = 0;
	steps_begin(1);
	return error;
}

static void hear(void)
{
	assert_int_equal(in(RBR), ++heard);
}

/* An interrupt as Linux serves it: until the port has nothing more to say. */
static void serve_interrupt(void)
{
	while (!(in(IIR)&NO_INT))
		while (in(LSR)&DR)
			hear();
}

/* All that has come, as the vCPU takes it; how many interrupts that were. */
static unsigned take_all(void)
{
	unsigned count = 0;
	int vector;

	while ((vector = lapic_pending(&vcpus[0])) >= 0) {
		assert_int_equal(vector, VECTOR);
		lapic_accept(&vcpus[0], VECTOR);
		serve_interrupt();
		set(0, X2(EOI), 0);
		assert_true(++count < 1000);
	}
	return count;
}

/* What a driver does with the port, beside its interrupts. */
static void print_polling(void)
{
	u8 ier = in(IER);

	out(IER, 0);
	out(RBR, 'x');
	assert_true(in(LSR)&0x20);
	out(IER, ier);
}

static void start_sending(void)
{
	out(IER, RDI | THRI);
	out(RBR, 'x');
}

static void stop_sending(void)
{
	out(IER, RDI);
}

static void ask_what(void)
{
	(void)in(IIR);
}

static void one_byte(void)
{
	if (in(LSR)&DR)
		hear();
}

static void (*const deeds[])(void) = {
	print_polling, start_sending, stop_sending, ask_what, one_byte, serve_interrupt};

/* A byte comes before any instruction of each deed, with bytes and interrupts waiting or not. */
static void a_byte_at_any_moment(u64 entry)
{
	route(entry);
	out(IER, RDI);
	for (unsigned deed = 0; deed < ARRAY_SIZE(deeds); deed++)
		for (unsigned at = 1; at < 600; at += 1 + choose(80))
			for (unsigned before = 0; before < 4; before++) {
				if (before & 1)
					other_cpu();
				if (before & 2)
					start_sending();
				step_for(at);
				deeds[deed]();
				step_off();
				out(IER, RDI);
				take_all();
				/* Had an interrupt been lost, it would wait now. */
				assert_int_equal(heard, typed);
				assert_false(in(LSR)&DR);
			}
	assert_true(typed > 0);
}

static void a_byte_at_any_moment_by_edges(void **state)
{
	(void)state;
	a_byte_at_any_moment(VECTOR);
}

static void a_byte_at_any_moment_by_level(void **state)
{
	(void)state;
	a_byte_at_any_moment(VECTOR | BIT(15));
}

/* In the middle of an interrupt's service, which may be of the transmitter alone. */
static void a_byte_in_the_middle_of_service(u64 entry)
{
	route(entry);
	for (unsigned at = 1; at < 600; at += 1 + choose(16)) {
		out(IER, RDI | THRI);
		assert_int_equal(lapic_pending(&vcpus[0]), VECTOR);
		lapic_accept(&vcpus[0], VECTOR);
		step_for(at);
		/* One cause an interrupt, and nothing is looked at but what that is. */
		if ((in(IIR)&0xf) == 4)
			hear();
		step_off();
		set(0, X2(EOI), 0);
		take_all();
		assert_int_equal(heard, typed);
	}
	assert_true(typed > 0);
}

static void a_byte_while_the_transmitter_is_served(void **state)
{
	(void)state;
	a_byte_in_the_middle_of_service(VECTOR);
}

static void the_same_by_level(void **state)
{
	(void)state;
	a_byte_in_the_middle_of_service(VECTOR | BIT(15));
}

/* A driver that prints a message has interrupts off meanwhile: it hears what is typed then. */
static void typed_while_a_message_is_printed(void **state)
{
	(void)state;
	assert_false(uart_guest_listens(vm));
	out(IER, RDI);
	assert_true(uart_guest_listens(vm));
	out(IER, 0);
	assert_true(uart_guest_listens(vm));
	other_cpu();
	assert_int_equal(lapic_pending(&vcpus[0]), -1);
	out(IER, RDI);
	assert_int_equal(take_all(), 1);
	assert_int_equal(heard, 1);
	/* One that lets go of the port does not, and one that opens it anew does. */
	out(IER, 0);
	out(IIR, FCR_CLEARS);
	out(IIR, 0);
	assert_false(uart_guest_listens(vm));
	out(IIR, FCR_CLEARS);
	out(IIR, 0);
	out(IER, RDI);
	assert_true(uart_guest_listens(vm));
	/* To clear the FIFO at work is not to let go. */
	out(IIR, FCR_CLEARS);
	assert_true(uart_guest_listens(vm));
}

/* The ring is full: what was taken is whole, and the rest is refused, not overwritten. */
static void more_than_there_is_room_for(void **state)
{
	char many[UART_INPUT_BYTES + 10];

	(void)state;
	for (unsigned i = 0; i < sizeof(many); i++)
		many[i] = (char)(i + 1);
	for (unsigned round = 0; round < 3; round++) {
		heard = 0;
		assert_int_equal(uart_guest_input(vm, many, 100), 100);
		assert_int_equal(uart_guest_input(vm, many + 100, sizeof(many) - 100),
			UART_INPUT_BYTES - 100);
		assert_int_equal(uart_guest_input(vm, many, 1), 0);
		out(IER, RDI);
		assert_true(take_all() > 0);
		assert_int_equal(heard, (u8)UART_INPUT_BYTES);
		assert_int_equal(in(LSR), 0x60);
		out(IER, 0);
	}
}

/* A byte an interrupt, as a driver that knows no FIFO reads: each of them is told of. */
static void a_byte_an_interrupt(void **state)
{
	(void)state;
	out(IER, RDI);
	for (unsigned i = 0; i < 40; i++)
		other_cpu();
	for (unsigned i = 0; i < 40; i++) {
		assert_int_equal(lapic_pending(&vcpus[0]), VECTOR);
		lapic_accept(&vcpus[0], VECTOR);
		assert_int_equal(in(IIR)&0xf, 4);
		hear();
		set(0, X2(EOI), 0);
	}
	assert_int_equal(lapic_pending(&vcpus[0]), -1);
	assert_int_equal(in(RBR), 0);
}

/* Input comes first in IIR, and the transmitter's turn is kept until it has been said. */
static void causes_in_their_order(void **state)
{
	(void)state;
	out(IER, RDI | THRI);
	other_cpu();
	assert_int_equal(in(IIR), 4);
	assert_int_equal(in(IIR), 4);
	hear();
	assert_int_equal(in(IIR), 2);
	assert_int_equal(in(IIR), 1);
	out(RBR, 'x');
	other_cpu();
	assert_int_equal(in(IIR), 4);
	/* Not asked for: not said, but not forgotten either. */
	out(IER, THRI);
	assert_int_equal(in(IIR), 2);
	out(IER, RDI);
	assert_int_equal(in(IIR), 4);
	hear();
	assert_int_equal(in(IIR), 1);
}

static void modem_lines(void **state)
{
	(void)state;
	assert_int_equal(in(MODEM), 0xb0); /* there is somebody */
	for (u8 lines = 0; lines < 16; lines++) {
		out(MCR, 0x10 | lines);
		/* DTR to DSR, RTS to CTS, OUT1 to RI, OUT2 to DCD. */
		assert_int_equal(in(MODEM),
			(lines & 1) << 5 | (lines & 2) << 3 | (lines & 4) << 4 | (lines & 8) << 4);
		assert_int_equal(in(MCR), 0x10 | lines);
	}
	out(MCR, 0xff);
	assert_int_equal(in(MCR), 0x1f);
	out(LSR, 0xff); /* read-only */
	out(MODEM, 0xff);
	assert_int_equal(in(LSR), 0x60);
	out(IER, 0xff);
	assert_int_equal(in(IER), 0x0f);
	/* The divisor hides IER, and what is typed stays where it is. */
	other_cpu();
	out(LCR, 0x80);
	out(IER, 0);
	out(RBR, 12);
	assert_int_equal(in(RBR), 12);
	assert_int_equal(in(IER), 0);
	out(LCR, 3);
	assert_int_equal(in(IER), 0x0f);
	hear();
}

int main(void)
{
#define UART_TEST(name) cmocka_unit_test_setup_teardown(name, begin, teardown)
	const struct CMUnitTest tests[] = {
		UART_TEST(a_byte_at_any_moment_by_edges),
		UART_TEST(a_byte_at_any_moment_by_level),
		UART_TEST(a_byte_while_the_transmitter_is_served),
		UART_TEST(the_same_by_level),
		UART_TEST(typed_while_a_message_is_printed),
		UART_TEST(more_than_there_is_room_for),
		UART_TEST(a_byte_an_interrupt),
		UART_TEST(causes_in_their_order),
		UART_TEST(modem_lines),
	};

	return cmocka_run_group_tests_name("guest_uart", tests, NULL, NULL);
}
