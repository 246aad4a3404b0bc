/*
 * BUG: the hypervisor found itself inconsistent. Prints the message, registers, a symbolized stack and
 * the last exits, then stops or reboots as configured. Never for what a guest can cause.
 */
#ifndef CORE_BUG_H
#define CORE_BUG_H

#include "lib/types.h"

__attribute__((noreturn)) void bug(const char *file, int line, const char *format, ...)
	__printf_like(3, 4);

#define BUG(...) bug(__FILE__, __LINE__, __VA_ARGS__)
#define ASSERT(condition)                                                                          \
	do {                                                                                       \
		if (unlikely(!(condition)))                                                        \
			bug(__FILE__, __LINE__, "assertion failed: %s", #condition);               \
	} while (0)

/* true: reboot after a BUG instead of halting (manifest: [machine] on_bug). */
void bug_set_reboot(bool reboot);

#endif
