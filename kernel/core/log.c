/*
 * The log's two rings, the hypervisor's lines and the guests' consoles, and their way to COM1. One
 * lock (LOCK_LOG) guards both rings and the port. Nothing here waits for the port except
 * log_flush().
 *
 * Invariant: both rings hold whole lines, apart from the one whose beginning is already sent:
 * @sending.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "arch/x86/arch.h"
#include "kernel/core/frame.h"
#include "kernel/core/lock.h"
#include "kernel/core/log.h"
#include "lib/ring.h"

#define LINE_MAX       320
#define LOG_RING_SIZE  32768
#define TEXT_RING_SIZE 32768
#define FIFO_MAX       16

/* One page: a guest's unfinished line. Written by the guest's vCPUs under the lock. */
struct guest_console {
	char name[64];
	u64 dropped; /* bytes */
	u32 length;
	bool lost; /* since its last line that fitted */
	char line[LINE_MAX];
};
_Static_assert(sizeof(struct guest_console) <= PAGE_SIZE, "a console is one page");

static char log_bytes[LOG_RING_SIZE], guest_bytes[TEXT_RING_SIZE];
static struct ring log_ring = {.bytes = log_bytes, .size = LOG_RING_SIZE};
static struct ring guest_ring = {.bytes = guest_bytes, .size = TEXT_RING_SIZE};
static struct spinlock lock = SPINLOCK(LOCK_LOG);

static int max_level = LOG_INFO;
static bool to_uart = true;
static u32 lines_lost;
static struct ring *sending; /* whose line has begun; NULL between lines */

void log_configure(int level, bool uart)
{
	max_level = level;
	to_uart = uart;
}

/* ---- Time
 * ---------------------------------------------------------------------------------------- */

static u64 us_since_boot(void)
{
	u64 hz = arch_tsc_hz();
	u64 ticks = arch_tsc() - boot_info()->entry_tsc;

	if (hz == 0)
		return 0; /* not measured yet */
	return ticks / hz * 1000000 + ticks % hz * 1000000 / hz;
}

bool rate_limit_ok(struct rate_limit *limit)
{
	u64 now = arch_tsc();

	if (now - limit->window_start >= arch_tsc_hz()) {
		limit->window_start = now;
		limit->in_window = 0;
	}
	if (limit->in_window >= 10 || limit->total >= 200) {
		limit->suppressed++;
		return false;
	}
	limit->in_window++;
	limit->total++;
	return true;
}

/* ---- Writing
 * ------------------------------------------------------------------------------------- */

/* Puts a whole line into @ring. Without a UART the ring keeps the newest lines, else the oldest. */
static bool put_line(struct ring *ring, const char *line, u32 length)
{
	bool was_empty = ring_used(&log_ring) == 0 && ring_used(&guest_ring) == 0;

	while (!to_uart && ring_free(ring) < length)
		ring_drop_line(ring);
	if (!ring_put(ring, line, length))
		return false;
	/* Otherwise the interrupt is asked for already. */
	if (was_empty && to_uart)
		uart_want_interrupt(true);
	return true;
}

void log_line(int level, const char *format, ...)
{
	static const char *const prefixes[] = {"error: ", "warning: ", "", "debug: "};
	char line[LINE_MAX];
	u64 us = us_since_boot();
	int length;
	va_list arguments;

	if (level > max_level)
		return;
	length = sniprintf(
		line, sizeof(line), "[%3lu.%06lu] %s", us / 1000000, us % 1000000, prefixes[level]);
	va_start(arguments, format);
	length += vsniprintf(line + length, sizeof(line) - 1 - (size_t)length, format, arguments);
	va_end(arguments);
	length = MIN(length, LINE_MAX - 2); /* what was cut off is lost */
	line[length++] = '\n';

	spin_lock(&lock);
	if (!put_line(&log_ring, line, (u32)length))
		lines_lost++;
	spin_unlock(&lock);
}

/* ---- Guests' consoles
 * ---------------------------------------------------------------------------- */

struct guest_console *guest_console_create(const char *name)
{
	struct guest_console *console = hypervisor_alloc(0);

	if (console != NULL)
		strncpy(console->name, name, sizeof(console->name) - 1);
	return console;
}

/* The unfinished line goes to the ring; what does not fit is counted. The lock is held. */
static void console_end_line(struct guest_console *console)
{
	char line[LINE_MAX + sizeof(console->name) + 64];
	int length = sniprintf(line, sizeof(line), "guest %s:%s %.*s\n", console->name,
		console->lost ? " [output was lost here]" : "", (int)console->length,
		console->line);

	console->lost = !put_line(&guest_ring, line, (u32)length);
	if (console->lost)
		console->dropped += console->length;
	console->length = 0;
}

unsigned guest_console_write(struct guest_console *console, const char *bytes, unsigned count)
{
	spin_lock(&lock);
	for (unsigned i = 0; i < count; i++) {
		char c = bytes[i];

		if (c == '\n' || console->length == sizeof(console->line))
			console_end_line(console);
		/* Control characters could move the operator's terminal. */
		if (c == '\t' || (c >= ' ' && c <= '~'))
			console->line[console->length++] = c;
		else if (c != '\n' && c != '\r')
			console->line[console->length++] = '?';
	}
	spin_unlock(&lock);
	return count;
}

void guest_console_destroy(struct guest_console *console)
{
	spin_lock(&lock);
	if (console->length > 0)
		console_end_line(console);
	spin_unlock(&lock);
	hypervisor_free(console, 0);
}

u64 guest_console_dropped(const struct guest_console *console)
{
	return console->dropped;
}

/* ---- Sending
 * --------------------------------------------------------------------------------------- */

/* Sends up to one FIFO of one line; false if the port was busy or nothing is left. The lock is
 * held. */
static bool send_some(void)
{
	char bytes[FIFO_MAX];
	u32 count, taken;

	if (sending == NULL)
		sending = ring_used(&log_ring) != 0 ? &log_ring : &guest_ring;
	count = ring_peek_line(sending, bytes, sizeof(bytes));
	taken = uart_write(bytes, count);
	if (taken == 0)
		return false;
	sending->tail += taken;
	if (bytes[taken - 1] == '\n')
		sending = NULL;
	return true;
}

bool log_is_empty(void)
{
	return ring_used(&log_ring) == 0 && ring_used(&guest_ring) == 0;
}

void log_drain(void)
{
	u32 lost;

	if (!to_uart || log_is_empty() || this_cpu()->index != 0)
		return;
	spin_lock(&lock);
	send_some();
	lost = lines_lost;
	if (lost != 0 && ring_used(&log_ring) < LOG_RING_SIZE / 2)
		lines_lost = 0;
	else
		lost = 0;
	uart_want_interrupt(!log_is_empty());
	spin_unlock(&lock);
	if (lost != 0)
		log_warn("%u lines were lost here: the log came faster than the port takes it",
			lost);
}

void log_flush(void)
{
	spin_lock(&lock);
	log_flush_unlocked();
	spin_unlock(&lock);
}

void log_flush_unlocked(void)
{
	char bytes[FIFO_MAX];

	while (!log_is_empty()) {
		u32 count;

		if (sending == NULL)
			sending = ring_used(&log_ring) != 0 ? &log_ring : &guest_ring;
		count = ring_peek_line(sending, bytes, sizeof(bytes));
		uart_write_wait(bytes, count);
		sending->tail += count;
		if (count == 0 || bytes[count - 1] == '\n')
			sending = NULL;
	}
}
