/*
 * A guest's 8250-compatible UART (a 16550A without input): what it transmits goes to the guest's
 * console ring. Registers are single bytes that only the guest writes; what decides about an
 * interrupt changes under the VM's lock.
 */
#ifndef GUEST_UART_H
#define GUEST_UART_H

#include "kernel/vm/vm.h"

struct uart {
	u8 ier, lcr, mcr, scratch, fcr;
	u8 divisor_low, divisor_high;
	bool thr_empty_pending; /* the transmitter became empty, and IIR has not said so yet */
};

/* One byte at PLATFORM_UART_PORT + @offset, 0..7. */
u8 uart_guest_read(struct vm *vm, unsigned offset);
void uart_guest_write(struct vm *vm, unsigned offset, u8 value);

#endif
