/*
 * What a CPU does when the time of a timer of its own has come.
 */
#ifndef KERNEL_TIMERS_H
#define KERNEL_TIMERS_H

/* The boot CPU's steady paces begin: the tick, and that of the balloon policies. */
void timers_start(void);

/* Serves what was due on this CPU when it was called, and nothing that is armed meanwhile, so that
 * it ends. Dispatch loop only, no lock held. */
void timers_serve(void);

#endif
