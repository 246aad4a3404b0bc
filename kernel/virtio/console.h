/*
 * virtio-console (virtio 1.2, 5.3) in PLATFORM_CONSOLE_SLOT of every guest: one port. What the
 * guest sends goes to its console in the log, as what it writes to the UART or hands to
 * CONSOLE_WRITE; what an operator types goes to its receive queue.
 */
#ifndef VIRTIO_CONSOLE_H
#define VIRTIO_CONSOLE_H

#include "kernel/vm/vm.h"

/* Called by platform_create(); 0 or -ENOMEM after a message. */
int __must_check console_create(struct vm *vm);
void console_destroy(struct vm *vm);

/*
 * Gives the guest @count bytes of input, and returns how many were taken: as many as wait in the
 * device at most CONSOLE_INPUT_BYTES, until a driver takes them. The boot CPU at the head of its
 * dispatch loop only, no lock held.
 */
unsigned console_input(struct vm *vm, const char *bytes, unsigned count);
/* Whether a driver has it. */
bool console_has_driver(const struct vm *vm);

#endif
