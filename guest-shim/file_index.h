/*
 * Where each page of the data disk is: in a frame, gone since a certain eviction, or never read.
 */
#ifndef SHIM_FILE_INDEX_H
#define SHIM_FILE_INDEX_H

#include "lib/types.h"

/* @memory holds a zero for each page of the disk; it belongs to the index from now on. */
void file_index_init(u32 *memory);

/* The frame that holds @page, or FRAME_NONE. */
u32 file_index_frame(u32 page);

/* The stamp of its last eviction, or STAMP_NEW if it was never in memory. It must not be there now.
 */
u32 file_index_stamp(u32 page);

/* @page is in @frame from now on; or it is not in memory, and was evicted as number @stamp. */
void file_index_set_frame(u32 page, u32 frame);
void file_index_set_stamp(u32 page, u32 stamp);

#endif
