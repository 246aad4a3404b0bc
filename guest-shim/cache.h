/*
 * The page cache of the data disk. A page that leaves goes to precache, and a miss asks precache
 * before the disk; or, with volatile pages in its place, pages that are not being read may be
 * discarded, and are missed when they are asked for.
 */
#ifndef SHIM_CACHE_H
#define SHIM_CACHE_H

#include "lib/types.h"

#define CACHE_NO_PAGE UINT32_MAX

struct disk;

/* @disk holds what is read; the file index must have room for all its pages. */
void cache_init(struct disk *disk);

/* Pages of @disk, the last one perhaps not whole. */
u32 cache_pages_of(const struct disk *disk);

/*
 * Copies @length bytes at @offset of the disk to @to, which may be anonymous memory. The range must
 * lie on the disk. @last is the page that this reader read last (CACHE_NO_PAGE at first): several
 * reads in a row from one page are one use of it. Returns 0 or -EIO.
 */
int cache_read(void *to, u64 offset, size_t length, u32 *last) __must_check;

/* The page in @frame is to be read: true if it is there. Else the hypervisor has discarded it, it
 * is in memory no more, and the frame is free. */
bool cache_keep(u32 frame);
/* Nobody reads the page in @frame now: it may be discarded. */
void cache_let_go(u32 frame);

#endif
