/*
 * The console: bytes are gathered into lines and handed to the hypervisor, by hypercall or
 * through a console device (virtio_console.h, once that was found), or to the UART without one.
 */
#ifndef SHIM_CONSOLE_H
#define SHIM_CONSOLE_H

#include "lib/types.h"

/* Writes @length bytes to the guest's console; what it does not take is lost. Any context. */
void console_write(const char *text, size_t length);

/* Sends what stands in the buffer, a whole line or not. */
void console_flush(void);

/* Formats one line of at most 255 characters. Application context or panic only: newlib formats it.
 */
void console_line(const char *format, ...) __printf_like(1, 2);

/* Flushes the console and powers the guest off; @status 0 says that its results are verified. */
void machine_off(int status) __attribute__((noreturn));

#endif
