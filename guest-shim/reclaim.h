/*
 * Frames for whoever needs one: free ones while there are, else those that the replacement policy
 * gives up.
 */
#ifndef SHIM_RECLAIM_H
#define SHIM_RECLAIM_H

#include "lib/types.h"

/* Sets the watermarks and lets the policy choose anonymous pages if they have somewhere to go. */
void reclaim_init(void);

/*
 * A frame, of kind FRAME_RESERVED, with whatever content it had. May put pages into tmem, start
 * swap writes and sleep; panics when nothing can leave memory any more. Not from interrupt
 * handlers.
 */
u32 memory_frame(void);

#endif
