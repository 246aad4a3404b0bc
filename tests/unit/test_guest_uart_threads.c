/*
 * The guest's UART while its vCPU runs on one processor and the operator types on another: what one
 * sees of the other is under the lock (ThreadSanitizer), and nothing is lost.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake/pc_guest.h"

#define BYTES  20000u
#define VECTOR 0x71
#define RBR    0
#define IER    1
#define IIR    2
#define LSR    5

/* The boot CPU. */
static void *type(void *unused)
{
	(void)unused;
	fake_run_as(1);
	for (unsigned n = 0; n < BYTES;) {
		char byte = (char)n;

		n += uart_guest_input(vm, &byte, 1);
	}
	return NULL;
}

/* A driver that reads only when an interrupt says so, and has them off now and then. */
static void nothing_is_lost(void **state)
{
	pthread_t typist;
	unsigned heard = 0;

	(void)state;
	enable_all();
	ioapic_write(vm, 0, 0x10 + 2 * PLATFORM_UART_GSI);
	ioapic_write(vm, 0x10, VECTOR);
	assert_int_equal(pthread_create(&typist, NULL, type, NULL), 0);
	while (heard < BYTES) {
		uart_guest_write(vm, IER, 0);
		uart_guest_write(vm, IER, 1);
		if (lapic_pending(&vcpus[0]) < 0)
			continue;
		lapic_accept(&vcpus[0], VECTOR);
		while (uart_guest_read(vm, IIR) == 4)
			while (uart_guest_read(vm, LSR) & 1)
				assert_int_equal(uart_guest_read(vm, RBR), (u8)heard++);
		set(0, X2(EOI), 0);
	}
	assert_int_equal(pthread_join(typist, NULL), 0);
	assert_int_equal(uart_guest_read(vm, LSR), 0x60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_is_lost, setup, teardown),
	};

	return cmocka_run_group_tests_name("guest_uart_threads", tests, NULL, NULL);
}
