/*
 * The guest's UART (National PC16550D data sheet): it transmits in no time, so the transmitter is
 * always empty, and nothing is ever received.
 */
#include "arch/x86/guest/uart.h"

#include "arch/x86/guest/ioapic.h"
#include "arch/x86/guest/platform_state.h"
#include <abi/platform.h>

enum { RBR_THR, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };

#define IER_WRITABLE    0x0f
#define IER_THR_EMPTY   BIT(1)
#define IIR_NONE        0x01
#define IIR_THR_EMPTY   0x02
#define IIR_FIFOS       0xc0
#define FCR_ENABLE      BIT(0)
#define LCR_DIVISOR     BIT(7)
#define MCR_WRITABLE    0x1f
#define MCR_LOOP        BIT(4)
#define LSR_THR_EMPTY   0x60 /* holding register and shift register */
#define MSR_CTS_DSR_DCD 0xb0

static u8 modem_status(const struct uart *uart)
{
	/* In loopback the four outputs come back as inputs; Linux probes for that. */
	if (uart->mcr & MCR_LOOP)
		return (u8)((uart->mcr & 0x0c) << 4 | (uart->mcr & 0x02) << 3 |
			    (uart->mcr & 0x01) << 5);
	return MSR_CTS_DSR_DCD;
}

static u8 interrupt_identification(struct uart *uart)
{
	u8 fifos = uart->fcr & FCR_ENABLE ? IIR_FIFOS : 0;

	if (uart->thr_empty_pending && (uart->ier & IER_THR_EMPTY)) {
		uart->thr_empty_pending = false; /* reading it acknowledges */
		return IIR_THR_EMPTY | fifos;
	}
	return IIR_NONE | fifos;
}

u8 uart_guest_read(struct vm *vm, unsigned offset)
{
	struct uart *uart = &vm->platform->uart;
	bool divisor = uart->lcr & LCR_DIVISOR;
	u8 value = 0;

	switch (offset) {
	case RBR_THR:
		return divisor ? uart->divisor_low : 0;
	case IER:
		return divisor ? uart->divisor_high : uart->ier;
	case IIR_FCR:
		spin_lock(&vm->lock);
		value = interrupt_identification(uart);
		spin_unlock(&vm->lock);
		ioapic_lower(vm, PLATFORM_UART_GSI);
		return value;
	case LCR:
		return uart->lcr;
	case MCR:
		return uart->mcr;
	case LSR:
		return LSR_THR_EMPTY;
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
		if (divisor) {
			uart->divisor_high = value;
			break;
		}
		uart->ier = value & IER_WRITABLE;
		/* Enabling the interrupt of an empty transmitter raises it. */
		if (value & IER_THR_EMPTY)
			note_empty(vm);
		else
			ioapic_lower(vm, PLATFORM_UART_GSI);
		break;
	case IIR_FCR:
		uart->fcr = value;
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
