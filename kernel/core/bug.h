/*
 * BUG: the hypervisor found itself inconsistent. Prints the message, registers, a symbolized stack
 * and the last exits, then stops or reboots as configured. Never for what a guest can cause.
 */
#ifndef CORE_BUG_H
#define CORE_BUG_H

#include "lib/types.h"

/* What BUG() and ASSERT() call: @format as for printf(). Any context, whatever locks are held. */
__attribute__((noreturn)) void bug(const char *file, int line, const char *format, ...)
	__printf_like(3, 4);

#define BUG(...) bug(__FILE__, __LINE__, __VA_ARGS__)
#define ASSERT(condition)                                                                          \
	do {                                                                                       \
		if (unlikely(!(condition)))                                                        \
			bug(__FILE__, __LINE__, "assertion failed: %s", #condition);               \
	} while (0)

/* What follows a BUG (manifest: [machine] on_bug). Tests power off, so that an emulator ends. */
enum bug_action { BUG_HALT, BUG_REBOOT, BUG_POWER_OFF };
void bug_set_action(enum bug_action action);
/* The same for two of them. */
void bug_set_reboot(bool reboot);

/* A function that prints the last exits with bug_print(); it may touch nothing that needs a lock.
 */
void bug_set_last_exits(void (*print)(void));
/* Straight to the port, waiting; only within a BUG. */
void bug_print(const char *format, ...) __printf_like(1, 2);

#endif
