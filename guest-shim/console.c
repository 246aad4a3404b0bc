/*
 * See console.h. The buffer is one page of its own, so that it never crosses a frame border;
 * only a console device is waited for. What the hypervisor's ring does not take is lost, and the
 * hypervisor counts it.
 */
#include "guest-shim/console.h"

#include <abi/platform.h>
#include <stdarg.h>
#include <stdio.h>

#include "guest-shim/cpu.h"
#include "guest-shim/hypercall.h"
#include "guest-shim/virtio_console.h"

#define UART_LINE_STATUS (PLATFORM_UART_PORT + 5)
#define UART_THR_EMPTY   0x20

#define SLEEP_ENABLE    0x20 /* SLP_EN of the sleep control register */
#define DEBUG_EXIT_PORT 0xf4 /* QEMU's isa-debug-exit */

static char buffer[PAGE_SIZE] __aligned_to(PAGE_SIZE);
static unsigned used;

static void uart_write(const char *text, unsigned length)
{
	for (unsigned i = 0; i < length; i++) {
		while (!(inb(UART_LINE_STATUS) & UART_THR_EMPTY))
			;
		outb(PLATFORM_UART_PORT, (u8)text[i]);
	}
}

void console_flush(void)
{
	unsigned sent = used && virtio_console_write(buffer, used) ? used : 0;

	if (sent < used && !hypercall_available()) {
		uart_write(buffer, used);
		sent = used;
	}
	while (sent < used) {
		s64 taken = hypercall(
			HYPERCALL_CONSOLE_WRITE, (u64)(buffer + sent), used - sent, 0, 0, 0);

		if (taken <= 0)
			break;
		sent += (unsigned)taken;
	}
	used = 0;
}

void console_write(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		buffer[used++] = text[i];
		if (text[i] == '\n' || used == sizeof(buffer))
			console_flush();
	}
}

void console_line(const char *format, ...)
{
	char line[256];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsniprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (length < 0)
		return;
	console_write(line, MIN((size_t)length, sizeof(line) - 1));
	console_write("\n", 1);
}

void machine_off(int status)
{
	if (used)
		console_write("\n", 1);
	__asm__ volatile("cli");
	if (hypercall_available())
		hypercall(HYPERCALL_SHUTDOWN, (u64)(s64)status, 0, 0, 0, 0);
	/* Started without Sluice: the emulator's exit port gets the status, others the ACPI sleep
	 * register. */
	outl(DEBUG_EXIT_PORT, (u32)status);
	outb(PLATFORM_SLEEP_PORT, SLEEP_ENABLE);
	for (;;)
		__asm__ volatile("cli; hlt");
}
