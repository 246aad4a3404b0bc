/*
 * Whether a guest that has ended is to be started again, and when: what the manifest's `restart`
 * and the operator say. kernel/guests.c does it. Everything runs on the boot CPU, in its dispatch
 * loop; no lock is held.
 */
#ifndef KERNEL_RESTART_H
#define KERNEL_RESTART_H

#include "kernel/vm/vm.h"

/* @vm has ended, and its last life is about to be given back: sets vm->restart.at. */
void restart_decide(struct vm *vm);
/* Whether the next life of @vm is to begin, or to be loaded further, now. */
bool restart_is_due(const struct vm *vm);
/* A life begins: what was ordered for it is done. */
void restart_begins(struct vm *vm);

/* The operator wants @vm to run again: at once, and without a wait that others made necessary. A
 * guest that runs ends before. Nothing without vm->image. */
void restart_order(struct vm *vm);
/* @vm, if it has ended and was to be started again, is not; whether that was so. */
bool restart_cancel(struct vm *vm);
/* The machine is to end: nothing is started again. */
void restart_no_more(void);

#endif
