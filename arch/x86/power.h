/*
 * Stopping processors and the machine; the rest is in arch.h.
 */
#ifndef ARCH_POWER_H
#define ARCH_POWER_H

/* In an NMI: does not return if arch_stop_other_cpus() was called elsewhere. */
void power_stop_if_asked(void);

#endif
