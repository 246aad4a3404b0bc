/*
 * What the processor floor needs of the floors above: they define these functions.
 */
#ifndef ARCH_PORT_H
#define ARCH_PORT_H

#include "lib/types.h"

/* Registers at an exception in the hypervisor, as the entry code pushes them. */
struct trap_frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
	u64 vector, error;
	u64 rip, cs, rflags, rsp, ss;
};

/* kernel/main.c: the boot CPU in long mode on its final stack and page tables. */
__attribute__((noreturn)) void kernel_main(void);
/* kernel/dispatch.c: whether this other CPU can do what guests need of it, as the boot CPU can;
 * says what it lacks. Its struct cpu is in place, and it is not counted yet. */
bool cpu_is_fit(void);
/* kernel/dispatch.c: another CPU, its struct cpu in place. */
__attribute__((noreturn)) void cpu_main(void);

/* kernel/core/bug.c: an exception in the hypervisor that nothing expected. @nested says that it
 * struck on the common IST stack already in use, so that no symbol walk is safe. */
__attribute__((noreturn)) void bug_exception(const struct trap_frame *frame, bool nested);

/* kernel/core/log.c: a line for the log, without newline. */
void log_line(int level, const char *format, ...) __printf_like(2, 3);

#endif
