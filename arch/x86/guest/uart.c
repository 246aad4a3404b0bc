/*
 * The guest's UART (National PC16550D data sheet): it transmits in no time, so the transmitter is
 * always empty. What the operator types waits in a ring instead of a FIFO of 16 bytes: a guest that
 * takes a byte a time is interrupted again as long as there are more.
 */
#include "arch/x86/guest/uart.h"

#include "arch/x86/guest/ioapic.h"
#include "arch/x86/guest/platform_state.h"
#include <abi/platform.h>

enum { RBR_THR, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };

#define IER_WRITABLE    0x0f
#define IER_RECEIVED    BIT(0)
#define IER_THR_EMPTY   BIT(1)
#define IIR_NONE        0x01
#define IIR_THR_EMPTY   0x02
#define IIR_RECEIVED    0x04
#define IIR_FIFOS       0xc0
#define FCR_ENABLE      BIT(0)
#define FCR_CLEAR_INPUT BIT(1)
#define LCR_DIVISOR     BIT(7)
#define MCR_WRITABLE    0x1f
#define MCR_LOOP        BIT(4)
#define LSR_DATA_READY  0x01
#define LSR_THR_EMPTY   0x60 /* holding register and shift register */
#define MSR_CTS_DSR_DCD 0xb0

/* Not inlined, so that reading the other registers saves none of the processor's for it. */
#define APART __attribute__((noinline))

static u8 modem_status(const struct uart *uart)
{
	/* In loopback the four outputs come back as inputs; Linux probes for that. */
	if (uart->mcr & MCR_LOOP)
		return (u8)((uart->mcr & 0x0c) << 4 | (uart->mcr & 0x02) << 3 |
			    (uart->mcr & 0x01) << 5);
	return MSR_CTS_DSR_DCD;
}

static bool has_input(const struct uart *uart)
{
	return READ_ONCE(uart->input_head) != READ_ONCE(uart->input_tail);
}

/* Under the VM's lock. */
static void update_line_status(struct uart *uart)
{
	WRITE_ONCE(uart->line_status, (u8)(LSR_THR_EMPTY | (has_input(uart) ? LSR_DATA_READY : 0)));
}

void uart_guest_reset(struct vm *vm)
{
	update_line_status(&vm->platform->uart);
}

static u8 identify(struct uart *uart)
{
	u8 fifos = uart->fcr & FCR_ENABLE ? IIR_FIFOS : 0;

	/* Goes away when all was read. */
	if (has_input(uart) && (uart->ier & IER_RECEIVED))
		return IIR_RECEIVED | fifos;
	if (uart->thr_empty_pending && (uart->ier & IER_THR_EMPTY)) {
		uart->thr_empty_pending = false; /* reading it acknowledges */
		return IIR_THR_EMPTY | fifos;
	}
	return IIR_NONE | fifos;
}

static APART u8 interrupt_identification(struct vm *vm)
{
	u8 value;

	/* First, so that what is typed from here on raises the line for good. */
	ioapic_lower(vm, PLATFORM_UART_GSI);
	spin_lock(&vm->lock);
	value = identify(&vm->platform->uart);
	spin_unlock(&vm->lock);
	return value;
}

/* The next byte that was typed, 0 if there is none; an interrupt if there are more. */
static APART u8 receive(struct vm *vm)
{
	struct uart *uart = &vm->platform->uart;
	bool raise = false;
	u8 value = 0;

	spin_lock(&vm->lock);
	if (has_input(uart)) {
		value = (u8)uart->input[uart->input_tail % UART_INPUT_BYTES];
		WRITE_ONCE(uart->input_tail, uart->input_tail + 1);
		update_line_status(uart);
		raise = has_input(uart) && (uart->ier & IER_RECEIVED);
	}
	spin_unlock(&vm->lock);
	if (raise)
		ioapic_raise(vm, PLATFORM_UART_GSI);
	return value;
}

COLD bool uart_guest_listens(const struct vm *vm)
{
	return READ_ONCE(vm->platform->uart.listens);
}

COLD unsigned uart_guest_input(struct vm *vm, const char *bytes, unsigned count)
{
	struct uart *uart = &vm->platform->uart;
	bool raise;

	spin_lock(&vm->lock);
	count = MIN(count, UART_INPUT_BYTES - (uart->input_head - uart->input_tail));
	for (unsigned i = 0; i < count; i++)
		uart->input[(uart->input_head + i) % UART_INPUT_BYTES] = bytes[i];
	WRITE_ONCE(uart->input_head, uart->input_head + count);
	update_line_status(uart);
	raise = count && (uart->ier & IER_RECEIVED);
	spin_unlock(&vm->lock);
	if (raise)
		ioapic_raise(vm, PLATFORM_UART_GSI);
	return count;
}

u8 uart_guest_read(struct vm *vm, unsigned offset)
{
	struct uart *uart = &vm->platform->uart;
	bool divisor = uart->lcr & LCR_DIVISOR;

	switch (offset) {
	case RBR_THR:
		return divisor ? uart->divisor_low : receive(vm);
	case IER:
		return divisor ? uart->divisor_high : uart->ier;
	case IIR_FCR:
		return interrupt_identification(vm);
	case LCR:
		return uart->lcr;
	case MCR:
		return uart->mcr;
	case LSR:
		return READ_ONCE(uart->line_status);
	case MSR:
		return modem_status(uart);
	default:
		return uart->scratch;
	}
}

/* The transmitter is empty (again): an interrupt if the guest asked for it. */
static void note_empty(struct vm *vm)
{
	struct uart *uart = &vm->platform->uart;
	bool raise;

	spin_lock(&vm->lock);
	uart->thr_empty_pending = true;
	raise = uart->ier & IER_THR_EMPTY;
	spin_unlock(&vm->lock);
	if (raise)
		ioapic_raise(vm, PLATFORM_UART_GSI);
}

static void transmit(struct vm *vm, u8 value)
{
	char byte = (char)value;

	/* What the ring cannot take it counts as dropped. */
	if (!(vm->platform->uart.mcr & MCR_LOOP))
		(void)guest_console_write(vm->console, &byte, 1);
	if (vm->platform->uart.ier & IER_THR_EMPTY)
		note_empty(vm);
}

static COLD void drop_input(struct vm *vm)
{
	struct uart *uart = &vm->platform->uart;

	spin_lock(&vm->lock);
	WRITE_ONCE(uart->input_tail, uart->input_head);
	update_line_status(uart);
	/* So a driver lets go of the port; one that only prints a message masks interrupts for a
	 * while and then wants what came meanwhile. */
	if (!(uart->ier & IER_RECEIVED))
		WRITE_ONCE(uart->listens, false);
	spin_unlock(&vm->lock);
}

/* Which interrupts the guest wants. Under the lock, so that a byte that is typed at the same time
 * either is seen here or sees what is wanted. */
static APART void enable(struct vm *vm, u8 ier)
{
	struct uart *uart = &vm->platform->uart;
	bool raise;

	ioapic_lower(vm, PLATFORM_UART_GSI);
	spin_lock(&vm->lock);
	uart->ier = ier;
	if (ier & IER_RECEIVED)
		WRITE_ONCE(uart->listens, true);
	/* Enabling the interrupt of an empty transmitter raises it, and so does input. */
	if (ier & IER_THR_EMPTY)
		uart->thr_empty_pending = true;
	raise = (ier & IER_THR_EMPTY) || ((ier & IER_RECEIVED) && has_input(uart));
	spin_unlock(&vm->lock);
	if (raise)
		ioapic_raise(vm, PLATFORM_UART_GSI);
}

void uart_guest_write(struct vm *vm, unsigned offset, u8 value)
{
	struct uart *uart = &vm->platform->uart;
	bool divisor = uart->lcr & LCR_DIVISOR;

	switch (offset) {
	case RBR_THR:
		if (divisor)
			uart->divisor_low = value;
		else
			transmit(vm, value);
		break;
	case IER:
		if (divisor)
			uart->divisor_high = value;
		else
			enable(vm, value & IER_WRITABLE);
		break;
	case IIR_FCR:
		uart->fcr = value;
		if (value & FCR_CLEAR_INPUT)
			drop_input(vm);
		break;
	case LCR:
		uart->lcr = value;
		break;
	case MCR:
		uart->mcr = value & MCR_WRITABLE;
		break;
	case SCR:
		uart->scratch = value;
		break;
	default: /* LSR and MSR are read-only */
		break;
	}
}
