/*
 * Stopping the world: one CPU asks, all others wait at the head of their dispatch loops. The end of
 * boot, the audit and the end of the machine need it.
 */
#ifndef KERNEL_WORLD_H
#define KERNEL_WORLD_H

/* Returns when every other CPU waits in world_stop_point(). One CPU at a time may ask. */
void world_stop(void);
/* Lets them go on. When this returns, none has a translation from before. */
void world_resume(void);
/* At the head of the dispatch loop: waits while the world is stopped. */
void world_stop_point(void);

#endif
