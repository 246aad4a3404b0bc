/*
 * The log: a ring of lines that the dispatch loop drains to COM1 and the screen, one FIFO at a
 * time. Lines carry the time since boot. A guest's console has a ring of its own, with drops
 * counted.
 */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include "lib/types.h"

/* LOG_REPLY: what the operator asked for, whatever the level. */
enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_REPLY };

/* One line into the ring, with the time in front; @level: enum log_level. @format as for printf(),
 * without a newline. Any context; what does not fit is counted as lost. Takes LOCK_LOG. */
void log_line(int level, const char *format, ...) __printf_like(2, 3);
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

/* Lines above @level are dropped; @uart false keeps the log in the ring only (manifest: log_level,
 * console). */
void log_configure(int level, bool uart);
/* The level, LOG_ERROR to LOG_DEBUG, from now on, and as it is. */
void log_set_level(int level);
int log_level(void);

/* A guest's console output: bytes are gathered into lines, shown as "name: line". */
struct guest_console;
struct guest_console *guest_console_create(const char *name);
void guest_console_destroy(struct guest_console *console);
/* Returns the bytes taken; the rest is counted as dropped. */
unsigned guest_console_write(struct guest_console *console, const char *bytes, unsigned count);
u64 guest_console_dropped(const struct guest_console *console);

/*
 * The operator's side, for kernel/monitor.c: on the boot CPU only, at the head of its dispatch
 * loop.
 *
 * log_show_typed(): below the last line stands @text from now on, of @length bytes; nothing if that
 * is 0. log_watch(): there stands the line that the guest has not ended, until the next
 * log_show_typed(), which must come before guest_console_destroy().
 */
void log_show_typed(const char *text, u32 length);
void log_watch(const struct guest_console *console);
/* The next byte from COM1, or -1. */
int log_read_typed(void);
/* Whether half of the log's ring is free: room for a reply. */
bool log_has_room(void);

/* Rate limit for messages a guest can cause: at most 10 a second and 200 in all for each. */
struct rate_limit {
	u64 window_start; /* TSC */
	u32 in_window;
	u32 total;
	u32 suppressed;
};
bool rate_limit_ok(struct rate_limit *limit);

/* Moves at most one FIFO from the rings to the UART; called at the head of the dispatch loop. */
void log_drain(void);
bool log_is_empty(void);
/* Writes everything out, waiting: shutdown and BUG only. */
void log_flush(void);
/* The same without the lock: only when no other CPU runs any more (BUG). */
void log_flush_unlocked(void);

#endif
