/*
 * The loop of each CPU: the top floor, the only place that runs anything.
 */
#ifndef KERNEL_DISPATCH_H
#define KERNEL_DISPATCH_H

/* For BUG: which vCPU ran on this CPU, and how often it has exited for what. Takes no lock. */
void dispatch_report(void);

/* Runs guests on this CPU for ever; on the boot CPU until all guests have stopped, then ends the
 * machine. */
__attribute__((noreturn)) void dispatch(void);

#endif
