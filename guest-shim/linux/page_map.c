/*
 * See page_map.h.
 */
#define pr_fmt(format) KBUILD_MODNAME ": " format

#include "page_map.h"

#include <linux/bitmap.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/printk.h>

#include "hypercall.h"

static_assert(PAGE_MAP_REGION == BITS_PER_LONG && PAGE_MAP_REGION <= TMEM_BATCH_MAX &&
	      TMEM_BATCH_MAX * sizeof(struct tmem_batch_entry) <= PAGE_SIZE);

int page_map_create(struct page_map *map, u64 pages, int pool)
{
	bool is_made;

	map->pool = pool;
	map->bits = kvcalloc(BITS_TO_LONGS(pages), sizeof(long), GFP_KERNEL);
	is_made = map->bits;
	for (unsigned int i = 0; i < PAGE_MAP_LOCKS; i++) {
		struct page_map_region *region = &map->regions[i];

		spin_lock_init(&region->lock);
		region->batch = (struct tmem_batch_entry *)__get_free_page(GFP_KERNEL);
		is_made = is_made && region->batch;
	}
	if (is_made)
		return 0;
	page_map_destroy(map);
	return -ENOMEM;
}

void page_map_destroy(struct page_map *map)
{
	for (unsigned int i = 0; i < PAGE_MAP_LOCKS; i++)
		free_page((unsigned long)map->regions[i].batch);
	kvfree(map->bits);
}

struct page_map_region *page_map_lock(struct page_map *map, u64 page, unsigned long *flags)
{
	struct page_map_region *region = &map->regions[page / PAGE_MAP_REGION % PAGE_MAP_LOCKS];

	spin_lock_irqsave(&region->lock, *flags);
	return region;
}

void page_map_unlock(struct page_map_region *region, unsigned long flags)
{
	spin_unlock_irqrestore(&region->lock, flags);
}

void page_map_batch(struct page_map *map, struct page_map_region *region, unsigned int entry,
	u32 op, u64 page, struct page *content)
{
	struct tmem_key key = tmem_key(map->pool, page);

	tmem_batch_set(&region->batch[entry], op, &key, content);
}

unsigned int page_map_flush(struct page_map *map, struct page_map_region *region, u64 first,
	u64 end, unsigned int *failed)
{
	unsigned int count = 0;

	for (u64 page = first; (page = find_next_bit(map->bits, end, page)) < end; page++) {
		__clear_bit(page, map->bits);
		page_map_batch(map, region, count++, HYPERCALL_TMEM_FLUSH_PAGE, page, NULL);
	}
	tmem_batch(region->batch, count);
	*failed = 0;
	for (unsigned int i = 0; i < count; i++) {
		const struct tmem_batch_entry *entry = &region->batch[i];

		if (entry->result == 0)
			continue;
		++*failed;
		pr_err_ratelimited("TMEM_FLUSH_PAGE of page %llu: %pe\n",
			entry->object[0] << 32 | entry->handle >> 32, ERR_PTR(entry->result));
	}
	return count;
}
