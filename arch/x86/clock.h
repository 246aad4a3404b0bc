/*
 * Time: the TSC's frequency and this processor's timer.
 */
#ifndef ARCH_CLOCK_H
#define ARCH_CLOCK_H

#include "lib/types.h"

/* Measures the TSC and the LAPIC timer, and starts this processor's timer. 0 or a negative errno
 * after a message. */
int __must_check clock_start(void);
/* Starts the timer of another processor, in the mode that clock_start() chose. */
void clock_enable(void);
void clock_wait_us(u64 us);
/* arch_tsc_is_synchronous() is false from now on. Boot only. */
void clock_tsc_differs(void);

#endif
