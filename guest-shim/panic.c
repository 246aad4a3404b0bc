/*
 * How a guest gives up: what happened, its registers and the callers, then power off with a status.
 */
#include "guest-shim/panic.h"

#include <stdarg.h>
#include <stdio.h>

#include "guest-shim/console.h"
#include "guest-shim/cpu.h"
#include "guest-shim/trap.h"

#define PANIC_STATUS 0x70
#define CALLERS      12

static bool panicking;
static u64 stack_low, stack_high;

void panic_set_stack(u64 low, u64 high)
{
	stack_low = low;
	stack_high = high;
}

static void panic_once(void)
{
	__asm__ volatile("cli");
	if (panicking)
		machine_off(PANIC_STATUS + 1);
	panicking = true;
	console_write("\n", 1);
}

/* Return addresses by frame pointers, as far as they stand on a mapped stack. */
static void callers_print(u64 frame)
{
	for (unsigned i = 0; i < CALLERS && frame >= stack_low && frame + 16 <= stack_high; i++) {
		const u64 *words = (const u64 *)frame;

		console_line("  called from %llx", (unsigned long long)words[1]);
		if (words[0] <= frame)
			break;
		frame = words[0];
	}
}

void panic(const char *format, ...)
{
	char text[200];
	va_list arguments;

	panic_once();
	va_start(arguments, format);
	vsniprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	console_line("panic: %s", text);
	callers_print((u64)__builtin_frame_address(0));
	machine_off(PANIC_STATUS);
}

#define REGISTER(name, value) name, (unsigned long long)(value)

void panic_registers(const struct registers *r)
{
	panic_once();
	console_line("panic: exception %u, error %llx, rip %llx, cr2 %llx", (unsigned)r->vector,
		(unsigned long long)r->error, (unsigned long long)r->rip,
		(unsigned long long)read_cr2());
	if (descriptors_are_seconds())
		console_line("  on the second vCPU: a thread may not touch what can be paged out");
	if (r->vector == VECTOR_DOUBLE_FAULT && read_cr2() - (stack_low - PAGE_SIZE) < PAGE_SIZE)
		console_line("  the stack overflowed");
	console_line("  %s %016llx %s %016llx %s %016llx %s %016llx", REGISTER("rax", r->rax),
		REGISTER("rbx", r->rbx), REGISTER("rcx", r->rcx), REGISTER("rdx", r->rdx));
	console_line("  %s %016llx %s %016llx %s %016llx %s %016llx", REGISTER("rsi", r->rsi),
		REGISTER("rdi", r->rdi), REGISTER("rbp", r->rbp), REGISTER("rsp", r->rsp));
	console_line("  %s %016llx %s %016llx %s %016llx %s %016llx", REGISTER("r8 ", r->r8),
		REGISTER("r9 ", r->r9), REGISTER("r10", r->r10), REGISTER("r11", r->r11));
	console_line("  %s %016llx %s %016llx %s %016llx %s %016llx", REGISTER("r12", r->r12),
		REGISTER("r13", r->r13), REGISTER("r14", r->r14), REGISTER("r15", r->r15));
	callers_print(r->rbp);
	machine_off(PANIC_STATUS);
}
