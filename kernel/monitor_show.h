/*
 * What the operator's commands show (docs/console.md), as lines of the log. Boot CPU, at the head
 * of the dispatch loop; no lock is held.
 */
#ifndef KERNEL_MONITOR_SHOW_H
#define KERNEL_MONITOR_SHOW_H

struct vm;

/* "guests": the head of the table, and a line of it. */
void show_guests_head(void);
void show_guests_row(const struct vm *vm);
/* "guest NAME": up to 3 lines, and one a vCPU and disk. */
void show_guest(struct vm *vm);
/* "pool". */
void show_pool(void);

#endif
