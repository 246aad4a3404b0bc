/*
 * BUG: stops the other processors, writes out the log, then message, registers, symbolized stack
 * and last exits straight to the port, and halts, reboots or powers off as configured. Takes no
 * lock: whoever holds it may be the one that broke.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "arch/x86/arch.h"
#include "arch/x86/port.h"
#include "kernel/core/bug.h"
#include "kernel/core/log.h"
#include "kernel/core/symbols.h"

#define STACK_DEPTH_MAX 32
#define NO_CPU          (~0U)

static enum bug_action action = BUG_HALT;
static void (*last_exits)(void);
static u32 reporting_cpu = NO_CPU;

void bug_set_action(enum bug_action what)
{
	action = what;
}

void bug_set_reboot(bool reboot)
{
	action = reboot ? BUG_REBOOT : BUG_HALT;
}

void bug_set_last_exits(void (*print)(void))
{
	last_exits = print;
}

void bug_print(const char *format, ...)
{
	char line[256];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsniprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	length = MIN(length, (int)sizeof(line) - 1);
	uart_write_wait(line, (unsigned)length);
	screen_write(line, (unsigned)length);
}

/* @is_return: the instruction after a call, which may be the next function's first if the call does
 * not return. */
static void print_address(u64 address, bool is_return)
{
	u64 offset;
	const char *name = symbol_of(address - is_return, &offset);

	if (name != NULL)
		bug_print("bug:   %016lx %s+0x%lx\n", address, name, offset + is_return);
	else
		bug_print("bug:   %016lx\n", address);
}

/* Frame pointers: each frame holds the caller's frame and the return address. */
static void print_stack(u64 frame)
{
	bug_print("bug: stack:\n");
	for (int depth = 0; depth < STACK_DEPTH_MAX && arch_on_stack(frame); depth++) {
		const u64 *words = (const u64 *)frame;

		if (words[1] == 0)
			break;
		print_address(words[1], true);
		frame = words[0];
	}
}

__attribute__((noreturn)) static void end(void)
{
	if (last_exits != NULL)
		last_exits();
	switch (action) {
	case BUG_REBOOT:
		bug_print("bug: rebooting\n");
		arch_reboot();
	case BUG_POWER_OFF:
		bug_print("bug: powering off\n");
		arch_power_off();
	default:
		bug_print("bug: halted\n");
		arch_halt();
	}
}

/* Only the first one reports. A bug of another processor meanwhile just ends that one; a bug within
 * the report ends the report. */
static void begin(void)
{
	u32 expected = NO_CPU;
	u32 self = this_cpu()->index;

	if (__atomic_compare_exchange_n(
		    &reporting_cpu, &expected, self, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
		arch_stop_other_cpus();
		log_flush_unlocked();
		bug_print("\nbug: BUG on CPU %u\n", self);
	} else if (expected == self) {
		bug_print("bug: and another one while reporting\n");
		last_exits = NULL;
		end();
	} else {
		arch_halt();
	}
}

void bug(const char *file, int line, const char *format, ...)
{
	char text[192];
	va_list arguments;

	va_start(arguments, format);
	vsniprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	begin();
	bug_print("bug: %s:%d: %s\n", file, line, text);
	print_stack((u64)__builtin_frame_address(0));
	end();
}

static const char *exception_name(u64 vector)
{
	static const char *const names[] = {"#DE divide error", "#DB debug", "NMI",
		"#BP breakpoint", "#OF overflow", "#BR bound", "#UD invalid opcode", "#NM no FPU",
		"#DF double fault", "vector 9", "#TS invalid TSS", "#NP segment not present",
		"#SS stack fault", "#GP general protection", "#PF page fault", "vector 15",
		"#MF x87 error", "#AC alignment check", "#MC machine check", "#XM SIMD error"};

	return vector < ARRAY_SIZE(names) ? names[vector] : "exception";
}

static void print_interrupted(const struct trap_frame *frame)
{
	u64 offset;

	print_address(frame->rip, false);
	/* A call into nowhere has no frame of its own yet: its caller is on top of the stack. */
	if (symbol_of(frame->rip, &offset) == NULL && arch_on_stack(frame->rsp))
		print_address(*(const u64 *)frame->rsp, true);
	print_stack(frame->rbp);
}

void bug_exception(const struct trap_frame *frame, bool nested)
{
	begin();
	bug_print("bug: %s (vector %lu, error 0x%lx) at %016lx%s\n", exception_name(frame->vector),
		frame->vector, frame->error, frame->rip,
		nested ? ", while handling another exception or interrupt" : "");
	bug_print("bug: rax %016lx rbx %016lx rcx %016lx rdx %016lx\n", frame->rax, frame->rbx,
		frame->rcx, frame->rdx);
	bug_print("bug: rsi %016lx rdi %016lx rbp %016lx rsp %016lx\n", frame->rsi, frame->rdi,
		frame->rbp, frame->rsp);
	bug_print("bug: r8  %016lx r9  %016lx r10 %016lx r11 %016lx\n", frame->r8, frame->r9,
		frame->r10, frame->r11);
	bug_print("bug: r12 %016lx r13 %016lx r14 %016lx r15 %016lx\n", frame->r12, frame->r13,
		frame->r14, frame->r15);
	bug_print("bug: cs %04lx ss %04lx rflags %08lx cr2 %016lx\n", frame->cs, frame->ss,
		frame->rflags, arch_fault_address());
	if (!nested)
		print_interrupted(frame);
	end();
}
