/*
 * See operator.h. Lines come from the UART, which the hypervisor fills if its interrupt was asked
 * for, and are shown as they are typed. The interrupt only ends the wait: its vector does nothing.
 */
#include "guest-shim/operator.h"

#include <abi/platform.h>
#include <string.h>

#include "guest-shim/apic.h"
#include "guest-shim/console.h"
#include "guest-shim/cpu.h"
#include "guest-shim/hypercall.h"
#include "guest-shim/trap.h"

#define UART_INTERRUPTS (PLATFORM_UART_PORT + 1)
#define UART_STATUS     (PLATFORM_UART_PORT + 5)
#define UART_RECEIVED   0x01 /* in both */
#define DELETE          0x7f
#define OPERATOR_LINE   128u

/* [taken, length) of @line is for operator_read(), once it is whole. */
static char line[OPERATOR_LINE];
static unsigned length, taken;
static bool listens, asked;

void operator_init(void)
{
	if (hypercall_available())
		ioapic_route(PLATFORM_POWER_GSI, VECTOR_POWER);
}

void operator_asks(void)
{
	__atomic_store_n(&asked, true, __ATOMIC_RELAXED);
}

bool operator_has_asked(void)
{
	return __atomic_load_n(&asked, __ATOMIC_RELAXED);
}

static void show(const char *text)
{
	console_write(text, strlen(text));
	console_flush();
}

/* What is typed, until a line is whole: true. */
static bool take(char byte)
{
	char shown[2] = {byte, 0};

	if (byte == '\r' || byte == '\n') {
		line[length++] = '\n';
		show("\n");
		return true;
	}
	if (byte == '\b' || byte == DELETE) {
		if (length > 0) {
			length--;
			show("\b");
		}
	} else if (byte >= ' ' && length < OPERATOR_LINE - 1) {
		line[length++] = byte;
		show(shown);
	}
	return false;
}

static void listen(void)
{
	if (listens)
		return;
	ioapic_route(PLATFORM_UART_GSI, VECTOR_WAKE);
	outb(UART_INTERRUPTS, UART_RECEIVED);
	listens = true;
}

/* Interrupts are off but in the wait, so none is lost between a look and the wait. */
static bool wait_for_line(void)
{
	bool whole = false;

	length = taken = 0;
	console_flush(); /* what asks for it */
	__asm__ volatile("cli" : : : "memory");
	listen();
	while (!whole && !operator_has_asked()) {
		if (inb(UART_STATUS) & UART_RECEIVED)
			whole = take((char)inb(PLATFORM_UART_PORT));
		else
			wait_for_interrupt();
	}
	__asm__ volatile("sti" : : : "memory");
	if (!whole)
		length = 0;
	return whole;
}

size_t operator_read(char *to, size_t room)
{
	size_t count;

	if (!room || !hypercall_available() || (taken == length && !wait_for_line()))
		return 0;
	count = MIN(room, (size_t)(length - taken));
	memcpy(to, line + taken, count);
	taken += (unsigned)count;
	return count;
}
