/*
 * How a guest gives up. Any context; nothing of the shim is needed but the console.
 */
#ifndef SHIM_PANIC_H
#define SHIM_PANIC_H

#include "lib/types.h"

struct registers;

/* Prints what happened and the callers, then powers off with a status that is not 0. */
void panic(const char *format, ...) __attribute__((noreturn)) __printf_like(1, 2);

/* The same for an exception that nothing handles. */
void panic_registers(const struct registers *registers) __attribute__((noreturn));

/* The application's stack, which callers are read from; the page below @low is not mapped. */
void panic_set_stack(u64 low, u64 high);

#endif
