/*
 * Whether the processors' TSCs agree: each is compared with the boot processor's when it starts, by
 * handing over a time stamp to and fro, which must never come from the future. That finds
 * differences larger than such a way takes.
 */
#ifndef ARCH_TSC_CHECK_H
#define ARCH_TSC_CHECK_H

/* The boot processor's part and that of processor @index, 1 and up, at the same time. Each waits
 * for the other, for two seconds at most. The first tells clock_tsc_differs() and logs what is
 * wrong. */
void tsc_check_boot(unsigned index);
void tsc_check_other(unsigned index);

#endif
