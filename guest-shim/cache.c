/*
 * See cache.h. The page being copied is locked, since the copy may fault on the receiving side and
 * evict.
 */
#include "guest-shim/cache.h"

#include <string.h>

#include "guest-shim/counters.h"
#include "guest-shim/cpu.h"
#include "guest-shim/disk.h"
#include "guest-shim/file_index.h"
#include "guest-shim/frames.h"
#include "guest-shim/reclaim.h"
#include "guest-shim/tmem_client.h"
#include "guest-shim/volatile.h"

static struct disk *data_disk;

void cache_init(struct disk *disk)
{
	data_disk = disk;
}

u32 cache_pages_of(const struct disk *disk)
{
	return (u32)((disk_sectors(disk) + SECTORS_PER_PAGE - 1) / SECTORS_PER_PAGE);
}

static int disk_fill(u32 page, u32 frame)
{
	u64 first = (u64)page * SECTORS_PER_PAGE;
	u32 sectors = (u32)MIN(disk_sectors(data_disk) - first, (u64)SECTORS_PER_PAGE);

	if (sectors < SECTORS_PER_PAGE)
		page_zero(frame_pointer(frame));
	counters.disk_reads++;
	return disk_finish(
		data_disk, disk_submit(data_disk, false, first, frame_address(frame), sectors));
}

/* Only pages that were here before can be in precache. */
static int fill(u32 page, u32 frame, bool first_time)
{
	if (first_time) {
		counters.first_reads++;
	} else if (precache_is_on()) {
		if (precache_get(page, frame)) {
			counters.precache_hits++;
			return 0;
		}
		counters.precache_misses++;
	}
	return disk_fill(page, frame);
}

static int bring_in(u32 page, u32 *result)
{
	u32 stamp = file_index_stamp(page);
	u32 frame = memory_frame();
	int error = fill(page, frame, stamp == STAMP_NEW);

	if (error) {
		frames_give(frame);
		return error;
	}
	frames[frame].key = page;
	frames[frame].kind = FRAME_FILE;
	file_index_set_frame(page, frame);
	counters.refaults += replace_add(&replace, frame, REPLACE_FILE, stamp);
	*result = frame;
	return 0;
}

bool cache_keep(u32 frame)
{
	if (volatile_keep(frame))
		return true;
	counters.volatile_discarded++;
	replace_remove(&replace, frame);
	/* Nobody knows when it went. It would not have, had there been more memory. */
	file_index_set_stamp(frames[frame].key, replace_stamp(&replace));
	frames_give(frame);
	return false;
}

void cache_let_go(u32 frame)
{
	if (!volatile_is_on() || replace.nodes[frame].locked)
		return;
	counters.volatile_made++;
	volatile_let_go(frame);
}

/* The frame of @page, locked. */
static int page_get(u32 page, u32 *frame)
{
	int error = 0;

	*frame = file_index_frame(page);
	if (*frame != FRAME_NONE) {
		if (cache_keep(*frame))
			counters.volatile_stable += volatile_is_on();
		else
			*frame = FRAME_NONE;
	}
	if (*frame != FRAME_NONE) {
		counters.cache_hits++;
	} else {
		counters.cache_misses++;
		error = bring_in(page, frame);
	}
	if (!error)
		replace.nodes[*frame].locked = true;
	return error;
}

int cache_read(void *to, u64 offset, size_t length, u32 *last)
{
	while (length) {
		u32 page = (u32)(offset >> PAGE_SHIFT);
		size_t start = offset & PAGE_MASK;
		size_t bytes = MIN(length, PAGE_SIZE - start);
		u32 frame;
		int error = page_get(page, &frame);

		if (error)
			return error;
		if (page != *last)
			replace_touch(&replace, frame);
		*last = page;
		memcpy(to, (char *)frame_pointer(frame) + start, bytes);
		replace.nodes[frame].locked = false;
		cache_let_go(frame);
		to = (char *)to + bytes;
		offset += bytes;
		length -= bytes;
	}
	return 0;
}
