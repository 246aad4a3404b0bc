/*
 * COM1, a 16550: the log's way out, and the operator's way in. Owns the port's registers. The
 * transmit interrupt only says that the FIFO is empty (arch_interrupt notes CPU_EVENT_UART);
 * whoever drains the log writes the bytes. The caller serializes all but the interrupt (the log's
 * lock).
 *
 * What comes in is put into a ring by the interrupt, on the boot CPU. While the ring is full the
 * port is not asked: a sender that heeds it waits, another one overruns the FIFO, which is counted.
 * So input costs an interrupt for every few bytes, and no more than somebody takes.
 */
#include "arch/x86/arch.h"
#include "arch/x86/processor.h"
#include "arch/x86/uart.h"

#define COM1 0x3f8

#define UART_DATA          (COM1 + 0)
#define UART_IER           (COM1 + 1)
#define UART_FCR           (COM1 + 2) /* write */
#define UART_IIR           (COM1 + 2) /* read */
#define UART_LCR           (COM1 + 3)
#define UART_MCR           (COM1 + 4)
#define UART_LSR           (COM1 + 5)
#define UART_SCRATCH       (COM1 + 7)
#define IER_RECEIVE        0x01
#define IER_TRANSMIT       0x02
#define FCR_ENABLE_CLEAR   0x87 /* an interrupt at 8 bytes, or when no more come */
#define IIR_FIFO_ENABLED   0xc0
#define LCR_8N1            0x03
#define LCR_DIVISOR        0x80
#define MCR_DTR_RTS_OUT2   0x0b /* OUT2 lets the interrupt through on a PC */
#define LSR_DATA_READY     0x01
#define LSR_OVERRUN        0x02
#define LSR_TRANSMIT_EMPTY 0x20
#define LSR_IDLE           0x40 /* the last bit has left */

/* A port that stays busy for so many reads, and for 20 ms by the TSC once its frequency is known,
 * is stuck: a byte is lost, not the machine. A FIFO takes 1.4 ms at 115200 baud. */
#define UART_PATIENCE_READS 20000
#define UART_PATIENCE_HZ    50

#define INPUT_BYTES 64u /* a power of two */

static bool present;
static unsigned fifo_size = 1;

/* Free-running: [input_tail, input_head) wait. The head is moved by the interrupt only, the tail by
 * uart_read(), both on the boot CPU. */
static char input[INPUT_BYTES];
static u32 input_head, input_tail;
static bool receiving;       /* input is wanted at all */
static u8 receive_interrupt; /* IER_RECEIVE as long as the ring has room */
static u32 overruns;

/* Whether a UART keeps @pattern, with its interrupts off. Where none is, the bus reads as ones, as
 * zeros, or as what was on it last. */
__init static bool keeps(u8 pattern)
{
	outb(UART_SCRATCH, pattern);
	return inb(UART_IER) == 0 && inb(UART_SCRATCH) == pattern;
}

__init void uart_start(void)
{
	outb(UART_IER, 0);
	present = keeps(0x5a) && keeps(0xa5);
	if (!present)
		return;
	outb(UART_LCR, LCR_DIVISOR);
	outb(UART_DATA, 1); /* 115200 / 1 */
	outb(UART_IER, 0);
	outb(UART_LCR, LCR_8N1);
	outb(UART_FCR, FCR_ENABLE_CLEAR);
	outb(UART_MCR, MCR_DTR_RTS_OUT2);
	if ((inb(UART_IIR) & IIR_FIFO_ENABLED) == IIR_FIFO_ENABLED)
		fifo_size = 16;
}

/* An overrun is told once. */
static u8 line_status(void)
{
	u8 status = inb(UART_LSR);

	if (status & LSR_OVERRUN)
		WRITE_ONCE(overruns, overruns + 1);
	return status;
}

unsigned uart_write(const char *bytes, unsigned count)
{
	unsigned taken;

	if (!present)
		return count;
	if (!(line_status() & LSR_TRANSMIT_EMPTY))
		return 0;
	for (taken = 0; taken < count && taken < fifo_size; taken++)
		outb(UART_DATA, bytes[taken]);
	return taken;
}

/* Whether to read the status once more; @reads starts at 0 and @start is when that was. */
static bool has_patience(u64 start, unsigned *reads)
{
	cpu_pause();
	return ++*reads < UART_PATIENCE_READS ||
	       arch_tsc() - start < arch_tsc_hz() / UART_PATIENCE_HZ;
}

void uart_write_wait(const char *bytes, unsigned count)
{
	unsigned reads = 0;
	u64 start;

	while (count > 0) {
		unsigned taken;

		reads = 0;
		start = arch_tsc();
		while ((taken = uart_write(bytes, count)) == 0 && has_patience(start, &reads))
			;
		if (taken == 0)
			taken = 1;
		bytes += taken;
		count -= taken;
	}
	/* Powering off would lose what is still in the FIFO. */
	reads = 0;
	start = arch_tsc();
	while (present && !(line_status() & LSR_IDLE) && has_patience(start, &reads))
		;
}

void uart_want_interrupt(bool wanted)
{
	if (present)
		outb(UART_IER, (wanted ? IER_TRANSMIT : 0) | READ_ONCE(receive_interrupt));
	else if (wanted && this_cpu()->index == 0)
		this_cpu()->events |= CPU_EVENT_UART;
	else if (wanted)
		arch_kick(0);
}

static bool has_room(void)
{
	return input_head - input_tail < INPUT_BYTES;
}

void uart_interrupt(void)
{
	outb(UART_IER, 0);
	if (!receiving)
		return;
	for (unsigned i = 0; i < fifo_size && has_room() && line_status() & LSR_DATA_READY; i++)
		input[input_head++ % INPUT_BYTES] = (char)inb(UART_DATA);
	/* More that waits raises the line anew. */
	WRITE_ONCE(receive_interrupt, has_room() ? IER_RECEIVE : 0);
	outb(UART_IER, receive_interrupt);
}

__init void uart_start_input(void)
{
	if (!present)
		return;
	receiving = true;
	receive_interrupt = IER_RECEIVE;
	outb(UART_IER, IER_TRANSMIT | IER_RECEIVE);
}

void uart_poll(void)
{
	if (receiving)
		uart_interrupt();
}

bool uart_has_input(void)
{
	return input_head != input_tail;
}

int uart_read(void)
{
	char byte;

	if (!uart_has_input())
		return -1;
	byte = input[input_tail++ % INPUT_BYTES];
	if (!receive_interrupt && input_head - input_tail <= INPUT_BYTES / 2) {
		WRITE_ONCE(receive_interrupt, IER_RECEIVE);
		outb(UART_IER, IER_TRANSMIT | IER_RECEIVE);
	}
	return (u8)byte;
}

u32 uart_overruns(void)
{
	return READ_ONCE(overruns);
}
