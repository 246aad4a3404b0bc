/*
 * The cases of the processor floor's test image. A case that returns has passed.
 */
#ifndef MACHINE_CASES_H
#define MACHINE_CASES_H

#include "lib/types.h"

/* Ends the image with "test: FAILED ..." on the log. */
__attribute__((noreturn)) void test_fail(const char *format, ...) __printf_like(1, 2);
#define EXPECT(condition, ...)                                                                     \
	do {                                                                                       \
		if (!(condition))                                                                  \
			test_fail(__VA_ARGS__);                                                    \
	} while (0)

/* clock.c: every processor's timer fires at its deadlines; kicks wake processors from idling; XCR0
 * is the same on all. */
void test_processors(void);
/* Puts this processor's TSC ahead by a second, before the others start; then that must be known. */
void test_tsc_ahead(void);
void test_tsc_differs(void);
/* The boot processor's XSAVE areas look otherwise than those of the others, which are left out. */
void test_xsave_is_odd(void);
void test_xsave_differs(void);
/* Makes processor 1 report a bug; never returns. */
__attribute__((noreturn)) void test_bug_elsewhere(void);
/* What another processor does: its part of that. */
__attribute__((noreturn)) void test_other_cpu(void);

/* memory.c */
void test_page_rights(void); /* no mapping is writable and executable, none is a user's */
void test_boot_memory(void); /* boot_info() is in order, and direct map and early allocator work */
void test_page_copies(void); /* contents, and vector registers kept */
void test_msr_access(void);

/* compress.c: contents, bounds, and vector registers kept */
void test_compression(void);

/* faults.c: never return, since BUG ends them; the case by name, false if there is none. */
bool test_fault(const char *name);

/* vectors.S */
#define VECTORS_WORDS 32
void vectors_load(const void *from); /* xmm0-15 from 256 bytes */
void vectors_store(void *to);

#endif
