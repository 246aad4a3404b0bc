/*
 * What the hypervisor has in place of newlib's formatting, under the same names (lib/format.h says
 * what they understand), and what LZ4 wants from below. There is no heap: hypervisor_alloc() hands
 * out pages.
 */
#include <stdio.h>

#include "kernel/core/bug.h"
#include "lib/format.h"

int vsniprintf(char *to, size_t room, const char *format, va_list arguments)
{
	return format_text(to, room, format, arguments);
}

int sniprintf(char *to, size_t room, const char *format, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = format_text(to, room, format, arguments);
	va_end(arguments);
	return length;
}

__attribute__((noreturn)) void __stack_chk_fail(void);

/* Debian's LZ4 guards its stack frames; the canary is at FS base + 0x28 (arch/x86/cpu.h). */
void __stack_chk_fail(void)
{
	BUG("a library function wrote beyond its stack frame");
}
