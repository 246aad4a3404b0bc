/*
 * Guests of the manifest: started, and given back when they have stopped.
 */
#ifndef KERNEL_GUESTS_H
#define KERNEL_GUESTS_H

#include "lib/types.h"
#include "manifest/manifest.h"

/* Starts every good guest of @manifest; what is wrong with one is logged and the others start.
 * Returns how many run. Modules that nobody uses any more become free memory. */
unsigned guests_start(const struct manifest *manifest);

/* One bounded step of giving back what stopped guests held, or of starting one again. False if
 * there was nothing to do. Boot CPU, at the head of its dispatch loop. */
bool guests_reap(void);
/* Whether guests_reap() has something to do: the boot CPU must not idle. */
bool guests_to_reap(void);
/* Whether every guest has stopped and was given back, and none is to be started again. */
bool guests_all_done(void);

#endif
