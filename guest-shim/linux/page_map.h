/*
 * A bit for each page of a disk: whether its pool of tmem may have a copy of the page. A bit, and
 * what tmem does with the page, are guarded by one of some spinlocks, chosen by the page's region
 * of 64; so a batch of calls has one region's pages at most, and the page for its entries belongs
 * to the lock. Interrupts are off under it. Nothing here sleeps or allocates but create and
 * destroy.
 */
#ifndef LINUX_PAGE_MAP_H
#define LINUX_PAGE_MAP_H

#include <linux/bitops.h>
#include <linux/mm_types.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include <abi/hypercall.h>

#define PAGE_MAP_REGION 64u /* pages */
#define PAGE_MAP_LOCKS  16

/* What one lock guards beside bits. */
struct page_map_region {
	spinlock_t lock;
	struct tmem_batch_entry *batch; /* TMEM_BATCH_MAX of them */
};

struct page_map {
	int pool;
	unsigned long *bits;
	struct page_map_region regions[PAGE_MAP_LOCKS];
};

static inline u64 page_map_region_end(u64 page)
{
	return (page | (PAGE_MAP_REGION - 1)) + 1;
}

/* For @pages pages, with all bits clear. 0 or -ENOMEM. */
int __must_check page_map_create(struct page_map *map, u64 pages, int pool);
void page_map_destroy(struct page_map *map);

/* Locks the region of @page. */
struct page_map_region *page_map_lock(struct page_map *map, u64 page, unsigned long *flags);
void page_map_unlock(struct page_map_region *region, unsigned long flags);

/* Makes of entry number @entry a call @op for @page, as tmem_batch() takes it. */
void page_map_batch(struct page_map *map, struct page_map_region *region, unsigned int entry,
	u32 op, u64 page, struct page *content);

/*
 * Flushes the pages from @first to before @end whose bits are set, and clears these. They are of
 * one region, which is locked. Returns how many there were; in @failed, how many of these tmem did
 * not flush, after saying so in the log.
 */
unsigned int page_map_flush(struct page_map *map, struct page_map_region *region, u64 first,
	u64 end, unsigned int *failed);

#endif
