/*
 * A guest's 8250-compatible UART (a 16550A): what it transmits goes to the guest's console ring,
 * and what the operator types comes from it. Registers are single bytes that only the guest writes;
 * what decides about an interrupt changes under the VM's lock.
 */
#ifndef GUEST_UART_H
#define GUEST_UART_H

#include "kernel/vm/vm.h"

#define UART_INPUT_BYTES 256u /* a power of two */

struct uart {
	u8 ier, lcr, mcr, scratch, fcr;
	u8 divisor_low, divisor_high;
	u8 line_status;         /* as it is read */
	bool listens;           /* a driver has asked for input, and not let go of the port */
	bool thr_empty_pending; /* the transmitter became empty, and IIR has not said so yet */
	/* Free-running: [input_tail, input_head) wait for the guest. */
	u32 input_head, input_tail;
	char input[UART_INPUT_BYTES];
};

/* Before the VM runs, its state all zero. */
void uart_guest_reset(struct vm *vm);

/* One byte at PLATFORM_UART_PORT + @offset, 0..7. */
u8 uart_guest_read(struct vm *vm, unsigned offset);
void uart_guest_write(struct vm *vm, unsigned offset, u8 value);

/*
 * Gives the guest @count bytes of input, and returns how many were taken: at most as many as wait
 * are UART_INPUT_BYTES. Boot CPU, at the head of its dispatch loop, with the VM not yet taken
 * apart. Its driver listens from when it asks for interrupts of input until it clears the FIFO with
 * those off, as Linux does at the last close; what is typed is better given to the console device
 * otherwise, if that has a driver (kernel/virtio/console.h).
 */
unsigned uart_guest_input(struct vm *vm, const char *bytes, unsigned count);
bool uart_guest_listens(const struct vm *vm);

#endif
