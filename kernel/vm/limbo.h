/*
 * Limbo: frames that were taken from a guest while some processor may still reach them through a
 * cached translation or a host pointer. They become free when every CPU has passed a quiescent
 * point after the epoch they were put in. LOCK_LIMBO guards the queue.
 */
#ifndef VM_LIMBO_H
#define VM_LIMBO_H

#include "kernel/core/frame.h"

/* Puts 2^order frames of class @from into limbo until @epoch has passed: the value epoch_advance()
 * gave after the last way to them was removed. Order 0 or BLOCK_ORDER. */
void limbo_add(mfn_t first, unsigned order, enum frame_class from, u64 epoch);

/* For the audit, with the world stopped: sets FRAME_MARK in the class of every frame in the queue.
 * Returns how many entries were wrong, the first in @wrong; what follows it is not reached. */
u64 limbo_check(mfn_t *wrong);

#endif
