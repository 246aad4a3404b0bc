/*
 * A machine for hosted tests: RAM in a mapping, CPUs that are structs, a log that can be searched,
 * and a BUG that a test can expect.
 */
#ifndef FAKE_MACHINE_H
#define FAKE_MACHINE_H

#include <setjmp.h>

#include "arch/x86/arch.h"

/* RAM of @bytes in one range from host-physical 0 with @cpus processors; the caller runs as CPU 0.
 * May be called again: everything starts anew. */
void fake_machine_start(u64 bytes, unsigned cpus);
/* The same with chosen ranges; @count pairs of start and length in bytes. */
void fake_machine_start_ranges(const u64 (*ranges)[2], unsigned count, unsigned cpus);
/* A range in use at boot. Before frames_init(). */
void fake_machine_use(u64 start, u64 bytes);
void fake_machine_stop(void);

/* The calling thread now plays CPU @index. */
void fake_run_as(unsigned index);
/* How often CPU @index was kicked. */
extern unsigned fake_kicks[MAX_CPUS];
/* Pages cleared and copied since the start; @fake_clear_skip makes arch_clear_page() only count. */
extern u64 fake_pages_cleared, fake_pages_copied;
extern bool fake_clear_skip;
/* How long a copy of a page takes; 0 at the start. */
extern u64 fake_copy_ticks;
/* The TSC: advances by one at each look, and by what a test adds. 1 GHz. */
extern u64 fake_tsc;

/* Whether arch_entropy() says that the processor has no source, and how many words it gave. */
extern bool fake_entropy_is_poor;
extern u64 fake_entropy_words;

/* What arch_xsave() answers, no XSAVE at the start; XCR0 of this processor. */
extern struct xsave_layout fake_xsave;
extern u64 fake_xcr0;

/* The last line logged, and how many of which level or worse there were since fake_log_reset(). */
extern char fake_log_last[512];
extern unsigned fake_log_lines, fake_log_errors;
/* All lines since the reset, newline-separated (the first 64 KiB). */
extern char fake_log_text[65536];
void fake_log_reset(void);

/* What guests wrote to their consoles since the start (the first 64 KiB). */
extern char fake_console[65536];
extern unsigned fake_console_bytes;
/* How long each write takes; 0 at the start. */
extern u64 fake_console_ticks;

/* Runs @statement and is true if it ended in BUG. */
extern jmp_buf *fake_bug_expected;
extern char fake_bug_message[512];
#define EXPECT_BUG(statement)                                                                      \
	({                                                                                         \
		jmp_buf bug_;                                                                      \
		volatile bool bugged_ = true;                                                      \
		fake_bug_expected = &bug_;                                                         \
		if (setjmp(bug_) == 0) {                                                           \
			statement;                                                                 \
			bugged_ = false;                                                           \
		}                                                                                  \
		fake_bug_expected = NULL;                                                          \
		bugged_;                                                                           \
	})

/* What arch_timer_arm() was told last, on whatever CPU; the test says when it has fired. */
extern u64 fake_timer_deadline;
extern bool fake_timer_armed;

#endif
