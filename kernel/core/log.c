/*
 * The log's two rings, the hypervisor's lines and the guests' consoles, and their way to COM1 and
 * to the screen, which shows what the port has taken. One lock (LOCK_LOG) guards both rings, port
 * and screen. Nothing here waits for the port except log_flush().
 *
 * A record is a line with its newline. Lines of both rings share one sequence and are sent in that
 * order; two rings, so that a guest's flood costs no line of the hypervisor. What is being typed
 * stands below them (typing.h): the operator's line, or that of the guest whose console he has.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "arch/x86/arch.h"
#include "kernel/core/frame.h"
#include "kernel/core/lock.h"
#include "kernel/core/log.h"
#include "kernel/core/typing.h"
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
static u32 next_sequence;

static struct typing typing;
/* Whose unfinished line the operator sees; NULL: his own. */
static const struct guest_console *watched;

/* The line that is being sent: whose it is, and how much of it is still in its ring. */
static struct ring *sending = &log_ring;
static u32 unsent;

__init void log_configure(int level, bool uart)
{
	max_level = level;
	to_uart = uart;
}

void log_set_level(int level)
{
	WRITE_ONCE(max_level, level);
}

int log_level(void)
{
	return max_level;
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

/* ---- Writing
 * ------------------------------------------------------------------------------------- */

/* Forgets the oldest line, or the rest of it if its beginning was sent. */
static void drop_line(struct ring *ring)
{
	if (sending == ring && unsent > 0) {
		ring_skip(ring, unsent);
		unsent = 0;
	} else {
		ring_skip(ring, (u32)sizeof(struct ring_record) + ring_peek(ring).length);
	}
}

/* Puts a line into @ring; false if it is full. Without a UART the newest lines stay, else the
 * oldest. */
static bool put_line(struct ring *ring, const char *line, u32 length)
{
	bool was_empty = log_is_empty();

	while (!to_uart && !ring_fits(ring, length))
		drop_line(ring);
	if (!ring_put(ring, next_sequence, line, length))
		return false;
	next_sequence++;
	/* Otherwise the interrupt is asked for already. */
	if (was_empty && to_uart)
		uart_want_interrupt(true);
	return true;
}

void log_line(int level, const char *format, ...)
{
	static const char *const prefixes[] = {"error: ", "warning: ", "", "debug: ", ""};
	char line[LINE_MAX];
	u64 us = us_since_boot();
	int length;
	va_list arguments;

	if (level > READ_ONCE(max_level) && level != LOG_REPLY)
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

__init struct guest_console *guest_console_create(const char *name)
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

/* Shows the line that @console has not ended, under its name; the lock is held. */
static void show_unfinished(const struct guest_console *console)
{
	char text[sizeof(console->name) + 2 + TYPING_MAX];
	u32 tail = MIN(console->length, TYPING_MAX);
	int length = sniprintf(text, sizeof(text), "%s: %.*s", console->name, (int)tail,
		console->line + console->length - tail);

	typing_set(&typing, text, MIN((u32)length, (u32)sizeof(text) - 1));
	uart_want_interrupt(true);
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
		else if (c == '\b')
			console->length -= console->length > 0;
		else if (c != '\n' && c != '\r')
			console->line[console->length++] = '?';
	}
	if (unlikely(console == watched))
		show_unfinished(console);
	spin_unlock(&lock);
	return count;
}

__init void guest_console_destroy(struct guest_console *console)
{
	spin_lock(&lock);
	if (console->length > 0)
		console_end_line(console);
	spin_unlock(&lock);
	hypervisor_free(console, 0);
}

/* ---- The operator
 * ---------------------------------------------------------------------------- */

COLD void log_show_typed(const char *text, u32 length)
{
	spin_lock(&lock);
	watched = NULL;
	typing_set(&typing, text, length);
	uart_want_interrupt(true);
	spin_unlock(&lock);
}

COLD void log_watch(const struct guest_console *console)
{
	spin_lock(&lock);
	watched = console;
	show_unfinished(console);
	spin_unlock(&lock);
}

COLD int log_read_typed(void)
{
	int byte;

	spin_lock(&lock);
	byte = uart_read();
	spin_unlock(&lock);
	return byte;
}

COLD bool log_has_room(void)
{
	return ring_used(&log_ring) < LOG_RING_SIZE / 2;
}

u64 guest_console_dropped(const struct guest_console *console)
{
	return console->dropped;
}

/* ---- Sending
 * --------------------------------------------------------------------------------------- */

bool log_is_empty(void)
{
	return ring_is_empty(&log_ring) && ring_is_empty(&guest_ring);
}

/* Finds the next line and reads its header; false if there is none. The lock is held. */
static bool begin_line(void)
{
	if (log_is_empty())
		return false;
	if (ring_is_empty(&log_ring))
		sending = &guest_ring;
	else if (ring_is_empty(&guest_ring))
		sending = &log_ring;
	else if ((s32)(ring_peek(&guest_ring).sequence - ring_peek(&log_ring).sequence) < 0)
		sending = &guest_ring;
	else
		sending = &log_ring;
	unsent = ring_peek(sending).length;
	ring_skip(sending, sizeof(struct ring_record));
	return true;
}

/* Up to one FIFO of the current line; how many bytes. */
static u32 next_bytes(char *bytes)
{
	u32 count = MIN(unsent, (u32)FIFO_MAX);

	ring_copy_out(sending, bytes, count);
	return count;
}

static void sent(u32 count)
{
	ring_skip(sending, count);
	unsent -= count;
}

static u32 write_some(const char *bytes, u32 count)
{
	u32 taken = uart_write(bytes, count);

	screen_write(bytes, taken);
	return taken;
}

static void write_wait(const char *bytes, u32 count)
{
	uart_write_wait(bytes, count);
	screen_write(bytes, count);
}

/* One FIFO of what comes next: the line under way, what is typed, the next line. */
static void send_some(void)
{
	char bytes[FIFO_MAX];
	u32 count;

	if (unsent == 0) {
		count = typing_next(&typing, !log_is_empty(), bytes, sizeof(bytes));
		if (count > 0) {
			typing_sent(&typing, write_some(bytes, count));
			return;
		}
	}
	if (unsent > 0 || begin_line())
		sent(write_some(bytes, next_bytes(bytes)));
}

static bool is_done(void)
{
	return log_is_empty() && !typing_is_due(&typing);
}

void log_drain(void)
{
	u32 lost = 0;

	if (!to_uart || is_done() || this_cpu()->index != 0)
		return;
	spin_lock(&lock);
	send_some();
	if (lines_lost != 0 && ring_used(&log_ring) < LOG_RING_SIZE / 2) {
		lost = lines_lost;
		lines_lost = 0;
	}
	uart_want_interrupt(!is_done());
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
	u32 count;

	if (unsent == 0)
		while ((count = typing_next(&typing, true, bytes, sizeof(bytes))) > 0) {
			write_wait(bytes, count);
			typing_sent(&typing, count);
		}
	while (unsent > 0 || begin_line()) {
		count = next_bytes(bytes);
		write_wait(bytes, count);
		sent(count);
	}
}
