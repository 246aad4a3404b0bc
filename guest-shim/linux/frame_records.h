/*
 * Which page of the cached disk a frame of the page cache was read from: a table of fixed size,
 * with a place for each frame of the RAM that is there at first. With RAM that is added later two
 * frames may have the same place, and the one that was read last is known then. precache.h says
 * what a record is worth.
 *
 * All calls may be made in any context, and do not sleep. Frames are named by their struct page.
 */
#ifndef LINUX_FRAME_RECORDS_H
#define LINUX_FRAME_RECORDS_H

#include <linux/mm_types.h>
#include <linux/types.h>

#include "precache.h"

/* 0 or -ENOMEM. */
int __must_check frame_records_create(void);
/* After the last call of the others. */
void frame_records_destroy(void);

/* A sum of 64 bits of what the frame holds. */
u64 frame_sum(struct page *frame);

/* Whether Linux is just filling this frame for its page cache, so that nobody else looks at it or
 * changes it: what is recorded is only such frames. */
bool frame_is_filled(struct page *frame);

/* Before @page, whose state is @state, is read into @frame by read number @read. */
void frame_record_begin(struct page *frame, u64 page, u64 state, u64 read);
/* That read has come to its end, without an error. */
void frame_record_end(struct page *frame, u64 read);
/* What is known of @frame, and no longer then. False: nothing. */
bool frame_record_take(struct page *frame, struct precache_record *taken);

#endif
