/*
 * COM1 where there is one, and where the ports only look like it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/arch.h"
#include "arch/x86/processor.h"
#include "arch/x86/uart.h"

/* What answers at the ports: a 16550, or a bus that nobody drives. */
static enum { UART, ONES, ZEROS, LAST_VALUE } what;
static u8 registers[8], divisor, last;
static char sent[64];
static unsigned sent_bytes, accesses;

__thread struct cpu *fake_cpu;

void arch_kick(unsigned index)
{
	(void)index;
}

u64 arch_tsc(void)
{
	return accesses;
}

u64 arch_tsc_hz(void)
{
	return 1000000;
}

static u8 fake_inb(u16 port)
{
	accesses++;
	if (what == ONES)
		return last = 0xff;
	if (what == ZEROS)
		return last = 0;
	if (what == LAST_VALUE)
		return last;
	switch (port - 0x3f8) {
	case 2:
		return 0xc1; /* FIFOs on, nothing pending */
	case 5:
		return 0x60; /* idle */
	default:
		return registers[port - 0x3f8];
	}
}

static void fake_outb(u16 port, u8 value)
{
	accesses++;
	last = value;
	assert_in_range(port, 0x3f8, 0x3ff);
	if (what != UART)
		return;
	if (port == 0x3f8 && (registers[3] & 0x80))
		divisor = value;
	else if (port == 0x3f8)
		sent[sent_bytes++] = (char)value;
	else
		registers[port - 0x3f8] = value;
}

#define inb  fake_inb
#define outb fake_outb
#include "arch/x86/uart.c"

static void a_uart_is_found_and_set_up(void **state)
{
	(void)state;
	what = UART;
	memset(registers, 0xee, sizeof(registers)); /* whatever the firmware did with it */
	uart_start();
	assert_int_equal(divisor, 1);
	assert_int_equal(registers[3], 3);
	uart_write_wait("0123456789abcdefXYZ", 19);
	assert_memory_equal(sent, "0123456789abcdefXYZ", 19);
	assert_int_equal(sent_bytes, 19);
}

/* Everything is taken at once, nothing is read, and nobody waits. */
static void without_one_nobody_waits(void **state)
{
	static const char text[1000];
	struct cpu boot_cpu = {.index = 0};

	(void)state;
	fake_cpu = &boot_cpu;
	for (what = ONES; what <= LAST_VALUE; what++) {
		uart_start();
		assert_false(present);
		accesses = 0;
		uart_write_wait(text, sizeof(text));
		assert_int_equal(uart_write(text, sizeof(text)), sizeof(text));
		uart_start_input();
		boot_cpu.events = 0;
		uart_want_interrupt(true);
		assert_int_equal(boot_cpu.events, CPU_EVENT_UART); /* for the screen */
		uart_poll();
		assert_false(uart_has_input());
		assert_int_equal(accesses, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_uart_is_found_and_set_up),
		cmocka_unit_test(without_one_nobody_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
