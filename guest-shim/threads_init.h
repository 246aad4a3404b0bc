/*
 * How threads come up: for main.c and second.S only.
 */
#ifndef SHIM_THREADS_INIT_H
#define SHIM_THREADS_INIT_H

/* Keeps what a thread will need, where the guest has a second vCPU. Before memory is used up. */
void threads_init(void);

/* Where second.S ends, on the second vCPU's stack with interrupts off. */
void second_main(void) __attribute__((noreturn));

#endif
