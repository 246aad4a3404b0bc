/*
 * The transmit queue of a virtio-console device: another way for console.c to send its lines.
 */
#ifndef SHIM_VIRTIO_CONSOLE_H
#define SHIM_VIRTIO_CONSOLE_H

#include "lib/types.h"

/* Finds the device among PLATFORM_VIRTIO_SLOTS windows from @windows on, @stride bytes apart; false
 * if there is none. */
bool virtio_console_init(u64 windows, u64 stride);

/* Sends @length bytes at @text, which stay in place meanwhile and are never paged out, and waits
 * until the device has taken them. False, and nothing more is sent, if there is no device or it
 * asks for a reset. Any context. */
bool virtio_console_write(const char *text, u32 length);

#endif
