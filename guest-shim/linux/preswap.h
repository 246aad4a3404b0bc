/*
 * What the module decides about a page of its swap disk. Pure: no Linux, so it is tested hosted
 * (tests/unit/test_linux_preswap.c).
 *
 * The module has a bit for each page: set if tmem holds what was written last, clear if the backing
 * disk does. So a copy in tmem that could not be flushed is never read, and one that tmem lost is
 * never mistaken for what an earlier write left on the disk.
 */
#ifndef LINUX_PRESWAP_H
#define LINUX_PRESWAP_H

#include <stdbool.h>
#include <stdint.h>

/* The header of a swap area, which must outlive the module: the next boot looks for it. */
#define PRESWAP_HEADER_PAGE 0u

/* Whether tmem is asked to take page @page. */
static inline bool preswap_wants(uint64_t page)
{
	return page != PRESWAP_HEADER_PAGE;
}

/* Where a page goes that is written. */
enum preswap_write {
	PRESWAP_WRITE_KEPT,       /* tmem has it */
	PRESWAP_WRITE_DISK,       /* to the disk */
	PRESWAP_WRITE_FLUSH_DISK, /* the same, but first the old copy is flushed */
};

/*
 * After TMEM_PUT returned @result. A put that is refused takes the old copy with it
 * (docs/design.md, rule 2), but not where the call itself was wrong (no such pool): so it is
 * flushed in any case.
 */
static inline enum preswap_write preswap_after_put(long result, bool was_stored)
{
	if (result == 0)
		return PRESWAP_WRITE_KEPT;
	return was_stored ? PRESWAP_WRITE_FLUSH_DISK : PRESWAP_WRITE_DISK;
}

/* Where a page that is read comes from. */
enum preswap_read {
	PRESWAP_READ_DONE,       /* it is here */
	PRESWAP_READ_DISK,       /* from the disk */
	PRESWAP_READ_FLUSH_DISK, /* the same, but what tmem has is old, and is flushed */
	PRESWAP_READ_LOST,       /* tmem held it and gives it no more: an error */
};

/* After TMEM_GET returned @result. */
static inline enum preswap_read preswap_after_get(long result, bool is_stored)
{
	if (is_stored)
		return result == 0 ? PRESWAP_READ_DONE : PRESWAP_READ_LOST;
	return result == 0 ? PRESWAP_READ_FLUSH_DISK : PRESWAP_READ_DISK;
}

#endif
