/*
 * The balloon: gives frames to the hypervisor when it asks for them and takes them back, in 2 MiB
 * units where it can; reports units that stay free; tells statistics. Frames are moved only when
 * nothing else of the shim is at work, which whoever changes frames or pages says by balloon_hold()
 * and balloon_release().
 */
#ifndef SHIM_BALLOON_H
#define SHIM_BALLOON_H

#include "lib/types.h"

/* Looks for the device, as disk_init() does. Without one, nothing happens ever after. @report: free
 * memory may be reported (not with volatile pages, whose free frames can be discarded anyway). */
void balloon_init(u64 base, u64 stride, u32 gsi, bool report);

/* Nested; held from the start of the guest until the application's start. A release may give
 * frames away: any page of the caller may be paged out then. */
void balloon_hold(void);
void balloon_release(void);

/* An interrupt of window @slot, a disk's or the balloon's, was acknowledged by no one yet. Returns
 * whether it was the balloon's. */
bool balloon_interrupt(unsigned slot);
/* At the end of every device's interrupt: goes on with what waits. */
void balloon_poll(void);

#endif
