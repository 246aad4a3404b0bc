/*
 * Pages that leave the page cache, as Linux's tracepoint mm_filemap_delete_from_page_cache tells of
 * them while they still have their content.
 */
#ifndef LINUX_EVICTIONS_H
#define LINUX_EVICTIONS_H

#include <linux/mm_types.h>
#include <linux/types.h>

/*
 * Called for each frame that leaves, whatever file or device it is of; @is_evicted: for want of
 * memory, and clean, not since its file was cut off or its pages written past it. Then nobody else
 * has a reference to the frame, and it does not change during the call. Interrupts are off, and the
 * lock of the file's pages is held.
 */
typedef void (*frame_leaves)(struct page *frame, bool is_evicted);

/* From now on @leaves is called. 0, -ENOENT if this kernel has no such tracepoint, or another
 * negative errno. */
int __must_check evictions_watch(frame_leaves leaves);
/* No more, and no call is under way. */
void evictions_leave(void);

#endif
