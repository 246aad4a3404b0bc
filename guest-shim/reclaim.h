/*
 * Frames for whoever needs one: free ones while there are, else those that the replacement policy
 * gives up.
 */
#ifndef SHIM_RECLAIM_H
#define SHIM_RECLAIM_H

#include "lib/types.h"

/* Lets the policy choose anonymous pages if they have somewhere to go. */
void reclaim_init(void);

/*
 * A frame, of kind FRAME_RESERVED, with whatever content it had. May put pages into tmem, start
 * swap writes and sleep; panics when nothing can leave memory any more. Not from interrupt
 * handlers.
 */
u32 memory_frame(void);

/* Frames that are kept free for writes that run beside the application. */
u32 memory_low(void);

/* Makes @count frames free without sleeping: true if they are. Else swap writes are under way that
 * will free more, or nothing can leave. */
bool memory_make_free(u32 count);

/* Port: nothing can leave memory any more. May sleep. False if it has no frame to give either. */
bool memory_last_resort(void);

#endif
