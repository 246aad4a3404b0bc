/*
 * The way from boot to the dispatch loop.
 */
#ifndef KERNEL_BOOT_OVER_H
#define KERNEL_BOOT_OVER_H

/* On the boot CPU, when the guests have been started: gives back what only boot needs (__init and
 * HV_INIT of the Makefile), the caller's own text included, and enters the dispatch loop. */
__attribute__((noreturn)) void boot_over(void);

#endif
