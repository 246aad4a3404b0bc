/*
 * COM1 (16550). What only arch/x86/ needs; the rest is in arch.h.
 */
#ifndef ARCH_UART_H
#define ARCH_UART_H

/* Programs the port: 115200 8N1, FIFO on, interrupts off. Without a port every byte is swallowed.
 */
void uart_start(void);
/* The interrupt: silences the port until uart_want_interrupt(), so that its line drops. */
void uart_interrupt(void);

#endif
